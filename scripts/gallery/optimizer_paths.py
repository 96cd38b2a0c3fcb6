"""Six optimizers in a long valley, x^2/20 + y^2: how each finds its way down."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import xpnet
from scripts.gallery import _drawings, harness
from xpnet.arrays import Array

ROWS = ("G",)
TITLE = "The paths of six optimizers on x^2/20 + y^2 from (-7, 2)"

START, SLOPES, STEPS = (-7.0, 2.0), (0.1, 2.0), 30  # the gradient is (x / 10, 2 y)
DECAY = 0.05


def run(demo: harness.Demo) -> None:
    """Walk 30 steps with each; hold the path to the rule; tell where it ends."""
    paths = {}
    for name, (lr, options, rule) in OPTIMIZERS.items():
        walk = paths[name] = walked(demo, getattr(xpnet, name)(lr, **options))
        demo.note(f"{name}, lr {lr:g}: end", walk[-1])
        demo.at_most(
            f"{name}: distance from its rule in plain arithmetic",
            float(abs(walk - ruled(rule, lr)).max()),
            1e-13,
        )
        decayed = walked(demo, getattr(xpnet, name)(lr, weight_decay=DECAY, **options))
        demo.at_most(
            f"{name}: the same with weight decay {DECAY:g}",
            float(abs(decayed - ruled(rule, lr, DECAY)).max()),
            1e-13,
        )
        height = float(valley(*walk[-1]))
        demo.at_most(f"{name}: height, {valley(*START):g} at the start", height, 0.15)
        y = walk[:, 1]
        wide = (y[1:] * y[:-1] < 0) & (abs(y[1:] - y[:-1]) > 0.01)  # more than a tremble
        demo.note(f"{name}: crossings of the valley's floor", int(wide.sum()))
    for picture, names in (
        ("optimizer_paths", ("SGD", "Momentum", "AdaGrad", "Adam")),
        ("optimizer_variants", ("Momentum", "Nesterov", "AdaGrad", "RMSprop")),
    ):
        _drawings.contour_paths(
            valley,
            {f"{name}, lr {OPTIMIZERS[name][0]:g}": paths[name] for name in names},
            demo.picture(picture),
            limits=(-8, 8, -3.5, 3.5),
            title="Contours of $x^2/20 + y^2$",
            columns=2,
        )


def valley(x: Array, y: Array) -> Array:
    """Return the height, ``x^2/20 + y^2``."""
    return x * x / 20 + y * y


def walked(demo: harness.Demo, optimizer: xpnet.optimizers.Optimizer) -> np.ndarray:
    """Return the path of an optimizer, the start first."""
    slopes = demo.device.asarray(SLOPES, "float64")
    params = {"p": demo.device.asarray(START, "float64")}
    path = [START]
    for _ in range(STEPS):
        optimizer.update(params, {"p": slopes * params["p"]})
        path.append(tuple(xpnet.to_numpy(params["p"]).tolist()))
    return np.array(path)


def ruled(rule: Rule, lr: float, decay: float = 0.0) -> np.ndarray:
    """Return the path that a rule describes, one number at a time."""
    paths = []
    for p, slope in zip(START, SLOPES, strict=True):
        moments, path = [0.0, 0.0], [p]
        for step in range(1, STEPS + 1):
            p -= lr * rule(slope * p + decay * p, moments, step)
            path.append(p)
        paths.append(path)
    return np.array(paths).T


def sgd(g: float, m: list[float], step: int) -> float:
    """Return the gradient itself."""
    return g


def momentum(g: float, m: list[float], step: int) -> float:
    """Return the velocity ``v = .9 v + g``."""
    m[0] = 0.9 * m[0] + g
    return m[0]


def nesterov(g: float, m: list[float], step: int) -> float:
    """Return the velocity a step ahead, ``g + .9 v``."""
    return g + 0.9 * momentum(g, m, step)


def adagrad(g: float, m: list[float], step: int) -> float:
    """Return the gradient by the root of the sum of all squares."""
    m[0] += g * g
    return g / (math.sqrt(m[0]) + 1e-10)


def rmsprop(g: float, m: list[float], step: int) -> float:
    """Return the gradient by the root of a mean of squares that forgets."""
    m[0] = 0.9 * m[0] + 0.1 * g * g
    return g / (math.sqrt(m[0]) + 1e-8)


def adam(g: float, m: list[float], step: int) -> float:
    """Return a mean gradient by the root of a mean square, both freed of their zero start."""
    m[:] = 0.9 * m[0] + 0.1 * g, 0.999 * m[1] + 0.001 * g * g
    return m[0] / (1 - 0.9**step) / (math.sqrt(m[1] / (1 - 0.999**step)) + 1e-8)


Rule = Callable[[float, list[float], int], float]
OPTIMIZERS: dict[str, tuple[float, dict[str, Any], Rule]] = {
    "SGD": (0.95, {}, sgd),
    "Momentum": (0.1, {}, momentum),
    "Nesterov": (0.1, {}, nesterov),
    "AdaGrad": (1.5, {}, adagrad),
    "RMSprop": (0.3, {"alpha": 0.9}, rmsprop),
    "Adam": (0.3, {}, adam),
}
"""The rate, the options, and the step that the equations say, the rate left out."""


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
