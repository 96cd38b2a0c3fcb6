"""Random search: hyper-parameters drawn at random, compared on samples held out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from xpnet import checks
from xpnet.checks import check_fields, positive, whole_number
from xpnet.data import Dataset
from xpnet.random import Stream
from xpnet.training.history import History
from xpnet.training.trainer import DivergedError, Trainer

__all__ = ["LogUniform", "Trial", "random_search"]


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
class Trial:
    """One draw and how it fared.

    Attributes
    ----------
    number : int
        From 0, in the order of the draws.
    values : dict of str to float
        The hyper-parameters.
    accuracy : float
        On the samples held out, after the last epoch; 0 if the loss diverged.
    history : History
        A row for each epoch.
    diverged : bool
        Whether the loss became infinite or NaN.
    """

    number: int
    values: dict[str, float]
    accuracy: float
    history: History
    diverged: bool = False


def random_search(
    make_trainer: Callable[..., Trainer],
    data: Dataset,
    space: Mapping[str, LogUniform],
    trials: int,
    epochs: int,
    batch_size: int = 100,
    *,
    held_out: float = 0.2,
    seed: int = 0,
    report: Callable[[Trial], Any] | None = None,
) -> list[Trial]:
    """Train with hyper-parameters drawn at random; return the trials, the best first.

    Parameters
    ----------
    make_trainer : callable
        Takes the names in ``space`` as keywords and returns a new trainer with a new network.
    data : Dataset
        With labels.
    space : mapping of str to LogUniform
        What is drawn.  A draw depends on seed, name and number alone: more trials leave the first
        as they are.
    trials : int
    epochs : int
        Of each trial.
    batch_size : int
    held_out : float
        The share of the samples, chosen at random, on which trials are compared.
    seed : int
    report : callable, optional
        Called with each trial as it ends.

    Returns
    -------
    list of Trial
        By accuracy; equal ones in the order they were drawn.

    Raises
    ------
    ValueError
        There is nothing to draw, a number is out of range, or the targets are no classes.

    Notes
    -----
    Bergstra and Bengio, "Random search for hyper-parameter optimization", 2012.
    """
    trials, epochs = whole_number("trials", trials, 1), whole_number("epochs", epochs, 1)
    if not space:
        raise ValueError("space: expected at least one range to draw from, got none")
    train, validation = data.split(held_out, seed)
    stream = Stream(seed, "search")
    results = []
    for number in range(trials):
        values = {name: drawn.draw(stream.child(name), number) for name, drawn in space.items()}
        trainer, diverged = make_trainer(**values), False
        try:
            trainer.fit(train, epochs, batch_size, validation=validation)
        except DivergedError:
            diverged = True
        accuracy = 0.0 if diverged else trainer.history["validation_accuracy"][-1]
        if accuracy is None:
            raise ValueError(f"{data.name}: expected samples of classes, these have no accuracy")
        results.append(Trial(number, values, accuracy, trainer.history, diverged))
        if report is not None:
            report(results[-1])
    return sorted(results, key=lambda trial: -trial.accuracy)
