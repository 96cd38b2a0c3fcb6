"""Squared error and cross-entropy: what a right and a wrong answer cost."""

from __future__ import annotations

import math
import sys

import numpy as np

import xpnet
from scripts.gallery import harness
from xpnet import plots
from xpnet.arrays import Array
from xpnet.book import functions as book
from xpnet.losses import Loss

ROWS = ("B3",)
TITLE = "Half the summed squared error, and cross-entropy"

RIGHT = (0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0)
WRONG = (0.1, 0.05, 0.1, 0.0, 0.05, 0.1, 0.0, 0.6, 0.0, 0.0)
BATCH, LABELS = (RIGHT, WRONG), (2, 5)  # class 5 has the share in the second that 2 has
TARGETS = tuple(tuple(int(k == label) for k in range(10)) for label in LABELS)
TINY = -700.0  # a score whose share is nothing beside the others


def run(demo: harness.Demo) -> None:
    """Compute the losses of two answers to one question, alone and as a batch."""
    panels, entropy = {}, xpnet.SoftmaxCrossEntropy()
    costs = {
        "2 likely": (RIGHT, 0.0975, 0.510825, 0.510825),
        "7 likely": (WRONG, 0.5975, 2.302585, 2.302584),
    }
    labels, targets = ask(demo, LABELS[:1], "int64"), ask(demo, TARGETS[:1])
    for name, (answer, *known) in costs.items():
        p, scores = ask(demo, [answer]), ask(demo, [softmax_scores(answer)])
        losses = (
            ("squared error", xpnet.SquaredError()(p, targets), known[0], 1e-12),
            ("cross-entropy, label", entropy(scores, labels), known[1], 7e-7),
            ("cross-entropy, one-hot", entropy(scores, targets), known[1], 7e-7),
            ("the book's squared error", book.sum_squared_error(p, targets), known[0], 1e-12),
            ("the book's, label", book.cross_entropy_error(p, labels), known[2], 5e-7),
            ("the book's, one-hot", book.cross_entropy_error(p, targets), known[2], 5e-7),
        )
        for words, found, expected, error in losses:
            close = abs(float(found) - expected) <= error
            demo.figure(f"{name}: {words}", float(found), f"{expected}", close)
        title = f"squared error {float(losses[0][1]):.4g}\ncross-entropy {float(losses[1][1]):.4g}"
        panels[title] = {"answer": answer, "target": TARGETS[0]}

    p = ask(demo, BATCH)
    labels, targets = ask(demo, LABELS, "int64"), ask(demo, TARGETS)
    scores = ask(demo, [softmax_scores(answer) for answer in BATCH])
    logits = ask(demo, [[math.log(q / (1 - q)) if q else TINY for q in row] for row in BATCH])
    for name, loss, given, wanted, expected in (
        ("squared error", xpnet.SquaredError(), p, targets, (0.0975 + 0.5975) / 2),
        ("softmax cross-entropy", entropy, scores, labels, -math.log(0.6 * 0.1) / 2),
        ("sigmoid cross-entropy", xpnet.SigmoidCrossEntropy(), logits, targets, yes_or_no()),
    ):
        check(demo, name, loss, given, wanted, expected)
    found = float(book.cross_entropy_error(p, labels))
    expected = -math.log((0.6 + 1e-7) * (0.1 + 1e-7)) / 2
    same = abs(found - expected) <= 1e-14
    demo.figure("both as a batch: the book's cross-entropy", found, f"{expected:.9g}", same)
    plots.bars(
        panels, demo.picture("loss_functions"), xlabel="class", ylabel="share", columns=2, form=""
    )


def ask(demo: harness.Demo, values: object, dtype: str = "float64") -> Array:
    """Return an array on the device."""
    return demo.device.asarray(values, dtype)


def softmax_scores(answer: tuple[float, ...]) -> list[float]:
    """Return scores whose softmax is an answer."""
    return [math.log(share) if share else TINY for share in answer]


def yes_or_no() -> float:
    """Return the mean cost of the batch where each class is a question of its own."""
    pairs = zip(RIGHT + WRONG, TARGETS[0] + TARGETS[1], strict=True)
    return -sum(math.log(q if t else 1 - q) for q, t in pairs) / 2


def check(
    demo: harness.Demo, name: str, loss: Loss, given: Array, wanted: Array, expected: float
) -> None:
    """Print the loss of the batch and how far its gradient is from (y - t) / n."""
    found = float(loss.forward(given, wanted))
    close = abs(found - expected) <= 1e-14
    demo.figure(f"both as a batch: {name}", found, f"{expected:.9g}", close)
    slopes = (np.array(BATCH) - TARGETS) / 2
    error = float(abs(xpnet.to_numpy(loss.backward()) - slopes).max())
    demo.at_most(f"{name}: gradient less (y - t) / 2", error, 1e-15)


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
