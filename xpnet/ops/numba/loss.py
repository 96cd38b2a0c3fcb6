"""Softmax and cross entropy in one pass over the scores."""

from __future__ import annotations

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.loss import smallest_kept, softmax_cross_entropy
from xpnet.ops.numba.jit import DTYPES, Loop, read_only


@Loop
def _softmax_rows(scores, targets, own, other, least, dscores, mean, wrong):
    """Write the mean loss and its gradient for labels that count ``own``, the rest ``other``.

    ``wrong`` gets -1, or the first row whose label is out of range: then the rest is NaN.
    """
    n, classes = scores.shape
    number = scores.dtype.type
    share, loss = number(1 / n), number(0)
    wrong[0] = -1
    for i in range(n):
        if not 0 <= targets[i] < classes:
            wrong[0] = i
            mean[0], dscores[:] = np.nan, np.nan  # for who does not look
            return
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
    mean[0] = loss * share


@softmax_cross_entropy.register("numba")
def _softmax_cross_entropy(
    scores: Array, targets: Array, weights: Array | None, *, smoothing: float
) -> tuple[Array, Array]:
    suited = targets.ndim == 1 and scores.ndim == 2 and scores.dtype in DTYPES and len(scores) > 0
    if not suited or weights is not None or targets.dtype.kind not in "iu":
        return NotImplemented
    number, evenly = scores.dtype.type, smoothing / scores.shape[1]
    dscores = np.empty(scores.shape, scores.dtype)
    labels = read_only(targets.astype(np.int64, copy=False))
    own, least = number(1 - smoothing + evenly), number(smallest_kept(np, scores.dtype))
    mean, wrong = np.empty(1, scores.dtype), np.empty(1, np.int64)
    _softmax_rows(read_only(scores), labels, own, number(evenly), least, dscores, mean, wrong)
    if wrong[0] >= 0:
        raise ValueError(
            f"targets: expected labels from 0 to {scores.shape[1] - 1}, got {targets[wrong[0]]}"
        )
    return mean.reshape(()), dscores
