"""Update rules, each in one CUDA kernel over all parameters."""

from __future__ import annotations

from typing import Any

import cupy

from xpnet.arrays import Array
from xpnet.ops.cupy import launch
from xpnet.ops.loss import smallest_kept
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


def _updates(p: Array, *others: Array) -> str | None:
    """Return the dtype of arrays that a kernel can update side by side, or None."""
    if all(a.flags.c_contiguous and a.shape == p.shape for a in (p, *others)):
        return launch.kind_of(p, *others)
    return None


def _arguments(scalars: Scalars | DeviceScalars) -> tuple[Any, ...] | None:
    """Return scalars as a kernel's arguments: by value, or by table; None if it has others."""
    if isinstance(scalars, Scalars):
        return (*scalars.row, None, None)
    return (0.0, 0.0, 0.0, 0.0, scalars.rows, scalars.record) if scalars.known else None


@sgd.register("cupy")
def _sgd(p: Array, g: Array, scalars: Scalars | DeviceScalars, decay: float) -> Any:
    kind, given = _updates(p, g), _arguments(scalars)
    if kind is None or given is None:
        return NotImplemented
    launch.each("sgd", kind, p.size, p, g, p.size, *given, float(decay))
    return None


@momentum.register("cupy")
def _momentum(
    p: Array, g: Array, v: Array, scalars: Scalars | DeviceScalars, decay: float, mu: float,
    nesterov: bool,
) -> Any:  # fmt: skip
    kind, given = _updates(p, g, v), _arguments(scalars)
    if kind is None or given is None:
        return NotImplemented
    launch.each(
        "momentum", kind, p.size, p, g, v, p.size, *given, float(mu), float(decay), int(nesterov),
        smallest_kept(cupy, p.dtype),
    )  # fmt: skip
    return None


@adagrad.register("cupy")
def _adagrad(
    p: Array, g: Array, h: Array, scalars: Scalars | DeviceScalars, decay: float, eps: float
) -> Any:
    kind, given = _updates(p, g, h), _arguments(scalars)
    if kind is None or given is None:
        return NotImplemented
    rest = 1.0, 1.0, float(eps), float(decay), 0.0
    launch.each("rmsprop", kind, p.size, p, g, h, p.size, *given, *rest)
    return None


@rmsprop.register("cupy")
def _rmsprop(
    p: Array, g: Array, h: Array, scalars: Scalars | DeviceScalars, decay: float, alpha: float,
    eps: float,
) -> Any:  # fmt: skip
    kind, given = _updates(p, g, h), _arguments(scalars)
    if kind is None or given is None:
        return NotImplemented
    rest = *map(float, (alpha, 1 - alpha, eps, decay)), smallest_square(cupy, p.dtype)
    launch.each("rmsprop", kind, p.size, p, g, h, p.size, *given, *rest)
    return None


@adam.register("cupy")
def _adam(
    p: Array, g: Array, m: Array, v: Array, scalars: Scalars | DeviceScalars, decay: float,
    beta1: float, beta2: float, eps: float, decoupled: bool,
) -> Any:  # fmt: skip
    kind, given = _updates(p, g, m, v), _arguments(scalars)
    if kind is None or given is None:
        return NotImplemented
    launch.each(
        "adam", kind, p.size, p, g, m, v, p.size, *given,
        *map(float, (beta1, beta2, eps, decay)), int(decoupled),
        smallest_kept(cupy, p.dtype), smallest_square(cupy, p.dtype),
    )  # fmt: skip
    return None
