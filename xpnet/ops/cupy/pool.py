"""Pooling, by CUDA kernels."""

from __future__ import annotations

import math
from typing import Any

import cupy
import numpy as np

from xpnet.arrays import Array
from xpnet.ops.cupy import launch
from xpnet.ops.pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from xpnet.ops.window import output_sizes


def tiles_of(
    h: int, w: int, kh: int, kw: int, stride: int, pad: int
) -> tuple[int, tuple[int, int]]:
    """Return how a kernel shares out a map on the way back through pooling.

    Returns
    -------
    tile : int
        A thread has so many rows and columns of pixels: one, or, where windows stand side by
        side, a window's.
    tiles : (rows, columns)
    """
    tile = stride if kh == kw == stride and pad == 0 else 1
    return tile, (-(-h // tile), -(-w // tile))


@max_pool2d.register("cupy")
def _max_pool2d(x: Array, kh: int, kw: int, stride: int, pad: int) -> tuple[Array, Any]:
    kind, (n, c, h, w) = launch.kind_of(x), x.shape
    if kind is None or kh * kw > 256 or c >= launch.CHANNELS:
        return NotImplemented  # type: ignore[no-any-return]
    oh, ow = output_sizes(x.shape, kh, kw, stride, pad)
    if n * c * oh * ow >= launch.LIMIT:
        return NotImplemented  # type: ignore[no-any-return]
    y, winners = cupy.empty((n, c, oh, ow), x.dtype), cupy.empty((n, c, oh, ow), np.uint8)
    window = h, w, kh, kw, stride, pad
    launch.each_place("max_pool", kind, (launch.dense(x), y, winners), n, c, oh, ow, *window)
    return y, (winners, x.shape)


@max_pool2d_backward.register("cupy")
def _max_pool2d_backward(dy: Array, kept: Any, kh: int, kw: int, stride: int, pad: int) -> Array:
    winners, (n, c, h, w) = kept
    kind = launch.kind_of(dy)
    if kind is None or winners.dtype != np.uint8:
        return NotImplemented
    dx = cupy.empty((n, c, h, w), dy.dtype)
    tile, tiles = tiles_of(h, w, kh, kw, stride, pad)
    window = h, w, *dy.shape[2:], kh, kw, stride, pad, tile
    launch.each_place(
        "max_pool_backward", kind, (launch.dense(dy), winners, dx), n, c, *tiles, *window
    )
    return dx


@avg_pool2d.register("cupy")
def _avg_pool2d(x: Array, kh: int, kw: int, stride: int, pad: int) -> Array:
    kind, (n, c, h, w) = launch.kind_of(x), x.shape
    if kind is None or c >= launch.CHANNELS:
        return NotImplemented
    oh, ow = output_sizes(x.shape, kh, kw, stride, pad)
    if n * c * oh * ow >= launch.LIMIT:
        return NotImplemented
    y = cupy.empty((n, c, oh, ow), x.dtype)
    window = h, w, kh, kw, stride, pad, 1 / (kh * kw)
    launch.each_place("avg_pool", kind, (launch.dense(x), y), n, c, oh, ow, *window)
    return y


@avg_pool2d_backward.register("cupy")
def _avg_pool2d_backward(
    dy: Array, x_shape: tuple[int, ...], kh: int, kw: int, stride: int, pad: int
) -> Array:
    kind, (n, c, h, w) = launch.kind_of(dy), x_shape
    if kind is None or math.prod(x_shape) >= launch.LIMIT or c >= launch.CHANNELS:
        return NotImplemented
    dx = cupy.empty((n, c, h, w), dy.dtype)
    tile, tiles = tiles_of(h, w, kh, kw, stride, pad)
    window = h, w, *dy.shape[2:], kh, kw, stride, pad, tile, 1 / (kh * kw)
    launch.each_place("avg_pool_backward", kind, (launch.dense(dy), dx), n, c, *tiles, *window)
    return dx
