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

# name: (xpnet's function, its formula for one number)
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[float], float]]] = {
    "step": (functions.step, lambda x: float(x > 0)),
    "sigmoid": (functions.sigmoid, lambda x: 1 / (1 + math.exp(-x))),
    "tanh": (functions.tanh, math.tanh),
    "ReLU": (functions.relu, lambda x: max(x, 0.0)),
    "swish": (functions.swish, lambda x: x / (1 + math.exp(-x))),
    "identity": (functions.identity, lambda x: x),
}


def run(demo: harness.Demo) -> None:
    """Compute each function of 100 numbers, hold it against its formula, draw it."""
    x = np.arange(-5.0, 5.0, 0.1)
    panels = {}
    for name, (function, formula) in FUNCTIONS.items():
        y = xpnet.to_numpy(function(demo.device.asarray(x)))
        error = max(abs(float(b) - formula(float(a))) for a, b in zip(x, y, strict=True))
        demo.figure(f"{name}: largest error", error, "at most 2e-15", error <= 2e-15)
        panels[name] = {"": (x, y)}
    far = xpnet.to_numpy(functions.sigmoid(demo.device.asarray([-1000.0, 0.0, 1000.0])))
    demo.figure("sigmoid(-1000, 0, 1000)", far, "0, .5, 1", far.tolist() == [0, 0.5, 1])
    plots.curves(panels, demo.picture("activation_functions"))


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
