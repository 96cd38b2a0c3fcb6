"""Softmax and cross entropy in NumPy's words."""

from __future__ import annotations

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.loss import smallest_kept, softmax_cross_entropy, softmax_loss


@softmax_cross_entropy.register("numpy")
def _softmax_cross_entropy(
    scores: Array, targets: Array, weights: Array | None, *, smoothing: float
) -> tuple[Array, Array]:
    if targets.ndim != 1 or weights is not None or smoothing:
        return NotImplemented
    n, classes = scores.shape
    if not 0 <= targets.min() <= targets.max() < classes:
        wrong = targets[(targets < 0) | (targets >= classes)][0]
        raise ValueError(f"targets: expected labels from 0 to {classes - 1}, got {wrong}")
    rows = np.arange(n)
    p = scores - np.maximum.reduce(scores, axis=1, keepdims=True)
    own = p[rows, targets]
    np.exp(p, out=p)
    total = np.add.reduce(p, axis=1, keepdims=True)
    loss = np.add.reduce(np.log(total[:, 0]) - own) * (1 / n)
    p /= total
    p[rows, targets] -= 1
    p *= 1 / n
    p *= np.abs(p) >= smallest_kept(np, p.dtype)
    return np.asarray(loss), p


@softmax_loss.register("numpy")
def _softmax_loss(scores: Array, targets: Array, *, eps: float) -> tuple[Array, Array]:
    n = len(scores)
    p = np.exp(scores - np.maximum.reduce(scores, axis=1, keepdims=True))
    p /= np.add.reduce(p, axis=1, keepdims=True)
    classes = targets.argmax(axis=1) if targets.ndim == 2 else targets
    return p, -np.add.reduce(np.log(p[np.arange(n), classes] + eps)) / n
