"""The gradient field of x0^2 + x1^2: at every point an arrow that points straight downhill."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np

import xpnet
from scripts.gallery import _drawings, harness
from xpnet.arrays import Array, namespace

ROWS = ("L6",)
TITLE = "The gradient field of x0^2 + x1^2 by numerical gradients"
KNOWN = {(3.0, 4.0): (6, 8), (0.0, 2.0): (0, 4), (3.0, 0.0): (6, 0), (0.0, 0.0): (0, 0)}
STEP = 0.01
COMPASS = [(math.cos(k * math.pi / 18), math.sin(k * math.pi / 18)) for k in range(36)]


def run(demo: harness.Demo) -> None:
    """Compute the gradient over a grid; check its numbers and where it points; draw it."""
    for point, expected in KNOWN.items():
        gradient = gradient_at(demo, point)
        error = max(abs(g - e) for g, e in zip(gradient, expected, strict=True))
        demo.figure(
            f"gradient at ({point[0]:g}, {point[1]:g})", gradient, f"{expected}", error <= 1e-8
        )

    apart = demo.pick(0.5, 0.25, 0.125)
    line = np.arange(-2, 2 + apart / 2, apart)
    points = [(float(a), float(b)) for a in line for b in line]
    gradients = [gradient_at(demo, point) for point in points]
    error = max(
        max(abs(g0 - 2 * x0), abs(g1 - 2 * x1))
        for (x0, x1), (g0, g1) in zip(points, gradients, strict=True)
    )
    demo.figure("largest distance from (2 x0, 2 x1)", error, "at most 1e-8", error <= 1e-8)

    slopes = [(p, g) for p, g in zip(points, gradients, strict=True) if p != (0.0, 0.0)]
    uphill = sum(rise(point, gradient) > 0 for point, gradient in slopes)
    demo.figure(
        "points from which a step along the gradient climbs",
        uphill,
        f"{len(slopes)}, all but the origin",
        uphill == len(slopes),
    )
    steepest = sum(
        all(rise(point, (-a, -b)) >= rise(point, (-g[0], -g[1])) - 1e-12 for a, b in COMPASS)
        for point, g in slopes
    )
    demo.figure(
        "points where no direction of 36 falls more than the arrow's",
        steepest,
        f"{len(slopes)}, all",
        steepest == len(slopes),
    )
    _drawings.vector_field(
        np.array(points),
        -np.array(gradients),
        demo.picture("gradient_field"),
        f=lambda x, y: x * x + y * y,
        title="The negative gradient of $x_0^2 + x_1^2$ points straight down",
    )


def bowl(x: Array) -> Array:
    """Return the sum of the squares."""
    return namespace(x).sum(x * x)


def gradient_at(demo: harness.Demo, point: Sequence[float]) -> list[float]:
    """Return the gradient at a point, by differences."""
    gradient = xpnet.numerical_gradient(bowl, demo.device.asarray(point, "float64"))
    return [float(slope) for slope in xpnet.to_numpy(gradient)]


def rise(point: Sequence[float], direction: Sequence[float]) -> float:
    """Return how much x0^2 + x1^2 grows on a short step in a direction."""
    (x0, x1), (d0, d1) = point, direction
    step = STEP / (math.hypot(d0, d1) or 1)
    return (x0 + step * d0) ** 2 + (x1 + step * d1) ** 2 - x0**2 - x1**2


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
