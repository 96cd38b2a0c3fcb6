"""Gradient descent along numerical gradients, and how a wrong learning rate spoils it."""

from __future__ import annotations

import math
import sys

import numpy as np

import xpnet
from scripts.gallery import _drawings, harness
from xpnet.arrays import Array, namespace

ROWS = ("C2",)
TITLE = "Gradient descent on x0^2 + x1^2 by numerical gradients"
START, STEPS = (-3.0, 4.0), 100
DRAWN = 2  # of the steps of a rate that is too large


def bowl(x: Array) -> Array:
    """Return the sum of the squares."""
    return namespace(x).sum(x * x)


def run(demo: harness.Demo) -> None:
    """Check the gradient for arrays of rank 0 to 4; walk with three learning rates."""
    errors = []
    for rank in range(5):
        x = xpnet.random.Stream(demo.seed, f"rank {rank}").normal((2,) * rank)
        gradient = xpnet.numerical_gradient(
            lambda x: namespace(x).sum(x * x * x), demo.device.asarray(x, "float64")
        )
        errors.append(float(abs(xpnet.to_numpy(gradient) - 3 * x * x).max()))
    for name, error in (("smallest", min(errors)), ("largest", max(errors))):
        # the method's own error is h^2 = 1e-8, the rest is rounding
        about = f"gradient of sum x^3, rank 0 to 4: {name} error of an array"
        demo.between(about, error, (0.9e-8, 1.2e-8))

    start = demo.device.asarray(START, "float64")
    walks, away = {}, {}
    for lr in (0.1, 10.0, 1e-10):
        end, path = xpnet.gradient_descent(bowl, start, lr=lr, steps=STEPS)
        walks[lr] = np.stack([xpnet.to_numpy(point) for point in path])
        away[lr] = math.dist(xpnet.to_numpy(end), (0, 0))
    for lr, steps, most in ((0.1, STEPS, 1e-10), (10.0, DRAWN, 1e-6), (1e-10, STEPS, 1e-14)):
        apart = max(
            abs(found - first * (1 - 2 * lr) ** k)
            for k, point in enumerate(walks[lr][: steps + 1])
            for found, first in zip(point, START, strict=True)
        )
        demo.at_most(f"lr {lr:g}: {steps} steps less {START} (1 - 2 lr)^k", apart, most)
    demo.at_most("lr .1: distance of the end from the origin", away[0.1], 1e-8)
    demo.at_least("lr 10: distance of the end", away[10.0], 1e10)
    moved = math.dist(walks[1e-10][-1], START)
    demo.between("lr 1e-10: distance walked", moved, (0.99e-7, 1.01e-7))
    _drawings.contour_paths(
        lambda x, y: x * x + y * y,
        {
            f"lr .1, ends {away[0.1]:.2g} from the origin": walks[0.1],
            f"lr 10, the first {DRAWN} of {STEPS} steps": walks[10.0][: DRAWN + 1],
            f"lr 1e-10, {moved:.2g} walked": walks[1e-10],
        },
        demo.picture("gradient_descent_path"),
        names=("$x_0$", "$x_1$"),
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
