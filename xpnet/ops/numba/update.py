"""Update rules, each in one compiled loop over all parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.loss import smallest_kept
from xpnet.ops.numba.jit import DTYPES, compiled, flat
from xpnet.ops.update import (
    DeviceScalars,
    Scalars,
    adagrad,
    adam,
    momentum,
    rmsprop,
    sgd,
    smallest_square,
)
from xpnet.threadpool import split, worth


def _updates(p: Array, *slots: Array) -> bool:
    return p.dtype in DTYPES and all(
        a.flags.c_contiguous and a.dtype == p.dtype for a in (p, *slots)
    )


def _cuts(p: Array, scalars: Scalars) -> tuple[Any, Any]:
    """Return the sizes below which a moment and a moment of squares are cut at a step, or 0."""
    number = p.dtype.type
    if not scalars.flush:
        return number(0), number(0)
    return number(smallest_kept(np, p.dtype)), number(smallest_square(np, p.dtype))


def _over(work: Callable[[int, int], None], p: Array) -> None:
    split(work, p.size, worth(10.0 * p.size))


@compiled
def _sgd_loop(p, g, lr, decay):
    for i in range(p.size):
        p[i] -= lr * (g[i] + decay * p[i])


@sgd.register("numba")
def _sgd(p: Array, g: Array, scalars: Scalars | DeviceScalars, decay: float) -> Any:
    if not _updates(p) or g.dtype != p.dtype or not isinstance(scalars, Scalars):
        return NotImplemented
    number, p, g = p.dtype.type, p.reshape(-1), flat(g)
    _over(lambda a, b: _sgd_loop(p[a:b], g[a:b], number(scalars.lr), number(decay)), p)
    return None


@compiled
def _momentum_loop(p, g, v, cut, lr, mu, decay, nesterov):
    zero = p.dtype.type(0)
    for i in range(p.size):
        slope = g[i] + decay * p[i]
        velocity = v[i] * mu + slope
        velocity = zero if abs(velocity) < cut else velocity
        v[i] = velocity
        p[i] -= lr * (slope + mu * velocity if nesterov else velocity)


@momentum.register("numba")
def _momentum(
    p: Array, g: Array, v: Array, scalars: Scalars | DeviceScalars, decay: float, mu: float,
    nesterov: bool,
) -> Any:  # fmt: skip
    if not _updates(p, v) or g.dtype != p.dtype or not isinstance(scalars, Scalars):
        return NotImplemented
    number, cut = p.dtype.type, _cuts(p, scalars)[0]
    p, g, v = p.reshape(-1), flat(g), v.reshape(-1)
    rest = number(scalars.lr), number(mu), number(decay), nesterov
    _over(lambda a, b: _momentum_loop(p[a:b], g[a:b], v[a:b], cut, *rest), p)
    return None


@compiled
def _squares_loop(p, g, h, cut, alpha, rest, lr, eps, decay):
    zero = p.dtype.type(0)
    for i in range(p.size):
        slope = g[i] + decay * p[i]
        square = h[i] * alpha + rest * (slope * slope)
        square = zero if square < cut else square
        h[i] = square
        p[i] -= lr * slope / (np.sqrt(square) + eps)


@adagrad.register("numba")
def _adagrad(
    p: Array, g: Array, h: Array, scalars: Scalars | DeviceScalars, decay: float, eps: float
) -> Any:
    if not _updates(p, h) or g.dtype != p.dtype or not isinstance(scalars, Scalars):
        return NotImplemented
    number = p.dtype.type
    p, g, h = p.reshape(-1), flat(g), h.reshape(-1)
    rest = number(0), number(1), number(1), number(scalars.lr), number(eps), number(decay)
    _over(lambda a, b: _squares_loop(p[a:b], g[a:b], h[a:b], *rest), p)
    return None


@rmsprop.register("numba")
def _rmsprop(
    p: Array, g: Array, h: Array, scalars: Scalars | DeviceScalars, decay: float, alpha: float,
    eps: float,
) -> Any:  # fmt: skip
    if not _updates(p, h) or g.dtype != p.dtype or not isinstance(scalars, Scalars):
        return NotImplemented
    number, cut = p.dtype.type, _cuts(p, scalars)[1]
    p, g, h = p.reshape(-1), flat(g), h.reshape(-1)
    rest = cut, *(number(v) for v in (alpha, 1 - alpha, scalars.lr, eps, decay))
    _over(lambda a, b: _squares_loop(p[a:b], g[a:b], h[a:b], *rest), p)
    return None


@compiled
def _adam_loop(
    p, g, m, v, m_cut, v_cut, shrink, beta1, rest1, beta2, rest2, correction, rate, eps, decay
):
    zero = p.dtype.type(0)
    for i in range(p.size):
        param = p[i] * shrink
        slope = g[i] + decay * param
        moment = m[i] * beta1 + rest1 * slope
        moment = zero if abs(moment) < m_cut else moment
        square = v[i] * beta2 + rest2 * (slope * slope)
        square = zero if square < v_cut else square
        m[i], v[i] = moment, square
        p[i] = param - rate * moment / (np.sqrt(square) * correction + eps)


@adam.register("numba")
def _adam(
    p: Array, g: Array, m: Array, v: Array, scalars: Scalars | DeviceScalars, decay: float,
    beta1: float, beta2: float, eps: float, decoupled: bool,
) -> Any:  # fmt: skip
    if not _updates(p, m, v) or g.dtype != p.dtype or not isinstance(scalars, Scalars):
        return NotImplemented
    number, cuts = p.dtype.type, _cuts(p, scalars)
    p, g, m, v = p.reshape(-1), flat(g), m.reshape(-1), v.reshape(-1)
    rest = *cuts, *(
        number(value)
        for value in (
            1 - scalars.lr * decay if decoupled else 1.0, beta1, 1 - beta1, beta2, 1 - beta2,
            scalars.root_scale, scalars.step_size, eps,
            0.0 if decoupled else decay,
        )
    )  # fmt: skip
    _over(lambda a, b: _adam_loop(p[a:b], g[a:b], m[a:b], v[a:b], *rest), p)
    return None
