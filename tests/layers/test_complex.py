"""Complex numbers: a gradient is dL/dRe + i dL/dIm."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import assert_close, moved
from xpnet.arrays import dtype_name, to_numpy
from xpnet.gradients import gradient_check, numerical_gradient
from xpnet.layers import (
    Add,
    Exp,
    Flatten,
    Linear,
    Log,
    Multiply,
    Rescale,
    Residual,
    Sequential,
    Sigmoid,
    Tanh,
)
from xpnet.random import Stream

LAYERS = {
    "Linear": lambda: Linear(3),
    "Tanh": lambda: Tanh(),
    "Sigmoid": lambda: Sigmoid(),
    "Exp": lambda: Exp(),
    "Log": lambda: Log(),
    "Flatten": lambda: Flatten(),
    "Rescale": lambda: Rescale(0.5, 0.25),
    "Sequential": lambda: Sequential([Linear(4), Tanh(), Linear(2), Sigmoid()]),
    "Residual": lambda: Residual([Linear(4), Tanh()]),
}
OF_TWO = {"Add": Add, "Multiply": Multiply}


def numbers(kind, *shape, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape)
    return values + 1j * rng.normal(size=shape) if kind == "complex128" else values


def built(layer, shape, dtype, xp):
    layer.build(shape, Stream(0, "0"), dtype)
    for i, (name, array) in enumerate(layer.params.items()):
        layer.params[name] = numbers(dtype, *array.shape, seed=i + 1)
    return moved(layer, xp.device)


@pytest.mark.parametrize("name", LAYERS)
def test_complex_layers_have_the_slopes_that_backward_gives(xp, name):
    layer = built(LAYERS[name](), (4,), "complex128", xp)
    x = xp.array(numbers("complex128", 3, 4))
    errors = gradient_check(layer, x)
    assert set(errors) == {"x", *layer.params}
    assert max(errors.values()) < 1e-6
    y = layer.forward(x, train=True)
    dx = layer.backward(y, need_dx=True)
    assert dtype_name(y) == dtype_name(dx) == "complex128"


@pytest.mark.parametrize("kinds", ["cc", "cf", "fc", "ff"])
@pytest.mark.parametrize("name", OF_TWO)
def test_of_two_inputs_each_has_its_own_slope_real_for_a_real_one(xp, name, kinds):
    kinds = ["complex128" if k == "c" else "float64" for k in kinds]
    layer = built(OF_TWO[name](), ((3,), (3,)), "float64", xp)
    x = tuple(xp.array(numbers(kind, 2, 3, seed=i)) for i, kind in enumerate(kinds))
    assert max(gradient_check(layer, x).values()) < 1e-6
    y = layer.forward(x, train=True)
    assert [dtype_name(dx) for dx in layer.backward(y)] == kinds


@pytest.mark.parametrize(
    ("W_dtype", "x_dtype"), [("float64", "complex128"), ("complex128", "float64")]
)
def test_real_and_complex_numbers_meet_in_linear(xp, W_dtype, x_dtype):
    layer = built(Linear(3), (4,), W_dtype, xp)
    x = numbers(x_dtype, 2, 4)
    W, b = (to_numpy(layer.params[name]) for name in "Wb")
    y = layer.forward(xp.array(x), train=True)
    assert_close(y, x @ W + b, rtol=1e-12)
    dx = layer.backward(y)
    assert dtype_name(dx) == x_dtype
    assert dtype_name(layer.grads["W"]) == dtype_name(layer.grads["b"]) == W_dtype
    assert max(gradient_check(layer, xp.array(x)).values()) < 1e-6


def test_the_gradient_of_half_the_squared_size_is_the_number_itself(xp):
    # L = |W|^2 / 2 at x = 1: dL/dRe + i dL/dIm = W, its conjugate would walk the wrong way
    layer = built(Linear(1, bias=False), (1,), "complex128", xp)
    layer.params["W"] = np.array([[3.0 - 4.0j]])
    y = layer.forward(xp.array([[1.0 + 0.0j]]), train=True)
    layer.backward(y)
    assert_close(layer.grads["W"], [[3.0 - 4.0j]], rtol=1e-15)


@pytest.mark.parametrize("name", ["Linear", "Tanh", "Sigmoid", "Exp", "Log"])
def test_every_number_of_dx_is_its_own_slope(xp, name):
    layer = built(LAYERS[name](), (2,), "complex128", xp)
    x = xp.array(numbers("complex128", 1, 2))
    dy = numbers("complex128", *layer.forward(x).shape, seed=9)

    def loss(a):
        y = to_numpy(layer.forward(a))
        return float((dy.real * y.real + dy.imag * y.imag).sum())

    layer.forward(x, train=True)
    dx = layer.backward(xp.array(dy))
    assert_close(dx, to_numpy(numerical_gradient(loss, x, h=1e-5)), rtol=1e-7, atol=1e-8)


def test_a_network_of_complex64_stays_complex64(xp):
    net = Sequential([Linear(3), Tanh(), Linear(2)], input_shape=(4,), dtype="complex64")
    net.to(xp.device)
    x = xp.array(numbers("complex128", 2, 4), "complex64")
    y = net.forward(x, train=True)
    dx = net.backward(y, need_dx=True)
    arrays = [y, dx, *net.params.values(), *net.grads.values()]
    assert {dtype_name(a) for a in arrays} == {"complex64"}


def test_real_layers_refuse_complex_numbers(xp):
    from xpnet.layers import BatchNorm, Conv2d, Dropout, ReLU, Swish

    for layer, shape in [(ReLU(), (2,)), (Swish(), (2,)), (Dropout(), (2,)), (BatchNorm(), (2,)),
                         (Conv2d(1, 1), (1, 2, 2))]:  # fmt: skip
        layer.build(shape, Stream(0, "0"), "float64")
        moved(layer, xp.device)
        with pytest.raises(ValueError, match='"0": expected real x, got complex128'):
            layer.forward(xp.array(numbers("complex128", 3, *shape)))
