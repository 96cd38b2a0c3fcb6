"""Compare four optimizers on one network: the loss of each over 2000 steps."""

from __future__ import annotations

import sys

import numpy as np

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import first_and_last, load, make_steps, trainer_for
from scripts.gallery.harness import Band
from xpnet import models, plots
from xpnet.book.util import smooth_curve

ROWS = ("H3",)
TITLE = "SGD, Momentum, AdaGrad and Adam on MNIST"

# how fast each falls, and where it is at the end: of the quick run, and of the whole one
FIRST: dict[str, Band] = {
    "SGD": (1.6, 2.3),
    "Momentum": (0.8, 1.2),
    "AdaGrad": (0.5, 0.68),
    "Adam": (0.6, 0.8),
}
LAST: dict[str, tuple[Band, Band]] = {
    "SGD": ((0.5, 0.9), (0.2, 0.28)),
    "Momentum": ((0.22, 0.3), (0.06, 0.1)),
    "AdaGrad": ((0.155, 0.225), (0.045, 0.07)),
    "Adam": ((0.17, 0.235), (0.035, 0.06)),
}
MOVED: dict[str, tuple[Band, Band]] = {  # each weight, root mean square
    "SGD": ((0.0055, 0.0066), (0.0095, 0.0112)),
    "Momentum": ((0.0115, 0.0135), (0.0205, 0.0235)),
    "AdaGrad": ((0.0235, 0.027), (0.031, 0.036)),
    "Adam": ((0.02, 0.024), (0.042, 0.051)),
}


def run(demo: harness.Demo) -> None:
    """Train a 784-100x4-10 network with each of them, from the same weights and batches."""
    train, _ = load(demo.data_dir)
    steps = demo.pick(300, 2000)
    optimizers = {
        "SGD": xpnet.SGD(lr=0.01),
        "Momentum": xpnet.Momentum(lr=0.01),
        "AdaGrad": xpnet.AdaGrad(lr=0.01),
        "Adam": xpnet.Adam(lr=0.001),
    }
    losses, last = {}, {}
    for name, optimizer in optimizers.items():
        net = models.mlp((100,) * 4, seed=demo.seed)
        trainer = trainer_for(demo, net, optimizer)
        before = xpnet.to_numpy(net.params.flat).copy()
        losses[name] = make_steps(trainer, train, 128, steps)
        _, last[name] = first_and_last(
            demo, name, losses[name], FIRST[name], demo.pick(*LAST[name])
        )
        moved = float(np.sqrt(((xpnet.to_numpy(net.params.flat) - before) ** 2).mean()))
        demo.between(f"{name}, how far its weights moved", moved, demo.pick(*MOVED[name]))
    worst = max(last[name] for name in ("Momentum", "AdaGrad", "Adam"))
    demo.at_most("the worst of the other three over SGD", worst / last["SGD"], 0.5)
    plots.line_panels(
        {
            f"784-100x4-10, ReLU, batches of 128, {steps} steps": {
                name: (range(1, steps + 1), smooth_curve(values)) for name, values in losses.items()
            }
        },
        demo.picture("optimizer_comparison"),
        xlabel="step",
        ylabel="loss, smoothed over 11 steps",
        ylim=(0, 1),
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
