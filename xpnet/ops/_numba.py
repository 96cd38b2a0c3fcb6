"""Compiled bodies for NumPy arrays, where the ``fast`` extra is installed.

Everything here is float32 or float64 arithmetic in compiled loops that let go of the interpreter
lock; batches are cut into shares for the threads that :mod:`xpnet.threadpool` allows.

A convolution of stride 1 needs no columns.  Once an image lies in a frame of zeros with its rows
one after the other, ``stride`` numbers apart, what a cell of the kernel meets as the window moves
is the frame itself, read from an offset:

    z[f, o] = sum over cells k of W[f, k] frame[offset[k] + o],    o = row * stride + column

Row ends come out as garbage and are not read.  The gradients have the same form: that of W is a
sum over o, that of x a convolution of the framed dz with the kernels turned round.  The kernels
of :mod:`xpnet.ops._vectors` do this arithmetic in registers: ``products`` for z and dx, ``dots`` or
``outer`` for dW, ``panel`` for dense products where BLAS does not use the widest vectors.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import config, njit

from xpnet.arrays import Array
from xpnet.ops import _vectors
from xpnet.ops._vectors import (
    CELLS,
    DEPTH,
    FILTERS,
    FUSED,
    PANEL,
    ROWS,
    VECTOR_BYTES,
    VECTORS,
    copy,
    copy_where,
    dots,
    high_product,
    outer,
    panel,
    pool_rows,
    products,
    transpose_block,
    unpool_row,
)
from xpnet.ops.conv import conv2d, conv2d_backward, conv_relu_pool, conv_relu_pool_backward
from xpnet.ops.dropout import dropout
from xpnet.ops.elementwise import relu, relu_backward, rescale
from xpnet.ops.linear import linear, linear_backward, linear_relu, linear_relu_backward
from xpnet.ops.loss import smallest_kept, softmax_cross_entropy
from xpnet.ops.norm import batch_norm, batch_norm_backward
from xpnet.ops.update import (
    DeviceScalars,
    Scalars,
    adagrad,
    adam,
    momentum,
    rmsprop,
    sgd,
    smallest_square,
)
from xpnet.ops.window import output_sizes
from xpnet.threadpool import blas_vector_bytes, split, worth

DTYPES = (np.dtype("float32"), np.dtype("float64"))

# Numba notices a change of this file but not of the one with the kernels
_SOURCES = b"".join(Path(path).read_bytes() for path in (__file__, str(_vectors.__file__)))
_CACHE = Path(config.CACHE_DIR or Path(__file__).parent / "__pycache__") / (
    "xpnet-" + hashlib.blake2b(_SOURCES, digest_size=8).hexdigest()
)


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile on first use; the machine code is kept on disk for the next process."""
    before, config.CACHE_DIR = config.CACHE_DIR, str(_CACHE)
    try:
        return njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    finally:
        config.CACHE_DIR = before


def reordering(function: Callable[..., Any]) -> Any:
    """Compile a function whose sums may be taken in any order."""
    return compiled(function, fastmath={"reassoc"})


def _lent(a: Array) -> Array:
    """Return a contiguous array that is only read: of one type, so that loops compile once."""
    if not (a.flags.c_contiguous and a.flags.aligned):
        a = np.array(a, order="C")
    a = a.view()
    a.flags.writeable = False
    return a


def _flat(a: Array) -> Array:
    return _lent(a).reshape(-1)


def _up(count: int, unit: int) -> int:
    """Return a count rounded up to whole units."""
    return -(-count // unit) * unit


# Single numbers -------------------------------------------------------------------------------


@compiled
def _relu_loop(x, y):
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] < zero else x[i]


@relu.register("numba")
def _relu(x: Array) -> Array:
    if x.dtype not in DTYPES or not x.ndim:
        return NotImplemented
    y = np.empty(x.shape, x.dtype)
    _relu_loop(_flat(x), y.reshape(-1))
    return y


@compiled
def _relu_backward_loop(dy, y, dx):
    zero = dy.dtype.type(0)
    for i in range(dy.size):
        dx[i] = dy[i] if y[i] > zero else zero


@relu_backward.register("numba")
def _relu_backward(dy: Array, y: Array) -> Array:
    if dy.dtype not in DTYPES or dy.dtype != y.dtype or dy.shape != y.shape or not dy.ndim:
        return NotImplemented
    dx = np.empty(dy.shape, dy.dtype)
    _relu_backward_loop(_flat(dy), _flat(y), dx.reshape(-1))
    return dx


@compiled
def _rescale_loop(x, y, scale):
    for i in range(x.size):
        y[i] = y.dtype.type(x[i]) * scale


@rescale.register("numba")
def _rescale(x: Array, scale: float, dtype: str) -> Array:
    if x.dtype != np.uint8 or np.dtype(dtype) not in DTYPES:
        return NotImplemented
    y = np.empty(x.shape, dtype)
    _rescale_loop(_flat(x), y.reshape(-1), y.dtype.type(scale))
    return y


# Matrix products ------------------------------------------------------------------------------


@compiled
def _multiply(y, c, c_row, a, a_row, a_step, B, B_row, rows, cols, depth, least, lanes):
    """Fill y with ``max(least, c + a B)``, the matrices flat and rows at least ROWS.

    Of a B that is wide a part that fits the first cache is copied first.
    """
    wide = PANEL * lanes
    copied = cols > 2 * wide
    reach = DEPTH if copied else depth
    part = np.empty(reach * wide if copied else 0, y.dtype)
    none = np.full(1, -np.inf, y.dtype)[0]
    for j in range(0, cols, wide):
        width = min(wide, cols - j)
        vectors = (width + lanes - 1) // lanes
        tail = width - (vectors - 1) * lanes
        for k in range(0, depth, reach):
            deep = min(reach, depth - k)
            source, at, step = B, k * B_row + j, B_row
            if copied:
                for row in range(deep):
                    for v in range(0, width, lanes):
                        copy(part, row * wide + v, B, at + row * B_row + v, width - v)
                source, at, step = part, 0, wide
            before, before_row = (y, cols) if k else (c, c_row)
            floor = least if k + deep == depth else none
            for i in range(0, rows - ROWS + 1, ROWS):
                panel(
                    vectors, y, i * cols + j, cols, before, i * before_row + j, before_row,
                    a, i * a_row + k * a_step, a_row, a_step, source, at, step, deep, tail, floor,
                )  # fmt: skip
        if rows % ROWS:  # the last rows, some of them again
            i = rows - ROWS
            panel(
                vectors, y, i * cols + j, cols, c, i * c_row + j, c_row,
                a, i * a_row, a_row, a_step, B, j, B_row, depth, tail, least,
            )  # fmt: skip


@compiled
def _transposed(a, rows, cols, lanes, to_row):
    """Return the transpose of a flat matrix, its rows ``to_row`` numbers apart."""
    to = np.empty((cols + lanes) * to_row, a.dtype)
    for i in range(0, rows, lanes):
        for j in range(0, cols, lanes):
            transpose_block(
                to, j * to_row + i, to_row, a, i * cols + j, cols, min(lanes, rows - i), cols - j
            )
    return to


@compiled
def _through_relu(dy, y, units, dz, db):
    """Write dy where y is above 0 into dz, zeros elsewhere, and its sum over rows into db."""
    zero = dy.dtype.type(0)
    db[:] = zero
    for row in range(dy.size // units):
        upper, passed = dy[row * units : (row + 1) * units], y[row * units : (row + 1) * units]
        into = dz[row * units : (row + 1) * units]
        for j in range(units):
            into[j] = upper[j] if passed[j] > zero else zero
            db[j] += into[j]


def _suits_matrix(a: Array, B: Array) -> bool:
    """Return whether the kernels beat BLAS here: where its vectors are the narrower ones."""
    return (
        FUSED
        and a.dtype in DTYPES
        and a.dtype == B.dtype
        and min(*a.shape, B.shape[1]) >= ROWS
        and blas_vector_bytes() < VECTOR_BYTES
    )


def _matmul(
    y: Array, c: Array, a: Array, a_row: int, a_step: int, B: Array, B_row: int, depth: int,
    least: float = -np.inf,
) -> None:  # fmt: skip
    """Fill y (rows, cols) with ``max(least, c + a B)``, cut over threads if it is large."""
    rows, cols = y.shape
    number, lanes, into = y.dtype.type, VECTOR_BYTES // y.itemsize, y.reshape(-1)

    def share(start: int, stop: int) -> None:
        _multiply(
            into[start * cols : stop * cols], c, 0, a[start * a_row :], a_row, a_step, B, B_row,
            stop - start, cols, depth, number(least), lanes,
        )  # fmt: skip

    split(share, rows, min(worth(2.0 * rows * cols * depth), rows // ROWS))


def _linear_with(x: Array, W: Array, b: Array | None, least: float) -> Array:
    (n, d), units = x.shape, W.shape[1]
    y = np.empty((n, units), x.dtype)
    c = np.zeros(units, x.dtype) if b is None else _lent(b)
    _matmul(y, c, _flat(x), d, 1, _flat(W), units, d, least)
    return y


@linear.register("numba")
def _linear(x: Array, W: Array, b: Array | None, precision: str = "float32") -> Array:
    if precision != "float32":
        return NotImplemented
    return _linear_with(x, W, b, -np.inf) if _suits_matrix(x, W) else NotImplemented


@linear_relu.register("numba")
def _linear_relu(x: Array, W: Array, b: Array | None, precision: str = "float32") -> Array:
    if precision != "float32":
        return NotImplemented
    return _linear_with(x, W, b, 0.0) if _suits_matrix(x, W) else NotImplemented


@linear_backward.register("numba")
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
    if not (_suits_matrix(x, W) and dy.dtype == x.dtype and dW.flags.c_contiguous):
        return NotImplemented
    (n, d), units = x.shape, W.shape[1]
    if db is not None:
        np.add.reduce(dy, axis=0, out=db)
    upper = _flat(dy)
    _matmul(dW, _lent(np.zeros(units, x.dtype)), _flat(x), 1, d, upper, units, n)
    if not need_dx:
        return None
    dx = np.empty((n, d), x.dtype)
    lanes = VECTOR_BYTES // x.itemsize
    row = _up(d, lanes)
    turned = _lent(_transposed(_flat(W), d, units, lanes, row))
    _matmul(dx, _lent(np.zeros(d, x.dtype)), upper, units, 1, turned, row, units)
    return dx


@linear_relu_backward.register("numba")
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
    if not (dy.dtype in DTYPES and dy.dtype == y.dtype == W.dtype):
        return NotImplemented
    dz, sums = np.empty(dy.shape, dy.dtype), np.empty(dy.shape[1], dy.dtype)
    _through_relu(_flat(dy), _flat(y), dy.shape[1], dz.reshape(-1), sums)
    if db is not None:
        db[...] = sums
    return linear_backward(x, W, dz, dW, None, need_dx)


# Convolution ----------------------------------------------------------------------------------


class _Geometry(NamedTuple):
    """Where everything of a convolution lies; lengths in numbers, not bytes."""

    c: int
    f: int
    kh: int
    kw: int
    h: int
    w: int
    pad: int
    pool: int
    rows: int  # of the output, pooled
    cols: int
    stride: int  # from one row of a frame to the next
    plane: int  # a channel of the framed image
    top: int  # the frame of dz
    left: int
    steps: int  # vectors of dz, row ends included
    z_plane: int  # a filter of the framed dz
    z_row: int  # a filter's responses, in whole tiles
    z_vectors: int
    dx_row: int  # a channel of dx, in whole tiles
    dx_vectors: int
    lanes: int
    slack: int  # what tiles may read past the end
    images: int  # framed at a time in the backward pass


AROUND = 32
"""Products that take as long as framing, pooling and writing one response."""
FRAMES_BYTES = 400_000
"""Size of the frames of the images that one thread keeps in cache in the backward pass."""


@functools.lru_cache(maxsize=256)
def _geometry(
    x_shape: tuple[int, ...], W_shape: tuple[int, ...], pad: int, pool: int, size: int
) -> _Geometry:
    (c, h, w), (f, _, kh, kw) = x_shape, W_shape
    lanes = VECTOR_BYTES // size
    oh, ow = output_sizes((h, w), kh, kw, 1, pad)
    top, left = kh - 1 - pad, kw - 1 - pad
    stride = max(w + 2 * pad, w + kw - 1)
    plane = (h + 2 * pad) * stride
    rows, cols = oh // pool, ow // pool
    length = _up((rows * pool - 1) * stride + cols * pool, lanes)
    # the sums over o end with a whole vector, still within the zeros of the filter's own frame
    z_plane = max((h + kh - 1) * stride, top * stride + left + length)
    z_row, z_vectors = _in_tiles((oh - 1) * stride + ow, lanes)
    dx_row, dx_vectors = _in_tiles((h - 1) * stride + w, lanes)
    slack = VECTORS[-1] * lanes + kh * stride
    frames = size * (c * plane + _up(f, FILTERS) * z_plane)
    return _Geometry(
        c, f, kh, kw, h, w, pad, pool, rows, cols, stride, plane, top, left,
        length // lanes, z_plane,
        z_row, z_vectors, dx_row, dx_vectors, lanes, slack,
        max(2, min(16, FRAMES_BYTES // frames)),
    )  # fmt: skip


def _in_tiles(length: int, lanes: int) -> tuple[int, int]:
    """Return a length rounded up to whole tiles, and the tiles' vectors that round least."""
    length, vectors = min((_up(length, v * lanes), -v) for v in VECTORS)
    return length, -vectors


@functools.lru_cache(maxsize=256)
def _offsets(channels: int, plane: int, kh: int, kw: int, stride: int) -> Array:
    """Return where each cell of a kernel reads; zeros fill up the last group."""
    at = np.arange(channels)[:, None, None] * plane
    at = at + np.arange(kh)[:, None] * stride + np.arange(kw)
    return _lent(np.append(at.ravel(), np.zeros(max(CELLS, ROWS), at.dtype)))


def _in_blocks(kernels: Array) -> Array:
    """Return (filters, cells) as (blocks, cells, FILTERS), filled up with zeros."""
    f, cells = kernels.shape
    filled = np.zeros((_up(f, FILTERS), cells), kernels.dtype)
    filled[:f] = kernels
    return _lent(filled.reshape(-1, FILTERS, cells).transpose(0, 2, 1)).ravel()


@compiled
def _tiles(z, z_row, W, b, least, x, offsets, cells, vectors, lanes):
    """Fill the rows of z, ``z_row`` numbers each, in tiles of some vectors."""
    for f in range(0, b.size, FILTERS):
        for o in range(0, z_row, vectors * lanes):
            products(
                vectors, z, f * z_row + o, z_row, W, f * cells, b, f, least, x, o, offsets, cells
            )


@compiled
def _frame(images, n, frame, at, g):
    """Copy image n into its frame, which starts at a place in an array."""
    for ch in range(g.c):
        for row in range(g.h):
            to = at + ch * g.plane + (row + g.pad) * g.stride + g.pad
            source = ((n * g.c + ch) * g.h + row) * g.w
            for q in range(0, g.w, g.lanes):
                copy(frame, to + q, images, source + q, g.w - q)


@compiled
def _largest(y, winners, at, z, z_at, g):
    """Write each window's largest number into y and its first cell into winners."""
    for p in range(g.rows):
        for q in range(g.cols):
            start = z_at + p * g.pool * g.stride + q * g.pool
            best, first = z[start], 0
            for i in range(g.pool):
                for j in range(g.pool):
                    rival = z[start + i * g.stride + j]
                    if rival > best:
                        best, first = rival, i * g.pool + j
                    elif rival != rival:
                        best = rival
            y[at + p * g.cols + q], winners[at + p * g.cols + q] = best, first


@compiled
def _forward(x, W, b, least, offsets, y, winners, g, start, stop):
    """Convolve, rectify and pool the images from start to stop."""
    cells, size = g.c * g.kh * g.kw, g.f * g.rows * g.cols
    frame = np.zeros(g.c * g.plane + g.slack, x.dtype)
    z = np.empty(b.size * g.z_row + g.slack, x.dtype)
    last_y = np.empty(size + g.slack, x.dtype)
    last_winners = np.empty(size + g.slack, np.uint8)
    for n in range(start, stop):
        _frame(x, n, frame, 0, g)
        _tiles(z, g.z_row, W, b, least, frame, offsets, cells, g.z_vectors, g.lanes)
        inside = (stop - n - 1) * size >= g.lanes  # a vector may reach past its row, not the share
        into = y[n * size :] if inside else last_y
        won = winners[n * size :] if inside else last_winners
        for f in range(g.f):
            if g.pool > 2:
                _largest(into, won, f * g.rows * g.cols, z, f * g.z_row, g)
                continue
            for p in range(g.rows):
                at = (f * g.rows + p) * g.cols
                row = f * g.z_row + p * g.pool * g.stride
                for q in range(0, g.cols, g.lanes):
                    if g.pool == 1:
                        copy(into, at + q, z, row + q, g.cols - q)
                    else:
                        left = row + 2 * q
                        pool_rows(into, won, at + q, z, left, left + g.stride)
        if not inside:
            y[n * size : (n + 1) * size] = last_y[:size]
            if g.pool > 1:
                winners[n * size : (n + 1) * size] = last_winners[:size]


@compiled
def _frame_gradient(z, z_at, dy, y, winners, at, relu, g):
    """Take one filter's dy back to before pooling and ReLU, into its frame, row by row."""
    zero = z.dtype.type(0)
    for p in range(g.rows):
        here = at + p * g.cols
        for i in range(g.pool):
            row = z_at + (g.top + p * g.pool + i) * g.stride + g.left
            if g.pool <= 2:
                for q in range(0, g.cols, g.lanes):
                    if g.pool == 2:
                        unpool_row(z, row + 2 * q, dy, y, winners, here + q, g.cols - q, 2 * i)
                    elif relu:
                        copy_where(z, row + q, dy, y, here + q, g.cols - q)
                    else:
                        copy(z, row + q, dy, here + q, g.cols - q)
            else:
                for q in range(g.cols):
                    gradient = dy[here + q] if y[here + q] > zero else zero
                    for j in range(g.pool):
                        won = winners[here + q] == i * g.pool + j
                        z[row + q * g.pool + j] = gradient if won else zero


@compiled
def _transpose_gradient(turned, z, z_at, turned_row, g):
    """Write the inside of an image's framed gradient as (rows cols, filters)."""
    rows, cols = g.rows * g.pool, g.cols * g.pool
    for f in range(0, g.f, g.lanes):
        for p in range(rows):
            for q in range(0, cols, g.lanes):
                at = z_at + f * g.z_plane + p * g.stride + q
                to = (p * cols + q) * turned_row + f
                transpose_block(
                    turned, to, turned_row, z, at, g.z_plane, min(g.lanes, g.f - f), cols - q
                )


@compiled
def _backward(
    dy,
    x,
    y,
    winners,
    W,
    b,
    least,
    offsets,
    turned_offsets,
    dW,
    db,
    dx,
    relu,
    by_filter,
    g,
    start,
    stop,
):
    """Add the gradients of the images from start to stop to dW and db; fill their dx, if any.

    dW is (filters, cells), or (cells, filters) if it is summed up ``by_filter``.
    """
    cells, turned_cells = g.c * g.kh * g.kw, g.f * g.kh * g.kw
    size, image, flat_dW = g.rows * g.cols, g.c * g.h * g.w, dW.reshape(-1)
    filters = (g.f + FILTERS - 1) // FILTERS * FILTERS
    positions = g.rows * g.cols * g.pool * g.pool
    turned = np.empty((positions + g.lanes) * dW.shape[1] if by_filter else 0, x.dtype)
    x_image, z_image = g.c * g.plane, filters * g.z_plane
    frames = np.zeros(g.images * x_image + g.slack, x.dtype)
    z_frames = np.zeros(g.images * z_image + g.slack, x.dtype)
    dx_rows = np.empty(b.size * g.dx_row, x.dtype)
    last_dx = np.empty(image + g.slack, x.dtype)
    inner = g.top * g.stride + g.left
    for first in range(start, stop, g.images):
        images = min(g.images, stop - first)
        for s in range(images):
            _frame(x, first + s, frames, s * x_image, g)
            for f in range(g.f):
                z_at, at = s * z_image + f * g.z_plane, ((first + s) * g.f + f) * size
                _frame_gradient(z_frames, z_at, dy, y, winners, at, relu, g)
                db[f] += _sum(z_frames[z_at : z_at + g.z_plane])
        for s in range(images if by_filter else 0):
            _transpose_gradient(turned, z_frames, s * z_image + inner, dW.shape[1], g)
            for k in range(0, cells, ROWS):
                for f in range(0, dW.shape[1], PANEL * g.lanes):
                    vectors = min(PANEL, (dW.shape[1] - f) // g.lanes)
                    outer(
                        vectors, flat_dW, k * dW.shape[1] + f, dW.shape[1], frames, s * x_image,
                        offsets, k, g.stride, turned, f, g.rows * g.pool, g.cols * g.pool,
                    )  # fmt: skip
        for k in range(0, 0 if by_filter else cells, CELLS):
            for f in range(0, filters, FILTERS):
                dots(
                    flat_dW, f * dW.shape[1] + k, dW.shape[1], z_frames, inner + f * g.z_plane,
                    g.z_plane, z_image, frames, x_image, offsets, k, images, g.steps,
                )  # fmt: skip
        for s in range(images if dx.size else 0):
            n = first + s
            inside = (stop - n - 1) * image >= g.lanes
            into = dx[n * image :] if inside else last_dx
            _tiles(
                dx_rows, g.dx_row, W, b, least, z_frames[s * z_image :], turned_offsets,
                turned_cells, g.dx_vectors, g.lanes,
            )  # fmt: skip
            for ch in range(g.c):
                for p in range(g.h):
                    to, row = (ch * g.h + p) * g.w, ch * g.dx_row + p * g.stride
                    for q in range(0, g.w, g.lanes):
                        copy(into, to + q, dx_rows, row + q, g.w - q)
            if not inside:
                dx[n * image : (n + 1) * image] = last_dx[:image]


@reordering
def _sum(a):
    total = a.dtype.type(0)
    for i in range(a.size):
        total += a[i]
    return total


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
    g = _geometry(x.shape[1:], W.shape, pad, pool, x.itemsize)
    x, kernels = _lent(x), _in_blocks(W.reshape(f, -1))
    biases = np.zeros(_up(f, FILTERS), x.dtype)
    if b is not None:
        biases[:f] = b
    least = x.dtype.type(0.0 if relu else -np.inf)
    offsets = _offsets(g.c, g.plane, kh, kw, g.stride)
    y = np.empty((n, f, g.rows, g.cols), x.dtype)
    flat = y.reshape(-1)
    winners = np.empty(y.size + g.lanes if pool > 1 else 0, np.uint8)

    def share(start: int, stop: int) -> None:
        _forward(x.reshape(-1), kernels, biases, least, offsets, flat, winners, g, start, stop)

    split(share, n, worth(2.0 * n * f * g.z_row * (g.c * kh * kw + AROUND)))
    return y, _Kept(x, y, winners, pool, relu)


def _convolve_backward(
    dy: Array, kept: _Kept, W: Array, dW: Array, db: Array | None, pad: int, need_dx: bool
) -> Array | None:
    x, y, winners, pool, relu = kept
    (n, c), (f, _, kh, kw) = x.shape[:2], W.shape
    g = _geometry(x.shape[1:], W.shape, pad, pool, x.itemsize)
    dx = np.empty(x.shape if need_dx else 0, x.dtype)
    turned = _in_blocks(W[:, :, ::-1, ::-1].transpose(1, 0, 2, 3).reshape(c, -1))
    biases, least = np.zeros(_up(c, FILTERS), x.dtype), x.dtype.type(-np.inf)
    offsets = _offsets(c, g.plane, kh, kw, g.stride)
    turned_offsets = _offsets(f, g.z_plane, kh, kw, g.stride)
    dy, x, y, winners = (_lent(a).reshape(-1) for a in (dy, x, y, winners))
    cells, by_filter = c * kh * kw, f > g.lanes

    def share(start: int, stop: int) -> tuple[Array, Array]:
        if by_filter:
            own_dW = np.zeros((_up(cells, ROWS), _up(f, g.lanes)), x.dtype)
        else:
            own_dW = np.zeros((_up(f, FILTERS), _up(cells, CELLS)), x.dtype)
        own_db = np.zeros(f, x.dtype)
        _backward(
            dy, x, y, winners, turned, biases, least, offsets, turned_offsets, own_dW, own_db,
            dx.reshape(-1), relu, by_filter, g, start, stop,
        )  # fmt: skip
        return own_dW[:cells, :f].T if by_filter else own_dW[:f, :cells], own_db

    parts = split(share, n, worth(4.0 * n * f * g.z_row * (cells + AROUND)))
    dW[...] = functools.reduce(np.add, (part[0] for part in parts)).reshape(W.shape)
    if db is not None:
        db[...] = functools.reduce(np.add, (part[1] for part in parts))
    return dx if need_dx else None


@conv2d.register("numba")
def _conv2d(
    x: Array, W: Array, b: Array | None, stride: int, pad: int, precision: str = "float32"
) -> tuple[Array, Any]:
    if precision != "float32":
        return NotImplemented  # type: ignore[no-any-return]
    if not _suits(x, W, stride, pad):
        return NotImplemented  # type: ignore[no-any-return]
    return _convolve(x, W, b, pad, 1, False)


@conv2d_backward.register("numba")
def _conv2d_backward(
    dy: Array,
    kept: Any,
    W: Array,
    dW: Array,
    db: Array | None,
    stride: int,
    pad: int,
    need_dx: bool,
    precision: str = "float32",
) -> Array | None:
    if precision != "float32":
        return NotImplemented
    if not isinstance(kept, _Kept):
        return NotImplemented
    return _convolve_backward(dy, kept, W, dW, db, pad, need_dx)


@conv_relu_pool.register("numba")
def _conv_relu_pool(
    x: Array,
    W: Array,
    b: Array | None,
    stride: int,
    pad: int,
    window: tuple[int, int, int, int] | None,
    precision: str = "float32",
) -> tuple[Array, Any]:
    if precision != "float32":
        return NotImplemented  # type: ignore[no-any-return]
    pool = 1 if window is None else window[0]
    overlaps = window is not None and window != (pool, pool, pool, 0)
    if not _suits(x, W, stride, pad) or overlaps or pool > 16:
        return NotImplemented  # type: ignore[no-any-return]
    return _convolve(x, W, b, pad, pool, True)


@conv_relu_pool_backward.register("numba")
def _conv_relu_pool_backward(
    dy: Array,
    kept: Any,
    W: Array,
    dW: Array,
    db: Array | None,
    stride: int,
    pad: int,
    window: tuple[int, int, int, int] | None,
    need_dx: bool,
    precision: str = "float32",
) -> Array | None:
    if precision != "float32":
        return NotImplemented
    if not isinstance(kept, _Kept):
        return NotImplemented
    return _convolve_backward(dy, kept, W, dW, db, pad, need_dx)


# Dropout, losses and normalisation ------------------------------------------------------------


@compiled
def _philox_mask(x, y, mask, key_0, key_1, counter, rate, scale):
    """Draw as ops.dropout defines it: 8 numbers of 24 bits from each block of 4 words."""
    halves = np.empty(8, np.uint32)
    zero = x.dtype.type(0)
    for block in range((x.size + 7) // 8):
        w0, w1 = np.uint64(block + 1), np.uint64(counter)
        w2, w3 = np.uint64(0), np.uint64(0)
        k0, k1 = key_0, key_1
        for _ in range(10):
            high_0 = high_product(np.uint64(0xD2E7470EE14C6C93), w0)
            high_1 = high_product(np.uint64(0xCA5A826395121157), w2)
            low_0 = np.uint64(0xD2E7470EE14C6C93) * w0
            low_1 = np.uint64(0xCA5A826395121157) * w2
            w0, w1, w2, w3 = high_1 ^ w1 ^ k0, low_1, high_0 ^ w3 ^ k1, low_0
            k0 += np.uint64(0x9E3779B97F4A7C15)
            k1 += np.uint64(0xBB67AE8584CAA73B)
        for place, word in enumerate((w0, w1, w2, w3)):
            halves[2 * place] = np.uint32(word & np.uint64(0xFFFFFFFF))
            halves[2 * place + 1] = np.uint32(word >> np.uint64(32))
        start = 8 * block
        for i in range(min(8, x.size - start)):
            drawn = np.float32(halves[i] >> np.uint32(8)) * np.float32(2.0**-24)
            factor = scale if drawn >= rate else zero
            mask[start + i] = factor
            y[start + i] = x[start + i] * factor


@dropout.register("numba")
def _dropout(x: Array, key: int, counter: Array, rate: float, scale: float) -> tuple[Array, Array]:
    if x.dtype not in DTYPES:
        return NotImplemented  # type: ignore[no-any-return]
    y, mask = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
    keys = np.uint64(key & (2**64 - 1)), np.uint64(key >> 64)
    drawn = np.uint64(int(counter))
    _philox_mask(
        _flat(x), y.reshape(-1), mask.reshape(-1), *keys, drawn, np.float32(rate),
        x.dtype.type(scale),
    )  # fmt: skip
    counter += 1
    return y, mask


@compiled
def _softmax_rows(scores, targets, dscores, own, other, least):
    """Write the gradient of the mean loss for labels that count ``own``, the rest ``other``.

    Returns the loss and -1, or 0 and the first row whose label is out of range.
    """
    n, classes = scores.shape
    number = scores.dtype.type
    share, loss = number(1 / n), number(0)
    for i in range(n):
        if not 0 <= targets[i] < classes:
            return number(0), i
    for i in range(n):
        row, into = scores[i], dscores[i]
        top = row[0]
        for k in range(1, classes):
            top = row[k] if row[k] > top else top
        total = number(0)
        for k in range(classes):
            into[k] = np.exp(row[k] - top)
            total += into[k]
        loss += np.log(total)
        for k in range(classes):
            wanted = own if k == targets[i] else other
            if wanted != 0:
                loss -= wanted * (row[k] - top)
            gradient = (into[k] / total - wanted) * share
            into[k] = number(0) if abs(gradient) < least else gradient
    return loss * share, -1


@softmax_cross_entropy.register("numba")
def _softmax_cross_entropy(
    scores: Array, targets: Array, weights: Array | None, smoothing: float
) -> tuple[Array, Array]:
    suited = targets.ndim == 1 and scores.ndim == 2 and scores.dtype in DTYPES and len(scores) > 0
    if not suited or weights is not None or targets.dtype.kind not in "iu":
        return NotImplemented  # type: ignore[no-any-return]
    number, spread = scores.dtype.type, smoothing / scores.shape[1]
    dscores = np.empty(scores.shape, scores.dtype)
    labels = _lent(targets.astype(np.int64, copy=False))
    own, least = number(1 - smoothing + spread), number(smallest_kept(np, scores.dtype))
    loss, wrong = _softmax_rows(_lent(scores), labels, dscores, own, number(spread), least)
    if wrong >= 0:
        raise ValueError(
            f"targets: expected labels from 0 to {scores.shape[1] - 1}, got {targets[wrong]}"
        )
    return np.asarray(scores.dtype.type(loss)), dscores


@compiled
def _by_channel(rows, pixels):
    """Return the sums of each ``pixels`` numbers one after the other."""
    sums = np.zeros(rows.size // pixels, rows.dtype)
    for j in range(rows.size):
        sums[j // pixels] += rows[j]
    return sums


@compiled
def _normalise(x, gamma, beta, mean, var, y, x_hat, scale, momentum, eps):
    """Do what ops.norm.batch_norm defines, for samples (n, width) of whole channels."""
    n, width = x.shape
    pixels = width // gamma.size
    one, count = x.dtype.type(1), x.dtype.type(n * pixels)
    rest = one - momentum
    sums, squares = np.zeros(width, x.dtype), np.zeros(width, x.dtype)
    for i in range(n):
        row = x[i]
        for j in range(width):
            sums[j] += row[j]
    centre = np.repeat(_by_channel(sums, pixels) / count, pixels)
    for i in range(n):
        row, own = x[i], x_hat[i]
        for j in range(width):
            own[j] = row[j] - centre[j]
            squares[j] += own[j] * own[j]
    spread = _by_channel(squares, pixels) / count
    for ch in range(gamma.size):
        scale[ch] = one / np.sqrt(spread[ch] + eps)
        mean[ch] = mean[ch] * momentum + rest * centre[ch * pixels]
        var[ch] = var[ch] * momentum + rest * count / (count - one) * spread[ch]
    factor, slope, shift = (
        np.repeat(scale, pixels),
        np.repeat(gamma, pixels),
        np.repeat(beta, pixels),
    )
    for i in range(n):
        own, out = x_hat[i], y[i]
        for j in range(width):
            own[j] *= factor[j]
            out[j] = own[j] * slope[j] + shift[j]


@compiled
def _normalise_backward(dy, x_hat, scale, gamma, dgamma, dbeta, dx):
    """Do what ops.norm.batch_norm_backward defines, for (n, width); dx may be empty."""
    n, width = dy.shape
    pixels = width // gamma.size
    share = dy.dtype.type(1 / (n * pixels))
    sums, products = np.zeros(width, dy.dtype), np.zeros(width, dy.dtype)
    for i in range(n):
        upper, own = dy[i], x_hat[i]
        for j in range(width):
            sums[j] += upper[j]
            products[j] += upper[j] * own[j]
    dbeta[:] = _by_channel(sums, pixels)
    dgamma[:] = _by_channel(products, pixels)
    if dx.size == 0:
        return
    centre, slope = np.repeat(dbeta * share, pixels), np.repeat(dgamma * share, pixels)
    factor = np.repeat(gamma * scale, pixels)
    for i in range(n):
        upper, own, out = dy[i], x_hat[i], dx[i]
        for j in range(width):
            out[j] = (upper[j] - centre[j] - own[j] * slope[j]) * factor[j]


@batch_norm.register("numba")
def _batch_norm(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, momentum: float, eps: float
) -> tuple[Array, Any]:
    if x.dtype not in DTYPES or not x.size or any(a.dtype != x.dtype for a in (gamma, mean)):
        return NotImplemented  # type: ignore[no-any-return]
    number = x.dtype.type
    y, x_hat, scale = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype), np.empty_like(gamma)
    _normalise(
        _lent(x).reshape(len(x), -1), _lent(gamma), _lent(beta), mean, var, y.reshape(len(x), -1),
        x_hat.reshape(len(x), -1), scale, number(momentum), number(eps),
    )  # fmt: skip
    return y, (x_hat, scale)


@batch_norm_backward.register("numba")
def _batch_norm_backward(
    dy: Array, kept: Any, gamma: Array, dgamma: Array, dbeta: Array, need_dx: bool
) -> Array | None:
    x_hat, scale = kept
    if dy.dtype not in DTYPES or not dy.size or dy.dtype != x_hat.dtype:
        return NotImplemented
    n = len(dy)
    dx = np.empty(dy.shape, dy.dtype) if need_dx else np.empty((n, 0), dy.dtype)
    _normalise_backward(
        _lent(dy).reshape(n, -1), _lent(x_hat).reshape(n, -1), _lent(scale), _lent(gamma), dgamma,
        dbeta, dx.reshape(n, -1) if need_dx else dx,
    )  # fmt: skip
    return dx if need_dx else None


# Update rules ---------------------------------------------------------------------------------


def _updates(p: Array, *slots: Array) -> bool:
    return p.dtype in DTYPES and all(
        a.flags.c_contiguous and a.dtype == p.dtype for a in (p, *slots)
    )


def _cuts(p: Array, scalars: Scalars) -> tuple[Any, Any]:
    """Return the sizes below which a moment and a moment of squares are cut at a step, or 0."""
    number = p.dtype.type
    if not scalars.flush:
        return number(0), number(0)
    return number(smallest_kept(np, p.dtype)), number(smallest_square(np, p.dtype))


def _over(work: Callable[[int, int], None], p: Array) -> None:
    split(work, p.size, worth(10.0 * p.size))


@compiled
def _sgd_loop(p, g, lr, decay):
    for i in range(p.size):
        p[i] -= lr * (g[i] + decay * p[i])


@sgd.register("numba")
def _sgd(p: Array, g: Array, scalars: Scalars | DeviceScalars, decay: float) -> Any:
    if not _updates(p) or g.dtype != p.dtype or not isinstance(scalars, Scalars):
        return NotImplemented
    number, p, g = p.dtype.type, p.reshape(-1), _flat(g)
    _over(lambda a, b: _sgd_loop(p[a:b], g[a:b], number(scalars.lr), number(decay)), p)
    return None


@compiled
def _momentum_loop(p, g, v, cut, lr, mu, decay, nesterov):
    zero = p.dtype.type(0)
    for i in range(p.size):
        slope = g[i] + decay * p[i]
        velocity = v[i] * mu + slope
        velocity = zero if abs(velocity) < cut else velocity
        v[i] = velocity
        p[i] -= lr * (slope + mu * velocity if nesterov else velocity)


@momentum.register("numba")
def _momentum(
    p: Array, g: Array, v: Array, scalars: Scalars | DeviceScalars, decay: float, mu: float,
    nesterov: bool,
) -> Any:  # fmt: skip
    if not _updates(p, v) or g.dtype != p.dtype or not isinstance(scalars, Scalars):
        return NotImplemented
    number, cut = p.dtype.type, _cuts(p, scalars)[0]
    p, g, v = p.reshape(-1), _flat(g), v.reshape(-1)
    rest = number(scalars.lr), number(mu), number(decay), nesterov
    _over(lambda a, b: _momentum_loop(p[a:b], g[a:b], v[a:b], cut, *rest), p)
    return None


@compiled
def _squares_loop(p, g, h, cut, alpha, rest, lr, eps, decay):
    zero = p.dtype.type(0)
    for i in range(p.size):
        slope = g[i] + decay * p[i]
        square = h[i] * alpha + rest * (slope * slope)
        square = zero if square < cut else square
        h[i] = square
        p[i] -= lr * slope / (np.sqrt(square) + eps)


@adagrad.register("numba")
def _adagrad(
    p: Array, g: Array, h: Array, scalars: Scalars | DeviceScalars, decay: float, eps: float
) -> Any:
    if not _updates(p, h) or g.dtype != p.dtype or not isinstance(scalars, Scalars):
        return NotImplemented
    number = p.dtype.type
    p, g, h = p.reshape(-1), _flat(g), h.reshape(-1)
    rest = number(0), number(1), number(1), number(scalars.lr), number(eps), number(decay)
    _over(lambda a, b: _squares_loop(p[a:b], g[a:b], h[a:b], *rest), p)
    return None


@rmsprop.register("numba")
def _rmsprop(
    p: Array, g: Array, h: Array, scalars: Scalars | DeviceScalars, decay: float, alpha: float,
    eps: float,
) -> Any:  # fmt: skip
    if not _updates(p, h) or g.dtype != p.dtype or not isinstance(scalars, Scalars):
        return NotImplemented
    number, cut = p.dtype.type, _cuts(p, scalars)[1]
    p, g, h = p.reshape(-1), _flat(g), h.reshape(-1)
    rest = cut, *(number(v) for v in (alpha, 1 - alpha, scalars.lr, eps, decay))
    _over(lambda a, b: _squares_loop(p[a:b], g[a:b], h[a:b], *rest), p)
    return None


@compiled
def _adam_loop(
    p, g, m, v, m_cut, v_cut, shrink, beta1, rest1, beta2, rest2, correction, rate, eps, decay
):
    zero = p.dtype.type(0)
    for i in range(p.size):
        param = p[i] * shrink
        slope = g[i] + decay * param
        moment = m[i] * beta1 + rest1 * slope
        moment = zero if abs(moment) < m_cut else moment
        square = v[i] * beta2 + rest2 * (slope * slope)
        square = zero if square < v_cut else square
        m[i], v[i] = moment, square
        p[i] = param - rate * moment / (np.sqrt(square) * correction + eps)


@adam.register("numba")
def _adam(
    p: Array, g: Array, m: Array, v: Array, scalars: Scalars | DeviceScalars, decay: float,
    beta1: float, beta2: float, eps: float, decoupled: bool,
) -> Any:  # fmt: skip
    if not _updates(p, m, v) or g.dtype != p.dtype or not isinstance(scalars, Scalars):
        return NotImplemented
    number, cuts = p.dtype.type, _cuts(p, scalars)
    p, g, m, v = p.reshape(-1), _flat(g), m.reshape(-1), v.reshape(-1)
    rest = *cuts, *(
        number(value)
        for value in (
            1 - scalars.lr * decay if decoupled else 1.0, beta1, 1 - beta1, beta2, 1 - beta2,
            scalars.root_scale, scalars.step_size, eps,
            0.0 if decoupled else decay,
        )
    )  # fmt: skip
    _over(lambda a, b: _adam_loop(p[a:b], g[a:b], m[a:b], v[a:b], *rest), p)
    return None
