"""Random search: hyper-parameters drawn at random, compared on samples held out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from xpnet import checks
from xpnet.checks import (
    arguments,
    check_fields,
    function,
    plain,
    positive,
    takes_exactly,
    whole_number,
)
from xpnet.data import Dataset
from xpnet.random import Stream
from xpnet.training.history import History
from xpnet.training.prepare import answers, check_dataset
from xpnet.training.trainer import DivergedError, Trainer

__all__ = ["Choice", "LogUniform", "Trial", "random_search"]


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
        words = f"a number above low, {self.low}"
        check_fields(self, high=partial(checks.number, fits=lambda x: x > self.low, expected=words))

    def draw(self, stream: Stream, number: int) -> float:
        """Return the draw of a trial, a function of the stream and the trial's number."""
        drawn = stream.generator(number).uniform(math.log(self.low), math.log(self.high))
        return math.exp(drawn)


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


@dataclass(frozen=True)
class Trial:
    """One draw and how it fared.

    Attributes
    ----------
    number : int
        From 0, in the order of the draws.
    values : dict
        The hyper-parameters by name.
    accuracy : float or None
        On the samples held out, after the last epoch; 0 if the loss diverged, None where answers
        are neither right nor wrong.
    history : History
        A row for each epoch.
    diverged : bool
        Whether the loss became infinite or NaN.
    loss : float
        On the samples held out, after the last epoch; infinite if the loss diverged.
    """

    number: int
    values: dict[str, Any]
    accuracy: float | None
    history: History
    diverged: bool = False
    loss: float = math.inf

    @property
    def score(self) -> float:
        """What trials are ranked by: the accuracy, the higher the better, or else the loss."""
        return self.loss if self.accuracy is None else self.accuracy

    @property
    def scored_by(self) -> str:
        """The column of the history that the score is from."""
        return "validation_loss" if self.accuracy is None else "validation_accuracy"


@arguments("write random_search(make_trainer, data, space, trials=..., epochs=...)")
def random_search(
    make_trainer: Callable[..., Trainer],
    data: Dataset,
    space: Mapping[str, LogUniform | Sequence[Any]],
    trials: int,
    epochs: int,
    batch_size: int = 100,
    *,
    held_out: float = 0.2,
    validation: Dataset | None = None,
    seed: int = 0,
    report: Callable[[Trial], Any] | None = None,
) -> list[Trial]:
    """Train with hyper-parameters drawn at random; return the trials, the best first.

    Parameters
    ----------
    make_trainer : callable
        Takes the names in ``space`` as keywords and returns a new trainer with a new network.
    data : Dataset
        With labels, or numbers to come near to.
    space : mapping of str to LogUniform, or to a list of choices
        What is drawn.  A draw depends on seed, name and number alone: more trials leave the first
        as they are.
    trials : int
    epochs : int
        Of each trial.
    batch_size : int
    held_out : float
        The share of the samples, chosen at random, on which trials are compared.
    validation : Dataset, optional
        The samples on which trials are compared; all of ``data`` is trained on then.
    seed : int
    report : callable, optional
        Called with each trial as it ends.

    Returns
    -------
    list of Trial
        The highest accuracy first; where answers are neither right nor wrong, the lowest loss;
        equal ones in the order they were drawn, and those that diverged last.

    Raises
    ------
    ValueError
        There is nothing to draw, or a number is out of range.
    TypeError
        There is something else than a range or choices to draw from, or ``make_trainer`` makes
        something else than a new trainer with a new network.

    Notes
    -----
    Bergstra and Bengio, "Random search for hyper-parameter optimization", 2012.
    """
    function("make_trainer", make_trainer, "the names in space that returns a Trainer")
    if report is not None:
        function("report", report, "a Trial")
    trials, epochs = whole_number("trials", trials, 1), whole_number("epochs", epochs, 1)
    seed = whole_number("seed", seed)
    check_dataset("random_search", data)
    if not isinstance(space, Mapping):
        raise TypeError(
            f"space: expected a mapping such as {{'lr': LogUniform(1e-4, 1)}}, got {space!r}"
        )
    if not space:
        raise ValueError("space: expected at least one range to draw from, got none")
    ranges = {name: _range(name, given) for name, given in space.items()}
    given = takes_exactly(make_trainer, 0, ranges)
    if given is not None:
        raise TypeError(
            f"make_trainer: expected a function that takes {', '.join(ranges)} by name, as space "
            f"has them, got one of {given}"
        )
    train, compared = data.split(held_out, seed) if validation is None else (data, validation)
    stream = Stream(seed, "search")
    results: list[Trial] = []
    trainer = None
    for number in range(trials):
        values = {name: drawn.draw(stream.child(name), number) for name, drawn in ranges.items()}
        trainer = _new(make_trainer(**values), trainer)
        diverged = False
        try:
            trainer.fit(train, epochs, batch_size, validation=compared)
        except DivergedError:
            diverged = True
        results.append(_trial(number, values, trainer, diverged, compared))
        if report is not None:
            report(results[-1])
    return sorted(results, key=_rank)


def _trial(
    number: int, values: dict[str, Any], trainer: Trainer, diverged: bool, compared: Dataset
) -> Trial:
    if diverged:  # perhaps before there was a row to tell what is measured
        given = answers(trainer.net, trainer.loss, compared)
        accuracy = 0.0 if given is not None and given.right_or_wrong else None
        return Trial(number, values, accuracy, trainer.history, diverged)
    row = trainer.history[-1]
    accuracy, loss = row["validation_accuracy"], row["validation_loss"]
    return Trial(number, values, accuracy, trainer.history, loss=loss)


def _rank(trial: Trial) -> tuple[bool, float]:
    """Return what sorts the best trial first."""
    cost = trial.loss if trial.accuracy is None else -trial.accuracy
    return trial.diverged, math.inf if math.isnan(cost) else cost


def _range(name: str, given: Any) -> LogUniform | Choice:
    if isinstance(given, (LogUniform, Choice)):
        return given
    if not isinstance(given, (list, tuple, range)) and getattr(given, "ndim", 0) != 1:
        raise TypeError(
            f"space: expected LogUniform(low, high) or a list of choices for {name!r}, "
            f"got {given!r}"
        )
    if len(given) == 0:
        raise ValueError(f"space: expected at least one choice for {name!r}, got none")
    return Choice(tuple(map(plain, given)))


def _new(made: Any, previous: Trainer | None) -> Trainer:
    if not isinstance(made, Trainer):
        raise TypeError(f"make_trainer: expected it to return a Trainer, got {made!r}")
    if made.epoch or (previous is not None and made.net is previous.net):
        raise TypeError(
            "make_trainer: expected a new trainer with a new network for each trial, got one "
            "that was trained before: make both within the function"
        )
    return made
