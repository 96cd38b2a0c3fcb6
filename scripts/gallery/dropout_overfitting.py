"""Overfit 300 images with seven layers, and hold against it with dropout."""

from __future__ import annotations

import sys

from scripts.gallery import harness
from scripts.gallery._mnist import Expected, hold_against_overfitting

ROWS = ("H8",)
TITLE = "overfitting on 300 images, and dropout against it"


def run(demo: harness.Demo) -> None:
    """Train without and with dropout; compare training and test accuracy."""
    expected = demo.pick(
        Expected((0.35, 0.7), (0.25, 0.52), -0.05), Expected((0.8, 0.96), (0.65, 0.76), -0.015)
    )
    hold_against_overfitting(
        demo, demo.pick(80, 301), "dropout .2", expected, "dropout_overfitting", dropout=0.2
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
