"""Read handwritten digits from an Excel workbook and learn them with one hidden layer."""

from __future__ import annotations

import itertools
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

import xpnet
from scripts.gallery import _two_layers, harness
from scripts.gallery._mnist import load
from xpnet import initializers, plots
from xpnet.data import Dataset, load_spreadsheet, save_spreadsheet
from xpnet.layers import Flatten, Linear, Rescale, Sequential, Sigmoid

ROWS = ("J", "L12")
TITLE = "digits from a spreadsheet: 20x20 pixels, a 400-25-10 network of sigmoids, three rates"

RATES = (0.5, 1.5, 4.5)
MIDDLE = RATES[1]

# of each rate, by --quick, by default and by --full: cost, training and held-out accuracy towards
# the end, and epochs in which the cost rises; the highest rate goes up and down by chance, and ends
# where rounding leads it
EXPECTED = {
    0.5: (
        ((0.38, 0.48), (0.98, 1), (0.62, 0.8), (0, 2)),
        ((0.47, 0.56), (0.92, 0.95), (0.86, 0.9), (0, 2)),
        ((0.1, 0.2), (0.97, 1), (0.86, 0.91), (0, 2)),
    ),
    1.5: (
        ((0.09, 0.14), (0.99, 1), (0.62, 0.8), (0, 2)),
        ((0.26, 0.32), (0.955, 0.98), (0.87, 0.91), (0, 2)),
        ((0.02, 0.08), (0.98, 1), (0.86, 0.91), (0, 10)),
    ),
    4.5: (
        ((0.05, 1.5), (0.6, 1), (0.4, 0.8), (15, 80)),
        ((0.26, 0.75), (0.88, 0.98), (0.76, 0.89), (150, 400)),
        ((0.02, 0.3), (0.95, 1), (0.83, 0.89), (150, 2000)),
    ),
}


class Run(NamedTuple):
    """A trained network, its cost before each pass, and both accuracies at some passes."""

    net: Sequential
    costs: list[float]
    passes: list[int]
    train: list[float]
    test: list[float]


def network(seed: int) -> Sequential:
    """Return the network; the last layer's sigmoid is part of the loss."""

    def linear(units: int) -> Linear:
        return Linear(units, init="glorot_uniform", bias_init=initializers.normal(1))

    return Sequential(
        [Rescale(1 / 255), Flatten(), linear(25), Sigmoid(), linear(10)],
        input_shape=(1, 20, 20),
        seed=seed,
    )


def through_workbooks(demo: harness.Demo, images: int) -> tuple[Dataset, Dataset]:
    """Write MNIST's digits, cropped to their middle, to workbooks, and read them back."""
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for name, data in zip(("training", "held-out"), load(demo.data_dir), strict=True):
            # Excel cells are slow to parse, so that the held-out half goes by way of an archive
            file = Path(folder) / f"{name}.{'xlsx' if name == 'training' else 'npz'}"
            began = time.perf_counter()
            save_spreadsheet(data.take(images), file)
            written = time.perf_counter()
            parts.append(load_spreadsheet(file))
            demo.note(
                f"{file.name} of {images} images: MB, seconds to write and to read",
                [
                    round(file.stat().st_size / 1e6, 2),
                    round(written - began, 2),
                    round(time.perf_counter() - written, 2),
                ],
            )
            same = parts[-1].x == data.x[:images, :, 4:24, 4:24]
            kept = bool(same.all()) and bool((parts[-1].t == data.t[:images]).all())
            demo.figure(f"{file.name} gives back what was written", kept, "True", kept)
            if file.suffix == ".xlsx":
                look_into(demo, file, data.take(images))
    return parts[0], parts[1]


def look_into(demo: harness.Demo, file: Path, data: Dataset) -> None:
    """Hold the two sheets of a workbook, as Excel's own reader finds them, against the images."""
    import openpyxl

    book = openpyxl.load_workbook(file, read_only=True)
    labels = [row[0] for row in book["y"].iter_rows(values_only=True)]
    zeros = [label == 10 for label in labels] == [digit == 0 for digit in data.t]
    demo.figure(
        "labels of sheet y, least and largest",
        [min(labels), max(labels)],
        "1 and 10, which stands for zero",
        (min(labels), max(labels), zeros) == (1, 10, True),
    )
    rows = itertools.islice(book["X"].iter_rows(values_only=True), 20)
    wrong = sum(
        list(row) != [int(image[i, j]) for j in range(4, 24) for i in range(4, 24)]
        for row, image in zip(rows, data.x[:, 0], strict=False)
    )
    demo.at_most("of the first 20 rows of X, not an image column by column", wrong, 0)


def check_start(demo: harness.Demo, net: Sequential, train: Dataset, costs: list[float]) -> None:
    """Hold initial weights against their rule, and the first costs against plain arithmetic."""
    params = {name: xpnet.to_numpy(value) for name, value in net.params.items()}
    for name, (n, k) in (("2.W", (400, 25)), ("4.W", (25, 10))):
        share = params[name] / math.sqrt(6 / (n + k))
        words = f"initial weights {n}-{k} by sqrt(6) / sqrt({n} + {k})"
        demo.between(f"{words}, largest", float(abs(share).max()), (0.97, 1.0))
        demo.between(f"{words}, standard deviation (.577)", float(share.std()), (0.53, 0.63))
    biases = np.concatenate([params["2.b"], params["4.b"]])
    demo.between("initial biases, standard deviation (1)", float(biases.std()), (0.6, 1.4))
    expected = _two_layers.descend(
        {"W1": params["2.W"], "b1": params["2.b"], "W2": params["4.W"], "b2": params["4.b"]},
        xpnet.to_numpy(train.x).reshape(-1, 400) / 255,
        np.eye(10)[xpnet.to_numpy(train.t)],
        hidden="sigmoid",
        loss="logistic",
        lr=MIDDLE,
    )
    gap = np.abs(np.array(costs[: len(expected)]) / expected - 1).max()
    demo.at_most(f"first {len(expected)} costs, relative distance from plain arithmetic", gap, 1e-4)


def learn(demo: harness.Demo, train: Dataset, test: Dataset, lr: float) -> Run:
    """Descend by the gradient of all images at once."""
    net = network(demo.seed).to(demo.device)
    trainer = xpnet.Trainer(net, xpnet.SigmoidCrossEntropy(), xpnet.SGD(lr=lr))
    passes, every = demo.pick(200, 600, 3000), demo.pick(50, 50, 100)
    run = Run(net, [], [], [], [])
    costs = []
    for k in range(passes + 1):
        if k % every == 0:
            results = [trainer.evaluate(data) for data in (train, test)]
            run.passes.append(k)
            run.train.append(harness.accuracy(results[0]))
            run.test.append(harness.accuracy(results[1]))
            print(
                f"rate {lr:g}, pass {k:4d}: cost {results[0].loss:.4f}, accuracy "
                f"{results[0].accuracy:.4f}, held out {results[1].accuracy:.4f}",
                flush=True,
            )
        costs.append(trainer.step(train.x, train.t)[0])
    run.costs.extend(float(cost) for cost in costs)
    return run


def run(demo: harness.Demo) -> None:
    """Make a workbook, read it, train at three rates; compare with held-out images."""
    images = demo.pick(200, 5000)
    train, test = through_workbooks(demo, images)
    demo.note("shapes of X and y as read", [list(train.x.shape), list(train.t.shape)])
    train, test = train.to(demo.device), test.to(demo.device)
    runs = {lr: learn(demo, train, test, lr) for lr in RATES}
    check_start(demo, network(demo.seed), train, runs[MIDDLE].costs)
    for lr, one in runs.items():
        cost, fitted, held, rises = demo.pick(*EXPECTED[lr])
        words = f"rate {lr:g}, {one.passes[-1]} epochs"
        demo.between(
            f"{words}: cost, median of the last 50", float(np.median(one.costs[-50:])), cost
        )
        demo.between(f"{words}: epochs in which it rises", (np.diff(one.costs) > 0).sum(), rises)
        for name, looks, band in (
            ("the training data", one.train, fitted),
            ("as many held-out images", one.test, held),
        ):
            last = float(np.median(looks[-(len(looks) // 3) :]))
            demo.between(f"{words}: accuracy on {name}, median of the last third", last, band)
    draw(demo, runs, test, images)


def draw(demo: harness.Demo, runs: dict[float, Run], test: Dataset, images: int) -> None:
    """Draw some digits as read, the cost at each rate, and the accuracy at one."""
    shown = xpnet.to_numpy(test.x[:10])
    answers = runs[MIDDLE].net.predict(shown).argmax(axis=1)
    plots.image_grid(
        [(f"taken for {answer}", image[0]) for answer, image in zip(answers, shown, strict=True)],
        demo.picture("spreadsheet_digits"),
        title="Held-out digits as they come from the spreadsheet",
    )
    title = f"400-25-10, {images} images at once"
    plots.curves(
        {title: {f"rate {lr:g}": (np.arange(len(r.costs)), r.costs) for lr, r in runs.items()}},
        demo.picture("spreadsheet_digits_cost"),
        xlabel="epoch",
        ylabel="cost",
        log=True,
    )
    one = runs[MIDDLE]
    plots.curves(
        {
            f"{title}, rate {MIDDLE:g}": {
                "training": (one.passes, one.train),
                "held out": (one.passes, one.test),
            }
        },
        demo.picture("spreadsheet_digits_accuracy"),
        xlabel="epoch",
        ylabel="accuracy",
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
