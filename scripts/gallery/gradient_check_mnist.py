"""A network's backward pass held against differences, weight by weight, on MNIST images."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import numpy as np

import xpnet
from scripts.gallery import harness
from xpnet import plots
from xpnet.arrays import Array
from xpnet.book import gradient as book
from xpnet.book.two_layer_net import TwoLayerNet

ROWS = ("C3",)
TITLE = "Backward against differences: a 784-50-10 network on 3 images"

IMAGES, SEEDS = 3, 5
LIMITS = {"W1": 1e-10, "b1": 1e-10, "W2": 1e-10, "b2": 1e-9}
BOOK = {"W1": 3.9e-10, "b1": 2.3e-9, "W2": 5.4e-9, "b2": 1.4e-7}
"""What the book's network is off by: its loss adds 1e-7 to a share, its backward does not."""

Arrays = Mapping[str, np.ndarray]


def run(demo: harness.Demo) -> None:
    """Differentiate by each number of the network, for several initial weights."""
    train, _ = xpnet.data.load("mnist", demo.data_dir)
    batch = train.take(IMAGES).to(demo.device)
    labels = xpnet.to_numpy(batch.t).tolist()
    pixels = xpnet.to_numpy(batch.x).reshape(IMAGES, -1) / 255
    known_images(demo, pixels, labels)
    seeds = range(demo.seed, demo.seed + max(demo.seeds, SEEDS))
    # all 50 hidden units take 398 000 forward passes; quickly, every tenth of them is looked at
    stride = demo.pick(10, 1)
    demo.note("seeds, and hidden units whose weights are changed", [len(seeds), 50 // stride])

    own: list[dict[str, float]] = []
    booked: list[dict[str, float]] = []
    apart = []
    for seed in seeds:
        net = xpnet.models.mlp((50,), init=0.01, seed=seed, dtype="float64").to(demo.device)
        loss = xpnet.SoftmaxCrossEntropy()
        value, expected = by_equations(on_host(net.params), pixels, labels)
        found = backward_gradients(net, loss, batch.x, batch.t)
        apart.append(abs(float(loss.forward(net.forward(batch.x), batch.t)) - value))
        claimed = on_host(found)
        apart += [float(abs(claimed[path] - expected[path]).max()) for path in expected]
        measured = numerical_gradients(net, loss, batch.x, batch.t, stride)
        own.append(differences(claimed, measured, stride))
        booked.append(of_the_book(seed, pixels, labels, stride))
    demo.at_most("loss and all gradients less the equations in NumPy", max(apart), 1e-14)
    found_own, found_booked = medians(own), medians(booked)
    about = "median over seeds of the mean absolute difference"
    for name, limit in LIMITS.items():
        demo.at_most(f"{name}: {about}", found_own[name], limit)
    for name, usual in BOOK.items():
        band = (usual / 1.5, usual * 1.5)
        demo.between(f"{name} of the book's network: {about}", found_booked[name], band)
    plots.bars(
        {
            "xpnet's network": {
                "measured": list(found_own.values()),
                "limit": list(LIMITS.values()),
            },
            "the book's, 1e-7 in its loss": {
                "measured": list(found_booked.values()),
                "in the book": list(BOOK.values()),
            },
        },
        demo.picture("gradient_check_mnist"),
        ticks=list(LIMITS),
        ylabel="mean absolute difference",
        title=f"Backward against differences, median of {len(seeds)} seeds",
        log=True,
        form="",
    )


def known_images(demo: harness.Demo, pixels: np.ndarray, labels: list[int]) -> None:
    """Print what tells whether these are the images that they should be, the right way up."""
    demo.figure("the labels", labels, "5, 0, 4", labels == [5, 0, 4])
    ink = pixels[0].reshape(28, 28)
    middle = [float(ink.sum(axis=axis) @ np.arange(28) / ink.sum()) for axis in (1, 0)]
    found = [float(ink.mean()), *middle]
    close = bool(np.allclose(found, (0.13768, 14.0358, 13.6452), rtol=1e-5))
    words = ".13768, row 14.0358, column 13.6452"
    demo.figure("mean of the first image, of 0 to 1, and its middle", found, words, close)


def backward_gradients(
    net: xpnet.Sequential, loss: xpnet.losses.Loss, x: Array, t: Array
) -> dict[str, Array]:
    """Return the gradients of the loss by the backward pass."""
    loss.forward(net.forward(x, train=True), t)
    net.backward(loss.backward())
    return dict(net.grads)


def numerical_gradients(
    net: xpnet.Sequential, loss: xpnet.losses.Loss, x: Array, t: Array, stride: int = 1
) -> dict[str, np.ndarray]:
    """Return the gradients of the loss by differences, on the host.

    Parameters
    ----------
    net : Sequential
        Its parameters are as before when this returns.
    loss : Loss
    x, t : array
        The batch.
    stride : int
        Each how many-th unit of the first layer is looked at.
    """
    gradients = {}
    for path in net.params:
        here = looked_at(net.params, path, stride)
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


def by_equations(
    params: Arrays, x: np.ndarray, labels: Sequence[int], sigmoid: bool = False
) -> tuple[float, dict[str, np.ndarray]]:
    """Return the loss and its gradients as the equations of two layers say, on the host."""
    W1, b1, W2, b2 = params.values()
    score = x @ W1 + b1
    z = 1 / (1 + np.exp(-score)) if sigmoid else np.maximum(score, 0)
    slope = z * (1 - z) if sigmoid else score > 0
    e = np.exp(z @ W2 + b2)
    p, t = e / e.sum(axis=1, keepdims=True), np.eye(10)[labels]
    dy = (p - t) / len(x)
    dz = dy @ W2.T * slope
    gradients = (x.T @ dz, dz.sum(axis=0), z.T @ dy, dy.sum(axis=0))
    loss = float(-np.log((p * t).sum(axis=1)).mean())
    return loss, dict(zip(params, gradients, strict=True))


def on_host(arrays: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """Return copies of arrays on the host."""
    return {path: xpnet.to_numpy(array).copy() for path, array in arrays.items()}


def of_the_book(
    seed: int, pixels: np.ndarray, labels: Sequence[int], stride: int
) -> dict[str, float]:
    """Return how far the book's two ways are apart, for each of its parameters, on the host."""
    np.random.seed(seed)  # noqa: NPY002  (the book draws its weights by it)
    network = TwoLayerNet(784, 50, 10)
    t = np.eye(10)[labels]
    claimed = network.gradient(pixels, t)
    measured = {
        name: book.numerical_gradient(
            lambda _: network.loss(pixels, t), looked_at(network.params, name, stride)
        )
        for name in BOOK
    }
    return differences(claimed, measured, stride)


def looked_at(arrays: Mapping[str, Array], path: str, stride: int) -> Array:
    """Return what is looked at of an array of two layers: of the first, some of the units."""
    first = list(arrays).index(path) < 2
    return arrays[path][..., ::stride] if first else arrays[path]


def differences(claimed: Arrays, measured: Arrays, stride: int) -> dict[str, float]:
    """Return the mean absolute difference of the gradients by W1, b1, W2 and b2."""
    apart = (
        float(abs(gradient - looked_at(claimed, path, stride)).mean())
        for path, gradient in measured.items()
    )
    return dict(zip(LIMITS, apart, strict=True))


def medians(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median of each column."""
    return {name: float(np.median([row[name] for row in rows])) for name in LIMITS}


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
