"""Gradients by differences: right in closed form, and able to catch a wrong backward pass."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.conftest import Backend, assert_close, strided
from xpnet.arrays import namespace, to_numpy
from xpnet.devices import device_of
from xpnet.gradients import gradient_check, gradient_descent, numerical_gradient
from xpnet.layers import BatchNorm, Dropout, Linear, ReLU, Rescale, Sequential, Tanh
from xpnet.layers.base import Layer
from xpnet.losses import SoftmaxCrossEntropy
from xpnet.random import Stream


def total(values):
    return namespace(values).sum(values)


# Numerical gradients ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (2, 1, 3), (2, 2, 2, 2), (0,)])
def test_the_gradient_of_a_sum_of_cubes_is_three_squares(xp: Backend, shape):
    x = np.random.default_rng(0).normal(size=shape)
    gradient = numerical_gradient(lambda a: total(a * a * a), xp.array(x))
    assert_close(gradient, 3 * x**2, atol=1e-7, rtol=1e-6)
    assert device_of(gradient) == xp.device


@pytest.mark.parametrize(("at", "slope"), [(5.0, 0.2), (10.0, 0.3)])
def test_the_slope_of_a_parabola(xp: Backend, at, slope):
    x = xp.array([at])
    gradient = numerical_gradient(lambda a: (0.01 * a * a + 0.1 * a)[0], x)
    assert_close(gradient, np.array([slope]), rtol=1e-9)


def test_the_gradient_of_a_plane_with_a_saddle(xp: Backend):
    gradient = numerical_gradient(lambda a: a[0] * a[1], xp.array([3.0, 4.0]))
    assert_close(gradient, np.array([4.0, 3.0]), rtol=1e-9)


def test_a_complex_gradient_holds_both_slopes(xp: Backend):
    z, w = np.array([1 + 2j, -0.5j]), np.array([2 - 1j, 3 + 0.5j])

    def f(a):
        lib = namespace(a)
        return total(lib.real(a * lib.conj(a))) + total(lib.real(a * xp.array(w)))

    gradient = numerical_gradient(f, xp.array(z))
    assert_close(gradient, 2 * z + w.conj(), rtol=1e-8)  # dL/dRe + i dL/dIm


def test_float32_stays_float32(xp: Backend):
    gradient = numerical_gradient(lambda a: total(a * a), xp.array([1.0, -2.0], "float32"), h=1e-2)
    assert_close(gradient, np.array([2, -4], "float32"), rtol=1e-3)


def test_a_smaller_step_leaves_a_smaller_error():
    x = np.array([1.0])
    errors = [abs(numerical_gradient(lambda a: a[0] ** 3, x, h)[0] - 3) for h in (1e-1, 1e-2)]
    np.testing.assert_allclose(errors, [1e-2, 1e-4], rtol=1e-6)


def test_the_argument_is_left_alone_even_by_a_function_that_writes(xp: Backend):
    x = xp.array([1.0, 2.0])

    def f(a):
        value = float(a[0] * a[1])
        a[...] = 99.0
        return value

    assert_close(numerical_gradient(f, x), np.array([2.0, 1.0]), rtol=1e-9)
    assert_close(x, np.array([1.0, 2.0]))


def test_a_strided_argument_is_as_good_as_any():
    x = np.arange(6.0).reshape(2, 3)
    for given in (strided(x), np.asfortranarray(x), x[::-1, ::-1][::-1, ::-1]):
        assert_close(numerical_gradient(lambda a: (a**2).sum(), given), 2 * x, atol=1e-9)


def test_infinity_elsewhere_in_the_argument_does_no_harm(xp: Backend):
    gradient = numerical_gradient(lambda a: a[0] * 2, xp.array([1.0, np.inf]))
    assert_close(gradient, np.array([2.0, 0.0]), rtol=1e-9)


# Descent ------------------------------------------------------------------------------------------


def test_descent_reaches_the_bottom_of_a_bowl(xp: Backend):
    start = xp.array([-3.0, 4.0])
    end, path = gradient_descent(lambda a: total(a * a), start, lr=0.1, steps=100)
    assert np.abs(to_numpy(end)).max() < 1e-8
    assert len(path) == 101
    assert_close(start, np.array([-3.0, 4.0]))
    points = np.stack([to_numpy(point) for point in path])
    np.testing.assert_allclose(points, np.outer(0.8 ** np.arange(101), [-3, 4]), atol=1e-8)


@pytest.mark.parametrize(("lr", "steps"), [(1e-10, 100), (0.1, 0)])
def test_descent_without_a_rate_or_steps_stays_where_it_was(lr, steps):
    end, path = gradient_descent(lambda a: (a**2).sum(), np.array([-3.0, 4.0]), lr, steps)
    np.testing.assert_allclose(end, [-3, 4], rtol=1e-7)
    assert len(path) == steps + 1


def test_descent_takes_a_single_number():
    end, _ = gradient_descent(lambda a: (a - 2) ** 2, np.array(5.0), lr=0.25, steps=40)
    assert float(end) == pytest.approx(2, abs=1e-8)


def test_too_large_a_rate_runs_away():
    end, _ = gradient_descent(lambda a: (a**2).sum(), np.array([-3.0, 4.0]), lr=1.5, steps=20)
    np.testing.assert_allclose(end, np.array([-3.0, 4.0]) * 2**20, rtol=1e-3)


# The check of a layer -----------------------------------------------------------------------------


class Scale(Layer):
    """Right: ``y = a x^2``; each fault breaks one part of its backward pass."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault

    def setup(self, input_shape, rng):
        self.add_param("a", np.arange(1.0, 4))
        self.add_state("calls", 0, "int64")
        return input_shape

    def forward(self, x, *, train=False):
        self.state["calls"] += 1
        if train:
            self._cache = x
        return self.params["a"] * x * x

    def backward(self, dy, *, need_dx=True):
        x, lib = self.take(), namespace(dy)
        da = lib.sum(dy * x * x, axis=0)
        dx = 2 * self.params["a"] * x * dy
        if self.fault == "a":
            da = da * 1.001
        if self.fault == "a, one number":
            da[1] = 0.0
        if self.fault == "x":
            dx = lib.flip(dx, axis=0)
        if self.fault == "sign":
            dx = -dx
        self.grads["a"][...] = da
        return dx


def built(fault: str = "") -> Scale:
    layer = Scale(fault)
    layer.build((3,), Stream(0), "float64")
    return layer


X = np.random.default_rng(3).normal(size=(4, 3))


def test_a_right_backward_pass_passes():
    errors = gradient_check(built(), X)
    assert set(errors) == {"a", "x"}
    assert max(errors.values()) < 1e-7


@pytest.mark.parametrize(
    ("fault", "caught"), [("a", "a"), ("a, one number", "a"), ("x", "x"), ("sign", "x")]
)
def test_a_wrong_backward_pass_is_caught_and_named(fault, caught):
    errors = gradient_check(built(fault), X)
    assert errors.pop(caught) > 5e-4
    assert max(errors.values()) < 1e-7


def test_a_wrong_layer_inside_a_network_is_caught(xp: Backend):
    for fault in ("", "x"):
        layers = [Linear(3), Tanh(), Scale(fault), Linear(2)]
        net = Sequential(layers, input_shape=(5,), dtype="float64").to(xp.device)
        x = xp.array(np.random.default_rng(0).normal(size=(4, 5)))
        errors = gradient_check(net, x, SoftmaxCrossEntropy(), xp.array([0, 1, 1, 0]))
        assert set(errors) == {"x", "0.W", "0.b", "2.a", "3.W", "3.b"}
        below = max(errors[key] for key in ("x", "0.W", "0.b"))
        assert below > 1e-3 if fault else below < 1e-6
        assert max(errors[key] for key in ("2.a", "3.W", "3.b")) < 1e-6


def test_params_state_and_input_are_left_as_they_were(xp: Backend):
    layers = [Linear(4), BatchNorm(), ReLU(), Dropout(0.3), Linear(2)]
    net = Sequential(layers, input_shape=(3,), dtype="float64").to(xp.device)
    given, parts = xp.array(X.copy()), (net.params, net.state)
    before = [{key: to_numpy(array).copy() for key, array in part.items()} for part in parts]
    errors = gradient_check(net, given)
    assert max(errors.values()) < 1e-6
    for part, kept in zip((net.params, net.state), before, strict=True):
        for key, array in part.items():
            np.testing.assert_array_equal(to_numpy(array), kept[key])
    np.testing.assert_array_equal(to_numpy(given), X)
    with pytest.raises(RuntimeError, match="backward needs"):  # nor is anything kept
        net.backward(xp.array(np.ones((4, 2))))


def test_params_and_state_are_left_as_they_were_by_a_check_that_fails():
    class Failing(Scale):
        def forward(self, x, *, train=False):
            if self.params["a"][0] != 1:
                raise RuntimeError("no")
            return super().forward(x, train=train)

    layer = Failing()
    layer.build((3,), Stream(0), "float64")
    with pytest.raises(RuntimeError, match="no"):
        gradient_check(layer, X)
    np.testing.assert_array_equal(layer.params["a"], [1, 2, 3])
    assert layer.state["calls"] == 0


def test_complex_layers_pass():
    net = Sequential([Linear(4), Linear(2)], input_shape=(3,), dtype="complex128")
    errors = gradient_check(net, X + 1j * X[::-1])
    assert max(errors.values()) < 1e-7


def test_integer_input_has_no_gradient_of_its_own():
    net = Sequential([Rescale(1 / 255), Linear(2)], input_shape=(3,), dtype="float64")
    x = np.arange(12, dtype=np.uint8).reshape(4, 3)
    assert set(gradient_check(net, x)) == {"1.W", "1.b"}
    bare = Rescale(1 / 255)
    bare.build((3,), Stream(0), "float64")
    assert gradient_check(bare, x) == {}


def test_directions_depend_on_the_seed_alone():
    one, same, other = (gradient_check(built("a"), X, seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_a_constant_layer_has_no_error():
    layer = Linear(2, init="zeros")
    layer.build((3,), Stream(0), "float64")
    errors = gradient_check(layer, 0 * X)
    assert all(math.isfinite(error) and error < 1e-6 for error in errors.values())


def test_whole_numbers_have_no_gradient_by_differences():
    with pytest.raises(ValueError, match="expected floating-point x, got int64"):
        numerical_gradient(lambda x: (x**2).sum(), np.array([1, 2]))


def test_a_check_in_single_precision_is_refused():
    layer = Linear(2)
    layer.build((3,), Stream(0), "float32")
    with pytest.raises(ValueError, match="dtype float64 or complex128, got float32"):
        gradient_check(layer, np.ones((2, 3), np.float32))
    twin = Linear(2)
    twin.build((3,), Stream(0), "float64")
    with pytest.raises(TypeError, match="expected a loss, got ndarray"):
        gradient_check(twin, np.ones((2, 3)), np.zeros(2))
