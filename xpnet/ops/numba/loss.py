"""Softmax and cross entropy in one pass over the scores."""

from __future__ import annotations

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.loss import smallest_kept, softmax_cross_entropy
from xpnet.ops.numba.jit import DTYPES, compiled, read_only


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
    scores: Array, targets: Array, weights: Array | None, *, smoothing: float
) -> tuple[Array, Array]:
    suited = targets.ndim == 1 and scores.ndim == 2 and scores.dtype in DTYPES and len(scores) > 0
    if not suited or weights is not None or targets.dtype.kind not in "iu":
        return NotImplemented
    number, evenly = scores.dtype.type, smoothing / scores.shape[1]
    dscores = np.empty(scores.shape, scores.dtype)
    labels = read_only(targets.astype(np.int64, copy=False))
    own, least = number(1 - smoothing + evenly), number(smallest_kept(np, scores.dtype))
    loss, wrong = _softmax_rows(read_only(scores), labels, dscores, own, number(evenly), least)
    if wrong >= 0:
        raise ValueError(
            f"targets: expected labels from 0 to {scores.shape[1] - 1}, got {targets[wrong]}"
        )
    return np.asarray(scores.dtype.type(loss)), dscores
