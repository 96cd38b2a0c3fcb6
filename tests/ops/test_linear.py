"""Products with a weight matrix against sums written out, real and complex."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.conftest import assert_close
from xpnet.devices import device_of
from xpnet.ops.linear import linear, linear_backward, linear_relu, linear_relu_backward

KINDS = [
    pytest.param(*kinds, id="-".join("complex" if k == "c" else "real" for k in kinds))
    for kinds in ("ff", "cc", "cf", "fc")
]
TIGHT = {"rtol": 1e-11, "atol": 1e-12}


def draw(kind, *shape, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape)
    return values + 1j * rng.normal(size=shape) if kind == "c" else values


def total(terms, dtype):
    """Add exactly, real and imaginary parts apart."""
    terms = [complex(t) for t in terms]
    value = complex(math.fsum(t.real for t in terms), math.fsum(t.imag for t in terms))
    return value if np.dtype(dtype).kind == "c" else value.real


def naive_linear(x, W, b):
    (n, d), units = x.shape, W.shape[1]
    y = np.zeros((n, units), np.result_type(x, W))
    for s in range(n):
        for u in range(units):
            terms = [x[s, k] * W[k, u] for k in range(d)]
            y[s, u] = total([*terms, 0 if b is None else b[u]], y.dtype)
    return y


def naive_backward(x, W, b, dy):
    """A gradient is dL/dRe + i dL/dIm; what belongs to a real number is real."""
    (n, d), units = x.shape, W.shape[1]
    dx, dW, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(b)
    for s in range(n):
        for k in range(d):
            dx[s, k] = total([dy[s, u] * W[k, u].conjugate() for u in range(units)], dx.dtype)
    for k in range(d):
        for u in range(units):
            dW[k, u] = total([x[s, k].conjugate() * dy[s, u] for s in range(n)], dW.dtype)
    for u in range(units):
        db[u] = total(dy[:, u], db.dtype)
    return dx, dW, db


@pytest.mark.parametrize(("x_kind", "W_kind"), KINDS)
@pytest.mark.parametrize(("n", "d", "units"), [(4, 3, 5), (1, 1, 1), (0, 3, 2)])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
def test_linear_forward_and_backward_are_the_written_out_sums(
    xp, x_kind, W_kind, n, d, units, bias
):
    x, W = draw(x_kind, n, d, seed=0), draw(W_kind, d, units, seed=1)
    b = draw(W_kind, units, seed=2)
    y, kept = linear(xp.array(x), xp.array(W), xp.array(b) if bias else None)
    assert_close(y, naive_linear(x, W, b if bias else None), **TIGHT)
    assert device_of(y) == xp.device

    dy = draw("c" if "c" in x_kind + W_kind else "f", n, units, seed=3)
    dW, db = (xp.device.asarray(np.full_like(a, 7)) for a in (W, b))
    dx = linear_backward(xp.array(dy), kept, xp.array(W), dW, db if bias else None, need_dx=True)
    wanted_dx, wanted_dW, wanted_db = naive_backward(x, W, b, dy)
    assert_close(dx, wanted_dx, **TIGHT)
    assert_close(dW, wanted_dW, **TIGHT)
    assert_close(db, wanted_db if bias else np.full_like(b, 7), **TIGHT)
    assert device_of(dx) == xp.device


def test_without_need_of_dx_none_is_made(xp):
    x, W, dy = (xp.array(draw("f", 3, 3, seed=seed)) for seed in range(3))
    dW = xp.device.zeros((3, 3), "float64")
    for forward, backward in (linear, linear_backward), (linear_relu, linear_relu_backward):
        _, kept = forward(x, W, None)
        assert backward(dy, kept, W, dW, None, need_dx=False) is None


@pytest.mark.parametrize("n", [4, 0])
def test_linear_relu_lets_through_what_is_positive(xp, n):
    x, W, b = draw("f", n, 3, seed=0), draw("f", 3, 5, seed=1), draw("f", 5, seed=2)
    z, dy = naive_linear(x, W, b), draw("f", n, 5, seed=3)
    y, kept = linear_relu(xp.array(x), xp.array(W), xp.array(b))
    assert_close(y, np.where(z > 0, z, 0.0), **TIGHT)
    dW, db = xp.device.zeros((3, 5), "float64"), xp.device.zeros(5, "float64")
    dx = linear_relu_backward(xp.array(dy), kept, xp.array(W), dW, db, need_dx=True)
    for own, wanted in zip((dx, dW, db), naive_backward(x, W, b, dy * (z > 0)), strict=True):
        assert_close(own, wanted, **TIGHT)


def test_at_zero_the_slope_of_relu_is_zero(xp):
    zero, one = xp.array(np.zeros((1, 1))), xp.array(np.ones((1, 1)))
    dW = xp.device.zeros((1, 1), "float64")
    _, kept = linear_relu(zero, one, None)
    dx = linear_relu_backward(one, kept, one, dW, None, need_dx=True)
    assert_close(dx, [[0.0]], rtol=0)


@pytest.mark.parametrize("name", ["x", "W"])
def test_nan_comes_through(xp, name):
    a = {"x": np.ones((1, 2)), "W": np.ones((2, 1))}
    a[name].flat[0] = np.nan
    for forward in linear, linear_relu:
        y, _ = forward(xp.array(a["x"]), xp.array(a["W"]), None)
        assert_close(y, [[np.nan]])
