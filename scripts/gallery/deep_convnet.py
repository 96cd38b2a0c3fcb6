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
    """Train it, over seeds, and draw the first seed's loss and accuracy."""
    widths = demo.pick((8, 16, 32), (16, 32, 64), (16, 32, 64))
    make_net = functools.partial(models.deep_convnet, widths=widths)
    train_convnet(demo, make_net, "deep_convnet", least=0.992)


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
