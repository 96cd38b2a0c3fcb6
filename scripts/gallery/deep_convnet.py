"""Train the book's deep convolutional network."""

from __future__ import annotations

import functools
import sys

from scripts.gallery import harness
from scripts.gallery._mnist import train_convnet
from xpnet import models

ROWS = ("H11",)
TITLE = "the deep convnet on MNIST"


def run(demo: harness.Demo) -> None:
    """Train it, over seeds, and draw the first seed's loss and accuracy.

    The whole length trains the book's network, which thins out its scores too; in three epochs
    the network without that last dropout gets as far.
    """
    make_net = functools.partial(
        models.deep_convnet,
        widths=demo.pick((8, 16, 32), (16, 32, 64), (16, 32, 64)),
        dropout_scores=demo.mode == "full",
    )
    train_convnet(demo, make_net, "deep_convnet", least=0.992)


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
