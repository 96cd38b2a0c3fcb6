"""Six optimizers in a long valley, x^2/20 + y^2: how each finds its way down."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

import xpnet
from scripts.gallery import _drawings, harness
from xpnet import optimizers
from xpnet.arrays import Array

ROWS = ("G",)
TITLE = "The paths of six optimizers on x^2/20 + y^2 from (-7, 2)"

START, STEPS = (-7.0, 2.0), 30
OPTIMIZERS: dict[str, tuple[Callable[[float], optimizers.Optimizer], float]] = {
    "SGD": (optimizers.SGD, 0.95),
    "Momentum": (optimizers.Momentum, 0.1),
    "Nesterov": (optimizers.Nesterov, 0.1),
    "AdaGrad": (optimizers.AdaGrad, 1.5),
    "RMSprop": (lambda lr: optimizers.RMSprop(lr, alpha=0.9), 0.3),
    "Adam": (optimizers.Adam, 0.3),
}


def valley(x: Array, y: Array) -> Array:
    """Return the height, ``x^2/20 + y^2``."""
    return x * x / 20 + y * y


def run(demo: harness.Demo) -> None:
    """Walk 30 steps with each; tell where it ends and how often it crossed the valley's floor."""
    slopes = demo.device.asarray([0.1, 2.0])  # the gradient is (x / 10, 2 y)
    paths, crossings = {}, {}
    for name, (make, lr) in OPTIMIZERS.items():
        optimizer, params = make(lr), {"p": demo.device.asarray(np.array(START))}
        walk = [START]
        for _ in range(STEPS):
            optimizer.update(params, {"p": slopes * params["p"]})
            walk.append(tuple(xpnet.to_numpy(params["p"]).tolist()))
        paths[name] = np.array(walk)
        height = float(valley(*walk[-1]))
        demo.note(f"{name}, lr {lr:g}: end", walk[-1])
        demo.figure(f"{name}: height from {valley(*START):g}", height, "below .15", height < 0.15)
        y = paths[name][:, 1]
        wide = (y[1:] * y[:-1] < 0) & (abs(y[1:] - y[:-1]) > 0.01)  # more than a tremble
        crossings[name] = int(wide.sum())
    closed = np.array(START) * (1 - 0.95 * np.array([0.1, 2.0])) ** STEPS
    apart = float(abs(paths["SGD"][-1] - closed).max())
    demo.figure("SGD: end less (-7 .905^30, 2 (-.9)^30)", apart, "at most 1e-14", apart <= 1e-14)
    demo.figure(
        "SGD: crossings of the floor",
        crossings["SGD"],
        "30, at every step",
        crossings["SGD"] == STEPS,
    )
    calmer = {name: count for name, count in crossings.items() if name != "SGD"}
    demo.figure(
        "crossings of the others",
        list(calmer.values()),
        "each fewer than half as many",
        max(calmer.values()) < STEPS / 2,
    )
    _drawings.contour_paths(
        valley,
        {f"{name}, lr {lr:g}": paths[name] for name, (_, lr) in OPTIMIZERS.items()},
        demo.picture("optimizer_paths"),
        limits=(-8, 8, -3.5, 3.5),
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
