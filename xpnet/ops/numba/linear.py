"""Products with a weight matrix: where BLAS does not use the widest vectors, or is not to be asked.

The latter is so in steps that are recorded, which hold compiled loops and nothing else.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from xpnet.arrays import Array
from xpnet.devices.host_code import loops_alone
from xpnet.ops.linear import linear, linear_backward, linear_relu, linear_relu_backward
from xpnet.ops.numba.jit import DTYPES, Loop, flat, inner, put, read_only, rounded_up
from xpnet.ops.numba.vectors import (
    DEPTH,
    FUSED,
    PANEL,
    ROWS,
    VECTOR_BYTES,
    WIDTH,
    copy,
    panel,
    transpose_block,
)
from xpnet.threadpool import blas_vector_bytes, split, worth

_up = inner(rounded_up)


@inner
def _copy_rows(part, apart, B, at, B_row, start, stop, deep, wide, lanes):
    """Copy columns from start to stop into panels, each of ``apart`` rows."""
    for row in range(deep):
        for j in range(start, stop, wide):
            to = (j - start) * apart + row * wide - j
            for v in range(j, min(stop, j + wide), lanes):
                copy(part, to + v, B, at + row * B_row + v, stop - v)


@inner
def _copy_columns(part, apart, B, at, B_step, start, stop, deep, wide, lanes):
    """Do the same for a matrix that lies column by column, ``B_step`` numbers each."""
    for v in range(start, stop, lanes):
        to = (v - start) // wide * wide * apart + (v - start) % wide
        for row in range(0, deep, lanes):
            transpose_block(
                part, to + row * wide, wide, B, at + v * B_step + row, B_step,
                min(lanes, stop - v), deep - row,
            )  # fmt: skip


@Loop
def _multiply(y, c, c_row, a, a_row, a_step, B, B_row, B_step, rows, cols, depth, least, lanes):
    """Fill y with ``max(least, c + a B)``, the matrices flat and rows at least ROWS.

    The number in row i and column k of a is ``a[i a_row + k a_step]``, where one of the two steps
    is 1, and likewise in B.  Of a B that is wide, has no whole vectors, or lies column by column,
    parts are copied that fit the second cache, in panels as wide as a tile, each of which fits the
    first.
    """
    wide, left = PANEL * lanes, rows % ROWS
    copied = cols > 2 * wide or cols % lanes or B_step > 1
    reach, across = (min(DEPTH, depth), min(WIDTH, cols)) if copied else (depth, cols)
    part = np.empty(_up(reach, lanes) * _up(across, wide) if copied else 0, y.dtype)
    rest = np.empty(ROWS * across, y.dtype)  # the last rows, some of which were others' before
    none = np.full(1, -np.inf, y.dtype)[0]
    for start in range(0, cols, across):
        stop = min(cols, start + across)
        for k in range(0, depth, reach):
            deep = min(reach, depth - k)
            floor = least if k + deep == depth else none
            apart = _up(deep, lanes)
            if B_step > 1:
                _copy_columns(part, apart, B, k * B_row, B_step, start, stop, deep, wide, lanes)
            elif copied:
                _copy_rows(part, apart, B, k * B_row, B_row, start, stop, deep, wide, lanes)
            for j in range(start, stop, wide):
                width = min(wide, stop - j)
                vectors = (width + lanes - 1) // lanes
                tail = width - (vectors - 1) * lanes
                source, at, step = B, k * B_row + j, B_row
                if copied:
                    source, at, step = part, (j - start) * apart, wide
                before, before_row = (y, cols) if k else (c, c_row)
                for i in range(0, rows - ROWS + 1, ROWS):
                    panel(
                        vectors, y, i * cols + j, cols, before, i * before_row + j, before_row,
                        a, i * a_row + k * a_step, a_row, a_step, source, at, step, deep,
                        tail, floor,
                    )  # fmt: skip
                if left:
                    i, own = rows - ROWS, j - start
                    before, there, before_row = c, i * c_row + j, c_row
                    if k:
                        before, there, before_row = rest, own, across
                    panel(
                        vectors, rest, own, across, before, there, before_row,
                        a, i * a_row + k * a_step, a_row, a_step, source, at, step, deep,
                        tail, floor,
                    )  # fmt: skip
        for row in range(ROWS - left, ROWS):
            at = (rows - ROWS + row) * cols
            put(y, at + start, rest, row * across, stop - start)


@Loop
def _multiply_few(y, c, c_row, a, a_row, a_step, B, B_row, B_step, rows, cols, depth, least, lanes):
    """Do what :func:`_multiply` does, for matrices of any size."""
    for i in range(rows):
        row = y[i * cols : (i + 1) * cols]
        put(row, 0, c, i * c_row, cols)
        for k in range(depth):
            factor, at = a[i * a_row + k * a_step], k * B_row
            for j in range(cols):
                row[j] += factor * B[at + j * B_step]
        for j in range(cols):
            row[j] = least if row[j] < least else row[j]


@Loop
def _column_sums(dy, units, db):
    """Write the sum of dy over rows into db."""
    db[:] = dy.dtype.type(0)
    for row in range(dy.size // units):
        upper = dy[row * units : (row + 1) * units]
        for j in range(units):
            db[j] += upper[j]


@Loop
def _through_relu(dy, y, dz, db, start, stop):
    """Write dy where y is above 0 into dz, zeros elsewhere, and its sum over rows into db.

    Of the columns from start to stop.
    """
    zero = dy.dtype.type(0)
    sums = db[start:stop]
    sums[:] = zero
    for row in range(dy.shape[0]):
        upper, passed, into = dy[row][start:stop], y[row][start:stop], dz[row][start:stop]
        for j in range(sums.size):
            into[j] = upper[j] if passed[j] > zero else zero
            sums[j] += into[j]


LARGE = 1.5e8
"""Operations of a product from which on BLAS, where it has the kernels' width, is faster by more
than a recording gains."""

BESIDE = 4.0
"""Products that take as long as passing a number from one place to another."""


@functools.lru_cache(maxsize=256)
def _zeros(count: int, dtype: Any) -> Array:
    return read_only(np.zeros(count, dtype))


def _suits_matrix(a: Array, B: Array) -> bool:
    """Return whether a product is computed here: where BLAS has not the kernels' width.

    And where compiled loops alone are asked for, but for products so large that BLAS is faster.
    """
    if a.dtype not in DTYPES or a.dtype != B.dtype:
        return False
    (rows, depth), cols = a.shape, B.shape[1]
    if FUSED and min(rows, cols, depth) >= ROWS and blas_vector_bytes() < VECTOR_BYTES:
        return True
    return loops_alone.get() and 2 * rows * cols * depth < LARGE


def _matmul(
    y: Array, c: Array, a: Array, a_row: int, a_step: int, B: Array, B_row: int, B_step: int,
    depth: int, least: float = -np.inf,
) -> None:  # fmt: skip
    """Fill y (rows, cols) with ``max(least, c + a B)``, cut over threads if it is large."""
    rows, cols = y.shape
    number, lanes, into = y.dtype.type, VECTOR_BYTES // y.itemsize, y.reshape(-1)
    multiply = _multiply if FUSED and min(rows, cols, depth) >= ROWS else _multiply_few

    def share(start: int, stop: int) -> None:
        multiply(
            into[start * cols : stop * cols], c, 0, a[start * a_row :], a_row, a_step, B, B_row,
            B_step, stop - start, cols, depth, number(least), lanes,
        )  # fmt: skip

    split(share, rows, min(worth(2.0 * rows * cols * depth), rows // ROWS))


def _linear_with(x: Array, W: Array, b: Array | None, least: float) -> Array:
    (n, d), units = x.shape, W.shape[1]
    y = np.empty((n, units), x.dtype)
    c = _zeros(units, x.dtype) if b is None else read_only(b)
    _matmul(y, c, flat(x), d, 1, flat(W), units, 1, d, least)
    return y


@linear.register("numba", precision="float32")
def _linear(
    x: Array, W: Array, b: Array | None, *, precision: str = "float32"
) -> tuple[Array, Array]:
    return (_linear_with(x, W, b, -np.inf), x) if _suits_matrix(x, W) else NotImplemented


@linear_relu.register("numba", precision="float32")
def _linear_relu(
    x: Array, W: Array, b: Array | None, *, precision: str = "float32"
) -> tuple[Array, Any]:
    if not _suits_matrix(x, W):
        return NotImplemented
    y = _linear_with(x, W, b, 0.0)
    return y, (x, y)


@linear_backward.register("numba", precision="float32")
def _linear_backward(
    dy: Array, kept: Array, W: Array, dW: Array, db: Array | None, *, need_dx: bool,
    precision: str = "float32",
) -> Array | None:  # fmt: skip
    if not (_suits_matrix(kept, W) and dy.dtype == kept.dtype and dW.flags.c_contiguous):
        return NotImplemented
    (n, d), units, dtype = kept.shape, W.shape[1], kept.dtype
    if db is not None:
        _column_sums(flat(dy), units, db)
    upper = flat(dy)
    _matmul(dW, _zeros(units, dtype), flat(kept), 1, d, upper, units, 1, n)
    if not need_dx:
        return None
    dx = np.empty((n, d), dtype)
    _matmul(dx, _zeros(d, dtype), upper, units, 1, flat(W), 1, units, units)
    return dx


@linear_relu_backward.register("numba", precision="float32")
def _linear_relu_backward(
    dy: Array, kept: Any, W: Array, dW: Array, db: Array | None, *, need_dx: bool,
    precision: str = "float32",
) -> Array | None:  # fmt: skip
    x, y = kept
    if not (dy.dtype in DTYPES and dy.dtype == y.dtype == W.dtype):
        return NotImplemented
    dz = np.empty(dy.shape, dy.dtype)
    sums = np.empty(dy.shape[1], dy.dtype) if db is None else db
    upper, passed = read_only(dy), read_only(y)
    split(
        lambda start, stop: _through_relu(upper, passed, dz, sums, start, stop),
        dy.shape[1], worth(BESIDE * dy.size),
    )  # fmt: skip
    return linear_backward(dz, x, W, dW, None, need_dx=need_dx)
