"""Networks that divide: exact weights, the recipe, and clipped descent against the layers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.conftest import assert_close
from xpnet.arrays import to_numpy
from xpnet.losses import SquaredError
from xpnet.models import learn_clipped, learn_linear, learn_operation, log_exp_network
from xpnet.models.quotient import LARGEST_RATIO, Clipped, quotient_pairs, relative_error
from xpnet.random import Stream


@pytest.mark.parametrize(
    ("operation", "real", "powers"),
    [
        ("quotient", True, [0.5, -0.5]),
        ("quotient", False, [1, -1]),
        ("product", True, [0.5, 0.5]),
        ("product", False, [1, 1]),
    ],
)
def test_the_weights_that_solve_it(xp, operation, real, powers):
    net = log_exp_network(real=real).to(xp.device)
    number = float if real else complex
    scale = 1 if operation == "product" else 1.7  # of a quotient the common size is free
    net.params["0.W"] = np.array([[scale, 0], [0, scale]], number)
    net.params["2.W"] = np.array([[power] for power in powers], number)
    assert relative_error(net, operation) < 1e-13


def test_initial_weights():
    net = log_exp_network(seed=3)
    assert net.dtype == "complex128"
    assert (to_numpy(net.params["0.W"]).real >= 0).all()
    assert (to_numpy(net.params["0.W"]).imag == 0).all()
    assert (to_numpy(net.params["2.W"]) == 0).all()
    assert log_exp_network(real=True).dtype == "float64"
    assert len(log_exp_network(exp=False)) == 3


@pytest.mark.parametrize("operation", ["quotient", "product"])
def test_the_recipe_learns(operation):
    learned = learn_operation(operation, seed=1)
    assert learned.error < 1e-9
    assert len(learned.losses) == 3000
    assert learned.losses[-1] < 1e-12 < learned.losses[0]
    assert relative_error(learned.net, operation, seed=5) < 1e-9


def test_the_recipe_is_the_same_on_every_library(xp):
    learned = learn_operation("quotient", 2, steps=20, where=xp.device)
    expected = learn_operation("quotient", 2, steps=20)
    assert learned.net.device == xp.device
    np.testing.assert_allclose(learned.losses, expected.losses, rtol=1e-9)
    assert learned.error == pytest.approx(expected.error, rel=1e-6)


def test_equal_seeds_give_equal_runs():
    one, same, other = (learn_operation("product", seed, steps=20) for seed in (4, 4, 5))
    assert one.losses == same.losses
    assert one.losses != other.losses


def test_fresh_pairs_differ_from_step_to_step():
    fixed, fresh = (learn_operation(steps=3, fresh=fresh) for fresh in (False, True))
    assert fixed.losses[0] == fresh.losses[0]
    assert fixed.losses[1] != fresh.losses[1]


@pytest.mark.parametrize("operation", ["sum", "difference"])
def test_one_linear_unit_learns(xp, operation):
    learned = learn_linear(operation, seed=1, where=xp.device)
    assert learned.error < 1e-12


def test_an_unknown_operation():
    for learn in (learn_operation, learn_linear):
        message = "operation: expected 'quotient', 'product', 'sum' or 'difference', got 'power'"
        with pytest.raises(ValueError, match=message):
            learn("power", steps=1)


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow", "ignore:divide by zero")
def test_outputs_that_are_no_numbers_have_an_infinite_error():
    net = log_exp_network()
    net.params["2.W"] = np.array([[np.nan], [0]], complex)
    assert relative_error(net, "quotient") == math.inf


def tamed(values):
    return np.clip(np.real(values), -700, 700)


def shrunk(gradient):
    size = np.abs(gradient)
    return np.where(size >= 10, gradient / 10 ** np.floor(np.log10(np.maximum(size, 1))), gradient)


def test_clipped_descent_follows_the_layers(xp):
    """Every start, alone: a network whose layers go backward one by one, cut in between."""
    starts, steps, lr, loss = 3, 40, 0.1, SquaredError()
    learned = learn_clipped(starts, steps, lr=lr, seed=6, every=10, where=xp.device)
    W = Stream(6, "hidden").uniform((starts, 2, 2), -1, 1)
    pairs = quotient_pairs(Stream(6, "pairs"), (1000, starts))
    for k in range(starts):
        net = log_exp_network(seed=0)
        net.params["0.W"] = W[k] + 0j
        for x in pairs[:steps, k : k + 1]:
            y = net.forward(x + 0j, train=True)
            loss.forward(y, x[:, :1] / x[:, 1:] + 0j)
            delta = tamed(loss.backward()) + 0j
            for layer in reversed(net.layers):
                delta = layer.backward(delta, need_dx=layer is not net.layers[0])
                delta = None if delta is None else tamed(delta) + 0j
            for name in net.params:
                step = shrunk(tamed(net.grads[name]))
                net.params[name] = net.params[name] - lr * step
            net.forget()
        assert_close(learned.hidden[k, ...], net.params["0.W"].real, rtol=1e-9)
        assert_close(learned.output[k, ...], net.params["2.W"].real[:, 0], rtol=1e-9)
    assert learned.path.shape == (5, starts, 6)
    np.testing.assert_array_equal(learned.path[0, :, :4], W.reshape(starts, 4))
    np.testing.assert_array_equal(learned.path[-1, :, 4:], to_numpy(learned.output))


def test_clipped_descent_from_given_weights(xp):
    """As descent from random weights that happen to be these; copies differ in their pairs."""
    random = learn_clipped(1, 30, seed=6, where=xp.device)
    W = Stream(6, "hidden").uniform((1, 2, 2), -1, 1)[0]
    same = learn_clipped(1, 30, seed=6, start=(W.tolist(), [0, 0]), where=xp.device)
    np.testing.assert_array_equal(same.path, random.path)
    several = learn_clipped(3, 30, seed=6, start=(W, np.zeros(2)), where=xp.device)
    assert (several.path[0] == several.path[0, :1]).all()
    assert len(np.unique(to_numpy(several.output)[:, 0])) == 3


@pytest.mark.parametrize("start", [(np.ones((3, 2, 2)), np.ones(2)), (np.ones((2, 2)), [[1, 1]])])
def test_clipped_descent_from_weights_of_another_shape(start):
    message = r"start: expected hidden weights \(2, 2\) and output weights \(2,\), got \("
    with pytest.raises(ValueError, match=message):
        learn_clipped(3, 1, start=start)


def test_pairs_are_drawn_until_their_quotient_is_small():
    pairs = quotient_pairs(Stream(0, "pairs"), (500, 4))
    assert pairs.shape == (500, 4, 2)
    assert (pairs[..., 0] <= LARGEST_RATIO * pairs[..., 1]).all()
    assert pairs[..., 1].max() > 9.9


def test_what_counts_as_solved(xp):
    hidden = np.array(
        [
            [[0.9, 0.0], [0.0, 0.9]],
            [[0.0, -1.1], [-1.1, 0.0]],
            [[0.9, 0.0], [0.0, 0.9]],
            [[0.9, 0.01], [0.0, 0.9]],
            [[0.9, 0.0], [0.0, 0.8]],
        ]
    )
    output = np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, 0.5], [1.0, -1.0], [1.0, -1.0]])
    solved = Clipped(xp.array(hidden), xp.array(output), None).solved()
    yes, no = True, False
    expected = [[yes] * 3, [yes] * 3, [no, yes, yes], [yes, no, yes], [yes, yes, no]]
    assert to_numpy(solved).tolist() == expected
