"""Train the book's deep convolutional network by its own recipe, and by a shorter one."""

from __future__ import annotations

import functools
import sys

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import check_accuracy, draw_runs, finals, train_over_seeds
from scripts.gallery.harness import mean
from xpnet import models, schedules

ROWS = ("H11",)
TITLE = "the deep convnet on MNIST"


def run(demo: harness.Demo) -> None:
    """Train with Adam at .001; beside it one cycle of rates, without dropout of the scores.

    The whole length is the book's 20 epochs.  The book's network thins out its scores too, so that
    its training loss stays high however well it does.
    """
    make_net = functools.partial(models.deep_convnet, widths=demo.pick((8, 16, 32), (16, 32, 64)))
    epochs, batch_size = demo.pick((4, 20), (5, 100), (20, 100))
    book = train_over_seeds(
        demo,
        functools.partial(make_net, dropout_scores=True),
        lambda: xpnet.Adam(lr=0.001),
        epochs,
        batch_size,
    )
    words = f"the book's recipe, {epochs} epochs"
    losses = finals(book, "train_loss")
    demo.between(
        f"{words}: training loss of the last, half the scores dropped",
        mean(losses),
        demo.pick((0.9, 1.8), (0.6, 1.2), (0.5, 1.2)),
    )
    check_accuracy(demo, words, book, demo.pick(0.8, 0.988, 0.992))

    short = min(epochs, 3)
    cycle = train_over_seeds(
        demo, make_net, lambda: xpnet.Adam(lr=0.003), short, batch_size, schedules.one_cycle()
    )
    words = f"one cycle of rates up to .003, {short} epochs"
    losses = finals(cycle, "train_loss")
    demo.between(
        f"{words}: training loss of the last, no score dropped",
        mean(losses),
        demo.pick((0.1, 0.7), (0.02, 0.08)),
    )
    check_accuracy(demo, words, cycle, demo.pick(0.85, 0.991))
    draw_runs(
        demo, "deep_convnet", {"the book's recipe: Adam, .001": book, "one cycle up to .003": cycle}
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
