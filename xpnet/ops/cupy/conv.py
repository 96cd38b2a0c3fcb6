"""Convolutions as matrix products of columns, which CUDA kernels write and read.

The kernels are bound by memory, so that columns are laid out such that neighbouring threads meet
neighbouring pixels: columns are (c kh kw, n oh ow), responses (f, n oh ow).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cupy
import numpy as np

from xpnet.arrays import Array
from xpnet.ops.conv import conv2d, conv2d_backward, conv_relu_pool, conv_relu_pool_backward
from xpnet.ops.cupy import launch, products
from xpnet.ops.cupy.norm import channel_sums
from xpnet.ops.cupy.pool import tiles_of
from xpnet.ops.window import Window


class _Kept(NamedTuple):
    """What a convolution keeps for its backward pass."""

    columns: Array
    x_shape: tuple[int, ...]
    y: Array | None  # the output, where a ReLU made it
    winners: Array | None  # uint8, where max-pooling made it


def _convolve(
    x: Array, W: Array, b: Array | None, stride: int, pad: int,
    window: Window | None, rectify: bool, precision: str,
) -> tuple[Array, _Kept | list[_Kept]] | None:  # fmt: skip
    kind, (n, c, h, w), (f, _, kh, kw) = launch.filled_kind(x, b), x.shape, W.shape
    oh, ow = Window(kh, kw, stride, pad).positions(x.shape)
    positions, length = n * oh * ow, c * kh * kw
    if kind is None or not products.suits(W, x, precision) or max(c, f) >= launch.CHANNELS:
        return None
    if window is not None and window.cells > 256:
        return None
    largest = max(oh * ow * max(length, f), 1)  # of the arrays that belong to an image
    images = (launch.LIMIT - 1) // largest
    if not images:
        return None
    if n > images:
        parts = [x[first : first + images] for first in range(0, n, images)]
        made = [_convolve(part, W, b, stride, pad, window, rectify, precision) for part in parts]
        ys, kept = zip(*made, strict=True)
        return cupy.concatenate(ys), list(kept)
    cells = products.operand(x, precision)
    columns = cupy.empty((length, positions), cells.dtype)
    launch.each_place(
        "im2col" if cells.dtype == x.dtype else "im2col_narrow", kind, (cells, columns),
        n, c, oh, ow, h, w, kh, kw, stride, pad,
    )  # fmt: skip
    z = products.product(products.operand(W, precision).reshape(f, length), columns, precision)
    if window is None:
        y = cupy.empty((n, f, oh, ow), x.dtype)
        launch.each_place("responses_to_images", kind, (z, b, y), n, f, 1, oh * ow, int(rectify))
        return y, _Kept(columns, x.shape, y if rectify else None, None)
    rows, cols = window.positions((oh, ow))
    y = cupy.empty((n, f, rows, cols), x.dtype)
    winners = cupy.empty(y.shape, np.uint8)
    launch.each_place(
        "responses_to_pooled", kind, (z, b, y, winners), n, f, rows, cols, oh, ow, *window
    )  # fmt: skip
    return y, _Kept(columns, x.shape, y, winners)


@conv2d.register("cupy")
def _conv2d(
    x: Array, W: Array, b: Array | None, *, stride: int, pad: int, precision: str = "float32"
) -> tuple[Array, Any]:
    return _convolve(x, W, b, stride, pad, None, False, precision) or NotImplemented


@conv_relu_pool.register("cupy")
def _conv_relu_pool(
    x: Array, W: Array, b: Array | None, *, stride: int, pad: int, window: Window | None,
    precision: str = "float32",
) -> tuple[Array, Any]:  # fmt: skip
    return _convolve(x, W, b, stride, pad, window, True, precision) or NotImplemented


@conv2d_backward.register("cupy")
def _conv2d_backward(
    dy: Array, kept: Any, W: Array, dW: Array, db: Array | None, *, stride: int, pad: int,
    need_dx: bool, precision: str = "float32",
) -> Array | None:  # fmt: skip
    return _convolve_back(dy, kept, W, dW, db, stride, pad, None, need_dx, precision)


@conv_relu_pool_backward.register("cupy")
def _conv_relu_pool_backward(
    dy: Array, kept: Any, W: Array, dW: Array, db: Array | None, *, stride: int, pad: int,
    window: Window | None, need_dx: bool, precision: str = "float32",
) -> Array | None:  # fmt: skip
    return _convolve_back(dy, kept, W, dW, db, stride, pad, window, need_dx, precision)


def _convolve_back(
    dy: Array, kept: Any, W: Array, dW: Array, db: Array | None, stride: int, pad: int,
    window: Window | None, need_dx: bool, precision: str,
) -> Array | None:  # fmt: skip
    if isinstance(kept, list):
        return _convolve_back_in_parts(dy, kept, W, dW, db, stride, pad, window, need_dx, precision)
    if not isinstance(kept, _Kept):
        return NotImplemented
    columns, (n, c, h, w), y, winners = kept
    f, _, kh, kw = W.shape
    oh, ow = Window(kh, kw, stride, pad).positions((h, w))
    kind, dy = dW.dtype.char, launch.dense(dy)
    dz = cupy.empty((f, columns.shape[1]), dW.dtype)
    if window is None:
        launch.each_place("images_to_responses", kind, (dy, y, dz), n, f, 1, oh * ow)
    else:
        tile, tiles = tiles_of(oh, ow, window)
        launch.each_place(
            "pooled_to_responses", kind, (dy, y, winners, dz), n, f, *tiles, oh, ow,
            *dy.shape[2:], *window, tile,
        )  # fmt: skip
    if db is not None:
        channel_sums(dz, db, 1, dz.shape[1])
    dz = products.operand(dz, precision)
    products.product(dz, columns.T, precision, dW.reshape(f, -1))
    if not need_dx:
        return None
    slopes = products.product(products.operand(W, precision).reshape(f, -1).T, dz, precision)
    dx = cupy.empty((n, c, h, w), dW.dtype)
    launch.each_place("col2im", kind, (slopes, dx), n, c, h, w, oh, ow, kh, kw, stride, pad)
    return dx


def _convolve_back_in_parts(
    dy: Array, kept: list[_Kept], W: Array, dW: Array, db: Array | None, *args: Any
) -> Array | None:
    """Add the parts' gradients up in the batch's order."""
    dxs, end = [], 0
    for number, part in enumerate(kept):
        start, end = end, end + part.x_shape[0]
        own_dW = dW if number == 0 else cupy.empty_like(dW)
        own_db = db if number == 0 or db is None else cupy.empty_like(db)
        dxs.append(_convolve_back(dy[start:end], part, W, own_dW, own_db, *args))
        if number:
            dW += own_dW
            if db is not None:
                db += own_db
    return None if dxs[0] is None else cupy.concatenate(dxs)
