"""Train the book's simple convolutional network by its own recipe, and by a shorter one."""

from __future__ import annotations

import functools
import sys

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import check_accuracy, draw_runs, train_over_seeds
from scripts.gallery.harness import mean
from xpnet import models, schedules

ROWS = ("H10",)
TITLE = "the simple convnet on MNIST"


def run(demo: harness.Demo) -> None:
    """Train from weights of std .01 with Adam at .001; beside it one cycle of rates, from He's.

    The whole length is the book's 20 epochs.
    """
    epochs, batch_size = demo.pick((3, 20), (6, 100), (20, 100))
    book = train_over_seeds(
        demo,
        functools.partial(models.simple_convnet, init=0.01),
        lambda: xpnet.Adam(lr=0.001),
        epochs,
        batch_size,
    )
    words = f"the book's recipe, {epochs} epochs"
    first = [history["train_loss"][0] for history in book]
    demo.between(
        f"{words}: training loss of the first",
        mean(first),
        demo.pick((0.5, 1.4), (0.2, 0.45)),
    )
    check_accuracy(demo, words, book, demo.pick(0.85, 0.985, 0.988))

    short = min(epochs, 3)
    cycle = train_over_seeds(
        demo,
        models.simple_convnet,
        lambda: xpnet.Adam(lr=0.003),
        short,
        batch_size,
        schedules.one_cycle(),
    )
    words = f"one cycle of rates up to .003, {short} epochs"
    check_accuracy(demo, words, cycle, demo.pick(0.88, 0.988))
    draw_runs(
        demo,
        "simple_convnet",
        {"the book's recipe: Adam, .001": book, "one cycle up to .003": cycle},
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
