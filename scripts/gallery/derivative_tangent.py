"""The derivative by differences, as the slope of a tangent, and partial derivatives."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

import xpnet
from scripts.gallery import harness
from xpnet import plots
from xpnet.arrays import Array

ROWS = ("C1",)
TITLE = "The derivative of .01 x^2 + .1 x and its tangents"

PARTIAL: tuple[tuple[str, Callable[[Array], Array], float, float], ...] = (
    ("x0^2 + 4^2 by x0 at 3", lambda x0: x0 * x0 + 4.0**2, 3.0, 6.0),
    ("3^2 + x1^2 by x1 at 4", lambda x1: 3.0**2 + x1 * x1, 4.0, 8.0),
)


def f(x: Array) -> Array:
    """Return ``.01 x^2 + .1 x``."""
    return 0.01 * x * x + 0.1 * x


def run(demo: harness.Demo) -> None:
    """Measure slopes; draw two tangents."""
    x = np.arange(0.0, 20.1, 0.1)
    panels, points = {}, {}
    for at, expected in ((5.0, 0.2), (10.0, 0.3)):
        slope = float(xpnet.numerical_gradient(f, demo.device.asarray(at)))
        demo.figure(f"slope at {at:g}", slope, f"{expected:g}", abs(slope - expected) <= 1e-10)
        name = f"slope {slope:.6g} at {at:g}"
        panels[name] = {"f": (x, f(x)), "tangent": (x, f(at) + slope * (x - at))}
        points[name] = {f"({at:g}, {f(at):g})": (at, f(at))}
    for name, g, at, expected in PARTIAL:
        slope = float(xpnet.numerical_gradient(g, demo.device.asarray(at)))
        demo.figure(name, slope, f"{expected:g}", abs(slope - expected) <= 1e-9)
    excess = float(xpnet.numerical_gradient(lambda x: x * x * x, demo.device.asarray(2.0))) - 12
    demo.between("x^3 at 2: slope less 12, by the step's square", excess, (0.9e-8, 1.1e-8))
    plots.curves(panels, demo.picture("derivative_tangent"), points=points, ylabel="f(x)")


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
