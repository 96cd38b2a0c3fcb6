"""Compare four optimizers on one network: the loss of each over 2000 steps."""

from __future__ import annotations

import sys

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load, make_steps, smoothed, trainer_for
from xpnet import models, plots

ROWS = ("H3",)
TITLE = "SGD, Momentum, AdaGrad and Adam on MNIST"


def run(demo: harness.Demo) -> None:
    """Train a 784-100x4-10 network with each of them, from the same weights and batches."""
    train, _ = load(demo.data_dir)
    steps = demo.pick(300, 2000, 2000)
    optimizers = {
        "SGD": xpnet.SGD(lr=0.01),
        "Momentum": xpnet.Momentum(lr=0.01),
        "AdaGrad": xpnet.AdaGrad(lr=0.01),
        "Adam": xpnet.Adam(lr=0.001),
    }
    losses = {}
    for name, optimizer in optimizers.items():
        trainer = trainer_for(demo, models.mlp((100,) * 4, seed=demo.seed), optimizer)
        losses[name] = make_steps(trainer, train, 128, steps)
    last = {name: sum(values[-100:]) / 100 for name, values in losses.items()}
    low, high = demo.pick((0.4, 1.0), (0.15, 0.4), (0.15, 0.4))
    sgd = last.pop("SGD")
    words = f"SGD, mean loss of the last 100 of {steps} steps"
    demo.figure(words, sgd, f"{low} to {high}", low <= sgd <= high)
    bound = demo.pick(0.4, 0.12, 0.12)
    for name, value in last.items():
        fine = value < bound and value < sgd / 2
        demo.figure(f"{name}, the same", value, f"under {bound} and half of SGD's", fine)
    plots.line_panels(
        {
            "784-100x4-10, ReLU, batches of 128": {
                name: (range(1, steps + 1), smoothed(values)) for name, values in losses.items()
            }
        },
        demo.picture("optimizer_comparison"),
        xlabel="step",
        ylabel="loss (mean of 51 steps)",
        ylim=(0, 1),
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
