"""Batch normalisation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from xpnet.arrays import Array, namespace
from xpnet.ops.dispatch import op

__all__ = [
    "Gather",
    "batch_norm",
    "batch_norm_backward",
    "sync_batch_norm",
    "sync_batch_norm_backward",
]

Gather: TypeAlias = Callable[[Array], Array]
"""Takes what a shard of a batch gives, (k,), and returns what all shards give, (shards, k): zeros
for those without samples."""


def _per_channel(a: Array, ndim: int) -> Array:
    """Shape an array of one number a channel to broadcast against (n, c, ...)."""
    return namespace(a).reshape(a, (1, -1) + (1,) * (ndim - 2))


def _all_but_channel(x: Array) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


@op
def batch_norm(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, *, momentum: float, eps: float
) -> tuple[Array, Any]:
    """Normalise each channel by the batch's own statistics and update the running ones.

    ``x_hat = (x - batch mean) / sqrt(batch variance + eps)``, ``y = gamma x_hat + beta``, the
    variance being the biased one.  In place, ``mean`` and ``var`` keep ``momentum`` of
    themselves and take the rest from the batch (the variance unbiased).

    Parameters
    ----------
    x : array, shape (n, c) or (n, c, h, w)
    gamma, beta, mean, var : array, shape (c,)

    Returns
    -------
    y : array, shape of x
    kept : what :func:`batch_norm_backward` of the same library needs
    """
    xp = namespace(x)
    axes, ndim = _all_but_channel(x), x.ndim
    count = math.prod(x.shape[axis] for axis in axes)
    centre = xp.mean(x, axis=axes)
    x_hat = x - _per_channel(centre, ndim)
    variance = xp.mean(x_hat * x_hat, axis=axes)
    scale = 1.0 / xp.sqrt(variance + eps)
    x_hat *= _per_channel(scale, ndim)
    mean *= momentum
    mean += (1 - momentum) * centre
    var *= momentum
    var += ((1 - momentum) * count / (count - 1)) * variance
    y = x_hat * _per_channel(gamma, ndim)
    y += _per_channel(beta, ndim)
    return y, (x_hat, scale)


@op
def batch_norm_backward(
    dy: Array, kept: Any, gamma: Array, dgamma: Array, dbeta: Array, *, need_dx: bool
) -> Array | None:
    """Write the gradients into ``dgamma`` and ``dbeta``; return that of x.

    ``dbeta = sum dy``, ``dgamma = sum dy x_hat``,
    ``dx = gamma / sqrt(var + eps) (dy - mean dy - x_hat mean(dy x_hat))``.

    Parameters
    ----------
    dy : array, shape (n, c) or (n, c, h, w)
    kept : as :func:`batch_norm` returned it
    gamma, dgamma, dbeta : array, shape (c,)

    Returns
    -------
    array, shape of dy, or None where ``need_dx`` is False
    """
    xp = namespace(dy)
    x_hat, scale = kept
    axes, ndim = _all_but_channel(dy), dy.ndim
    count = math.prod(dy.shape[axis] for axis in axes)
    dbeta[...] = xp.sum(dy, axis=axes)
    dgamma[...] = xp.sum(dy * x_hat, axis=axes)
    if not need_dx:
        return None
    dx = dy - _per_channel(dbeta * (1 / count), ndim)
    dx -= x_hat * _per_channel(dgamma * (1 / count), ndim)
    dx *= _per_channel(gamma * scale, ndim)
    return dx


def sync_batch_norm(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, *,
    momentum: float, eps: float, gather: Gather,
) -> tuple[Array, Any]:  # fmt: skip
    """Do what :func:`batch_norm` does for a whole batch, of which x is a shard.

    Each shard gives the mean of its numbers, the sum of their squares about that mean, and their
    count.  What the means differ by is added to the squares: so nothing cancels, however far the
    mean is from 0, and one exchange will do.

    Parameters
    ----------
    x : array, shape (n, c) or (n, c, h, w)
    gamma, beta, mean, var : array, shape (c,)
    gather : callable
        See :data:`Gather`.

    Returns
    -------
    y : array, shape of x
    kept : what :func:`sync_batch_norm_backward` needs
    """
    xp = namespace(x)
    axes, ndim, c = _all_but_channel(x), x.ndim, x.shape[1]
    own = xp.mean(x, axis=axes)
    x_hat = x - _per_channel(own, ndim)
    count = xp.full_like(own[:1], math.prod(x.shape[axis] for axis in axes))
    rows = gather(xp.concat([own, xp.sum(x_hat * x_hat, axis=axes), count]))
    means, squares, counts = rows[:, :c], rows[:, c:-1], rows[:, -1:]
    total = xp.sum(counts)
    centre = xp.sum(counts * means, axis=0) / total
    apart = means - centre
    variance = xp.sum(squares + counts * apart * apart, axis=0) / total
    scale = 1.0 / xp.sqrt(variance + eps)
    x_hat += _per_channel(own - centre, ndim)
    x_hat *= _per_channel(scale, ndim)
    mean *= momentum
    mean += (1 - momentum) * centre
    var *= momentum
    var += (1 - momentum) * (total / (total - 1)) * variance
    y = x_hat * _per_channel(gamma, ndim)
    y += _per_channel(beta, ndim)
    return y, (x_hat, scale, total)


def sync_batch_norm_backward(
    dy: Array, kept: Any, gamma: Array, dgamma: Array, dbeta: Array, *,
    need_dx: bool, gather: Gather,
) -> Array | None:  # fmt: skip
    """Write the shard's share of the gradients into ``dgamma`` and ``dbeta``; return that of x.

    ``dx`` is that of :func:`batch_norm_backward` with the whole batch's means of dy and dy x_hat,
    which are exchanged where it is needed.

    Parameters
    ----------
    dy : array, shape (n, c) or (n, c, h, w)
    kept : as :func:`sync_batch_norm` returned it
    gamma, dgamma, dbeta : array, shape (c,)
    gather : callable
        See :data:`Gather`.

    Returns
    -------
    array, shape of dy, or None where ``need_dx`` is False
    """
    xp = namespace(dy)
    x_hat, scale, total = kept
    axes, ndim, c = _all_but_channel(dy), dy.ndim, dy.shape[1]
    dbeta[...] = xp.sum(dy, axis=axes)
    dgamma[...] = xp.sum(dy * x_hat, axis=axes)
    if not need_dx:
        return None
    means = xp.sum(gather(xp.concat([dbeta, dgamma])), axis=0) / total
    dx = dy - _per_channel(means[:c], ndim)
    dx -= x_hat * _per_channel(means[c:], ndim)
    dx *= _per_channel(gamma * scale, ndim)
    return dx
