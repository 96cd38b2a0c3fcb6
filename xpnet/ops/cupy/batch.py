"""What frames a training step, by CUDA kernels."""

from __future__ import annotations

import math

import cupy
import numpy as np

from xpnet.arrays import Array
from xpnet.ops.batch import Answers, gather, gather_batch, update_stats
from xpnet.ops.cupy import launch
from xpnet.ops.elementwise import rescale


@gather.register("cupy")
def _gather(a: Array, order: Array | None, first: int | Array, *, n: int) -> Array:
    if n * a.itemsize * math.prod(a.shape[1:]) >= launch.LIMIT:
        return NotImplemented
    return _rows(a, *_where(a, order, first, n))


def _where(
    a: Array, order: Array | None, first: int | Array, n: int
) -> tuple[Array | None, Array | None, int, int]:
    """Return order, record, first row and rows, as the kernels take them."""
    if isinstance(first, int):
        return order, None, first, max(0, min(n, len(a) - first))
    return order, first, 0, n


@gather_batch.register("cupy")
def _gather_batch(
    x: Array, t: Array, order: Array | None, first: int | Array, *, n: int,
    scale: float | None = None, dtype: str = "float32",
) -> tuple[Array, Array]:  # fmt: skip
    length = math.prod(x.shape[1:])
    where = _where(x, order, first, n)
    n = where[-1]
    if n * max(length * x.itemsize, math.prod(t.shape[1:]) * t.itemsize) >= launch.LIMIT:
        return NotImplemented
    real = str(x.dtype) if scale is None else dtype
    if real not in ("float32", "float64") or x.dtype.char not in ("B", np.dtype(real).char):
        x = _rows(x, *where)
        x = x if scale is None else rescale(x, scale=scale, dtype=dtype)
        return x, _rows(t, *where)
    labelled = t.ndim == 1 and t.dtype == np.int64
    y = cupy.empty((n, *x.shape[1:]), real)
    targets = cupy.empty(n, np.int64) if labelled else _rows(t, *where)
    launch.each(
        "gather_bytes" if x.dtype == np.uint8 else "gather_reals", y.dtype.char, y.size,
        launch.dense(x), launch.dense(t) if labelled else None, *where, length,
        1.0 if scale is None else float(scale), y, targets if labelled else None,
    )  # fmt: skip
    return y, targets


def _rows(a: Array, order: Array | None, record: Array | None, first: int, n: int) -> Array:
    """Return rows of an array of any dtype."""
    out = cupy.empty((n, *a.shape[1:]), a.dtype)
    length = a.itemsize * math.prod(a.shape[1:])
    launch.each(
        "gather_rows", "f", n * length, launch.dense(a), order, record, first, n, length, out
    )
    return out


KINDS = {"class": 1, "yes or no": 2, "number": 3}
"""Kinds of answers, as the kernel takes them."""


@update_stats.register("cupy")
def _update_stats(
    record: Array, scores: Array, targets: Array, loss: Array, weights: Array | None = None, *,
    answers: Answers | None,
) -> None:  # fmt: skip
    kind = launch.filled_kind(scores, loss)
    if kind is None or (weights is not None and weights.dtype != scores.dtype):
        return NotImplemented
    n, k = len(scores), scores.size // len(scores)
    labels = numbers = None
    if targets.ndim == 1 and targets.dtype == np.int64:
        labels = launch.dense(targets)
    elif targets.dtype == scores.dtype and targets.shape == scores.shape:
        numbers = launch.dense(targets)
    if answers is not None and not _in_one_kernel(answers, labels, numbers, k):
        return NotImplemented
    launch.kernel("update_stats", kind)(
        (1,), (1024,),
        (launch.dense(scores), labels, numbers, loss,
         None if weights is None else launch.dense(weights), record, n, k,
         0 if answers is None else KINDS[answers.kind], 0.0 if answers is None else answers.cut),
    )  # fmt: skip
    return None


def _in_one_kernel(answers: Answers, labels: Array | None, numbers: Array | None, k: int) -> bool:
    if answers.kind == "class":
        return labels is not None
    return numbers is not None or (labels is not None and k == 1)
