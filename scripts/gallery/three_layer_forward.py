"""A number's way through a 2-3-2-2 network whose weights are given by hand."""

from __future__ import annotations

import sys

import xpnet
from scripts.gallery import _drawings, harness
from xpnet import models
from xpnet.arrays import Array

ROWS = ("B4",)
TITLE = "The forward pass of a 2-3-2-2 sigmoid network"

WEIGHTS = {
    "1.W": [[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]],
    "1.b": [0.1, 0.2, 0.3],
    "3.W": [[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]],
    "3.b": [0.1, 0.2],
    "5.W": [[0.1, 0.3], [0.2, 0.4]],
    "5.b": [0.1, 0.2],
}


def run(demo: harness.Demo) -> None:
    """Compute the outputs for (1, .5), with the weights as given and with one of them changed."""
    net = models.mlp(
        (3, 2), 2, input_shape=(2,), activation="sigmoid", rescale=None, dtype="float64"
    ).to(demo.device)
    for path, values in WEIGHTS.items():
        net.params[path] = values
    x = demo.device.asarray([[1.0, 0.5]])
    show(demo, "outputs", net.forward(x), (0.31682708, 0.69627909))

    values = [x]  # those of the units: the input, each sigmoid's output, the scores
    y = x
    for k, layer in enumerate(net.layers):
        y = layer.forward(y)
        if k in (2, 4, 5):
            values.append(y)
    _drawings.network_diagram(
        [value[0, :] for value in values],
        [net.params[path] for path in ("1.W", "3.W", "5.W")],
        demo.picture("three_layer_forward"),
        names=("input", "sigmoid", "sigmoid", "output"),
        title="What each unit answers, and the weights between them (biases not drawn)",
    )

    net.params["5.W"] = [[1.0, 0.3], [0.2, 0.4]]
    show(demo, "with W3[0][0] = 1", net.forward(x), (0.88045151, 0.69627909))


def show(demo: harness.Demo, name: str, y: Array, expected: tuple[float, ...]) -> None:
    """Print outputs beside what they should be."""
    found = xpnet.to_numpy(y)[0]
    demo.figure(name, found, str(expected), bool(abs(found - expected).max() <= 5e-9))


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
