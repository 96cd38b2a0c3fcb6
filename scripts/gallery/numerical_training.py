"""Training by numerical gradients: the same steps as by backward, and why nobody does it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np

import xpnet
from scripts.gallery import harness
from scripts.gallery.gradient_check_mnist import (
    backward_gradients,
    by_equations,
    numerical_gradients,
    on_host,
)
from xpnet import plots
from xpnet.arrays import Array

ROWS = ("C4",)
TITLE = "A sigmoid 784-100-10 network trained by differences and by backward"

IMAGES, RATE = 4, 0.1
SHAPES = [[784, 100], [100], [100, 10], [10]]


def run(demo: harness.Demo) -> None:
    """Train twice from the same weights; compare the losses and the time."""
    shapes = [list(array.shape) for array in network(demo, 28).params.values()]
    demo.figure("shapes", shapes, str(SHAPES), shapes == SHAPES)
    train, _ = xpnet.data.load("mnist", demo.data_dir)
    stride = demo.pick(4, 1)  # quickly: every fourth pixel of every fourth row
    steps = demo.pick(2, 2, 5)
    batch = train.take(IMAGES).to(demo.device)
    x = batch.x[:, :, ::stride, ::stride]
    losses, seconds = {}, {}
    for name, gradients in (("backward", backward_gradients), ("differences", numerical_gradients)):
        net = network(demo, 28 // stride)
        losses[name], seconds[name] = train_by(gradients, net, x, batch.t, steps)
    demo.note(
        "steps, of so many parameters",
        [steps, sum(math.prod(a.shape) for a in net.params.values())],
    )
    pixels = xpnet.to_numpy(x).reshape(IMAGES, -1) / 255
    expected = plain_losses(
        on_host(network(demo, 28 // stride).params), pixels, xpnet.to_numpy(batch.t).tolist(), steps
    )
    for (name, row), most in zip(losses.items(), (1e-13, 1e-9), strict=True):
        demo.note(f"losses by {name}", row)
        apart = max(abs(a - b) for a, b in zip(row, expected, strict=True))
        demo.at_most(f"by {name}: apart from the equations in NumPy", apart, most)
    apart = max(abs(a - b) for a, b in zip(*losses.values(), strict=True))
    demo.at_most("losses apart", apart, 1e-6)
    for name, row in losses.items():
        demo.at_least(f"by {name}: the loss has fallen by", row[0] - row[-1], 0.3)
    for name, value in seconds.items():
        demo.note(f"seconds a step by {name}", value / steps)
    demo.note("backward is so many times faster", seconds["differences"] / seconds["backward"])
    plots.curves(
        {
            f"{steps} steps on {IMAGES} images": {
                f"{name}, {seconds[name] / steps:.2g} s a step": (
                    list(range(steps + 1)),
                    losses[name],
                )
                for name in losses
            }
        },
        demo.picture("numerical_training"),
        xlabel="step",
        ylabel="loss",
    )


def network(demo: harness.Demo, side: int) -> xpnet.Sequential:
    """Return the network for images of a size."""
    return xpnet.models.mlp(
        (100,),
        input_shape=(1, side, side),
        activation="sigmoid",
        init=0.01,
        seed=demo.seed,
        dtype="float64",
    ).to(demo.device)


def plain_losses(
    params: dict[str, np.ndarray], x: np.ndarray, labels: list[int], steps: int
) -> list[float]:
    """Return the loss before, between and after some steps by the equations."""
    losses = []
    for _ in range(steps):
        loss, gradients = by_equations(params, x, labels, sigmoid=True)
        losses.append(loss)
        params = {path: array - RATE * gradients[path] for path, array in params.items()}
    return [*losses, by_equations(params, x, labels, sigmoid=True)[0]]


def train_by(
    gradients: Callable[..., Mapping[str, Array]],
    net: xpnet.Sequential,
    x: Array,
    t: Array,
    steps: int,
) -> tuple[list[float], float]:
    """Take some steps; return the loss before, between and after them, and the seconds."""
    loss, optimizer = xpnet.SoftmaxCrossEntropy(), xpnet.SGD(RATE)
    backward_gradients(net, loss, x, t)  # what is compiled on the way is not timed
    began = time.perf_counter()
    losses = []
    for _ in range(steps):
        losses.append(float(loss.forward(net.forward(x), t)))
        found = gradients(net, loss, x, t)
        optimizer.update(net.params, {path: net.device.asarray(g) for path, g in found.items()})
    net.device.synchronize()
    seconds = time.perf_counter() - began
    return [*losses, float(loss.forward(net.forward(x), t))], seconds


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
