"""Products with a weight matrix, in NumPy's words."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.linear import linear, linear_backward, linear_relu, linear_relu_backward
from xpnet.ops.numpy.dtypes import mixed


@linear.register("numpy", precision="float32")
def _linear(
    x: Array, W: Array, b: Array | None, *, precision: str = "float32"
) -> tuple[Array, Array]:
    if mixed(x, W):
        return NotImplemented
    y = np.matmul(x, W)
    if b is not None:
        y += b
    return y, x


@linear_backward.register("numpy", precision="float32")
def _linear_backward(
    dy: Array, kept: Array, W: Array, dW: Array, db: Array | None, *, need_dx: bool,
    precision: str = "float32",
) -> Array | None:  # fmt: skip
    if mixed(kept, W) or dy.dtype != kept.dtype:
        return NotImplemented
    np.matmul(kept.T, dy, out=dW)
    if db is not None:
        np.add.reduce(dy, axis=0, out=db)
    return np.matmul(dy, W.T) if need_dx else None


@linear_relu.register("numpy", precision="float32")
def _linear_relu(
    x: Array, W: Array, b: Array | None, *, precision: str = "float32"
) -> tuple[Array, Any]:
    if mixed(x, W):
        return NotImplemented
    y, kept = _linear(x, W, b)
    np.maximum(y, 0, out=y)
    return y, (kept, y)


@linear_relu_backward.register("numpy", precision="float32")
def _linear_relu_backward(
    dy: Array, kept: Any, W: Array, dW: Array, db: Array | None, *, need_dx: bool,
    precision: str = "float32",
) -> Array | None:  # fmt: skip
    x, y = kept
    return linear_backward(dy * (y > 0), x, W, dW, db, need_dx=need_dx)
