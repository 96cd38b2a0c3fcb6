"""Compare initial weights on one ReLU network: the loss over 2000 steps of SGD."""

from __future__ import annotations

import sys

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load, make_steps, smoothed, trainer_for
from xpnet import models, plots

ROWS = ("H4",)
TITLE = "initial weights of standard deviation .01, Xavier's and He's"


def run(demo: harness.Demo) -> None:
    """Train a 784-100x4-10 network from each of them, on the same batches."""
    train, _ = load(demo.data_dir)
    steps = demo.pick(300, 2000, 2000)
    inits: dict[str, str | float] = {"std .01": 0.01, "Xavier": "xavier", "He": "he"}
    losses = {}
    for name, init in inits.items():
        net = models.mlp((100,) * 4, init=init, seed=demo.seed)
        losses[name] = make_steps(trainer_for(demo, net, xpnet.SGD(lr=0.01)), train, 128, steps)
    last = {name: sum(values[-100:]) / 100 for name, values in losses.items()}
    bands = demo.pick(
        {"std .01": (2.29, 2.31), "Xavier": (0.8, 2.2), "He": (0.4, 1.0)},
        *2 * [{"std .01": (2.29, 2.31), "Xavier": (0.2, 0.45), "He": (0.15, 0.4)}],
    )
    for name, (low, high) in bands.items():
        words = f"{name}, mean loss of the last 100 of {steps} steps"
        demo.figure(words, last[name], f"{low} to {high}", low <= last[name] <= high)
    below = last["Xavier"] - last["He"]
    demo.figure("Xavier's loss less He's", below, "above 0", below > 0)
    plots.line_panels(
        {
            "784-100x4-10, ReLU, SGD, lr .01": {
                name: (range(1, steps + 1), smoothed(values)) for name, values in losses.items()
            }
        },
        demo.picture("weight_initialisation"),
        xlabel="step",
        ylabel="loss (mean of 51 steps)",
        ylim=(0, 2.5),
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
