"""Train the book's two-layer networks with plain gradient descent, for 10 000 steps each."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load, trainer_for
from scripts.gallery.harness import Band, mean
from xpnet import models, plots
from xpnet.arrays import Array
from xpnet.book.util import smooth_curve
from xpnet.data import Dataset
from xpnet.random import Stream

ROWS = ("H2", "L5")
TITLE = "two-layer networks with SGD, of ReLUs and of sigmoids: 10 000 steps on mini-batches"

EPOCH = 600
"""Steps that see as many images as there are, 100 at a time."""


class Course(NamedTuple):
    """The loss of each step; and (epochs, training accuracy, test accuracy) now and then."""

    losses: list[float]
    accuracies: list[tuple[float, float, float]]


class Expected(NamedTuple):
    """Bands of means over seeds: of the first and last 100 losses, and of the accuracies."""

    first: Band
    last: Band
    train: Band
    test: Band
    best: float


EXPECTED = {  # of the quick run, and of the whole one
    "relu": (
        Expected((1.85, 2.1), (0.19, 0.27), (0.925, 0.945), (0.925, 0.945), 0.925),
        Expected((1.85, 2.1), (0.06, 0.095), (0.978, 0.984), (0.968, 0.975), 0.97),
    ),
    "sigmoid": (
        Expected((2.29, 2.305), (0.34, 0.43), (0.885, 0.91), (0.885, 0.915), 0.885),
        Expected((2.29, 2.305), (0.165, 0.205), (0.943, 0.953), (0.94, 0.953), 0.944),
    ),
}


def run(demo: harness.Demo) -> None:
    """Train both over seeds; draw the loss of the first seed's steps, and its accuracies."""
    steps = demo.pick(1800, 10_000)
    courses = {}
    for activation, expected in EXPECTED.items():
        seeds = max(demo.seeds, demo.pick(1, {"relu": 5, "sigmoid": 3}[activation]))
        found = [course(demo, activation, demo.seed + k, steps) for k in range(seeds)]
        check(demo, f"784-50-10, {activation}", found, demo.pick(*expected))
        courses[activation] = found[0]
    plots.line_panels(
        {
            "loss of each mini-batch": {
                name: (range(1, steps + 1), one.losses) for name, one in courses.items()
            },
            "smoothed over 11 steps": {
                name: (range(1, steps + 1), smooth_curve(one.losses))
                for name, one in courses.items()
            },
        },
        demo.picture("two_layer_losses"), xlabel="step", ylabel="loss", columns=2,
    )  # fmt: skip
    plots.line_panels(
        {
            f"{name}, SGD, lr .1: test accuracy {one.accuracies[-1][2]:.4f}": {
                part: ([row[0] for row in one.accuracies], [row[k] for row in one.accuracies])
                for k, part in ((1, "train"), (2, "test"))
            }
            for name, one in courses.items()
        },
        demo.picture("two_layer_training"), xlabel="epoch", ylabel="accuracy", columns=2,
        ylim=(0, 1),
    )  # fmt: skip


def check(demo: harness.Demo, name: str, courses: list[Course], expected: Expected) -> None:
    """Hold the means over seeds against their bands."""
    finals = [one.accuracies[-1] for one in courses]
    trains, tests = [final[1] for final in finals], [final[2] for final in finals]
    demo.between(
        f"{name}: loss before any step", mean([one.losses[0] for one in courses]), (2.295, 2.31)
    )
    for words, values, band in (
        (
            "mean loss of the first 100 steps",
            [mean(one.losses[:100]) for one in courses],
            expected.first,
        ),
        ("mean loss of the last 100", [mean(one.losses[-100:]) for one in courses], expected.last),
        ("training accuracy", trains, expected.train),
        ("test accuracy", tests, expected.test),
    ):
        demo.between(f"{name}: {words}", mean(values), band)
    demo.at_least(f"{name}: test accuracy of the best seed", max(tests), expected.best)
    if len(courses) > 1:
        demo.note(f"{name}: test accuracy, range over seeds", [min(tests), max(tests)])


def course(demo: harness.Demo, activation: str, seed: int, steps: int) -> Course:
    """Train on mini-batches drawn with replacement, as chance has it."""
    train, test = load(demo.data_dir)
    net = models.mlp((50,), activation=activation, init=0.01, seed=seed)
    trainer = trainer_for(demo, net, xpnet.SGD(lr=0.1), seed=seed)
    draw = mini_batches(train.to(demo.device), seed)
    losses, accuracies = [], []
    for step in range(steps + 1):
        if step % EPOCH == 0 or step == steps:
            known, unknown = (harness.accuracy(trainer.evaluate(data)) for data in (train, test))
            accuracies.append((step / EPOCH, known, unknown))
        if step < steps:
            losses.append(trainer.step(*draw(step))[0])
    return Course([float(loss) for loss in losses], accuracies)


def mini_batches(data: Dataset, seed: int) -> Callable[[int], tuple[Array, Array]]:
    """Return what draws 100 samples for a step, each from all of them."""
    stream = Stream(seed, "mini-batches")

    def draw(step: int) -> tuple[Array, Array]:
        chosen = data.select(stream.generator(step).choice(len(data), 100))
        return chosen.x, chosen.t

    return draw


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
