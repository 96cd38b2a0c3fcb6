"""Products with a weight matrix, by cuBLASLt and CUDA kernels."""

from __future__ import annotations

from typing import Any

import cupy

from xpnet.arrays import Array
from xpnet.ops.cupy import launch, products
from xpnet.ops.cupy.norm import channel_sums
from xpnet.ops.elementwise import relu_backward
from xpnet.ops.linear import linear, linear_backward, linear_relu, linear_relu_backward


@linear.register("cupy")
def _linear(
    x: Array, W: Array, b: Array | None, *, precision: str = "float32"
) -> tuple[Array, Array]:
    if launch.filled_kind(x, b) is None or not products.suits(W, x, precision):
        return NotImplemented
    kept = products.operand(x, precision)
    return products.product(kept, products.operand(W, precision), precision, bias=b), kept


@linear_relu.register("cupy")
def _linear_relu(
    x: Array, W: Array, b: Array | None, *, precision: str = "float32"
) -> tuple[Array, Any]:
    if launch.filled_kind(x, b) is None or not products.suits(W, x, precision):
        return NotImplemented
    kept = products.operand(x, precision)
    y = products.product(kept, products.operand(W, precision), precision)
    return products.biased(y, b, rectify=True), (kept, y)


@linear_backward.register("cupy")
def _linear_backward(
    dy: Array, kept: Array, W: Array, dW: Array, db: Array | None, *, need_dx: bool,
    precision: str = "float32",
) -> Array | None:  # fmt: skip
    if launch.filled_kind(dy, dW, db) is None or not _suit(dy, kept, W, precision):
        return NotImplemented
    dy = launch.dense(dy)
    if db is not None:
        channel_sums(dy, db, len(dy), 1)
    return _products_back(dy, kept, W, dW, need_dx, precision)


@linear_relu_backward.register("cupy")
def _linear_relu_backward(
    dy: Array, kept: Any, W: Array, dW: Array, db: Array | None, *, need_dx: bool,
    precision: str = "float32",
) -> Array | None:  # fmt: skip
    x, y = kept
    if launch.filled_kind(dy, y, dW, db) is None or not _suit(dy, x, W, precision):
        return NotImplemented
    if db is None:
        dz = relu_backward(dy, y)
    else:
        dz = cupy.empty(y.shape, y.dtype)
        channel_sums(launch.dense(dy), db, len(dy), 1, y, dz)
    return _products_back(dz, x, W, dW, need_dx, precision)


def _suit(dy: Array, x: Array, W: Array, precision: str) -> bool:
    return products.suits(x, dy, precision) and products.suits(W, dy, precision)


def _products_back(
    dy: Array, x: Array, W: Array, dW: Array, need_dx: bool, precision: str
) -> Array | None:
    dy = products.operand(dy, precision)
    products.product(products.operand(x, precision).T, dy, precision, dW)
    return products.product(dy, products.operand(W, precision).T, precision) if need_dx else None
