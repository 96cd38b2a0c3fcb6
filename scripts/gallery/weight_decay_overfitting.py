"""Overfit 300 images with seven layers, and hold against it with weight decay."""

from __future__ import annotations

import sys

from scripts.gallery import harness
from scripts.gallery._mnist import Expected, hold_against_overfitting

ROWS = ("H7",)
TITLE = "overfitting on 300 images, and weight decay against it"


def run(demo: harness.Demo) -> None:
    """Train without and with weight decay; compare training and test accuracy."""
    expected = demo.pick(
        Expected((0.55, 0.9), (0.45, 0.65), -0.02), Expected((0.82, 0.95), (0.64, 0.76), -0.03)
    )
    hold_against_overfitting(
        demo,
        demo.pick(80, 201),
        "weight decay .1",
        expected,
        "weight_decay_overfitting",
        weight_decay=0.1,
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
