"""Squared error and cross-entropy: what a right and a wrong answer cost."""

from __future__ import annotations

import sys

import xpnet
from scripts.gallery import harness
from xpnet import functions, plots
from xpnet.arrays import Array, namespace

ROWS = ("B3",)
TITLE = "Half the summed squared error, and cross-entropy"

RIGHT = (0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0)
WRONG = (0.1, 0.05, 0.1, 0.0, 0.05, 0.1, 0.0, 0.6, 0.0, 0.0)
LABEL = 2


def run(demo: harness.Demo) -> None:
    """Compute both losses of two answers to one question, with labels and one-hot targets."""
    panels = {}
    costs = {"2 likely": (RIGHT, 0.0975, 0.510825), "7 likely": (WRONG, 0.5975, 2.302585)}
    label = demo.device.asarray([LABEL], "int64")
    target = functions.one_hot(label, 10, "float64")
    entropies = []
    for name, (answer, squared, entropy) in costs.items():
        p = demo.device.asarray([answer], "float64")
        scores = scores_of(p)
        error = float(xpnet.SquaredError().forward(p, target))
        demo.figure(f"{name}: squared error", error, f"{squared}", abs(error - squared) <= 1e-12)
        by_label, by_row = (
            float(xpnet.SoftmaxCrossEntropy().forward(scores, t)) for t in (label, target)
        )
        passed = abs(by_label - entropy) <= 7e-7
        demo.figure(f"{name}: cross-entropy, label", by_label, f"{entropy}", passed)
        same = abs(by_label - by_row) <= 1e-15
        demo.figure(f"{name}: cross-entropy, one-hot", by_row, "the same", same)
        entropies.append(by_label)
        panels[f"squared error {error:.4g}\ncross-entropy {by_label:.4g}"] = {
            "answer": answer,
            "target": xpnet.to_numpy(target)[0],
        }
    guarded = float(-demo.device.xp.log(p[0, LABEL] + 1e-7))
    passed = abs(guarded - 2.302584) <= 5e-7
    demo.figure("7 likely: with 1e-7 in the logarithm", guarded, "2.302584", passed)
    both = scores_of(demo.device.asarray([RIGHT, WRONG]))
    labels = demo.device.asarray([LABEL, LABEL], "int64")
    mean = float(xpnet.SoftmaxCrossEntropy().forward(both, labels))
    passed = abs(mean - sum(entropies) / 2) <= 1e-15
    demo.figure("cross-entropy of both as a batch", mean, "the mean of the two", passed)
    plots.bars(panels, demo.picture("loss_functions"), xlabel="class", columns=2, form="")


def scores_of(p: Array) -> Array:
    """Return scores whose softmax is p."""
    return namespace(p).log(p + 1e-300)  # which no share but 0 notices


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
