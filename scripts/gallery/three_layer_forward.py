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

KNOWN = (
    ("first hidden layer: scores", (0.3, 0.7, 1.1)),
    ("and their sigmoids", (0.57444252, 0.66818777, 0.75026011)),
    ("second hidden layer: scores", (0.51615984, 1.21402696)),
    ("and their sigmoids", (0.62624937, 0.77101070)),
    ("outputs, layer by layer", (0.31682708, 0.69627909)),
)
"""What each layer answers to (1, .5), the flattening of the input left out."""


def run(demo: harness.Demo) -> None:
    """Compute the outputs for (1, .5), with the weights as given and with one of them changed."""
    net = models.mlp(
        (3, 2), 2, input_shape=(2,), activation="sigmoid", rescale=None, dtype="float64"
    ).to(demo.device)
    for path, values in WEIGHTS.items():
        net.params[path] = values
    x = demo.device.asarray([[1.0, 0.5]])
    show(demo, "outputs", net.forward(x), (0.31682708, 0.69627909))

    values = [x]
    for layer in net.layers:
        values.append(layer.forward(values[-1]))
    answers = values[2:]
    for (name, expected), answer in zip(KNOWN, answers, strict=True):
        show(demo, name, answer, expected)
    batch = net.forward(demo.device.asarray([[0.0, 0.0], [1.0, 0.5]]))
    show(demo, "outputs for the second of a batch", batch[1:, :], (0.31682708, 0.69627909))
    _drawings.network_diagram(
        [value[0, :] for value in (x, *answers[1::2], answers[-1])],
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
