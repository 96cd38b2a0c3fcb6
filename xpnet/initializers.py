"""Initial weights: functions of (stream, shape, fan_in, fan_out), drawn on the host.

Drawn in float64 by NumPy whatever the network's library and dtype, so the same seed gives the
same weights everywhere.  A layer's ``init`` is the name of a rule (``"he"``, ``"xavier"``,
``"glorot_uniform"``, ``"zeros"``), a number (the standard deviation of a normal distribution)
or such a function, for instance ``normal(0.01)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from xpnet.random import Stream

__all__ = [
    "Init",
    "Initializer",
    "bias_initializer",
    "constant",
    "glorot_uniform",
    "he",
    "initializer",
    "normal",
    "saved",
    "uniform",
    "xavier",
    "zeros",
]

Initializer: TypeAlias = Callable[[Stream, tuple[int, ...], int, int], Any]
Init: TypeAlias = str | float | Initializer


def normal(std: float) -> Initializer:
    """Return the rule of normal numbers of mean 0 and a given standard deviation."""
    return lambda stream, shape, fan_in, fan_out: stream.normal(shape, std)


def uniform(low: float, high: float) -> Initializer:
    """Return the rule of numbers spread evenly over [low, high)."""
    return lambda stream, shape, fan_in, fan_out: stream.uniform(shape, low, high)


def constant(value: float) -> Initializer:
    """Return the rule that sets every number to one value."""
    return lambda stream, shape, fan_in, fan_out: stream.uniform(shape, value, value)


def xavier(stream: Stream, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Any:
    """Draw normal numbers of standard deviation ``sqrt(1 / fan_in)``: keeps tanh's variance."""
    return stream.normal(shape, math.sqrt(1 / fan_in))


def glorot_uniform(stream: Stream, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Any:
    """Draw numbers evenly within ``sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio, 2010)."""
    bound = math.sqrt(6 / (fan_in + fan_out))
    return stream.uniform(shape, -bound, bound)


def he(stream: Stream, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Any:
    """Draw normal numbers of standard deviation ``sqrt(2 / fan_in)``: for ReLU (He, 2015)."""
    return stream.normal(shape, math.sqrt(2 / fan_in))


zeros = constant(0.0)

_BY_NAME: dict[str, Initializer] = {
    "glorot_uniform": glorot_uniform,
    "he": he,
    "xavier": xavier,
    "zeros": zeros,
}


def initializer(init: Init) -> Initializer:
    """Return the rule that a layer's ``init`` argument stands for.

    Raises
    ------
    ValueError
        It is neither a known name, nor a number, nor a function.
    """
    if callable(init):
        return init
    if isinstance(init, str):
        if init in _BY_NAME:
            return _BY_NAME[init]
        raise ValueError(f"init: expected one of {', '.join(_BY_NAME)}, got {init!r}")
    if not isinstance(init, (int, float)) or isinstance(init, bool) or not 0 <= init < math.inf:
        raise ValueError(f"init: expected a name, a standard deviation or a function, got {init!r}")
    return normal(init)


def bias_initializer(init: Init) -> Initializer:
    """Return the rule of a ``bias_init`` argument: here a number is the value of every bias."""
    if isinstance(init, (int, float)):
        return constant(init)
    return initializer(init)


def saved(init: Init) -> str | float:
    """Return what a saved network records of an ``init``.

    A loaded network takes its numbers from the file, so a function of one's own is recorded as
    zeros rather than by code.
    """
    if not callable(init):
        return init
    return next((name for name, rule in _BY_NAME.items() if rule is init), "zeros")
