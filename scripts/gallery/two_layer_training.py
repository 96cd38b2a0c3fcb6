"""Train the book's two-layer network, 784-50-10, with plain gradient descent."""

from __future__ import annotations

import itertools
import sys

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load, trainer_for
from xpnet import models, plots
from xpnet.data import Batches

ROWS = ("H2",)
TITLE = "a two-layer network with SGD: 10 000 steps"
EPOCH = 600
"""Steps that see all 60 000 images, 100 at a time."""


def run(demo: harness.Demo) -> None:
    """Train over seeds; draw the first seed's accuracy at every epoch."""
    steps = demo.pick(1800, 10_000, 10_000)
    seeds = max(demo.seeds, demo.pick(1, 3, 5))
    curves = [accuracies(demo, seed, steps) for seed in range(demo.seed, demo.seed + seeds)]
    finals = [curve[-1] for curve in curves]
    for seed, (_, train, test) in enumerate(finals, demo.seed):
        demo.note(f"train and test accuracy, seed {seed}", [train, test])
    trains, tests = ([final[k] for final in finals] for k in (1, 2))
    mean = sum(tests) / seeds
    demo.note("test accuracy, range over seeds", [min(tests), max(tests)])
    for name, value, least in (
        ("test accuracy, mean", mean, demo.pick(0.92, 0.968, 0.968)),
        ("test accuracy, best", max(tests), demo.pick(0.92, 0.970, 0.970)),
        ("train accuracy, mean", sum(trains) / seeds, demo.pick(0.92, 0.978, 0.978)),
    ):
        demo.figure(name, value, f"at least {least}", value >= least)
    epochs, *both = zip(*curves[0], strict=True)
    plots.line_panels(
        {
            f"784-50-10, SGD, lr .1: test accuracy {finals[0][2]:.4f}": {
                name: (epochs, values) for name, values in zip(("train", "test"), both, strict=True)
            }
        },
        demo.picture("two_layer_training"),
        xlabel="epoch",
        ylabel="accuracy",
        ylim=(0, 1),
    )


def accuracies(demo: harness.Demo, seed: int, steps: int) -> list[tuple[float, float, float]]:
    """Train for a number of steps; return (epochs, train, test accuracy) before and as it goes."""
    train, test = load(demo.data_dir)
    net = models.mlp((50,), init=0.01, seed=seed)
    trainer = trainer_for(demo, net, xpnet.SGD(lr=0.1), seed=seed)
    batches = Batches(train, 100, device=demo.device, seed=seed)
    endless = itertools.chain.from_iterable(map(batches.epoch, itertools.count()))

    def now(step: int) -> tuple[float, float, float]:
        known, unknown = (harness.accuracy(trainer.evaluate(data)) for data in (train, test))
        return step / EPOCH, known, unknown

    found = [now(0)]
    for step, (x, t) in enumerate(itertools.islice(endless, steps), 1):
        trainer.step(x, t)
        if step % EPOCH == 0 or step == steps:
            found.append(now(step))
    return found


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
