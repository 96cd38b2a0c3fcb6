"""Show what initial weights do to the outputs of five layers: saturated, collapsed or healthy."""

from __future__ import annotations

import sys
from typing import NamedTuple

from scripts.gallery import harness
from scripts.gallery.harness import Band
from xpnet import plots
from xpnet.arrays import Array, namespace
from xpnet.layers import Linear, ReLU, Sequential, Sigmoid, Tanh
from xpnet.random import Stream
from xpnet.training import metrics

ROWS = ("H5",)
TITLE = "histograms of activations for four kinds of initial weights"

INITS: dict[str, str | float] = {"std 1": 1.0, "std .01": 0.01, "Xavier": "xavier", "He": "he"}
KINDS: dict[str, type[Sigmoid | Tanh | ReLU]] = {"sigmoid": Sigmoid, "tanh": Tanh, "ReLU": ReLU}


class Expected(NamedTuple):
    """Of the last layer: what its outputs are, and their standard deviation.

    A histogram of all outputs also shows how the units differ from each other; what still depends
    on the input is less, and with sigmoid next to nothing.
    """

    verdict: str
    std: Band
    over_inputs: Band


EXPECTED = {
    "sigmoid": {
        "std 1": Expected("saturated", (0.41, 0.46), (0.09, 0.21)),
        "std .01": Expected("collapsed", (0.01, 0.016), (3e-6, 4.6e-6)),
        "Xavier": Expected("healthy", (0.1, 0.15), (5.6e-4, 6.9e-4)),
        "He": Expected("healthy", (0.14, 0.2), (2.2e-3, 2.9e-3)),
    },
    "tanh": {
        "std 1": Expected("saturated", (0.953, 0.962), (0.953, 0.962)),
        "std .01": Expected("collapsed", (8.6e-6, 1.08e-5), (8.5e-6, 1.06e-5)),
        "Xavier": Expected("healthy", (0.295, 0.335), (0.29, 0.33)),
        "He": Expected("healthy", (0.54, 0.585), (0.54, 0.58)),
    },
    "ReLU": {  # it has no ceiling: what saturates the others makes it explode
        "std 1": Expected("exploded", (1e4, 1.9e4), (6e3, 9.3e3)),
        "std .01": Expected("collapsed", (1e-6, 1.9e-6), (6e-7, 9.3e-7)),
        "Xavier": Expected("healthy", (0.1, 0.19), (0.06, 0.093)),
        "He": Expected("healthy", (0.57, 1.07), (0.34, 0.53)),
    },
}


def run(demo: harness.Demo) -> None:
    """Send 1000 normal inputs of 100 numbers through five layers of 100, for each pair."""
    x = demo.device.asarray(Stream(demo.seed, "inputs").normal((1000, 100)), "float32")
    for activation, kind in KINDS.items():
        rows = {}
        for name, init in INITS.items():
            layers = [layer for _ in range(5) for layer in (Linear(100, False, init), kind())]
            net = Sequential(layers, input_shape=(100,), seed=demo.seed).to(demo.device)
            outputs = list(metrics.activations(net, x, (kind,)).values())
            rows[name] = {f"layer {i}": y for i, y in enumerate(outputs, 1)}
            check(demo, activation, name, outputs[-1])
        if demo.pick(activation == "tanh", True):  # a picture takes longer than its figures
            picture = demo.picture(f"activations_{activation.lower()}")
            plots.histograms(rows, picture, bins=30, title=f"{activation}: outputs of five layers")


def check(demo: harness.Demo, activation: str, name: str, y: Array) -> None:
    """Hold the outputs of a last layer against what they are expected to be."""
    expected, std = EXPECTED[activation][name], metrics.spread(y).std
    found = verdict(activation, std)
    words = f"{activation}, {name}, layer 5: "
    demo.figure(f"{words}outputs", found, expected.verdict, found == expected.verdict)
    demo.between(f"{words}standard deviation", std, expected.std)
    demo.between(f"{words}of which over the inputs", over_inputs(y), expected.over_inputs)


def verdict(activation: str, std: float) -> str:
    """Return what a standard deviation of outputs says.

    Saturated: above .35 of the distance between the function's bounds (outputs at the bounds
    alone would have .5, outputs spread evenly .29).  Collapsed: below .05 of it.  ReLU has no
    bounds: exploded above 100, collapsed below .01, where the inputs have 1.
    """
    width = {"sigmoid": 1.0, "tanh": 2.0}.get(activation)
    limit, least = (100.0, 0.01) if width is None else (0.35 * width, 0.05 * width)
    if std > limit:
        return "exploded" if width is None else "saturated"
    return "collapsed" if std < least else "healthy"


def over_inputs(y: Array) -> float:
    """Return the standard deviation of a unit's output over the inputs, averaged over the units."""
    xp = namespace(y)
    return float(xp.mean(xp.std(y, axis=0)))


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
