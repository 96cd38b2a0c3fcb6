"""Products with a weight matrix, in NumPy's words."""

from __future__ import annotations

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.linear import linear, linear_backward, linear_relu, linear_relu_backward
from xpnet.ops.numpy.dtypes import mixed


@linear.register("numpy")
def _linear(x: Array, W: Array, b: Array | None, precision: str = "float32") -> Array:
    if precision != "float32":
        return NotImplemented
    if mixed(x, W):
        return NotImplemented
    y = np.matmul(x, W)
    if b is not None:
        y += b
    return y


@linear_backward.register("numpy")
def _linear_backward(
    x: Array,
    W: Array,
    dy: Array,
    dW: Array,
    db: Array | None,
    need_dx: bool,
    precision: str = "float32",
) -> Array | None:
    if precision != "float32":
        return NotImplemented
    if mixed(x, W) or dy.dtype != x.dtype:
        return NotImplemented
    np.matmul(x.T, dy, out=dW)
    if db is not None:
        np.add.reduce(dy, axis=0, out=db)
    return np.matmul(dy, W.T) if need_dx else None


@linear_relu.register("numpy")
def _linear_relu(x: Array, W: Array, b: Array | None, precision: str = "float32") -> Array:
    if precision != "float32":
        return NotImplemented
    y = linear(x, W, b)
    return np.maximum(y, 0, out=y)


@linear_relu_backward.register("numpy")
def _linear_relu_backward(
    x: Array,
    W: Array,
    y: Array,
    dy: Array,
    dW: Array,
    db: Array | None,
    need_dx: bool,
    precision: str = "float32",
) -> Array | None:
    if precision != "float32":
        return NotImplemented
    return linear_backward(x, W, dy * (y > 0), dW, db, need_dx)
