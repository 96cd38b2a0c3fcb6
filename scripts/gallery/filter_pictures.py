"""What a convnet's first layer learns: its filters, and what they answer on an image."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load, make_steps, trainer_for
from scripts.gallery.harness import mean
from xpnet import models, plots
from xpnet.layers import Conv2d, Sequential
from xpnet.training import metrics

ROWS = ("H12", "L3")
Image = np.ndarray[Any, np.dtype[Any]]
TITLE = "a convnet's first-layer filters before and after training, and the edges they answer"


def run(demo: harness.Demo) -> None:
    """Train the simple convnet from weights of std .01; compare its 30 filters; filter an image."""
    train, _ = load(demo.data_dir)
    net = models.simple_convnet(init=0.01, seed=demo.seed)
    path = next(path for path in net.params if net.params[path].ndim == 4)
    trainer = trainer_for(demo, net, xpnet.Adam(lr=0.001))
    before = xpnet.to_numpy(net.params[path]).copy()
    steps = demo.pick(300, 1200)
    losses = make_steps(trainer, train, 100, steps)
    after = xpnet.to_numpy(net.params[path]).copy()
    demo.at_most("mean loss of the last 50 steps", mean(losses[-50:]), demo.pick(0.35, 0.11))
    demo.between("standard deviation of the weights before", float(before.std()), (0.009, 0.011))
    demo.between(
        "correlation of neighbouring weights before", metrics.smoothness(before), (-0.15, 0.1)
    )
    demo.at_least(f"the same after {steps} steps", metrics.smoothness(after), demo.pick(0.4, 0.5))
    both = [("", one) for one in before] + [("", one) for one in after]
    plots.image_grid(
        both,
        demo.picture("filters"),
        columns=15,
        title="30 filters 5x5: before training (two upper rows), and after",
        diverging=True,
    )
    answer_edges(demo, after)


def answer_edges(demo: harness.Demo, filters: np.ndarray) -> None:
    """Filter an image; show the filters that tell its upright and its level edges apart most."""
    scene = photograph()
    bare = filters - filters.mean(axis=(1, 2, 3), keepdims=True)  # a flat place gets no answer
    bare /= np.sqrt((bare * bare).sum(axis=(1, 2, 3), keepdims=True))
    conv = Sequential([Conv2d(len(bare), 5)], input_shape=(1, *scene.shape)).to(demo.device)
    conv.params["0.W"] = bare
    answers = np.abs(conv.predict(scene[None, None].astype("float32"))[0])
    upright, level = (answers[:, where].mean(axis=1) for where in edges_of(scene))
    shown = [("image", 1 - scene)]
    for kind, mine, other in (("upright", upright, level), ("level", level, upright)):
        k = int((mine - other).argmax())
        name = f"the filter for {kind} edges"
        demo.at_least(
            f"{name}: its answer to them, of a length of 1", float(mine[k]), demo.pick(0.69, 0.85)
        )
        demo.at_least(
            f"{name}: the same over its answer to the others", float(mine[k] / other[k]), 2
        )
        shown += [(f"filter {k}", filters[k]), (f"{kind} edges", answers[k])]
    plots.image_grid(
        shown, demo.picture("filtered_image"), columns=5, title="What two trained filters answer"
    )


def photograph() -> Image:
    """Return a grey image as a camera would see: a house on a hill, shaded, under a sky."""
    y, x = np.mgrid[0:96, 0:96] / 96
    scene: Image = 0.9 - 0.3 * y + 0.03 * np.sin(9 * x + 4 * y)  # a sky, paler above the horizon
    scene[y > 0.72 + 0.03 * np.sin(5 * x)] = 0.35  # the ground
    front = (x > 0.2) & (x < 0.75) & (y > 0.4) & (y < 0.78)
    scene[front] = 0.65 + 0.15 * x[front]
    for left in (0.27, 0.45, 0.62):
        window = (x > left) & (x < left + 0.08) & (y > 0.48) & (y < 0.6)
        scene[window] = 0.15
    roof = (y > 0.33) & (y <= 0.4) & (x > 0.16) & (x < 0.79)
    scene[roof] = 0.25
    return scene


def edges_of(scene: Image) -> tuple[Image, Image]:
    """Return where the middle of a 5x5 window lies on an upright, and on a level edge."""
    across: Image = abs(scene[2:-2, 3:-1] - scene[2:-2, 1:-3])
    down: Image = abs(scene[3:-1, 2:-2] - scene[1:-3, 2:-2])
    return (across > 0.15) & (down < 0.05), (down > 0.15) & (across < 0.05)


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
