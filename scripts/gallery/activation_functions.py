"""The functions that stand between the layers: step, sigmoid, tanh, ReLU, swish, identity."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import xpnet
from scripts.gallery import harness
from xpnet import functions, plots

ROWS = ("B1",)
TITLE = "Activation functions over [-5, 5)"

# name in xpnet.functions: the formula for one number
FORMULAS: dict[str, Callable[[float], float]] = {
    "step": lambda x: float(x > 0),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "ReLU": lambda x: max(x, 0.0),
    "swish": lambda x: x / (1 + math.exp(-x)),
    "identity": lambda x: x,
}


def run(demo: harness.Demo) -> None:
    """Compute each function of 100 numbers, hold it against its formula, draw it."""
    x = np.arange(-5.0, 5.0, 0.1)
    panels = {}
    for name, formula in FORMULAS.items():
        y = answers(demo, name, x)
        error = max(abs(float(b) - formula(float(a))) for a, b in zip(x, y, strict=True))
        demo.figure(f"{name}: largest error", error, "at most 2e-15", error <= 2e-15)
        panels[name] = {"": (x, y)}
    far = answers(demo, "sigmoid", [-1000.0, 0.0, 1000.0])
    demo.figure("sigmoid(-1000, 0, 1000)", far, "0, .5, 1", far.tolist() == [0, 0.5, 1])
    plots.curves(panels, demo.picture("activation_functions"))
    sigmoid_and_step(demo, x)


def sigmoid_and_step(demo: harness.Demo, x: Any) -> None:
    """Show what the two have in common, and that one is smooth and the other jumps."""
    inputs = [-1.0, 0.0, 1.0, 2.0]
    smooth = answers(demo, "sigmoid", inputs)
    known = [0.2689414214, 0.5, 0.7310585786, 0.8807970780]
    passed = bool(abs(smooth - known).max() <= 1e-10)
    demo.figure("sigmoid of -1, 0, 1, 2", smooth, ".269, .5, .731, .881", passed)
    sharp = answers(demo, "step", inputs).tolist()
    demo.figure("step of -1, 0, 1, 2", sharp, "0, 0, 1, 1", sharp == [0, 0, 1, 1])
    fine = np.sort(np.append(x, 1e-9))  # so that the step is drawn upright
    y = {name: answers(demo, name, fine) for name in ("sigmoid", "step")}
    jumps = [float(abs(np.diff(values)).max()) for values in y.values()]
    demo.figure(
        "largest change within .1, sigmoid and step",
        jumps,
        "just below .025 (a quarter of .1), and 1",
        0.0249 <= jumps[0] <= 0.025 and jumps[1] == 1,
    )
    plots.curves(
        {"One is smooth, the other jumps": {name: (fine, values) for name, values in y.items()}},
        demo.picture("sigmoid_and_step"),
    )


def answers(demo: harness.Demo, name: str, x: Any) -> Any:
    """Return what a function of xpnet makes of numbers."""
    return xpnet.to_numpy(getattr(functions, name.lower())(demo.device.asarray(x, "float64")))


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
