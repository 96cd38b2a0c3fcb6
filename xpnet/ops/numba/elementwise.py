"""Single numbers, in compiled loops."""

from __future__ import annotations

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.elementwise import copy, relu, relu_backward, rescale
from xpnet.ops.numba.jit import DTYPES, Loop, flat, read_only


@Loop
def _relu_loop(x, y):
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] < zero else x[i]


@relu.register("numba")
def _relu(x: Array) -> Array:
    if x.dtype not in DTYPES or not x.ndim:
        return NotImplemented
    y = np.empty(x.shape, x.dtype)
    _relu_loop(flat(x), y.reshape(-1))
    return y


@Loop
def _relu_backward_loop(dy, y, dx):
    zero = dy.dtype.type(0)
    for i in range(dy.size):
        dx[i] = dy[i] if y[i] > zero else zero


@relu_backward.register("numba")
def _relu_backward(dy: Array, y: Array) -> Array:
    if dy.dtype not in DTYPES or dy.dtype != y.dtype or dy.shape != y.shape or not dy.ndim:
        return NotImplemented
    dx = np.empty(dy.shape, dy.dtype)
    _relu_backward_loop(flat(dy), flat(y), dx.reshape(-1))
    return dx


@Loop
def _rescale_loop(x, y, scale):
    for i in range(x.size):
        y[i] = y.dtype.type(x[i]) * scale


@rescale.register("numba")
def _rescale(x: Array, *, scale: float, dtype: str) -> Array:
    if x.dtype != np.uint8 or np.dtype(dtype) not in DTYPES:
        return NotImplemented
    y = np.empty(x.shape, dtype)
    _rescale_loop(flat(x), y.reshape(-1), y.dtype.type(scale))
    return y


@Loop
def _copy_loop(a, out):
    for i in range(a.size):
        out[i] = a[i]


@copy.register("numba")
def _copy(a: Array) -> Array:
    if not a.flags.c_contiguous or a.dtype.hasobject or not a.size:
        return NotImplemented
    out = np.empty(a.shape, a.dtype)
    into, given = (b.reshape(-1).view(np.uint8) for b in (out, a))
    _copy_loop(read_only(given), into)
    return out
