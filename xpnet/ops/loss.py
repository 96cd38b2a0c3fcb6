"""Losses together with their gradients, so that neither repeats the other's work.

Each op but ``softmax_loss`` takes scores and targets and returns the mean loss of the batch, a
0-d array, and its gradient with respect to the scores.  Targets are labels (n,) or numbers in the
shape of the scores (one-hot rows, probabilities, values).  Weights (n,) make the mean a weighted
one.

A gradient smaller than the square root of the smallest normal number is cut to zero: once
training has converged softmax minus one-hot is full of such numbers, their products are
denormal, and processors compute with denormals several times slower.  The product of two
numbers that were kept is always normal.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from xpnet.arrays import Array, is_complex, namespace
from xpnet.ops.dispatch import op

__all__ = [
    "as_scores",
    "sigmoid_cross_entropy",
    "smallest_kept",
    "softmax_cross_entropy",
    "softmax_loss",
    "squared_error",
]


@functools.cache
def smallest_kept(xp: Any, dtype: Any) -> float:
    """Return the size below which gradients of a dtype are cut to zero."""
    return math.sqrt(float(xp.finfo(dtype).smallest_normal))


def _cut(a: Array) -> Array:
    xp = namespace(a)
    return xp.where(xp.abs(a) < smallest_kept(xp, a.dtype), 0.0, a)


def as_scores(targets: Array, scores: Array) -> Array:
    """Return targets in the shape and dtype of the scores; labels become one-hot rows.

    A label outside the classes becomes a row of NaN, so that it cannot go unnoticed.
    """
    xp = namespace(scores)
    if targets.ndim == scores.ndim:
        return xp.astype(targets, scores.dtype, copy=False)
    if scores.shape[1] == 1:  # one output: the labels themselves, 0 or 1, or any numbers
        return xp.astype(targets[:, None], scores.dtype)
    classes = xp.arange(scores.shape[1], dtype=xp.int64, device=scores.device)
    hit = xp.astype(targets, xp.int64)[:, None] == classes[None, :]
    one_hot = xp.astype(hit, scores.dtype)
    return xp.where(xp.any(hit, axis=1)[:, None], one_hot, xp.nan)


def _shares(scores: Array, weights: Array | None) -> Array | float:
    """Return each sample's share in the mean."""
    if weights is None:
        return 1 / scores.shape[0]
    xp = namespace(scores)
    weights = xp.astype(weights, xp.real(scores).dtype if is_complex(scores) else scores.dtype)
    total = xp.sum(weights)
    return weights / xp.where(total > 0, total, 1.0)  # a batch that counts nothing moves nothing


def _mean(losses: Array, shares: Array | float) -> Array:
    return namespace(losses).sum(losses * shares)


def _down_rows(shares: Array | float, ndim: int) -> Array | float:
    if isinstance(shares, float):
        return shares
    return namespace(shares).reshape(shares, (-1,) + (1,) * (ndim - 1))


@op
def softmax_loss(scores: Array, targets: Array, *, eps: float) -> tuple[Array, Array]:
    """Return the softmax of rows, and the mean of ``-log(p + eps)`` at each row's class.

    For those who keep the probabilities; the gradient is theirs.  Targets are labels (n,), known
    to be classes, or rows (n, k) whose largest number is at the class.
    """
    xp = namespace(scores)
    e = xp.exp(scores - xp.max(scores, axis=1, keepdims=True))
    p = e / xp.sum(e, axis=1, keepdims=True)
    classes = xp.argmax(targets, axis=1) if targets.ndim == 2 else targets
    places = xp.astype(classes, xp.int64, copy=False)[:, None]
    return p, -xp.mean(xp.log(xp.take_along_axis(p, places, axis=1) + eps))


@op
def softmax_cross_entropy(
    scores: Array, targets: Array, weights: Array | None, *, smoothing: float
) -> tuple[Array, Array]:
    """Return the mean of ``-sum_k t_k log softmax(scores)_k`` and ``softmax(scores) - t``.

    Parameters
    ----------
    scores : array, shape (n, k)
    targets : array, integer labels (n,) or rows (n, k)
    weights : array, shape (n,), or None
    smoothing : float
        Label smoothing (Szegedy et al., 2016): this share of each target is spread evenly.

    Returns
    -------
    loss : array, 0-d
    dscores : array, shape (n, k)
        The gradient of the mean.
    """
    xp = namespace(scores)
    wanted = as_scores(targets, scores)
    if smoothing:
        wanted = wanted * (1 - smoothing) + smoothing / scores.shape[1]
    shifted = scores - xp.max(scores, axis=1, keepdims=True)
    log_p = shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
    shares = _shares(scores, weights)
    # where nothing is wanted a log of 0 costs nothing
    losses = -xp.sum(xp.where(wanted == 0, 0.0, log_p) * wanted, axis=1)
    total = xp.sum(wanted, axis=1, keepdims=True)
    dscores = (xp.exp(log_p) * total - wanted) * _down_rows(shares, 2)
    return _mean(losses, shares), _cut(dscores)


@op
def sigmoid_cross_entropy(
    scores: Array, targets: Array, weights: Array | None
) -> tuple[Array, Array]:
    """Return the mean over samples of the summed logistic loss, and ``sigmoid(scores) - t``.

    ``loss = sum_k log(1 + exp(s_k)) - t_k s_k``, computed without overflow.

    Parameters
    ----------
    scores : array, shape (n, ...)
    targets : array, numbers from 0 to 1 in the shape of scores, or labels (n,) for (n, k)
    weights : array, shape (n,), or None

    Returns
    -------
    loss : array, 0-d
    dscores : array, shape of scores
    """
    xp = namespace(scores)
    wanted = as_scores(targets, scores)
    small = xp.exp(-xp.abs(scores))
    losses = xp.where(scores > 0, scores, 0.0) - scores * wanted + xp.log1p(small)
    p = xp.where(scores >= 0, 1.0, small) / (1.0 + small)
    shares = _shares(scores, weights)
    loss = _mean(xp.sum(losses, axis=tuple(range(1, scores.ndim))), shares)
    return loss, _cut((p - wanted) * _down_rows(shares, scores.ndim))


@op
def squared_error(y: Array, targets: Array, weights: Array | None) -> tuple[Array, Array]:
    """Return the mean over samples of ``1/2 sum_k |y_k - t_k|^2``, and ``y - t``.

    Parameters
    ----------
    y : array, shape (n, ...), real or complex
    targets : array, the shape of y, or labels (n,) for y of shape (n, k)
    weights : array, shape (n,), or None

    Returns
    -------
    loss : array, 0-d, real
    dy : array, shape of y
    """
    xp = namespace(y)
    error = y - as_scores(targets, y)
    squares = xp.real(error * xp.conj(error)) if is_complex(error) else error * error
    shares = _shares(y, weights)
    loss = _mean(xp.sum(squares, axis=tuple(range(1, y.ndim))), shares) * 0.5
    return loss, _cut(error * _down_rows(shares, y.ndim))
