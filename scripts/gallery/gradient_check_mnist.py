"""A network's backward pass held against differences, weight by weight, on MNIST images."""

from __future__ import annotations

import sys

import numpy as np

import xpnet
from scripts.gallery import harness
from xpnet import plots
from xpnet.arrays import Array

ROWS = ("C3",)
TITLE = "Backward against differences: a 784-50-10 network on 3 images"

IMAGES, SEEDS = 3, 5
LIMITS = {"W1": 1e-10, "b1": 1e-10, "W2": 1e-10, "b2": 1e-9}


def run(demo: harness.Demo) -> None:
    """Differentiate by each number of the network, for several initial weights."""
    train, _ = xpnet.data.load("mnist", demo.data_dir)
    batch = train.take(IMAGES).to(demo.device)
    seeds = range(demo.seed, demo.seed + max(demo.seeds, SEEDS))
    # all 50 hidden units take 398 000 forward passes; quickly, two of them are looked at
    units = demo.pick(2, 50)
    errors: dict[str, list[float]] = {name: [] for name in LIMITS}
    for seed in seeds:
        net = xpnet.models.mlp((50,), init=0.01, seed=seed, dtype="float64").to(demo.device)
        loss = xpnet.SoftmaxCrossEntropy()
        claimed = backward_gradients(net, loss, batch.x, batch.t)
        measured = numerical_gradients(net, loss, batch.x, batch.t, units)
        for name, (path, gradient) in zip(LIMITS, measured.items(), strict=True):
            error = abs(gradient - xpnet.to_numpy(claimed[path])[..., : gradient.shape[-1]])
            errors[name].append(float(error.mean()))
    medians = {name: float(np.median(values)) for name, values in errors.items()}
    demo.note("seeds", len(seeds))
    if units < 50:
        demo.note("hidden units whose weights were differentiated", units)
    for name, limit in LIMITS.items():
        about = f"{name}: median over seeds of the mean absolute difference"
        demo.figure(about, medians[name], f"at most {limit:g}", medians[name] <= limit)
    plots.bars(
        {
            f"Backward against differences, median of {len(seeds)} seeds": {
                "measured": list(medians.values()),
                "limit": list(LIMITS.values()),
            }
        },
        demo.picture("gradient_check_mnist"),
        ticks=list(LIMITS),
        ylabel="mean absolute difference",
        log=True,
    )


def backward_gradients(
    net: xpnet.Sequential, loss: xpnet.losses.Loss, x: Array, t: Array
) -> dict[str, Array]:
    """Return the gradients of the loss by the backward pass."""
    loss.forward(net.forward(x, train=True), t)
    net.backward(loss.backward())
    return dict(net.grads)


def numerical_gradients(
    net: xpnet.Sequential, loss: xpnet.losses.Loss, x: Array, t: Array, units: int | None = None
) -> dict[str, np.ndarray]:
    """Return the gradients of the loss by differences, on the host.

    Parameters
    ----------
    net : Sequential
        Its parameters are as before when this returns.
    loss : Loss
    x, t : array
        The batch.
    units : int, optional
        Of the first weights and biases, how many columns are differentiated; by default all.
    """
    gradients = {}
    first = next(iter(net.params)).split(".")[0]
    for path, array in net.params.items():
        here = array[..., :units] if path.split(".")[0] == first else array
        kept = xpnet.to_numpy(here).copy()
        width = 5 if here.ndim == 2 else here.shape[0]  # narrow blocks: little to copy each time
        blocks = []
        for start in range(0, here.shape[-1], width):
            block = here[..., start : start + width]

            def value(changed: Array, block: Array = block) -> Array:
                block[...] = changed
                return loss.forward(net.forward(x), t)

            own = net.device.asarray(kept[..., start : start + width])
            blocks.append(xpnet.to_numpy(xpnet.numerical_gradient(value, own)))
            block[...] = own
        gradients[path] = np.concatenate(blocks, axis=-1)
    return gradients


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
