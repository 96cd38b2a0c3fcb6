"""Show what initial weights do to the outputs of five layers: saturated, collapsed or healthy."""

from __future__ import annotations

import sys

from scripts.gallery import harness
from xpnet import plots
from xpnet.arrays import Array, namespace
from xpnet.layers import Linear, ReLU, Sequential, Sigmoid, Tanh
from xpnet.random import Stream
from xpnet.training.metrics import activations, spread

ROWS = ("H5",)
TITLE = "histograms of activations for four kinds of initial weights"

INITS: dict[str, str | float] = {"std 1": 1.0, "std .01": 0.01, "Xavier": "xavier", "He": "he"}
EXPECTED = {
    "sigmoid": ("saturated", "collapsed", "healthy", "healthy"),
    "tanh": ("saturated", "collapsed", "healthy", "healthy"),
    # ReLU has no ceiling: what saturates the others makes it explode.
    "ReLU": ("exploded", "collapsed", "healthy", "healthy"),
}


def run(demo: harness.Demo) -> None:
    """Send 1000 normal inputs of 100 numbers through five layers of 100, for each pair."""
    kinds: dict[str, type[Sigmoid | Tanh | ReLU]] = {"sigmoid": Sigmoid, "tanh": Tanh, "ReLU": ReLU}
    x = demo.device.asarray(Stream(demo.seed, "inputs").normal((1000, 100)), "float32")
    for activation, kind in kinds.items():
        rows = {}
        for (name, init), wanted in zip(INITS.items(), EXPECTED[activation], strict=True):
            layers = [layer for _ in range(5) for layer in (Linear(100, False, init), kind())]
            net = Sequential(layers, input_shape=(100,), seed=demo.seed).to(demo.device)
            outputs = list(activations(net, x, (kind,)).values())
            rows[name] = {f"layer {i}": y for i, y in enumerate(outputs, 1)}
            std, found = verdict(activation, outputs)
            words = f"{activation}, {name}: standard deviation of layer 5, and what it says"
            demo.figure(words, [std, found], wanted, found == wanted)
            # A histogram of all outputs also shows how the units differ from each other; what
            # still depends on the input is less, and with sigmoid next to nothing.
            demo.note("  of which over the inputs", over_inputs(outputs[-1]))
        if demo.pick(activation == "tanh", True, True):  # a picture takes longer than its figures
            picture = demo.picture(f"activations_{activation.lower()}")
            plots.histograms(rows, picture, bins=30, title=f"{activation}: outputs of five layers")


def verdict(activation: str, outputs: list[Array]) -> tuple[float, str]:
    """Return the standard deviation of the last layer's outputs, and what it says.

    Saturated: above .35 of the distance between the function's bounds (outputs at the bounds
    alone would have .5, outputs spread evenly .29).  Collapsed: below .05 of it.  ReLU has no
    bounds: exploded above 100, collapsed below .01, where the inputs have 1.
    """
    std = spread(outputs[-1]).std
    width = {"sigmoid": 1.0, "tanh": 2.0}.get(activation)
    limit, least = (100.0, 0.01) if width is None else (0.35 * width, 0.05 * width)
    if std > limit:
        return std, "exploded" if width is None else "saturated"
    return std, "collapsed" if std < least else "healthy"


def over_inputs(y: Array) -> float:
    """Return the standard deviation of a unit's output over the inputs, averaged over the units."""
    xp = namespace(y)
    return float(xp.mean(xp.std(y, axis=0)))


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
