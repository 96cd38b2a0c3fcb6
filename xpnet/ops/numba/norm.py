"""Batch normalisation in compiled loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.norm import batch_norm, batch_norm_backward
from xpnet.ops.numba.jit import DTYPES, Loop, inner, put, read_only
from xpnet.threadpool import split, worth

BESIDE = 10.0
"""Products that take as long as the passes over a number."""


@inner
def _by_channel(rows, pixels):
    """Return the sums of each ``pixels`` numbers one after the other."""
    sums = np.zeros(rows.size // pixels, rows.dtype)
    for j in range(rows.size):
        sums[j // pixels] += rows[j]
    return sums


@Loop
def _normalise(x, gamma, beta, mean, var, y, x_hat, scale, momentum, eps, start, stop):
    """Do what ops.norm.batch_norm defines, for samples (n, width) of whole channels.

    Of the channels from start to stop.
    """
    n, pixels = x.shape[0], x.shape[1] // gamma.size
    first, last = start * pixels, stop * pixels
    width = last - first
    gamma, beta, mean, var = gamma[start:stop], beta[start:stop], mean[start:stop], var[start:stop]
    scale = scale[start:stop]
    one, count = x.dtype.type(1), x.dtype.type(n * pixels)
    rest = one - momentum
    sums, squares = np.zeros(width, x.dtype), np.zeros(width, x.dtype)
    for i in range(n):
        row = x[i][first:last]
        for j in range(width):
            sums[j] += row[j]
    centre = np.repeat(_by_channel(sums, pixels) / count, pixels)
    for i in range(n):
        row, own = x[i][first:last], x_hat[i][first:last]
        for j in range(width):
            own[j] = row[j] - centre[j]
            squares[j] += own[j] * own[j]
    variance = _by_channel(squares, pixels) / count
    for ch in range(gamma.size):
        scale[ch] = one / np.sqrt(variance[ch] + eps)
        mean[ch] = mean[ch] * momentum + rest * centre[ch * pixels]
        var[ch] = var[ch] * momentum + rest * count / (count - one) * variance[ch]
    factor, slope, shift = (
        np.repeat(scale, pixels),
        np.repeat(gamma, pixels),
        np.repeat(beta, pixels),
    )
    for i in range(n):
        own, out = x_hat[i][first:last], y[i][first:last]
        for j in range(width):
            own[j] *= factor[j]
            out[j] = own[j] * slope[j] + shift[j]


@Loop
def _normalise_backward(dy, x_hat, scale, gamma, dgamma, dbeta, dx, start, stop):
    """Do what ops.norm.batch_norm_backward defines, for (n, width); dx may be empty.

    Of the channels from start to stop.
    """
    n, pixels = dy.shape[0], dy.shape[1] // gamma.size
    first, last = start * pixels, stop * pixels
    width = last - first
    gamma, scale = gamma[start:stop], scale[start:stop]
    dgamma, dbeta = dgamma[start:stop], dbeta[start:stop]
    share = dy.dtype.type(1 / (n * pixels))
    sums, products = np.zeros(width, dy.dtype), np.zeros(width, dy.dtype)
    for i in range(n):
        upper, own = dy[i][first:last], x_hat[i][first:last]
        for j in range(width):
            sums[j] += upper[j]
            products[j] += upper[j] * own[j]
    put(dbeta, 0, _by_channel(sums, pixels), 0, dbeta.size)
    put(dgamma, 0, _by_channel(products, pixels), 0, dgamma.size)
    if dx.size == 0:
        return
    centre, slope = np.repeat(dbeta * share, pixels), np.repeat(dgamma * share, pixels)
    factor = np.repeat(gamma * scale, pixels)
    for i in range(n):
        upper, own, out = dy[i][first:last], x_hat[i][first:last], dx[i][first:last]
        for j in range(width):
            out[j] = (upper[j] - centre[j] - own[j] * slope[j]) * factor[j]


@batch_norm.register("numba")
def _batch_norm(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, *, momentum: float, eps: float
) -> tuple[Array, Any]:
    if x.dtype not in DTYPES or not x.size or any(a.dtype != x.dtype for a in (gamma, mean)):
        return NotImplemented
    number = x.dtype.type
    y, x_hat, scale = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype), np.empty_like(gamma)
    given = (
        read_only(x).reshape(len(x), -1), read_only(gamma), read_only(beta), mean, var,
        y.reshape(len(x), -1), x_hat.reshape(len(x), -1), scale, number(momentum), number(eps),
    )  # fmt: skip
    split(lambda *share: _normalise(*given, *share), gamma.size, worth(BESIDE * x.size))
    return y, (x_hat, scale)


@batch_norm_backward.register("numba")
def _batch_norm_backward(
    dy: Array, kept: Any, gamma: Array, dgamma: Array, dbeta: Array, *, need_dx: bool
) -> Array | None:
    x_hat, scale = kept
    if dy.dtype not in DTYPES or not dy.size or dy.dtype != x_hat.dtype:
        return NotImplemented
    n = len(dy)
    dx = np.empty(dy.shape, dy.dtype) if need_dx else np.empty((n, 0), dy.dtype)
    given = (
        read_only(dy).reshape(n, -1), read_only(x_hat).reshape(n, -1), read_only(scale),
        read_only(gamma), dgamma, dbeta, dx.reshape(n, -1) if need_dx else dx,
    )  # fmt: skip
    split(lambda *share: _normalise_backward(*given, *share), gamma.size, worth(BESIDE * dy.size))
    return dx if need_dx else None
