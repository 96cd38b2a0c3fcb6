"""The loops of convolutions, over images that lie in frames of zeros.

A convolution of stride 1 needs no columns.  Once an image lies in a frame of zeros with its rows
one after the other, ``stride`` numbers apart, what a cell of the kernel meets as the window moves
is the frame itself, read from an offset:

    z[f, o] = sum over cells k of W[f, k] frame[offset[k] + o],    o = row * stride + column

Row ends come out as garbage and are not read.  The gradients have the same form: that of W is a
sum over o, that of x a convolution of the framed dz with the kernels turned round.  The kernels
of :mod:`xpnet.ops.numba.vectors` do this arithmetic in registers: ``products`` for z and dx,
``dots`` or ``outer`` for dW.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.numba.jit import Loop, flat, inner, put, read_only, reordering, rounded_up
from xpnet.ops.numba.vectors import (
    CELLS,
    FILTERS,
    PANEL,
    ROWS,
    VECTOR_BYTES,
    VECTORS,
    copy,
    copy_where,
    dots,
    outer,
    pool_rows,
    products,
    transpose_block,
    unpool_row,
)
from xpnet.ops.window import Window


class Geometry(NamedTuple):
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
def geometry(
    x_shape: tuple[int, ...], W_shape: tuple[int, ...], pad: int, pool: int, size: int
) -> Geometry:
    """Return the geometry of a convolution; ``size`` is that of a number, in bytes."""
    (c, h, w), (f, _, kh, kw) = x_shape, W_shape
    lanes = VECTOR_BYTES // size
    oh, ow = Window(kh, kw, 1, pad).positions((h, w))
    top, left = kh - 1 - pad, kw - 1 - pad
    stride = max(w + 2 * pad, w + kw - 1)
    plane = (h + 2 * pad) * stride
    rows, cols = oh // pool, ow // pool
    length = rounded_up((rows * pool - 1) * stride + cols * pool, lanes)
    # the sums over o end with a whole vector, still within the zeros of the filter's own frame
    z_plane = max((h + kh - 1) * stride, top * stride + left + length)
    z_row, z_vectors = _in_tiles((oh - 1) * stride + ow, lanes)
    dx_row, dx_vectors = _in_tiles((h - 1) * stride + w, lanes)
    slack = VECTORS[-1] * lanes + kh * stride
    frames = size * (c * plane + rounded_up(f, FILTERS) * z_plane)
    return Geometry(
        c, f, kh, kw, h, w, pad, pool, rows, cols, stride, plane, top, left,
        length // lanes, z_plane,
        z_row, z_vectors, dx_row, dx_vectors, lanes, slack,
        max(2, min(16, FRAMES_BYTES // frames)),
    )  # fmt: skip


def _in_tiles(length: int, lanes: int) -> tuple[int, int]:
    """Return a length rounded up to whole tiles, and the tiles' vectors that round least."""
    length, vectors = min((rounded_up(length, v * lanes), -v) for v in VECTORS)
    return length, -vectors


@functools.lru_cache(maxsize=256)
def offsets_of(channels: int, plane: int, kh: int, kw: int, stride: int) -> Array:
    """Return where each cell of a kernel reads; zeros fill up the last group."""
    at = np.arange(channels)[:, None, None] * plane
    at = at + np.arange(kh)[:, None] * stride + np.arange(kw)
    return read_only(np.append(at.ravel(), np.zeros(max(CELLS, ROWS), at.dtype)))


def in_blocks(W: Array) -> Array:
    """Return kernels (f, c, kh, kw) as (blocks, c kh kw, FILTERS), filled up with zeros."""
    f, cells = len(W), W[0].size
    blocks = np.empty(rounded_up(f, FILTERS) * cells, W.dtype)
    _lay_blocks(flat(W), f, cells, blocks)
    return read_only(blocks)


def turned_in_blocks(W: Array) -> Array:
    """Return the same of kernels turned around, a filter for each channel: those that make dx."""
    f, c, kh, kw = W.shape
    blocks = np.empty(rounded_up(c, FILTERS) * f * kh * kw, W.dtype)
    _lay_turned_blocks(flat(W), f, c, kh * kw, blocks)
    return read_only(blocks)


def filled_up(b: Array | None, f: int, dtype: Any) -> Array:
    """Return biases, zeros without, and zeros after them."""
    filled = np.zeros(rounded_up(f, FILTERS), dtype)
    if b is not None:
        _lay_row(read_only(b), filled)
    return filled


def summed(parts: Sequence[Array], out: Array, *, by_filter: bool = False) -> None:
    """Write the sum of what several threads have: (filters, cells), or (cells, filters)."""
    into = out if out.flags.c_contiguous else np.empty(out.shape, out.dtype)
    rows = into.reshape(1 if out.ndim == 1 else len(out), -1)
    for number, part in enumerate(parts):
        _add_part(part, by_filter, number > 0, rows)
    if into is not out:
        out[...] = into


@Loop
def _lay_blocks(W, f, cells, blocks):
    zero = W.dtype.type(0)
    for first in range(0, blocks.size // cells, FILTERS):
        for k in range(cells):
            at = first * cells + k * FILTERS
            for i in range(FILTERS):
                blocks[at + i] = W[(first + i) * cells + k] if first + i < f else zero


@Loop
def _lay_turned_blocks(W, f, c, size, blocks):
    cells, zero = f * size, W.dtype.type(0)
    for first in range(0, blocks.size // cells, FILTERS):
        for number in range(f):
            for k in range(size):
                at = first * cells + (number * size + k) * FILTERS
                for i in range(FILTERS):
                    source = (number * c + first + i) * size + size - 1 - k
                    blocks[at + i] = W[source] if first + i < c else zero


@Loop
def _lay_row(a, out):
    put(out, 0, a, 0, a.size)


@Loop
def _add_part(part, by_filter, more, out):
    for f in range(out.shape[0]):
        for k in range(out.shape[1]):
            own = part[k, f] if by_filter else part[f, k]
            out[f, k] = out[f, k] + own if more else own


@inner
def _tiles(z, z_row, W, b, least, x, offsets, cells, vectors, lanes):
    """Fill the rows of z, ``z_row`` numbers each, in tiles of some vectors."""
    for f in range(0, b.size, FILTERS):
        for o in range(0, z_row, vectors * lanes):
            products(
                vectors, z, f * z_row + o, z_row, W, f * cells, b, f, least, x, o, offsets, cells
            )


@inner
def _frame(images, n, frame, at, g):
    """Copy image n into its frame, which starts at a place in an array."""
    for ch in range(g.c):
        for row in range(g.h):
            to = at + ch * g.plane + (row + g.pad) * g.stride + g.pad
            source = ((n * g.c + ch) * g.h + row) * g.w
            for q in range(0, g.w, g.lanes):
                copy(frame, to + q, images, source + q, g.w - q)


@inner
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


@Loop
def forward_loop(x, W, b, least, offsets, y, winners, g, start, stop):
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
            put(y, n * size, last_y, 0, size)
            if g.pool > 1:
                put(winners, n * size, last_winners, 0, size)


@inner
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


@inner
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


@Loop
def backward_loop(
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
    """Write the gradients of the images from start to stop into dW and db; fill their dx, if any.

    dW is (filters, cells), or (cells, filters) if it is summed up ``by_filter``.
    """
    dW[:], db[:] = 0, 0
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
                put(dx, n * image, last_dx, 0, image)


@reordering
def _sum(a):
    total = a.dtype.type(0)
    for i in range(a.size):
        total += a[i]
    return total
