"""Update rules, each in one compiled loop over all parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.loss import smallest_kept
from xpnet.ops.numba.jit import DTYPES, Loop, flat, inner
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


_FIRST = np.zeros(3)
"""The record of an epoch before its first step."""


def _table(scalars: Scalars | DeviceScalars) -> tuple[Array, Array]:
    """Return the table of scalars, and the record that says which row applies."""
    if isinstance(scalars, Scalars):
        return np.array([scalars.row]), _FIRST
    return scalars.rows, scalars.record


def _least(dtype: Any) -> tuple[Any, Any]:
    """Return the sizes below which a moment and a moment of squares are cut, when they are."""
    return dtype.type(smallest_kept(np, dtype)), dtype.type(smallest_square(np, dtype))


def _over(work: Callable[[int, int], None], p: Array) -> None:
    split(work, p.size, worth(10.0 * p.size))


@inner
def _row(rows, record):
    """Return the scalars in force, in the order of ``COLUMNS``."""
    row = rows[int(record[2])]
    return row[0], row[1], row[2], row[3]


@Loop
def _sgd_loop(p, g, rows, record, decay):
    lr, _, _, _ = _row(rows, record)
    lr = p.dtype.type(lr)
    for i in range(p.size):
        p[i] -= lr * (g[i] + decay * p[i])


@sgd.register("numba")
def _sgd(p: Array, g: Array, scalars: Scalars | DeviceScalars, decay: float) -> Any:
    if not _updates(p) or g.dtype != p.dtype or not scalars.known:
        return NotImplemented
    table, number, p, g = _table(scalars), p.dtype.type, p.reshape(-1), flat(g)
    _over(lambda a, b: _sgd_loop(p[a:b], g[a:b], *table, number(decay)), p)
    return None


@Loop
def _momentum_loop(p, g, v, rows, record, least, mu, decay, nesterov):
    lr, flush, _, _ = _row(rows, record)
    zero, lr = p.dtype.type(0), p.dtype.type(lr)
    cut = least if flush else zero
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
    if not _updates(p, v) or g.dtype != p.dtype or not scalars.known:
        return NotImplemented
    table, number, least = _table(scalars), p.dtype.type, _least(p.dtype)[0]
    p, g, v = p.reshape(-1), flat(g), v.reshape(-1)
    rest = least, number(mu), number(decay), nesterov
    _over(lambda a, b: _momentum_loop(p[a:b], g[a:b], v[a:b], *table, *rest), p)
    return None


@Loop
def _squares_loop(p, g, h, rows, record, least, alpha, rest, eps, decay):
    lr, flush, _, _ = _row(rows, record)
    zero, lr = p.dtype.type(0), p.dtype.type(lr)
    cut = least if flush else zero
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
    if not _updates(p, h) or g.dtype != p.dtype or not scalars.known:
        return NotImplemented
    table, number = _table(scalars), p.dtype.type
    p, g, h = p.reshape(-1), flat(g), h.reshape(-1)
    rest = number(0), number(1), number(1), number(eps), number(decay)
    _over(lambda a, b: _squares_loop(p[a:b], g[a:b], h[a:b], *table, *rest), p)
    return None


@rmsprop.register("numba")
def _rmsprop(
    p: Array, g: Array, h: Array, scalars: Scalars | DeviceScalars, decay: float, alpha: float,
    eps: float,
) -> Any:  # fmt: skip
    if not _updates(p, h) or g.dtype != p.dtype or not scalars.known:
        return NotImplemented
    table, number, least = _table(scalars), p.dtype.type, _least(p.dtype)[1]
    p, g, h = p.reshape(-1), flat(g), h.reshape(-1)
    rest = least, *(number(v) for v in (alpha, 1 - alpha, eps, decay))
    _over(lambda a, b: _squares_loop(p[a:b], g[a:b], h[a:b], *table, *rest), p)
    return None


@Loop
def _adam_loop(
    p, g, m, v, rows, record, m_least, v_least, decay, beta1, rest1, beta2, rest2, eps, decoupled
):
    lr, flush, step_size, root_scale = _row(rows, record)
    zero, one = p.dtype.type(0), p.dtype.type(1)
    m_cut, v_cut = (m_least, v_least) if flush else (zero, zero)
    shrink = p.dtype.type(1.0 - lr * decay) if decoupled else one
    coupled = zero if decoupled else p.dtype.type(decay)
    rate, correction = p.dtype.type(step_size), p.dtype.type(root_scale)
    for i in range(p.size):
        param = p[i] * shrink
        slope = g[i] + coupled * param
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
    if not _updates(p, m, v) or g.dtype != p.dtype or not scalars.known:
        return NotImplemented
    table, number, least = _table(scalars), p.dtype.type, _least(p.dtype)
    p, g, m, v = p.reshape(-1), flat(g), m.reshape(-1), v.reshape(-1)
    moments = (number(value) for value in (beta1, 1 - beta1, beta2, 1 - beta2, eps))
    rest = *table, *least, float(decay), *moments, decoupled
    _over(lambda a, b: _adam_loop(p[a:b], g[a:b], m[a:b], v[a:b], *rest), p)
    return None
