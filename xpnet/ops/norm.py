"""Batch normalisation."""

from __future__ import annotations

import math
from typing import Any

from xpnet.arrays import Array, namespace
from xpnet.ops.dispatch import op

__all__ = ["batch_norm", "batch_norm_backward"]


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
