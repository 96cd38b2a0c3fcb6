"""Compare initial weights on one ReLU network: the loss over 2000 steps of SGD."""

from __future__ import annotations

import sys

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import first_and_last, load, make_steps, trainer_for
from scripts.gallery.harness import Band
from xpnet import models, plots
from xpnet.book.util import smooth_curve

ROWS = ("H4",)
TITLE = "initial weights of standard deviation .01, Xavier's and He's"

INITS: dict[str, str | float] = {"std .01": 0.01, "Xavier": "xavier", "He": "he"}
FIRST: dict[str, Band] = {"std .01": (2.3, 2.305), "Xavier": (2.22, 2.305), "He": (1.6, 2.3)}
LAST: dict[str, tuple[Band, Band]] = {  # of the quick run, and of the whole one
    "std .01": ((2.3, 2.303), (2.29, 2.3018)),
    "Xavier": ((1.6, 2.25), (0.28, 0.38)),
    "He": ((0.5, 0.9), (0.2, 0.28)),
}


def run(demo: harness.Demo) -> None:
    """Train a 784-100x4-10 network from each of them, on the same batches."""
    train, _ = load(demo.data_dir)
    steps = demo.pick(300, 2000)
    losses, last = {}, {}
    for name, init in INITS.items():
        net = models.mlp((100,) * 4, init=init, seed=demo.seed)
        losses[name] = make_steps(trainer_for(demo, net, xpnet.SGD(lr=0.01)), train, 128, steps)
        _, last[name] = first_and_last(
            demo, name, losses[name], FIRST[name], demo.pick(*LAST[name])
        )
    demo.at_most("He's last loss over Xavier's", last["He"] / last["Xavier"], 0.85)
    plots.line_panels(
        {
            f"784-100x4-10, ReLU, SGD, lr .01, {steps} steps": {
                name: (range(1, steps + 1), smooth_curve(values)) for name, values in losses.items()
            }
        },
        demo.picture("weight_initialisation"),
        xlabel="step",
        ylabel="loss, smoothed over 11 steps",
        ylim=(0, 2.5),
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
