"""What the demonstrations on MNIST share: the data, a number of steps, runs over seeds."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np

import xpnet
from scripts.gallery.harness import Demo, accuracy
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
    train, test = train.take(300), test.take(demo.pick(500, 10_000, 10_000))
    net = models.mlp((100,) * 6, dropout=dropout, seed=demo.seed)
    trainer = trainer_for(demo, net, xpnet.SGD(lr=0.01, weight_decay=weight_decay))
    curves: dict[str, list[float]] = {"train": [], "test": []}
    for _ in range(epochs):
        trainer.fit(train, 1, 100)
        for name, data in (("train", train), ("test", test)):
            curves[name].append(accuracy(trainer.evaluate(data)))  # with all units, unlike fit's
    return curves


def train_convnet(
    demo: Demo, make_net: Callable[..., xpnet.Sequential], name: str, least: float
) -> None:
    """Train one of the book's convnets as its row says, over seeds; draw the first seed's run.

    The whole length is the book's: 20 epochs of Adam at a constant .001.  Three epochs under a
    one-cycle rate reach the same band.
    """
    train, test = load(demo.data_dir)
    train = train.take(demo.pick(2000, 60_000, 60_000))
    test = test.take(demo.pick(1000, 10_000, 10_000))
    epochs, batch_size = demo.pick((1, 20), (3, 100), (20, 100))
    least = demo.pick(0.6, least, least)
    histories = []
    for seed in range(demo.seed, demo.seed + demo.seeds):
        if demo.mode == "full":
            optimizer, schedule = xpnet.Adam(lr=0.001), None
        else:
            optimizer, schedule = xpnet.Adam(lr=0.003), schedules.one_cycle()
        trainer = trainer_for(demo, make_net(seed=seed), optimizer, schedule, seed)
        histories.append(trainer.fit(train, epochs, batch_size, validation=test))
        demo.note(f"test accuracy, seed {seed}", histories[-1]["validation_accuracy"][-1])
    finals = [history["validation_accuracy"][-1] for history in histories]
    mean = sum(finals) / len(finals)
    if demo.seeds > 1:
        demo.note("test accuracy, range over seeds", [min(finals), max(finals)])
    words = "test accuracy, mean over seeds" if demo.seeds > 1 else "test accuracy"
    demo.figure(f"{words}, epochs {epochs}", mean, f"at least {least}", mean >= least)
    title = f"{name.replace('_', ' ')}: test accuracy {finals[0]:.4f} (validation: the test images)"
    plots.training_curves(histories[0], demo.picture(name), title)
