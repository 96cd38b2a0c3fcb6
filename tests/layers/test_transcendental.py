"""Log, LogSquare and Exp: values, branches and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.conftest import assert_close
from xpnet.arrays import to_numpy
from xpnet.gradients import gradient_check
from xpnet.layers import Exp, Linear, Log, LogSquare, Sequential
from xpnet.random import Stream

SHAPE = (3, 2)


def built(layer, dtype):
    layer.build(SHAPE, Stream(0), dtype)
    return layer


def numbers(dtype, low=0.2, high=3.0):
    """Return a batch whose numbers are no singular points, complex ones in all quadrants."""
    x = Stream(1, "x").uniform((4, *SHAPE), low, high)
    if dtype.startswith("complex"):
        x = x * np.exp(1j * Stream(1, "phase").uniform(x.shape, -3, 3))
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize(("layer", "f"), [(Log, np.log), (Exp, np.exp)])
def test_values(xp, layer, f, dtype):
    x = numbers(dtype)
    y = built(layer(), dtype).forward(xp.array(x))
    assert_close(y, f(x), rtol=1e-6 if dtype in ("float32", "complex64") else 1e-12, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("layer", [Log, Exp])
def test_gradient(xp, layer, dtype):
    errors = gradient_check(built(layer(), dtype), xp.array(numbers(dtype)))
    assert errors["x"] < 1e-7


def test_gradient_of_log_square_on_both_sides_of_zero(xp):
    x = numbers("float64") * np.where(np.arange(2) == 0, 1, -1)
    layer = built(LogSquare(), "float64")
    assert_close(layer.forward(xp.array(x)), np.log(x * x), rtol=1e-12, atol=1e-15)
    assert gradient_check(layer, xp.array(x))["x"] < 1e-7


def test_log_of_complex_numbers_is_the_principal_branch(xp):
    x = np.array([-1, 1j, -1j, -2 + 1e-9j, -2 - 1e-9j]).reshape(5, 1, 1) * np.ones(SHAPE)
    y = to_numpy(built(Log(), "complex128").forward(xp.array(x)))[:, 0, 0]
    angles = [math.pi, math.pi / 2, -math.pi / 2, math.pi, -math.pi]
    np.testing.assert_allclose(y.imag, angles, atol=1e-8)
    np.testing.assert_allclose(np.exp(y), x[:, 0, 0], rtol=1e-12)


def test_backward_uses_the_conjugate_of_the_derivative(xp):
    x, dy = numbers("complex128"), numbers("complex128", 1, 2)
    for layer, slope in ((Log(), 1 / x), (Exp(), np.exp(x))):
        built(layer, "complex128").forward(xp.array(x), train=True)
        assert_close(layer.backward(xp.array(dy)), dy * slope.conj(), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_real_numbers_are_taken_as_they_are(xp):
    x = np.array([[[-1.0, 0.0]] * 3])
    y = to_numpy(built(Log(), "float64").forward(xp.array(x)))
    assert np.isnan(y[..., 0]).all()
    assert (y[..., 1] == -math.inf).all()


def test_log_square_refuses_complex_numbers(xp):
    layer = built(LogSquare(), "float64")
    with pytest.raises(ValueError, match="LogSquare: expected real x, got complex128"):
        layer.forward(xp.array(numbers("complex128")))


def test_between_linear_layers_they_make_a_product_of_powers(xp):
    def layers():
        return [Linear(2, bias=False), Log(), Linear(1, bias=False), Exp()]

    net = Sequential(layers(), input_shape=(2,), dtype="float64").to(xp.device)
    net.params["0.W"], net.params["2.W"] = [[1.0, 0.0], [0.0, 1.0]], [[2.0], [-0.5]]
    x = np.array([[3.0, 4.0], [0.5, 9.0]])
    assert_close(net.forward(xp.array(x)), np.array([[4.5], [0.25 / 3]]), rtol=1e-12)
    net = Sequential(layers(), input_shape=(2,), seed=3, dtype="complex128").to(xp.device)
    errors = gradient_check(net, xp.array(x + 0.5j))
    assert set(errors) == {"0.W", "2.W", "x"}
    assert max(errors.values()) < 1e-6
