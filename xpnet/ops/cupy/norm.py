"""Sums over all but the channels, and batch normalisation, by CUDA kernels."""

from __future__ import annotations

import math
from typing import Any

import cupy

from xpnet.arrays import Array
from xpnet.ops.cupy import launch
from xpnet.ops.norm import batch_norm, batch_norm_backward

NEIGHBOURS = 8
"""Channels that a block takes where they lie side by side: a sector of memory in float32."""

SHARE = 32
"""Numbers that a thread adds up; where a channel has more, several blocks take a share each."""


def channel_sums(
    a: Array, out: Array, outer: int, inner: int, y: Array | None = None, kept: Array | None = None
) -> None:
    """Write the sums of ``a``, seen as (outer, channels, inner), over all but the channels.

    With ``y`` a number counts where y > 0, and goes to ``kept`` as it counts.
    """
    channels, kind = out.size, a.dtype.char
    width = NEIGHBOURS if inner == 1 else 1
    groups = -(-channels // width)
    shares = 1  # many groups of channels fill a GPU by themselves
    if groups <= launch.COUNTERS:
        shares = min(-(-outer * inner // (SHARE * launch.THREADS // width)), 64)
    sums, arrived = out, None
    if shares > 1:
        sums, arrived = cupy.empty((shares, channels), a.dtype), launch.arrived()
    launch.kernel("channel_sums", kind)(
        (groups, shares), (launch.THREADS,),
        (a, y, kept, sums, out, arrived, outer, channels, inner),
    )  # fmt: skip


def _spans(x: Array) -> tuple[int, int, int]:
    """Return a batch's (outer, channels, inner)."""
    return x.shape[0], x.shape[1], math.prod(x.shape[2:])


def _channel_blocks(outer: int, channels: int, inner: int) -> tuple[tuple[int], tuple[int]]:
    """Return grid and block for kernels in which a block sees all numbers of its channels."""
    width = NEIGHBOURS if inner == 1 else 1
    threads = launch.THREADS if width * outer * inner <= 8 * launch.THREADS else 1024
    return (-(-channels // width),), (threads,)


@batch_norm.register("cupy")
def _batch_norm(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, *, momentum: float, eps: float
) -> tuple[Array, Any]:
    kind = launch.filled_kind(x, gamma, beta, mean, var)
    if kind is None:
        return NotImplemented
    x, spans = launch.dense(x), _spans(x)
    y, x_hat, scales = cupy.empty_like(x), cupy.empty_like(x), cupy.empty_like(gamma)
    launch.kernel("batch_norm", kind)(
        *_channel_blocks(*spans),
        (x, gamma, beta, mean, var, y, x_hat, scales, *spans, float(momentum), float(eps)),
    )  # fmt: skip
    return y, (x_hat, scales)


@batch_norm_backward.register("cupy")
def _batch_norm_backward(
    dy: Array, kept: Any, gamma: Array, dgamma: Array, dbeta: Array, *, need_dx: bool
) -> Array | None:
    x_hat, scales = kept
    kind = launch.filled_kind(dy, x_hat, gamma, dgamma, dbeta)
    if kind is None:
        return NotImplemented
    spans = _spans(dy)
    dx = cupy.empty(dy.shape, dy.dtype) if need_dx else None
    launch.kernel("batch_norm_backward", kind)(
        *_channel_blocks(*spans),
        (launch.dense(dy), x_hat, scales, gamma, dgamma, dbeta, dx, *spans),
    )  # fmt: skip
    return dx
