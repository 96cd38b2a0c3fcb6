"""The derivative by differences, as the slope of a tangent."""

from __future__ import annotations

import sys

import numpy as np

from scripts.gallery import harness
from xpnet import numerical_gradient, plots
from xpnet.arrays import Array

ROWS = ("C1",)
TITLE = "The derivative of .01 x^2 + .1 x and its tangents"


def f(x: Array) -> Array:
    """Return ``.01 x^2 + .1 x``."""
    return 0.01 * x * x + 0.1 * x


def run(demo: harness.Demo) -> None:
    """Measure two slopes; draw the tangents."""
    x = np.arange(0.0, 20.1, 0.1)
    panels, points = {}, {}
    for at, expected in ((5.0, 0.2), (10.0, 0.3)):
        slope = float(numerical_gradient(f, demo.device.asarray(at)))
        demo.figure(f"slope at {at:g}", slope, f"{expected:g}", abs(slope - expected) <= 1e-10)
        name = f"slope {slope:.6g} at {at:g}"
        panels[name] = {"f": (x, f(x)), "tangent": (x, f(at) + slope * (x - at))}
        points[name] = {f"({at:g}, {f(at):g})": (at, f(at))}
    plots.curves(panels, demo.picture("derivative_tangent"), points=points, ylabel="f(x)")


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
