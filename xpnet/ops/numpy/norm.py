"""Batch normalisation in NumPy's words."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.norm import batch_norm, batch_norm_backward
from xpnet.ops.numpy.dtypes import mixed


def _channels(x: Array) -> tuple[Any, Any]:
    """Return the axes beside the channels, and what a number a channel is indexed by to match."""
    if x.ndim == 2:
        return 0, slice(None)
    return (0, *range(2, x.ndim)), (slice(None), *[None] * (x.ndim - 2))


@batch_norm.register("numpy")
def _batch_norm(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, *, momentum: float, eps: float
) -> tuple[Array, Any]:
    if mixed(x, gamma):
        return NotImplemented
    axes, each = _channels(x)
    count = x.size // gamma.size
    centre = np.add.reduce(x, axis=axes) * (1 / count)
    x_hat = x - centre[each]
    y = x_hat * x_hat
    variance = np.add.reduce(y, axis=axes) * (1 / count)
    scale = 1 / np.sqrt(variance + eps)
    x_hat *= scale[each]
    mean *= momentum
    mean += (1 - momentum) * centre
    var *= momentum
    var += ((1 - momentum) * count / (count - 1)) * variance
    np.multiply(x_hat, gamma[each], out=y)
    y += beta[each]
    return y, (x_hat, scale)


@batch_norm_backward.register("numpy")
def _batch_norm_backward(
    dy: Array, kept: Any, gamma: Array, dgamma: Array, dbeta: Array, *, need_dx: bool
) -> Array | None:
    x_hat, scale = kept
    if mixed(dy, x_hat):
        return NotImplemented
    axes, each = _channels(dy)
    share = gamma.size / dy.size
    products = dy * x_hat
    np.add.reduce(dy, axis=axes, out=dbeta)
    np.add.reduce(products, axis=axes, out=dgamma)
    if not need_dx:
        return None
    dx = np.multiply(x_hat, (dgamma * share)[each], out=products)
    np.subtract(dy, dx, out=dx)
    dx -= (dbeta * share)[each]
    dx *= (gamma * scale)[each]
    return dx
