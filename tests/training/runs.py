"""Runs of many kinds, made in processes of their own: whole, interrupted, and gone on with.

    python -m tests.training.runs whole FOLDER        each run from its beginning to its end
    python -m tests.training.runs interrupt FOLDER    each until Ctrl-C, twice: at an epoch's end,
                                                      and in the middle of one
    python -m tests.training.runs resume FOLDER       each from its checkpoints to its end

Whole and resumed runs print a digest of all that training made of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import signal
import sys
from pathlib import Path

import numpy as np

from xpnet import models, optimizers, schedules
from xpnet.arrays import to_numpy
from xpnet.data import Dataset
from xpnet.devices import Device
from xpnet.losses import SoftmaxCrossEntropy
from xpnet.training import Callback, Checkpoint, Trainer

RULES = [name for name in optimizers.__all__ if name != "Optimizer"]
KINDS = dict.fromkeys(
    [
        *((model, "Adam", "one-cycle") for model in models.BY_NAME),
        *(("mlp", rule, "one-cycle") for rule in RULES),
        *(("mlp", "Adam", schedule) for schedule in schedules.NAMES),
    ]
)
"""Each model, each optimizer and each schedule, once at least."""

EPOCHS, STEPS = 2, 4
WHERE = {"end": STEPS, "middle": STEPS + 2}
"""The steps after which runs are interrupted."""


class CtrlC(Callback):
    """Ctrl-C as a step or an epoch ends."""

    def __init__(self, where: str) -> None:
        self.where = where

    def step_ends(self, trainer: Trainer) -> None:
        if self.where == "middle" and trainer.optimizer.steps == WHERE["middle"]:
            signal.raise_signal(signal.SIGINT)

    def epoch_ends(self, trainer: Trainer, row: object) -> None:
        if self.where == "end" and trainer.optimizer.steps == WHERE["end"]:
            signal.raise_signal(signal.SIGINT)


def made(kind: tuple[str, str, str], place: Device | str = "cpu", *callbacks: Callback) -> Trainer:
    """Return the trainer of a kind of run."""
    model, rule, schedule = kind
    return Trainer(
        models.BY_NAME[model](input_shape=(1, 28, 28), classes=3, seed=1).to(place),
        SoftmaxCrossEntropy(),
        getattr(optimizers, rule)(lr=0.003, weight_decay=0.01),
        schedule=schedules.schedule(schedule),
        callbacks=callbacks,
        seed=2,
    )


def fit(trainer: Trainer) -> None:
    rng = np.random.default_rng(0)
    t = np.arange(15) % 3
    train = Dataset(rng.integers(0, 256, (15, 1, 28, 28), np.uint8), t, classes=3)
    trainer.fit(train, EPOCHS, 4, validation=train.take(3))


def digest(trainer: Trainer) -> str:
    """Return what tells a trained network, its optimizer and its history from others."""
    found = hashlib.sha256()
    arrays = {**trainer.net.params, **trainer.net.state, **trainer.optimizer.state()}
    for name, array in sorted(arrays.items()):
        found.update(name.encode() + to_numpy(array).tobytes())
    rows = [{k: v for k, v in row.items() if "second" not in k} for row in trainer.history]
    found.update(repr(rows).encode())
    return found.hexdigest()


def whole(kind: tuple[str, str, str], place: Device | str = "cpu") -> str:
    trainer = made(kind, place)
    fit(trainer)
    return digest(trainer)


def interrupt(
    kind: tuple[str, str, str], where: str, folder: Path, place: Device | str = "cpu"
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    trainer = made(kind, place, Checkpoint(folder / "-".join((*kind, where))), CtrlC(where))
    with contextlib.suppress(KeyboardInterrupt):
        fit(trainer)
    assert trainer.optimizer.steps == WHERE[where]


def resume(
    kind: tuple[str, str, str], where: str, folder: Path, place: Device | str = "cpu"
) -> str:
    trainer = made(kind, place)
    trainer.restore(folder / "-".join((*kind, where)))
    assert trainer.optimizer.steps == WHERE[where]
    fit(trainer)
    return digest(trainer)


def main(what: str, folder: Path) -> None:
    for kind in KINDS:
        found = whole(kind) if what == "whole" else ""
        for where in WHERE:
            if what == "whole":
                print(*kind, where, found)
            elif what == "interrupt":
                interrupt(kind, where, folder)
            else:
                print(*kind, where, resume(kind, where, folder))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
