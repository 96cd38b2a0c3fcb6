"""Overfit 300 images with seven layers, and hold against it with dropout."""

from __future__ import annotations

import sys

from scripts.gallery import harness
from scripts.gallery._mnist import overfit
from xpnet import plots

ROWS = ("H8",)
TITLE = "overfitting on 300 images, and dropout against it"


def run(demo: harness.Demo) -> None:
    """Train without and with dropout; compare training and test accuracy."""
    epochs = demo.pick(80, 301, 301)
    plain = overfit(demo, epochs)
    thinned = overfit(demo, epochs, dropout=0.2)
    gaps = [one["train"][-1] - one["test"][-1] for one in (plain, thinned)]
    for name, curves in (("without", plain), ("with", thinned)):
        finals = [curves["train"][-1], curves["test"][-1]]
        demo.note(f"train and test accuracy {name} dropout", finals)
    demo.note("gap train minus test without dropout", gaps[0])
    demo.figure("gap with dropout .2", gaps[1], "smaller", gaps[1] < gaps[0])
    plots.line_panels(
        {
            title: {name: (range(1, epochs + 1), values) for name, values in curves.items()}
            for title, curves in (("no dropout", plain), ("dropout .2", thinned))
        },
        demo.picture("dropout_overfitting"),
        xlabel="epoch",
        ylabel="accuracy",
        ylim=(0, 1.03),
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
