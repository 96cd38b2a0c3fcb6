"""Overfit 300 images with seven layers, and hold against it with weight decay."""

from __future__ import annotations

import sys

from scripts.gallery import harness
from scripts.gallery._mnist import overfit
from xpnet import plots

ROWS = ("H7",)
TITLE = "overfitting on 300 images, and weight decay against it"


def run(demo: harness.Demo) -> None:
    """Train without and with decay; compare training and test accuracy."""
    epochs = demo.pick(80, 201, 201)
    plain = overfit(demo, epochs)
    decayed = overfit(demo, epochs, weight_decay=0.1)
    least = demo.pick(0.9, 0.99, 0.99)
    final = plain["train"][-1]
    demo.figure("training accuracy without decay", final, f"at least {least}", final >= least)
    gaps = [one["train"][-1] - one["test"][-1] for one in (plain, decayed)]
    demo.note("test accuracy without and with decay", [plain["test"][-1], decayed["test"][-1]])
    demo.note("gap train minus test without decay", gaps[0])
    demo.figure("gap with decay .1", gaps[1], "smaller", gaps[1] < gaps[0])
    plots.line_panels(
        {
            title: {name: (range(1, epochs + 1), values) for name, values in curves.items()}
            for title, curves in (("no decay", plain), ("weight decay .1", decayed))
        },
        demo.picture("weight_decay_overfitting"),
        xlabel="epoch",
        ylabel="accuracy",
        ylim=(0, 1.03),
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
