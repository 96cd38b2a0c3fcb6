"""Searches that are killed and made again, in processes of their own.

python -m tests.training.searches KIND            prints a digest of all that came of one
python -m tests.training.searches KIND FOLDER K   goes on in a folder, and is killed at the
                                                  K-th change of the disk, or the K-th step
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import xpnet
from tests.faults import faults
from xpnet import layers, schedules
from xpnet.arrays import to_numpy
from xpnet.data import Dataset
from xpnet.random import Stream
from xpnet.training import (
    AveragedWeights,
    Callback,
    EarlyStopping,
    Integers,
    LogUniform,
    ReduceLROnPlateau,
    SuccessiveHalving,
    Trial,
    Uniform,
    random_search,
)
from xpnet.training import trials as files

SPACE = {
    "hidden": Integers(2, 20, log=True),
    "lr": LogUniform(1e-3, 0.3),
    "rate": Uniform(0, 0.5),
    "rule": [xpnet.SGD, xpnet.Adam],
}


def made(outputs: int, loss: xpnet.losses.Loss, *callbacks: Any) -> Callable[..., xpnet.Trainer]:
    """Return what makes trainers with all that a run may remember; classes are made each time."""

    def make(hidden: int, lr: float, rate: float, rule: Any) -> xpnet.Trainer:
        inner = [layers.Linear(hidden), layers.BatchNorm(), layers.ReLU(), layers.Dropout(rate)]
        net = xpnet.Sequential([*inner, layers.Linear(outputs)], input_shape=(4,))
        own = [one() if isinstance(one, type | partial) else one for one in callbacks]
        return xpnet.Trainer(net, loss, rule(lr=lr), schedule=schedules.one_cycle(), callbacks=own)

    return make


def samples(n: int = 40) -> np.ndarray:
    return Stream(0, "x").normal((n, 4))


def labels() -> Dataset:
    t = np.arange(40) % 2
    return Dataset(samples() + t[:, None], t, classes=2)


def numbers() -> Dataset:
    return Dataset(samples(), samples() @ np.ones((4, 2)))


class Stops(Callback):
    """The end of some fits as trials are compared, of which the callback remembers nothing."""

    def epoch_ends(self, trainer: xpnet.Trainer, row: dict[str, Any]) -> None:
        if row["epoch"] == 2 and trainer.optimizer.lr < 0.02:
            trainer.stop()


STEERED = [
    AveragedWeights,
    partial(EarlyStopping, 2),
    partial(ReduceLROnPlateau, patience=1),
    Stops,
]

HALVING = {"epochs": 5, "halving": SuccessiveHalving(2)}
KINDS: dict[str, dict[str, Any]] = {
    "classification": {"epochs": 3},
    "classification, halving": HALVING,
    "classification, halving, steered": HALVING | {"epochs": 9, "metric": "validation_loss"},
    "regression, halving, folds": HALVING | {"folds": 2, "metric": "validation_loss"},
    "regression": {"epochs": 3, "metric": "validation_mean_absolute_error"},
}
"""What else searches are given."""

TRIALS = 5


def searched(kind: str, *callbacks: Callback, **given: Any) -> list[Trial]:
    """Return the trials of a search."""
    regression = kind.startswith("regression")
    loss = xpnet.SquaredError() if regression else xpnet.SoftmaxCrossEntropy()
    steered = STEERED if "steered" in kind else []
    make, data = made(2, loss, *steered, *callbacks), numbers() if regression else labels()
    given = KINDS[kind] | given
    return random_search(make, data, SPACE, TRIALS, batch_size=10, seed=3, **given)


def told(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return all of some trials but the time they took."""
    return [
        {name: value for name, value in vars(trial).items() if name not in ("net", "histories")}
        | {"histories": [rows(history) for history in trial.histories]}
        for trial in trials
    ]


def rows(history: xpnet.training.History) -> list[dict[str, Any]]:
    """Return a history without the time that its epochs took."""
    return [{k: v for k, v in row.items() if "second" not in k} for row in history]


def digest(trials: Sequence[Trial]) -> str:
    """Return what tells the trials of a search, and the best network, from others."""
    found = hashlib.sha256(repr(told(trials)).encode())
    net = trials[0].net
    for name, array in sorted({**net.params, **net.state}.items()) if net else []:
        found.update(name.encode() + to_numpy(array).tobytes())
    return found.hexdigest()


def whole(**given: Any) -> str:
    """Return the digest of a search of each kind."""
    digests = "".join(digest(searched(kind, **given)) for kind in KINDS)
    return hashlib.sha256(digests.encode()).hexdigest()


class KillAtStep(Callback):
    """The end of the process, at a step of all that it makes."""

    def __init__(self, step: int) -> None:
        self.left = step

    def step_ends(self, trainer: xpnet.Trainer) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(kind: str, folder: Path, what: str, k: int) -> bool:
    """Go on with a search in a process that is killed; return False if it came to its end."""
    process = os.fork()
    if process == 0:
        kills = [KillAtStep(k)] if what == "step" else []
        with faults(k if what == "change" else 0, lambda: os.kill(os.getpid(), signal.SIGKILL)):
            searched(kind, *kills, folder=folder)
        os._exit(0)
    _, status = os.waitpid(process, 0)
    if status not in (0, signal.SIGKILL):
        raise SystemExit(status)
    return status != 0


def main(kind: str, folder: Path) -> None:
    whole = digest(
        searched(kind)
    )  # first: what is loaded and compiled for it is there in all forks
    files.EVERY_SECONDS = 1e-9  # a checkpoint after each step
    when = [("step", k) for k in (1, 4, 5, 9, 17)] + [("change", k) for k in (1, 2, 5, 14, 23, 41)]
    count = sum(
        killed(kind, folder, *instant) for instant in sorted(when, key=lambda pair: pair[1])
    )
    print(count, digest(searched(kind, folder=folder)), whole)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
