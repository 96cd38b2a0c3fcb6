"""What hyper-parameters are drawn from: ranges and choices."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from xpnet.checks import came, check_fields, finite, flag, number, plain, positive, whole_number
from xpnet.random import Stream

__all__ = ["Choice", "Integers", "LogUniform", "Range", "Space", "Uniform", "in_words"]


@dataclass(frozen=True)
class Uniform:
    """A range of numbers, each of which is equally likely.

    Parameters
    ----------
    low, high : float
        low < high.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        check_fields(self, low=finite)
        check_fields(self, high=partial(_above, self.low))

    def draw(self, stream: Stream, number: int) -> float:
        """Return the draw of a trial, a function of the stream and the trial's number."""
        return float(stream.generator(number).uniform(self.low, self.high))


@dataclass(frozen=True)
class LogUniform:
    """A range of numbers, each order of magnitude of which is equally likely.

    Parameters
    ----------
    low, high : float
        0 < low < high.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        check_fields(self, low=positive)
        check_fields(self, high=partial(_above, self.low))

    def draw(self, stream: Stream, number: int) -> float:
        """Return the draw of a trial, a function of the stream and the trial's number."""
        drawn = stream.generator(number).uniform(math.log(self.low), math.log(self.high))
        return math.exp(drawn)


@dataclass(frozen=True)
class Integers:
    """A range of whole numbers, each of which is equally likely.

    Parameters
    ----------
    low, high : int
        The least and the greatest of them: 0 <= low < high.
    log : bool
        Whether each order of magnitude is equally likely instead; low is at least 1 then.
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        check_fields(self, log=flag)
        check_fields(self, low=partial(whole_number, least=int(self.log)))
        check_fields(self, high=partial(whole_number, least=self.low + 1))

    def draw(self, stream: Stream, number: int) -> int:
        """Return the draw of a trial, a function of the stream and the trial's number."""
        generator = stream.generator(number)
        if not self.log:
            return int(generator.integers(self.low, self.high, endpoint=True))
        drawn = math.exp(generator.uniform(math.log(self.low), math.log(self.high + 1)))
        return min(max(int(drawn), self.low), self.high)  # exp(log(8)) is 7.99...


@dataclass(frozen=True)
class Choice:
    """Some values, each of which is equally likely.

    Parameters
    ----------
    values : sequence
        At least one.
    """

    values: tuple[Any, ...]

    def draw(self, stream: Stream, number: int) -> Any:
        """Return the draw of a trial, a function of the stream and the trial's number."""
        return self.values[int(stream.generator(number).integers(len(self.values)))]


Range = Uniform | LogUniform | Integers | Choice


class Space:
    """Ranges by the names of hyper-parameters.

    Parameters
    ----------
    space : mapping of str to a range, or to a list of choices
    seed : int
        A draw is a function of seed, name and the trial's number.

    Raises
    ------
    ValueError
        There is nothing to draw from.
    TypeError
        There is something else than a range or choices to draw from.
    """

    def __init__(self, space: Mapping[str, Range | Sequence[Any]], seed: int) -> None:
        if not isinstance(space, Mapping):
            raise TypeError(
                f"space: expected a mapping such as {{'lr': LogUniform(1e-4, 1)}}, got {space!r}"
            )
        if not space:
            raise ValueError("space: expected at least one range to draw from, got none")
        self.ranges = {name: _range(name, given) for name, given in space.items()}
        self._stream = Stream(seed, "search")

    def draw(self, number: int) -> dict[str, Any]:
        """Return the values of a trial by name."""
        return {
            name: drawn.draw(self._stream.child(name), number)
            for name, drawn in self.ranges.items()
        }

    def described(self) -> dict[str, str]:
        """Return each range in words that are the same in every process."""
        ranges = {f"space.{name}": in_words(drawn) for name, drawn in self.ranges.items()}
        return {"space": ", ".join(sorted(self.ranges)), **ranges}


def in_words(value: Any) -> str:
    """Return the repr of a value without addresses in memory."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _above(low: float, name: str, value: Any) -> float:
    return number(name, value, lambda x: x > low, f"a number above low, {low}")


def _range(name: str, given: Any) -> Range:
    if isinstance(given, Range):
        return given
    if not isinstance(given, (list, tuple, range)) and getattr(given, "ndim", 0) != 1:
        raise TypeError(
            f"space: expected LogUniform(low, high) or a list of choices for {name!r}, "
            f"got {came(given)}"
        )
    if len(given) == 0:
        raise ValueError(f"space: expected at least one choice for {name!r}, got none")
    return Choice(tuple(map(plain, given)))
