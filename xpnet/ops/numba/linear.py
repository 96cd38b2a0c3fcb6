"""Products with a weight matrix, where BLAS does not use the widest vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.linear import linear, linear_backward, linear_relu, linear_relu_backward
from xpnet.ops.numba.jit import DTYPES, compiled, flat, read_only, rounded_up
from xpnet.ops.numba.vectors import (
    DEPTH,
    FUSED,
    PANEL,
    ROWS,
    VECTOR_BYTES,
    copy,
    panel,
    transpose_block,
)
from xpnet.threadpool import blas_vector_bytes, split, worth


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
    c = np.zeros(units, x.dtype) if b is None else read_only(b)
    _matmul(y, c, flat(x), d, 1, flat(W), units, d, least)
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
        np.add.reduce(dy, axis=0, out=db)
    upper = flat(dy)
    _matmul(dW, read_only(np.zeros(units, dtype)), flat(kept), 1, d, upper, units, n)
    if not need_dx:
        return None
    dx = np.empty((n, d), dtype)
    lanes = VECTOR_BYTES // dtype.itemsize
    row = rounded_up(d, lanes)
    turned = read_only(_transposed(flat(W), d, units, lanes, row))
    _matmul(dx, read_only(np.zeros(d, dtype)), upper, units, 1, turned, row, units)
    return dx


@linear_relu_backward.register("numba", precision="float32")
def _linear_relu_backward(
    dy: Array, kept: Any, W: Array, dW: Array, db: Array | None, *, need_dx: bool,
    precision: str = "float32",
) -> Array | None:  # fmt: skip
    x, y = kept
    if not (dy.dtype in DTYPES and dy.dtype == y.dtype == W.dtype):
        return NotImplemented
    dz, sums = np.empty(dy.shape, dy.dtype), np.empty(dy.shape[1], dy.dtype)
    _through_relu(flat(dy), flat(y), dy.shape[1], dz.reshape(-1), sums)
    if db is not None:
        db[...] = sums
    return linear_backward(dz, x, W, dW, None, need_dx=need_dx)
