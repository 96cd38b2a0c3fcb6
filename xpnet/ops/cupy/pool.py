"""Pooling, by CUDA kernels."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from xpnet.arrays import Array
from xpnet.ops.cupy import launch
from xpnet.ops.pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from xpnet.ops.window import Window


def tiles_of(h: int, w: int, window: Window) -> tuple[int, tuple[int, int]]:
    """Return how a kernel shares out a map on the way back through pooling.

    Returns
    -------
    tile : int
        A thread has so many rows and columns of pixels: one, or, where windows stand side by
        side, a window's.
    tiles : (rows, columns)
    """
    tile = window.stride if window.is_tiling else 1
    return tile, (-(-h // tile), -(-w // tile))


@max_pool2d.register("cupy")
def _max_pool2d(x: Array, window: Window) -> tuple[Array, Any]:
    kind, (n, c, h, w) = launch.kind_of(x), x.shape
    oh, ow = window.positions(x.shape)
    if kind is None or window.cells > 256 or not _countable(n, c, oh, ow):
        return NotImplemented
    y, winners = cupy.empty((n, c, oh, ow), x.dtype), cupy.empty((n, c, oh, ow), np.uint8)
    launch.each_place("max_pool", kind, (launch.dense(x), y, winners), n, c, oh, ow, h, w, *window)
    return y, (winners, x.shape)


@max_pool2d_backward.register("cupy")
def _max_pool2d_backward(dy: Array, kept: Any, window: Window) -> Array:
    winners, (n, c, h, w) = kept
    kind = launch.kind_of(dy)
    if kind is None or winners.dtype != np.uint8:
        return NotImplemented
    dx = cupy.empty((n, c, h, w), dy.dtype)
    tile, tiles = tiles_of(h, w, window)
    launch.each_place(
        "max_pool_backward", kind, (launch.dense(dy), winners, dx), n, c, *tiles, h, w,
        *dy.shape[2:], *window, tile,
    )  # fmt: skip
    return dx


@avg_pool2d.register("cupy")
def _avg_pool2d(x: Array, window: Window) -> Array:
    kind, (n, c, h, w) = launch.kind_of(x), x.shape
    oh, ow = window.positions(x.shape)
    if kind is None or not _countable(n, c, oh, ow):
        return NotImplemented
    y = cupy.empty((n, c, oh, ow), x.dtype)
    launch.each_place(
        "avg_pool", kind, (launch.dense(x), y), n, c, oh, ow, h, w, *window, 1 / window.cells
    )
    return y


@avg_pool2d_backward.register("cupy")
def _avg_pool2d_backward(dy: Array, x_shape: tuple[int, ...], window: Window) -> Array:
    kind, (n, c, h, w) = launch.kind_of(dy), x_shape
    if kind is None or not _countable(*x_shape):
        return NotImplemented
    dx = cupy.empty((n, c, h, w), dy.dtype)
    tile, tiles = tiles_of(h, w, window)
    launch.each_place(
        "avg_pool_backward", kind, (launch.dense(dy), dx), n, c, *tiles, h, w, *dy.shape[2:],
        *window, tile, 1 / window.cells,
    )  # fmt: skip
    return dx


def _countable(n: int, c: int, h: int, w: int) -> bool:
    """Return whether kernels can count the pixels of images, and their channels."""
    return n * c * h * w < launch.LIMIT and c < launch.CHANNELS
