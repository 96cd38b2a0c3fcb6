"""What the demonstrations on MNIST share: the data, a number of steps, runs over seeds."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np

import xpnet
from scripts.gallery.harness import Demo
from xpnet import models, plots, schedules
from xpnet.data import Batches, Dataset


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


def smoothed(values: Sequence[float], span: int = 51) -> list[float]:
    """Return the means over a window that moves along a curve, shorter at its ends."""
    ones, window = np.ones(len(values)), np.ones(min(span, len(values)))
    sums, counts = (np.convolve(a, window, "same") for a in (values, ones))
    return list(sums / counts)


def overfit(
    demo: Demo, epochs: int, *, weight_decay: float = 0.0, dropout: float = 0.0
) -> dict[str, list[float]]:
    """Train six hidden layers of 100 on 300 images; return both accuracies after each epoch."""
    train, test = load(demo.data_dir)
    train, test = train.take(300), test.take(demo.pick(2000, 10_000, 10_000))
    net = models.mlp((100,) * 6, dropout=dropout, seed=demo.seed)
    trainer = trainer_for(demo, net, xpnet.SGD(lr=0.01, weight_decay=weight_decay))
    curves: dict[str, list[float]] = {"train": [], "test": []}
    for _ in range(epochs):
        trainer.fit(train, 1, 100)
        for name, data in (("train", train), ("test", test)):
            curves[name].append(trainer.evaluate(data).accuracy)  # with all units, unlike fit's
    return curves


def train_convnet(
    demo: Demo, make_net: Callable[..., xpnet.Sequential], name: str, least: float
) -> xpnet.Trainer:
    """Train one of the book's convnets as its row says, over seeds; return the first trainer.

    The whole length is the book's: 20 epochs of Adam at a constant .001.  Three epochs under a
    one-cycle rate reach the same band.
    """
    train, test = load(demo.data_dir)
    train, test = (
        train.take(demo.pick(5000, 60_000, 60_000)),
        test.take(demo.pick(1000, 10_000, 10_000)),
    )
    epochs = demo.pick(1, 3, 20)
    least = demo.pick(0.85, least, least)
    trainers, accuracies = [], []
    for seed in range(demo.seed, demo.seed + demo.seeds):
        if demo.mode == "full":
            optimizer, schedule = xpnet.Adam(lr=0.001), None
        else:
            optimizer, schedule = xpnet.Adam(lr=0.003), schedules.one_cycle()
        trainer = trainer_for(demo, make_net(seed=seed), optimizer, schedule, seed)
        trainer.fit(train, epochs, demo.pick(50, 100, 100), validation=test)
        trainers.append(trainer)
        accuracies.append(trainer.history["validation_accuracy"][-1])
        demo.note(f"test accuracy, seed {seed}", accuracies[-1])
    mean = sum(accuracies) / len(accuracies)
    if demo.seeds > 1:
        demo.note("test accuracy, range over seeds", [min(accuracies), max(accuracies)])
    words = f"test accuracy after {epochs} epoch{'s' * (epochs > 1)}"
    demo.figure(
        words + ", mean over seeds" * (demo.seeds > 1), mean, f"at least {least}", mean >= least
    )
    first = trainers[0]
    plots.training_curves(
        first.history, demo.picture(name), f"{name}: test accuracy {accuracies[0]:.4f}"
    )
    return first
