"""Learning-rate schedules: what the rate is multiplied by, as a function of the step.

A schedule is a function ``(step, total) -> factor``, ``step`` counting from 0 to ``total - 1``.
It has no state, so a run resumes in the middle of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from xpnet.checks import check_fields, function, names_in, not_negative, number, one_of

__all__ = ["NAMES", "Schedule", "constant", "cosine", "one_cycle", "schedule", "step", "warmup"]

Schedule: TypeAlias = Callable[[int, int], float]


@dataclass(frozen=True)
class constant:
    """The schedule that leaves the rate alone."""

    def __call__(self, step: int, total: int) -> float:
        """Return 1."""
        return 1.0


@dataclass(frozen=True)
class step:
    """The schedule that multiplies the rate by ``factor`` after each share of the run.

    Parameters
    ----------
    every : float
        The share of all steps between two drops, 0 < every <= 1.
    factor : float
    """

    every: float = 1 / 3
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_fields(
            self, every=_share("0 < every <= 1", lambda x: 0 < x <= 1), factor=not_negative
        )

    def __call__(self, step: int, total: int) -> float:
        """Return the factor of a step."""
        # A step on the border belongs to what comes after it, whatever rounding says.
        return self.factor ** math.floor(step / (self.every * total) + 1e-9)


@dataclass(frozen=True)
class cosine:
    """The schedule that falls from 1 to ``last`` along half a cosine wave.

    Loshchilov and Hutter, "SGDR", 2017.
    """

    last: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, last=not_negative)

    def __call__(self, step: int, total: int) -> float:
        """Return the factor of a step."""
        return self.last + (1 - self.last) * _half_wave(step / max(total - 1, 1))


@dataclass(frozen=True)
class one_cycle:
    """The schedule that rises to 1 and falls to next to nothing, along cosine waves.

    Parameters
    ----------
    peak : float
        The share of the run after which the rate is at its highest, 0 <= peak < 1.
    first, last : float
        The factors at the start and at the end.

    Notes
    -----
    Smith and Topin, "Super-convergence", 2018.
    """

    peak: float = 0.3
    first: float = 1 / 25
    last: float = 1e-4

    def __post_init__(self) -> None:
        peak = _share("0 <= peak < 1", lambda x: 0 <= x < 1)
        check_fields(self, peak=peak, first=not_negative, last=not_negative)

    def __call__(self, step: int, total: int) -> float:
        """Return the factor of a step."""
        done, peak, last = step / max(total - 1, 1), self.peak, self.last
        if done < peak:
            return 1 - (1 - self.first) * _half_wave(done / peak)
        return last + (1 - last) * _half_wave((done - peak) / (1 - peak))


@dataclass(frozen=True)
class warmup:
    """The schedule that rises evenly to 1 during a share of the run, then follows another.

    Parameters
    ----------
    share : float
        0 < share < 1.
    then : Schedule, optional
        What follows, over the steps that are left; by default the rate stays.
    """

    share: float = 0.05
    then: Schedule | None = None

    def __post_init__(self) -> None:
        check_fields(self, share=_share("0 < share < 1", lambda x: 0 < x < 1))
        if self.then is not None:
            check_fields(self, then=partial(function, of="(step, total)"))

    def __call__(self, step: int, total: int) -> float:
        """Return the factor of a step."""
        # Whole shares stay whole, whatever rounding says.
        rising = math.ceil(self.share * total - 1e-9)
        if step < rising:
            return (step + 1) / rising
        return self.then(step - rising, total - rising) if self.then else 1.0


def _share(words: str, fits: Callable[[float], bool]) -> Callable[[str, Any], float]:
    """Return the check of a share of the run."""
    return partial(number, fits=fits, expected=f"a share of the run, {words}")


def _half_wave(done: float) -> float:
    """Fall from 1 to 0 as ``done`` goes from 0 to 1."""
    return (1 + math.cos(math.pi * done)) / 2


_BY_NAME: dict[str, Callable[[], Schedule]] = {
    "constant": constant,
    "step": step,
    "cosine": cosine,
    "one-cycle": one_cycle,
    "warmup": warmup,
}

NAMES = tuple(_BY_NAME)
"""The names that :func:`schedule` knows."""


def schedule(name: str) -> Schedule:
    """Return the schedule of a name, with its defaults.

    Raises
    ------
    ValueError
        The name is not one of ``NAMES``.
    """
    return _BY_NAME[one_of("schedule", name, NAMES)]()


if not TYPE_CHECKING:  # which knows the names, and would know all with this
    __getattr__ = names_in(__name__, __all__)
