"""Train with and without batch normalisation from sixteen scales of initial weights."""

from __future__ import annotations

import sys

import numpy as np

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load, trainer_for
from xpnet import models, plots
from xpnet.data import Dataset
from xpnet.training import DivergedError

ROWS = ("H6",)
TITLE = "batch normalisation against none, from weights of many scales"


def run(demo: harness.Demo) -> None:
    """Train a 784-100x5-10 network on 1000 images from each scale, both ways."""
    train = load(demo.data_dir)[0].take(1000)
    scales = np.logspace(0, -4, demo.pick(4, 16, 16)).tolist()
    epochs = demo.pick(8, 20, 20)
    panels, better = {}, 0
    for scale in scales:
        found = {
            words: accuracies(demo, train, scale, batch_norm, epochs)
            for words, batch_norm in (("batch normalisation", True), ("none", False))
        }
        finals = [curve[-1] for curve in found.values()]
        better += finals[0] > finals[1]
        demo.note(f"final training accuracy from scale {scale:.2g}, with and without", finals)
        panels[f"weights' std {scale:.2g}"] = {
            words: (range(1, epochs + 1), curve) for words, curve in found.items()
        }
    least = demo.pick(3, 12, 12)
    words = f"scales of {len(scales)} from which batch normalisation ends higher"
    demo.figure(words, better, f"at least {least}", better >= least)
    plots.line_panels(
        panels,
        demo.picture("batch_norm_scales"),
        xlabel="epoch",
        ylabel="training accuracy",
        ylim=(0, 1.03),
    )


def accuracies(
    demo: harness.Demo, train: Dataset, scale: float, batch_norm: bool, epochs: int
) -> list[float]:
    """Return the training accuracy after each epoch; from where the loss diverges, chance."""
    net = models.mlp((100,) * 5, init=scale, batch_norm=batch_norm, seed=demo.seed)
    trainer = trainer_for(demo, net, xpnet.SGD(lr=0.01))
    try:
        # Weights of a large scale overflow on their way to a diverged loss: that is the point.
        with np.errstate(over="ignore", invalid="ignore"):
            trainer.fit(train, epochs, 100, validation=train)
    except DivergedError:
        pass
    found = trainer.history["validation_accuracy"]
    return found + [0.1] * (epochs - len(found))


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
