"""Products with a weight matrix, by cuBLASLt and CUDA kernels."""

from __future__ import annotations

import cupy

from xpnet.arrays import Array
from xpnet.ops.cupy import launch, products
from xpnet.ops.cupy.norm import channel_sums
from xpnet.ops.elementwise import relu_backward
from xpnet.ops.linear import linear, linear_backward, linear_relu, linear_relu_backward


@linear.register("cupy")
def _linear(x: Array, W: Array, b: Array | None, precision: str = "float32") -> Array:
    if launch.filled_kind(x, b) is None or not products.suits(W, x, precision):
        return NotImplemented
    return products.product(
        products.operand(x, precision), products.operand(W, precision), precision, bias=b
    )


@linear_relu.register("cupy")
def _linear_relu(x: Array, W: Array, b: Array | None, precision: str = "float32") -> Array:
    if launch.filled_kind(x, b) is None or not products.suits(W, x, precision):
        return NotImplemented
    y = products.product(products.operand(x, precision), products.operand(W, precision), precision)
    return products.biased(y, b, rectify=True)


@linear_backward.register("cupy")
def _linear_backward(
    x: Array, W: Array, dy: Array, dW: Array, db: Array | None, need_dx: bool,
    precision: str = "float32",
) -> Array | None:  # fmt: skip
    if launch.filled_kind(x, dy, dW, db) is None or not products.suits(W, x, precision):
        return NotImplemented
    dy = launch.dense(dy)
    if db is not None:
        channel_sums(dy, db, len(dy), 1)
    return _products_back(x, W, dy, dW, need_dx, precision)


@linear_relu_backward.register("cupy")
def _linear_relu_backward(
    x: Array, W: Array, y: Array, dy: Array, dW: Array, db: Array | None, need_dx: bool,
    precision: str = "float32",
) -> Array | None:  # fmt: skip
    if launch.filled_kind(x, y, dy, dW, db) is None or not products.suits(W, x, precision):
        return NotImplemented
    if db is None:
        dz = relu_backward(dy, y)
    else:
        dz = cupy.empty(y.shape, y.dtype)
        channel_sums(launch.dense(dy), db, len(dy), 1, y, dz)
    return _products_back(x, W, dz, dW, need_dx, precision)


def _products_back(
    x: Array, W: Array, dy: Array, dW: Array, need_dx: bool, precision: str
) -> Array | None:
    dy = products.operand(dy, precision)
    products.product(products.operand(x, precision).T, dy, precision, dW)
    return products.product(dy, products.operand(W, precision).T, precision) if need_dx else None
