"""What the demonstrations on MNIST share: the data, a number of steps, runs over seeds."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import xpnet
from scripts.gallery.harness import Band, Demo, accuracy, mean
from xpnet import models, plots, schedules
from xpnet.data import Batches, Dataset
from xpnet.training import History


@functools.cache
def load(data_dir: str | None) -> tuple[Dataset, Dataset]:
    """Return MNIST's training and test images, read once for all demonstrations of a run."""
    return xpnet.data.load("mnist", data_dir)


def trainer_for(
    demo: Demo,
    net: xpnet.Sequential,
    optimizer: xpnet.optimizers.Optimizer,
    schedule: schedules.Schedule | None = None,
    seed: int | None = None,
) -> xpnet.Trainer:
    """Return a trainer of a classifier on the demonstration's device."""
    return xpnet.Trainer(
        net.to(demo.device),
        xpnet.SoftmaxCrossEntropy(),
        optimizer,
        schedule=schedule,
        seed=demo.seed if seed is None else seed,
    )


def make_steps(trainer: xpnet.Trainer, data: Dataset, batch_size: int, count: int) -> list[float]:
    """Make a number of updates, in as many epochs as they fill; return the loss of each."""
    batches = Batches(data, batch_size, device=trainer.net.device, seed=trainer.seed)
    endless = itertools.chain.from_iterable(map(batches.epoch, itertools.count()))
    losses = [trainer.step(x, t)[0] for x, t in itertools.islice(endless, count)]
    return [float(loss) for loss in losses]  # read at the end: each look waits for a GPU


def first_and_last(
    demo: Demo, name: str, losses: Sequence[float], first: Band, last: Band
) -> tuple[float, float]:
    """Hold the mean losses of the first and the last 100 steps against bands; return both."""
    means = mean(losses[:100]), mean(losses[-100:])
    demo.between(f"{name}, mean loss of the first 100 of {len(losses)} steps", means[0], first)
    demo.between(f"{name}, mean loss of the last 100", means[1], last)
    return means


def overfit(
    demo: Demo, epochs: int, *, weight_decay: float = 0.0, dropout: float = 0.0
) -> dict[str, list[float]]:
    """Train six hidden layers of 100 on 300 images; return both accuracies after each epoch."""
    train, test = load(demo.data_dir)
    train, test = train.take(300), test.take(demo.pick(500, 10_000))
    net = models.mlp((100,) * 6, dropout=dropout, seed=demo.seed)
    trainer = trainer_for(demo, net, xpnet.SGD(lr=0.01, weight_decay=weight_decay))
    curves: dict[str, list[float]] = {"train": [], "test": []}
    for _ in range(epochs):
        trainer.fit(train, 1, 100)
        for name, data in (("train", train), ("test", test)):
            curves[name].append(accuracy(trainer.evaluate(data)))  # with all units, unlike fit's
    return curves


class Expected(NamedTuple):
    """What a remedy against overfitting shall show, as means over the second half of a run."""

    train: Band
    test: Band
    gap_less: float


def hold_against_overfitting(
    demo: Demo, epochs: int, remedy: str, expected: Expected, picture: str, **options: float
) -> None:
    """Overfit without and with a remedy; compare both accuracies and their gaps; draw them."""
    plain, held = overfit(demo, epochs), overfit(demo, epochs, **options)
    least = demo.pick(0.9, 0.99)
    demo.at_least(f"final training accuracy of {epochs} epochs", plain["train"][-1], least)
    (_, test, wide), (train, held_test, narrow) = map(_later, (plain, held))
    demo.between("test accuracy, of the second half", test, demo.pick((0.55, 0.73), (0.7, 0.8)))
    demo.at_least("gap train minus test", wide, demo.pick(0.15, 0.22))
    demo.between(f"training accuracy with {remedy}", train, expected.train)
    demo.between(f"test accuracy with {remedy}", held_test, expected.test)
    demo.at_most("its gap less the gap without", narrow - wide, expected.gap_less)
    plots.line_panels(
        {
            title: {name: (range(1, epochs + 1), values) for name, values in curves.items()}
            for title, curves in (("none", plain), (remedy, held))
        },
        demo.picture(picture),
        xlabel="epoch",
        ylabel="accuracy",
        ylim=(0, 1.03),
    )


def _later(curves: dict[str, list[float]]) -> tuple[float, float, float]:
    """Return training accuracy, test accuracy and their gap, means of the second half."""
    train, test = (mean(curve[len(curve) // 2 :]) for curve in curves.values())
    return train, test, train - test


def train_over_seeds(
    demo: Demo,
    make_net: Callable[..., xpnet.Sequential],
    make_optimizer: Callable[[], xpnet.optimizers.Optimizer],
    epochs: int,
    batch_size: int,
    schedule: schedules.Schedule | None = None,
) -> list[History]:
    """Train a network on MNIST from each seed; return the histories, validated by test images."""
    train, test = load(demo.data_dir)
    train = train.take(demo.pick(3000, 60_000))
    test = test.take(demo.pick(1000, 10_000))
    histories = []
    for seed in range(demo.seed, demo.seed + demo.seeds):
        trainer = trainer_for(demo, make_net(seed=seed), make_optimizer(), schedule, seed)
        histories.append(trainer.fit(train, epochs, batch_size, validation=test))
    return histories


def finals(histories: Sequence[History], column: str) -> list[float]:
    """Return the last entry of a column of each history."""
    return [history[column][-1] for history in histories]


def check_accuracy(demo: Demo, words: str, histories: Sequence[History], least: float) -> None:
    """Hold the mean test accuracy over seeds against what a recipe shall reach."""
    found = finals(histories, "validation_accuracy")
    demo.note(f"{words}: test accuracy of each seed", found)
    demo.at_least(f"{words}: test accuracy, mean over seeds", mean(found), least)


def draw_runs(demo: Demo, picture: str, runs: Mapping[str, Sequence[History]]) -> None:
    """Draw the accuracies of the first seed of several recipes, side by side."""
    panels = {}
    for name, (history, *_) in runs.items():
        title = f"{name}: test accuracy {history['validation_accuracy'][-1]:.4f}"
        panels[title] = {
            "train, while it learned": (history["epoch"], history["train_accuracy"]),
            "test": (history["epoch"], history["validation_accuracy"]),
        }
    plots.line_panels(panels, demo.picture(picture), xlabel="epoch", ylabel="accuracy", columns=2)
