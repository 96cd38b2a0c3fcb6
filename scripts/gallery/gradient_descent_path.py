"""Gradient descent along numerical gradients, and how a wrong learning rate spoils it."""

from __future__ import annotations

import sys

import numpy as np

import xpnet
from scripts.gallery import _drawings, harness
from xpnet.arrays import Array, namespace

ROWS = ("C2",)
TITLE = "Gradient descent on x0^2 + x1^2 by numerical gradients"
START = (-3.0, 4.0)


def bowl(x: Array) -> Array:
    """Return the sum of the squares."""
    return namespace(x).sum(x * x)


def run(demo: harness.Demo) -> None:
    """Check the gradient for arrays of rank 0 to 4; walk with three learning rates."""
    worst = 0.0
    for rank in range(5):
        x = demo.device.asarray(xpnet.random.Stream(demo.seed, f"rank {rank}").normal((2,) * rank))
        gradient = xpnet.numerical_gradient(lambda x: namespace(x).sum(x * x * x), x)
        worst = max(worst, float(abs(xpnet.to_numpy(gradient - 3 * x * x)).max()))
    expected = "at most 1.2e-8"  # h^2 by the method, the rest by rounding
    demo.figure("gradient of sum x^3, rank 0 to 4: largest error", worst, expected, worst <= 1.2e-8)

    start = demo.device.asarray(START)
    walks = {}
    for lr in (0.1, 10.0, 1e-10):
        _, path = xpnet.gradient_descent(bowl, start, lr=lr, steps=100)
        walks[lr] = np.stack([xpnet.to_numpy(point) for point in path])
    away = {lr: float(np.hypot(*walk[-1])) for lr, walk in walks.items()}
    demo.figure("lr .1: end", walks[0.1][-1], "the origin", away[0.1] <= 1e-8)
    demo.figure("lr .1: distance of the end", away[0.1], "at most 1e-8", away[0.1] <= 1e-8)
    demo.figure("lr 10: distance of the end", away[10.0], "above 1e10", away[10.0] > 1e10)
    moved = float(np.hypot(*(walks[1e-10][-1] - START)))
    demo.figure("lr 1e-10: distance walked", moved, "below 1e-6", moved < 1e-6)
    _drawings.contour_paths(
        lambda x, y: x * x + y * y,
        {
            "lr .1 arrives": walks[0.1],
            "lr 10 flies off (2 of 100 steps)": walks[10.0][:3],
            "lr 1e-10 stands still": walks[1e-10],
        },
        demo.picture("gradient_descent_path"),
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
