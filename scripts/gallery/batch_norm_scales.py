"""Train with and without batch normalisation: from sixteen scales of weights, and at high rates."""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load, trainer_for
from xpnet import models, plots
from xpnet.data import Dataset
from xpnet.training import DivergedError

ROWS = ("H6", "L9")
TITLE = "batch normalisation against none: weights of many scales, and higher rates"

WORDS = {True: "batch normalisation", False: "none"}


class Course(NamedTuple):
    """The training accuracy after each epoch, and whether the loss diverged after the last."""

    accuracies: list[float]
    diverged: bool

    @property
    def line(self) -> tuple[range, list[float]]:
        """What is drawn: as far as it was measured."""
        return range(1, len(self.accuracies) + 1), self.accuracies


def run(demo: harness.Demo) -> None:
    """Train a 784-100x5-10 network on 1000 images from each scale, then at four rates."""
    train = load(demo.data_dir)[0].take(1000)
    from_scales(demo, train)
    at_rates(demo, train)


def from_scales(demo: harness.Demo, train: Dataset) -> None:
    """Compare both ways from each scale of initial weights, at a rate of .01."""
    scales = np.logspace(0, -4, demo.pick(4, 16)).tolist()
    epochs = demo.pick(8, 20)
    panels, finals = {}, []
    for scale in scales:
        courses = {bn: course(demo, train, epochs, init=scale, batch_norm=bn) for bn in WORDS}
        finals.append([one.accuracies[-1] for one in courses.values()])
        words = " (without: diverged)" if courses[False].diverged else ""
        demo.note(f"final accuracy from scale {scale:.2g}, with and without{words}", finals[-1])
        panels[f"weights' std {scale:.2g}{words}"] = {
            WORDS[bn]: one.line for bn, one in courses.items()
        }
    better = sum(a > b for a, b in finals)
    demo.at_least(f"scales of {len(scales)} from which it ends higher", better, demo.pick(3, 12))
    for k, bn in enumerate(WORDS):
        reached = sum(final[k] >= 0.8 for final in finals)
        demo.note(f"scales from which {WORDS[bn]} reaches .8", reached)
    demo.note("the best final accuracy with it", max(a for a, _ in finals))
    demo.at_most("final accuracy without it from the smallest scale", finals[-1][1], 0.2)
    plots.line_panels(
        panels, demo.picture("batch_norm_scales"), xlabel="epoch", ylabel="training accuracy",
        ylim=(0, 1.03),
    )  # fmt: skip


def at_rates(demo: harness.Demo, train: Dataset) -> None:
    """Compare both ways from He's weights, at rates that rise tenfold."""
    epochs = demo.pick(8, 20)
    panels = {}
    for lr in (0.01, 0.1, 1.0):
        courses = {bn: course(demo, train, epochs, lr=lr, batch_norm=bn) for bn in WORDS}
        for bn, one in courses.items():
            words = ", diverged" if one.diverged else ""
            demo.note(f"lr {lr:g}, {WORDS[bn]}: final accuracy{words}", one.accuracies[-1])
        words = " (without: diverged)" if courses[False].diverged else ""
        panels[f"lr {lr:g}{words}"] = {WORDS[bn]: one.line for bn, one in courses.items()}
    learned, failed = courses[True].accuracies[-1], courses[False].accuracies[-1]
    demo.at_least("lr 1 with batch normalisation: final accuracy", learned, 0.9)
    demo.at_most("lr 1 without: final accuracy", failed, 0.5)
    plots.line_panels(
        panels, demo.picture("batch_norm_rates"), xlabel="epoch", ylabel="training accuracy",
        ylim=(0, 1.03), columns=3,
    )  # fmt: skip


def course(
    demo: harness.Demo,
    train: Dataset,
    epochs: int,
    *,
    batch_norm: bool,
    init: str | float = "he",
    lr: float = 0.01,
) -> Course:
    """Train; return what was measured, of a diverged network too."""
    net = models.mlp((100,) * 5, init=init, batch_norm=batch_norm, seed=demo.seed)
    trainer, diverged = trainer_for(demo, net, xpnet.SGD(lr=lr)), False
    # Weights of a large scale overflow on their way to a diverged loss: that is the point.
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            trainer.fit(train, epochs, 100, validation=train)
        except DivergedError:
            diverged = True
        found = list(trainer.history["validation_accuracy"])
        if diverged:
            found.append(harness.accuracy(trainer.evaluate(train)))
    return Course(found, diverged)


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
