"""Show the first layer's filters of a convnet before and after training."""

from __future__ import annotations

import sys

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load, make_steps, trainer_for
from xpnet import models, plots
from xpnet.training.metrics import smoothness

ROWS = ("H12",)
TITLE = "a convnet's first-layer filters before and after training"


def run(demo: harness.Demo) -> None:
    """Train the simple convnet for an epoch; compare and draw its 30 filters."""
    train, _ = load(demo.data_dir)
    net = models.simple_convnet(seed=demo.seed)
    path = next(path for path in net.params if net.params[path].ndim == 4)
    trainer = trainer_for(demo, net, xpnet.Adam(lr=0.001))
    before = xpnet.to_numpy(net.params[path]).copy()
    steps = demo.pick(60, 1200, 1200)
    make_steps(trainer, train, 100, steps)
    after = xpnet.to_numpy(net.params[path])
    for name, filters in (("before", before), ("after", after)):
        shown = [("", one) for one in filters]
        title = f"30 filters 5x5 {name} training"
        plots.image_grid(shown, demo.picture(f"filters_{name}"), title=title, diverging=True)
    random, trained = smoothness(before), smoothness(after)
    demo.note("correlation of neighbouring weights before training", random)
    words = f"the same after {steps} steps"
    demo.figure(words, trained, "above that", trained > random)


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
