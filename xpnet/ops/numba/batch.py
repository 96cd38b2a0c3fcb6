"""What frames a training step, in compiled loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.batch import Answers, gather, gather_batch, update_stats
from xpnet.ops.numba.jit import DTYPES, Loop, flat, inner, put, read_only
from xpnet.threadpool import split, worth

NO_ORDER = read_only(np.empty(0, np.int64))
NO_RECORD = read_only(np.empty(0))


@inner
def _start(record, first, n, most):
    """Return the first place: that of the batch that comes next, where there is a record."""
    return min(n * int(record[2]), most - n) if record.size else first


@Loop
def _gather_loop(a, order, record, first, out):
    """Copy rows of bytes."""
    start = _start(record, first, out.shape[0], order.size or a.shape[0])
    for i in range(out.shape[0]):
        put(out[i], 0, a[order[start + i] if order.size else start + i], 0, out.shape[1])


@Loop
def _gather_scaled(a, order, record, first, scale, out, top, bottom):
    """Copy rows of bytes as numbers, scaled, into the rows from top to bottom."""
    start = _start(record, first, out.shape[0], order.size or a.shape[0])
    for i in range(top, bottom):
        row, into = a[order[start + i] if order.size else start + i], out[i]
        for j in range(into.size):
            into[j] = into.dtype.type(row[j]) * scale


def _where(
    a: Array, order: Array | None, first: int | Array, n: int
) -> tuple[Array, Array, int, int] | None:
    """Return order, record, first place and rows, as loops take them; None where they cannot."""
    if type(a) is not np.ndarray or not (a.ndim and a.flags.c_contiguous and a.size):
        return None
    if order is not None and not (type(order) is np.ndarray and order.dtype == np.int64):
        return None
    numbers = NO_ORDER if order is None else read_only(order)
    if isinstance(first, int):
        return numbers, NO_RECORD, first, max(0, min(n, (len(numbers) or len(a)) - first))
    return numbers, first, 0, n


@gather.register("numba")
def _gather(a: Array, order: Array | None, first: int | Array, *, n: int) -> Array:
    where = _where(a, order, first, n)
    if where is None or a.dtype.hasobject:
        return NotImplemented
    out = np.empty((where[-1], *a.shape[1:]), a.dtype)
    if out.size:
        length = a.itemsize * math.prod(a.shape[1:])
        rows, into = (
            b.reshape(len(b), -1).view(np.uint8).reshape(len(b), length) for b in (a, out)
        )
        _gather_loop(read_only(rows), *where[:3], into)
    return out


@gather_batch.register("numba")
def _gather_batch(
    x: Array, t: Array, order: Array | None, first: int | Array, *, n: int,
    scale: float | None = None, dtype: str = "float32",
) -> tuple[Array, Array]:  # fmt: skip
    where = _where(x, order, first, n)
    scaled = scale is not None and x.dtype == np.uint8 and np.dtype(dtype) in DTYPES
    if where is None or not scaled or not where[-1]:
        return NotImplemented
    y = np.empty((where[-1], *x.shape[1:]), dtype)
    number = y.dtype.type(scale)
    rows, into = read_only(x).reshape(len(x), -1), y.reshape(len(y), -1)
    split(
        lambda top, bottom: _gather_scaled(rows, *where[:3], number, into, top, bottom),
        len(y), worth(10.0 * y.size),
    )  # fmt: skip
    return y, gather(t, order, first, n=n)


@Loop
def _class_stats(record, scores, labels, loss):
    """Add a batch whose scores answer with a class."""
    n, classes = scores.shape
    right = 0
    for i in range(n):
        row = scores[i]
        best, nan = 0, row[0] != row[0]
        for k in range(1, classes):
            nan |= row[k] != row[k]
            best = k if row[k] > row[best] else best
        right += (not nan) and best == labels[i]
    record[0] += np.float64(loss[0]) * n
    record[1] += right
    record[2] += 1.0
    record[3] += right
    record[5] += n
    record[6] += n


@update_stats.register("numba")
def _update_stats(
    record: Array, scores: Array, targets: Array, loss: Array, weights: Array | None = None, *,
    answers: Answers | None,
) -> Any:  # fmt: skip
    by_class = answers is not None and answers.kind == "class" and weights is None
    labelled = targets.ndim == 1 and targets.dtype == np.int64
    if not (by_class and labelled and scores.ndim == 2 and scores.dtype in DTYPES and scores.size):
        return NotImplemented
    _class_stats(record, read_only(scores), read_only(targets), flat(np.asarray(loss)))
    return None
