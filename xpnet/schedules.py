"""Learning-rate schedules: what the rate is multiplied by, as a function of the step.

A schedule is a function ``(step, total) -> factor``, ``step`` counting from 0 to ``total - 1``.
It has no state, so a run resumes in the middle of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["NAMES", "Schedule", "constant", "cosine", "one_cycle", "schedule", "step", "warmup"]

Schedule: TypeAlias = Callable[[int, int], float]


def constant() -> Schedule:
    """Return the schedule that leaves the rate alone."""
    return lambda step, total: 1.0


def step(every: float = 1 / 3, factor: float = 0.1) -> Schedule:
    """Return the schedule that multiplies the rate by ``factor`` after each share of the run.

    Parameters
    ----------
    every : float
        The share of all steps between two drops, 0 < every <= 1.
    factor : float
    """
    if not 0 < every <= 1:
        raise ValueError(f"every: expected a share of the run, 0 < every <= 1, got {every!r}")
    # A step on the border belongs to what comes after it, whatever rounding says.
    return lambda step, total: factor ** math.floor(step / (every * total) + 1e-9)


def cosine(last: float = 0.0) -> Schedule:
    """Return the schedule that falls from 1 to ``last`` along half a cosine wave.

    Loshchilov and Hutter, "SGDR", 2017.
    """
    return lambda step, total: last + (1 - last) * _half_wave(step / max(total - 1, 1))


def one_cycle(peak: float = 0.3, first: float = 1 / 25, last: float = 1e-4) -> Schedule:
    """Return the schedule that rises to 1 and falls to next to nothing, along cosine waves.

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
    if not 0 <= peak < 1:
        raise ValueError(f"peak: expected a share of the run, 0 <= peak < 1, got {peak!r}")

    def factor(step: int, total: int) -> float:
        done = step / max(total - 1, 1)
        if done < peak:
            return 1 - (1 - first) * _half_wave(done / peak)
        return last + (1 - last) * _half_wave((done - peak) / (1 - peak))

    return factor


def warmup(share: float = 0.05, then: Schedule | None = None) -> Schedule:
    """Return the schedule that rises evenly to 1 during a share of the run, then follows another.

    Parameters
    ----------
    share : float
        0 < share < 1.
    then : Schedule, optional
        What follows, over the steps that are left; by default the rate stays.
    """
    if not 0 < share < 1:
        raise ValueError(f"share: expected a share of the run, 0 < share < 1, got {share!r}")
    after = then or constant()

    def factor(step: int, total: int) -> float:
        rising = math.ceil(share * total - 1e-9)  # whole shares stay whole, whatever rounding says
        if step < rising:
            return (step + 1) / rising
        return after(step - rising, total - rising)

    return factor


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
    if name not in _BY_NAME:
        raise ValueError(f"schedule: expected one of {', '.join(NAMES)}, got {name!r}")
    return _BY_NAME[name]()
