"""Single numbers, by CUDA kernels."""

from __future__ import annotations

import cupy
import numpy as np

from xpnet.arrays import Array
from xpnet.ops.cupy import launch
from xpnet.ops.elementwise import relu, relu_backward, rescale


@relu.register("cupy")
def _relu(x: Array) -> Array:
    kind = launch.kind_of(x)
    if kind is None:
        return NotImplemented
    x = launch.dense(x)
    y = cupy.empty(x.shape, x.dtype)
    launch.each("relu", kind, x.size, x, y, x.size)
    return y


@relu_backward.register("cupy")
def _relu_backward(dy: Array, y: Array) -> Array:
    kind = launch.kind_of(dy, y)
    if kind is None or dy.shape != y.shape:
        return NotImplemented
    dx = cupy.empty(y.shape, y.dtype)
    launch.each("relu_backward", kind, y.size, launch.dense(dy), launch.dense(y), dx, y.size)
    return dx


@rescale.register("cupy")
def _rescale(x: Array, *, scale: float, dtype: str) -> Array:
    if x.dtype != np.uint8 or dtype not in ("float32", "float64") or x.size >= launch.LIMIT:
        return NotImplemented
    y = cupy.empty(x.shape, dtype)
    launch.each("rescale_bytes", y.dtype.char, x.size, launch.dense(x), y, x.size, float(scale))
    return y
