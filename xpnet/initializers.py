"""Initial weights: functions of (stream, shape, fan_in, fan_out), drawn on the host.

Drawn in float64 by NumPy whatever the network's library and dtype, so the same seed gives the
same weights everywhere.  A layer's ``init`` is the name of a rule (``"he"``, ``"xavier"``,
``"glorot_uniform"``, ``"zeros"``), a number (the standard deviation of a normal distribution)
or such a function, for instance ``normal(0.01)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from xpnet.arrays import namespace
from xpnet.checks import check_fields, finite, not_negative, one_of, plain
from xpnet.random import Stream

__all__ = [
    "Init",
    "Initializer",
    "Rule",
    "bias_initializer",
    "constant",
    "glorot_uniform",
    "he",
    "initializer",
    "normal",
    "uniform",
    "weight_initializer",
    "xavier",
    "zeros",
]

Shape: TypeAlias = tuple[int, ...]
Rule: TypeAlias = Callable[[Stream, Shape, int, int], Any]
Init: TypeAlias = str | float | Rule


@dataclass(frozen=True)
class normal:
    """The rule of normal numbers of mean 0 and a given standard deviation."""

    std: float

    def __post_init__(self) -> None:
        check_fields(self, std=not_negative)

    def __call__(self, stream: Stream, shape: Shape, fan_in: int, fan_out: int) -> Any:
        """Draw the numbers."""
        return stream.normal(shape, self.std)


@dataclass(frozen=True)
class uniform:
    """The rule of numbers spread evenly over [low, high); low <= high."""

    low: float
    high: float

    def __post_init__(self) -> None:
        check_fields(self, low=finite, high=finite)
        if self.low > self.high:
            raise ValueError(f"high: expected a number >= low, {self.low}, got {self.high}")

    def __call__(self, stream: Stream, shape: Shape, fan_in: int, fan_out: int) -> Any:
        """Draw the numbers."""
        return stream.uniform(shape, self.low, self.high)


@dataclass(frozen=True)
class constant:
    """The rule that sets every number to one value."""

    value: float

    def __post_init__(self) -> None:
        check_fields(self, value=finite)

    def __call__(self, stream: Stream, shape: Shape, fan_in: int, fan_out: int) -> Any:
        """Make the numbers."""
        return stream.uniform(shape, self.value, self.value)


def xavier(stream: Stream, shape: Shape, fan_in: int, fan_out: int) -> Any:
    """Draw normal numbers of standard deviation ``sqrt(1 / fan_in)``: keeps tanh's variance."""
    return stream.normal(shape, math.sqrt(1 / fan_in))


def glorot_uniform(stream: Stream, shape: Shape, fan_in: int, fan_out: int) -> Any:
    """Draw numbers evenly within ``sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio, 2010)."""
    bound = math.sqrt(6 / (fan_in + fan_out))
    return stream.uniform(shape, -bound, bound)


def he(stream: Stream, shape: Shape, fan_in: int, fan_out: int) -> Any:
    """Draw normal numbers of standard deviation ``sqrt(2 / fan_in)``: for ReLU (He, 2015)."""
    return stream.normal(shape, math.sqrt(2 / fan_in))


zeros = constant(0.0)

_BY_NAME: dict[str, Rule] = {
    "glorot_uniform": glorot_uniform,
    "he": he,
    "xavier": xavier,
    "zeros": zeros,
}


@dataclass(frozen=True, repr=False)
class Initializer:
    """What a layer's ``init`` argument stands for.

    Attributes
    ----------
    rule : function
    recorded : str or float
        What a saved network records: the rule's name or number.  A loaded network takes its
        numbers from the file, so a function of one's own is recorded as zeros, not by code.
    """

    rule: Rule
    recorded: str | float = "zeros"

    def __call__(self, stream: Stream, shape: Shape, fan_in: int, fan_out: int) -> Any:
        """Draw the numbers, and look at those of a rule of one's own."""
        values = self.rule(stream, shape, fan_in, fan_out)
        came = tuple(values.shape) if hasattr(values, "shape") else type(values).__name__
        if came != shape:
            raise ValueError(
                f"{stream.path}: expected initial numbers of shape {shape}, got {came} of {self!r}"
            )
        xp = namespace(values)
        if not xp.all(xp.isfinite(values)):
            raise ValueError(f"{stream.path}: expected finite initial numbers, got NaN of {self!r}")
        return values

    def __repr__(self) -> str:
        own = self.recorded == "zeros" and self.rule != zeros
        return repr(self.rule if own else self.recorded)


def initializer(init: Init) -> Initializer:
    """Return the rule that an ``init`` argument stands for; a number is a standard deviation.

    Raises
    ------
    ValueError
        It is neither a known name, nor a number, nor a function.
    """
    return weight_initializer("init", init)


def weight_initializer(name: str, init: Any) -> Initializer:
    """Return the rule of an argument that is about weights: a number is a standard deviation."""
    return _initializer(name, init, normal, "a standard deviation")


def bias_initializer(name: str, init: Any) -> Initializer:
    """Return the rule of an argument that is about biases: a number is the value of them all."""
    return _initializer(name, init, constant, "a value")


def _initializer(
    name: str, init: Any, of_number: Callable[[float], Rule], number: str
) -> Initializer:
    init = plain(init)
    if isinstance(init, Initializer):
        return init
    if callable(init):
        names = (known for known, rule in _BY_NAME.items() if rule is init)
        return Initializer(init, next(names, "zeros"))
    if isinstance(init, str):
        return Initializer(_BY_NAME[one_of(name, init, _BY_NAME)], init)
    try:
        value = finite(name, init)
        return Initializer(of_number(value), value)
    except ValueError:
        raise ValueError(f"{name}: expected a name, {number} or a function, got {init!r}") from None
