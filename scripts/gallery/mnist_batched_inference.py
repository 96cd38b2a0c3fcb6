"""Train a small sigmoid network, save it, load it, and classify one by one and in batches."""

from __future__ import annotations

import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load, trainer_for
from xpnet import models, plots, schedules
from xpnet.arrays import Array
from xpnet.data import Dataset

ROWS = ("H1",)
TITLE = "MNIST in memory, and the same classification one by one and in batches"


def run(demo: harness.Demo) -> None:
    """Show the data, then the accuracy and the time of both ways."""
    images, _ = load(demo.data_dir)
    train, test = (in_rows(part) for part in load(demo.data_dir))
    shapes = [list(part.x.shape) for part in (train, test)]
    wanted = [[60_000, 784], [10_000, 784]]
    demo.figure("shapes of the images", shapes, str(wanted), shapes == wanted)
    counts = [list(part.t.shape) for part in (train, test)]
    demo.figure(
        "shapes of the labels", counts, "[[60000], [10000]]", counts == [[60_000], [10_000]]
    )
    demo.figure("first label", int(train.t[0]), "5", int(train.t[0]) == 5)
    shown = [(str(int(images.t[i])), images.x[i]) for i in range(20)]
    plots.image_grid(shown, demo.picture("mnist_images"), title="MNIST's first images, with labels")

    net = models.mlp(
        (50, 100), activation="sigmoid", input_shape=(784,), rescale=None, seed=demo.seed
    )
    trainer = trainer_for(demo, net, xpnet.Adam(lr=0.01), schedules.one_cycle())
    trainer.fit(train, demo.pick(1, 8), 100)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        net.save(path)
        loaded = xpnet.load(path, demo.device)
    by_hand = plain_scores(net, test.x[:100])
    apart = float(abs(loaded.predict(test.x[:100]) - by_hand).max())
    words = "scores of the loaded network less plain arithmetic of the saved one"
    demo.at_most(words, apart, 1e-3)

    some = test.take(demo.pick(2000, 10_000))
    # A long run is seldom undisturbed; the short ones need many tries to be as lucky.
    one_by_one, slow = classified(loaded, some, 1, tries=demo.pick(1, 4))
    batched, fast = classified(loaded, some, 100, tries=demo.pick(1, 40))
    demo.between("accuracy, one by one", one_by_one, demo.pick((0.88, 0.96), (0.9352, 0.98)))
    demo.figure("accuracy, in batches of 100", batched, "the same", batched == one_by_one)
    demo.note("seconds, one by one and in batches", [slow, fast])
    if demo.mode == "quick":  # a clock's figure needs a longer run
        demo.note("times faster in batches", slow / fast)
    else:
        demo.at_least("times faster in batches", slow / fast, 10)


def plain_scores(net: xpnet.Sequential, x: Array) -> Array:
    """Return the scores of a network 784-50-100-10 of sigmoids, in NumPy's words."""
    W1, b1, W2, b2, W3, b3 = map(xpnet.to_numpy, net.params.values())
    hidden = 1 / (1 + np.exp(-(x @ W1 + b1)))
    hidden = 1 / (1 + np.exp(-(hidden @ W2 + b2)))
    return hidden @ W3 + b3


def in_rows(data: Dataset) -> Dataset:
    """Return images as rows of float32 numbers from 0 to 1, as the book has them."""
    return Dataset(data.x.reshape(len(data), -1).astype("float32") / 255, data.t, data.classes)


def classified(
    net: xpnet.layers.Network, data: Dataset, batch_size: int, tries: int
) -> tuple[float, float]:
    """Return the accuracy on a data set and the seconds of the fastest of some tries."""
    fastest = math.inf
    for _ in range(tries):
        began = time.perf_counter()
        scores = net.predict(data.x, batch_size=batch_size)
        fastest = min(fastest, time.perf_counter() - began)
    return float((scores.argmax(axis=1) == data.t).mean()), fastest


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
