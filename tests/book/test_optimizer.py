"""The book's optimizers: each rule against its formula, over arrays and plain numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.conftest import assert_close
from xpnet.book import optimizer
from xpnet.book.optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop

START = {"W": np.array([[1.0, -2.0], [0.5, 3.0]]), "b": np.array([0.1, -0.2])}
SLOPES = [
    {name: np.random.default_rng(i).normal(size=p.shape) for name, p in START.items()}
    for i in range(6)
]


def by_hand(rule, slopes):
    """Run a rule over the numbers one by one, each with a memory of its own."""
    params = {name: p.copy() for name, p in START.items()}
    for name, p in params.items():
        for at in np.ndindex(p.shape):
            memory: dict[str, float] = {}
            value = float(p[at])
            for step, grads in enumerate(slopes, 1):
                value = rule(value, float(grads[name][at]), memory, step)
            p[at] = value
    return params


def sgd(p, g, memory, step):
    return p - 0.1 * g


def momentum(p, g, memory, step):
    memory["v"] = 0.8 * memory.get("v", 0.0) - 0.1 * g
    return p + memory["v"]


def nesterov(p, g, memory, step):
    before = memory.get("v", 0.0)
    memory["v"] = 0.8 * before - 0.1 * g
    return p + 0.64 * before - 1.8 * 0.1 * g


def adagrad(p, g, memory, step):
    memory["h"] = memory.get("h", 0.0) + g * g
    return p - 0.1 * g / (math.sqrt(memory["h"]) + 1e-7)


def rmsprop(p, g, memory, step):
    memory["h"] = 0.7 * memory.get("h", 0.0) + 0.3 * g * g
    return p - 0.1 * g / (math.sqrt(memory["h"]) + 1e-7)


def adam(p, g, memory, step):
    m, v = memory.get("m", 0.0), memory.get("v", 0.0)
    memory["m"], memory["v"] = m + 0.2 * (g - m), v + 0.1 * (g * g - v)
    lr_t = 0.1 * math.sqrt(1 - 0.9**step) / (1 - 0.8**step)
    return p - lr_t * memory["m"] / (math.sqrt(memory["v"]) + 1e-7)


RULES = [
    (lambda: SGD(lr=0.1), sgd),
    (lambda: Momentum(lr=0.1, momentum=0.8), momentum),
    (lambda: Nesterov(lr=0.1, momentum=0.8), nesterov),
    (lambda: AdaGrad(lr=0.1), adagrad),
    (lambda: RMSprop(lr=0.1, decay_rate=0.7), rmsprop),
    (lambda: Adam(lr=0.1, beta1=0.8, beta2=0.9), adam),
]
NAMES = [rule.__name__ for _, rule in RULES]


@pytest.mark.parametrize(("make", "rule"), RULES, ids=NAMES)
def test_a_rule_over_arrays(xp, make, rule):
    if xp.read_only:
        pytest.skip("an optimizer writes into the parameters")
    params = {name: xp.array(p.copy()) for name, p in START.items()}
    own, opt = params["W"], make()
    for grads in SLOPES:
        opt.update(params, {name: xp.array(g) for name, g in grads.items()})
    assert params["W"] is own
    for name, wanted in by_hand(rule, SLOPES).items():
        assert_close(params[name], wanted, rtol=1e-12)


@pytest.mark.parametrize(("make", "rule"), RULES, ids=NAMES)
@pytest.mark.parametrize("size", [1e-9, 1e-6])
def test_a_rule_where_epsilon_counts(make, rule, size):
    slopes = [{name: size * g for name, g in grads.items()} for grads in SLOPES]
    params, opt = {name: p.copy() for name, p in START.items()}, make()
    for grads in slopes:
        opt.update(params, grads)
    for name, wanted in by_hand(rule, slopes).items():
        assert_close(params[name] - START[name], wanted - START[name], rtol=1e-6, atol=1e-16)


@pytest.mark.parametrize(("make", "rule"), RULES, ids=NAMES)
def test_a_rule_over_plain_numbers(make, rule):
    params, opt, memory = {"x": -7.0, "y": 2.0}, make(), {"x": {}, "y": {}}
    wanted = dict(params)
    for step in range(1, 31):
        grads = {"x": params["x"] / 10, "y": 2 * params["y"], "z": 5.0}  # z: no such parameter
        opt.update(params, grads)
        for name in wanted:
            slope = wanted[name] / 10 if name == "x" else 2 * wanted[name]
            wanted[name] = rule(wanted[name], slope, memory[name], step)
    assert params == pytest.approx(wanted, abs=1e-12)


def test_nesterov_is_momentum_whose_gradients_are_taken_one_step_ahead():
    """In Bengio's form p is where the gradient is taken: theta + m v of the paper's theta."""
    lr, m, theta, v = 0.1, 0.8, 3.0, 0.0
    params, opt = {"x": 3.0}, Nesterov(lr, m)
    for _ in range(20):
        ahead = theta + m * v
        assert params["x"] == pytest.approx(ahead, abs=1e-13)
        opt.update(params, {"x": math.sin(params["x"])})
        v = m * v - lr * math.sin(ahead)
        theta += v


def test_plain_numbers_become_numpys_where_the_books_do():
    """What remembers anything remembers NumPy's zeros, and a sum with those is NumPy's."""
    for make, _ in RULES:
        params, opt = {"x": -7.0, "k": 2}, make()
        for _ in range(2):
            opt.update(params, {"x": 0.5, "k": 0.25})
        kind = float if isinstance(opt, SGD) else np.float64
        assert [type(p) for p in params.values()] == [kind, kind]
        for memory in ("v", "h", "m"):
            for value in (getattr(opt, memory, None) or {}).values():
                assert np.shape(value) == ()
                assert value.dtype == np.float64


def test_all_that_an_optimizer_has_is_what_the_books_has():
    assert {type(make()).__name__: list(vars(make())) for make, _ in RULES} == {
        "SGD": ["lr"],
        "Momentum": ["lr", "momentum", "v"],
        "Nesterov": ["lr", "momentum", "v"],
        "AdaGrad": ["lr", "h"],
        "RMSprop": ["lr", "decay_rate", "h"],
        "Adam": ["lr", "beta1", "beta2", "iter", "m", "v"],
    }


def test_what_is_remembered_may_be_set_and_forgotten():
    opt, params = Momentum(lr=0.1, momentum=0.5), {"x": np.zeros(2)}
    opt.v = {"x": np.ones(2)}
    opt.update(params, {"x": np.zeros(2)})
    assert params["x"].tolist() == [0.5, 0.5]
    opt.v = None
    opt.update(params, {"x": np.zeros(2)})
    assert params["x"].tolist() == [0.5, 0.5]
    adam_ = Adam()
    adam_.update(params, {"x": np.ones(2)})
    adam_.iter, adam_.m, adam_.v = 0, None, None
    before = params["x"].copy()
    adam_.update(params, {"x": np.ones(2)})
    np.testing.assert_allclose(params["x"], before - 0.001, rtol=1e-6)


def test_a_rate_may_be_zero_or_negative():
    params = {"x": 1.0}
    SGD(lr=-0.5).update(params, {"x": 2.0})
    SGD(lr=0).update(params, {"x": 2.0})
    assert params["x"] == 2.0


def test_defaults_are_the_books():
    assert [c().lr for c in (SGD, Momentum, Nesterov, AdaGrad, RMSprop)] == [0.01] * 5
    assert (Adam().lr, Adam().beta1, Adam().beta2) == (0.001, 0.9, 0.999)
    assert (Momentum().momentum, Nesterov().momentum, RMSprop().decay_rate) == (0.9, 0.9, 0.99)


def test_what_they_remember_has_the_books_names():
    params, grads = {"W": np.ones(2)}, {"W": np.array([1.0, -2.0])}
    moving, adding, adam_ = Momentum(lr=0.1), AdaGrad(), Adam()
    assert moving.v is adding.h is adam_.m is None
    for opt in (moving, adding, adam_):
        opt.update(params, grads)
    np.testing.assert_allclose(moving.v["W"], [-0.1, 0.2])
    np.testing.assert_allclose(adding.h["W"], [1, 4])
    np.testing.assert_allclose(adam_.m["W"], [0.1, -0.2])
    np.testing.assert_allclose(adam_.v["W"], [0.001, 0.004])
    assert adam_.iter == 1


def test_the_rate_may_be_changed_on_the_way():
    params, opt = {"x": 1.0}, Momentum(lr=0.1, momentum=0.5)
    opt.update(params, {"x": 1.0})
    opt.lr = 1.0
    opt.update(params, {"x": 1.0})
    assert params["x"] == pytest.approx(1 - 0.1 + (0.5 * -0.1 - 1.0))


def test_gradients_are_not_written_to_and_float32_stays():
    grads = {"W": np.ones(3, np.float32)}
    for make, _ in RULES:
        params = {"W": np.ones(3, np.float32)}
        make().update(params, grads)
        assert params["W"].dtype == np.float32
        assert (grads["W"] == 1).all()


def test_a_missing_gradient_is_an_error():
    with pytest.raises(KeyError):
        optimizer.SGD().update({"x": 1.0}, {"y": 1.0})
