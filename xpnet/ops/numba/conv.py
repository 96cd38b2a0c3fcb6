"""Convolutions of stride 1, with ReLU and pooling that does not overlap, in compiled loops."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.conv import conv2d, conv2d_backward, conv_relu_pool, conv_relu_pool_backward
from xpnet.ops.numba.frames import (
    AROUND,
    backward_loop,
    filled_up,
    forward_loop,
    geometry,
    in_blocks,
    offsets_of,
    summed,
    turned_in_blocks,
)
from xpnet.ops.numba.jit import DTYPES, read_only, rounded_up
from xpnet.ops.numba.vectors import CELLS, FILTERS, FUSED, ROWS
from xpnet.ops.window import Window
from xpnet.threadpool import split, worth


class _Kept(NamedTuple):
    """What a convolution keeps for its backward pass: of its own, the winners alone."""

    x: Array
    y: Array
    winners: Array  # uint8, the winning cell of each window; empty without pooling
    pool: int
    relu: bool


def _suits(x: Array, W: Array, stride: int, pad: int) -> bool:
    kh, kw = W.shape[2:]
    suited = FUSED and x.dtype in DTYPES and x.dtype == W.dtype
    return suited and stride == 1 and pad < min(kh, kw)


def _convolve(
    x: Array, W: Array, b: Array | None, pad: int, pool: int, relu: bool
) -> tuple[Array, _Kept]:
    n, (f, _, kh, kw) = len(x), W.shape
    g = geometry(x.shape[1:], W.shape, pad, pool, x.itemsize)
    x, kernels, biases = read_only(x), in_blocks(W), filled_up(b, f, x.dtype)
    least = x.dtype.type(0.0 if relu else -np.inf)
    offsets = offsets_of(g.c, g.plane, kh, kw, g.stride)
    y = np.empty((n, f, g.rows, g.cols), x.dtype)
    flat = y.reshape(-1)
    winners = np.empty(y.size + g.lanes if pool > 1 else 0, np.uint8)

    def share(start: int, stop: int) -> None:
        forward_loop(x.reshape(-1), kernels, biases, least, offsets, flat, winners, g, start, stop)

    split(share, n, worth(2.0 * n * f * g.z_row * (g.c * kh * kw + AROUND)))
    return y, _Kept(x, y, winners, pool, relu)


def _convolve_backward(
    dy: Array, kept: _Kept, W: Array, dW: Array, db: Array | None, pad: int, need_dx: bool
) -> Array | None:
    x, y, winners, pool, relu = kept
    (n, c), (f, _, kh, kw) = x.shape[:2], W.shape
    g = geometry(x.shape[1:], W.shape, pad, pool, x.itemsize)
    dx = np.empty(x.shape if need_dx else 0, x.dtype)
    turned, biases = turned_in_blocks(W), filled_up(None, c, x.dtype)
    least = x.dtype.type(-np.inf)
    offsets = offsets_of(c, g.plane, kh, kw, g.stride)
    turned_offsets = offsets_of(f, g.z_plane, kh, kw, g.stride)
    dy, x, y, winners = (read_only(a).reshape(-1) for a in (dy, x, y, winners))
    cells, by_filter = c * kh * kw, f > g.lanes

    def share(start: int, stop: int) -> tuple[Array, Array]:
        if by_filter:
            own_dW = np.empty((rounded_up(cells, ROWS), rounded_up(f, g.lanes)), x.dtype)
        else:
            own_dW = np.empty((rounded_up(f, FILTERS), rounded_up(cells, CELLS)), x.dtype)
        own_db = np.empty((1, f), x.dtype)
        backward_loop(
            dy, x, y, winners, turned, biases, least, offsets, turned_offsets, own_dW, own_db[0],
            dx.reshape(-1), relu, by_filter, g, start, stop,
        )  # fmt: skip
        return own_dW, own_db

    parts = split(share, n, worth(4.0 * n * f * g.z_row * (cells + AROUND), summed=True))
    own_dW, own_db = zip(*parts, strict=True)
    summed(own_dW, dW, by_filter=by_filter)
    if db is not None:
        summed(own_db, db)
    return dx if need_dx else None


@conv2d.register("numba", precision="float32")
def _conv2d(
    x: Array, W: Array, b: Array | None, *, stride: int, pad: int, precision: str = "float32"
) -> tuple[Array, Any]:
    return _convolve(x, W, b, pad, 1, False) if _suits(x, W, stride, pad) else NotImplemented


@conv2d_backward.register("numba", precision="float32")
def _conv2d_backward(
    dy: Array, kept: Any, W: Array, dW: Array, db: Array | None, *, stride: int, pad: int,
    need_dx: bool, precision: str = "float32",
) -> Array | None:  # fmt: skip
    if not isinstance(kept, _Kept):
        return NotImplemented
    return _convolve_backward(dy, kept, W, dW, db, pad, need_dx)


@conv_relu_pool.register("numba", precision="float32")
def _conv_relu_pool(
    x: Array, W: Array, b: Array | None, *, stride: int, pad: int, window: Window | None,
    precision: str = "float32",
) -> tuple[Array, Any]:  # fmt: skip
    pool = 1 if window is None else window.kh
    if not _suits(x, W, stride, pad) or pool > 16 or not (window is None or window.is_tiling):
        return NotImplemented
    return _convolve(x, W, b, pad, pool, True)


@conv_relu_pool_backward.register("numba", precision="float32")
def _conv_relu_pool_backward(
    dy: Array, kept: Any, W: Array, dW: Array, db: Array | None, *, stride: int, pad: int,
    window: Window | None, need_dx: bool, precision: str = "float32",
) -> Array | None:  # fmt: skip
    if not isinstance(kept, _Kept):
        return NotImplemented
    return _convolve_backward(dy, kept, W, dW, db, pad, need_dx)
