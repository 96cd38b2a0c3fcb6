"""Train LeNet-5 and a small AlexNet; take AlexNet in its own size forward and backward once."""

from __future__ import annotations

import math
import sys
import time

import xpnet
from scripts.gallery import harness
from scripts.gallery._mnist import load, trainer_for
from xpnet import models, plots, schedules
from xpnet.layers import AvgPool2d, Sigmoid
from xpnet.random import Stream
from xpnet.training import metrics

ROWS = ("F6",)
TITLE = "LeNet-5 and AlexNet"


def run(demo: harness.Demo) -> None:
    """Train both on MNIST, and make one step of the 227x227 network on one image."""
    train, test = load(demo.data_dir)
    test = test.take(demo.pick(1000, 10_000))
    lenet = models.lenet5(seed=demo.seed)
    small = models.small_alexnet(width=demo.pick(0.125, 0.25), seed=demo.seed)
    for name, net, lr, count, epochs, quick, least in (
        ("LeNet-5", lenet, 0.01, demo.pick(8000, 60_000), demo.pick(1, 3, 10), 0.7, 0.97),
        (
            "small AlexNet", small, 0.003, demo.pick(3000, 20_000, 60_000), demo.pick(1, 1, 3),
            0.6, 0.95,
        ),
    ):  # fmt: skip
        trainer = trainer_for(demo, net, xpnet.Adam(lr=lr), schedules.one_cycle())
        trainer.fit(train.take(count), epochs, demo.pick(15, 100))
        accuracy = harness.accuracy(trainer.evaluate(test))
        words = f"{name}, images seen {count * epochs:,}: test accuracy"
        demo.at_least(words, accuracy, demo.pick(quick, least))

    digit = test.x[:1]
    maps = metrics.activations(lenet, demo.device.asarray(digit), (Sigmoid, AvgPool2d))
    shown = [("input", digit[0])] + [("", digit[0] * 0)] * 5
    for name, y in zip(("C1", "S2", "C3"), maps.values(), strict=False):
        shown += [(name, one) for one in xpnet.to_numpy(y)[0]]
    title = "What LeNet-5 makes of a digit"
    plots.image_grid(shown, demo.picture("lenet_maps"), columns=6, title=title)

    # The whole network takes a second a step, and drawing its weights takes several.
    width, count = demo.pick((0.25, 4_675_912), (1.0, 62_378_344))
    began = time.perf_counter()
    net = models.alexnet(width=width, seed=demo.seed).to(demo.device)
    demo.note("seconds to build AlexNet at 227x227", time.perf_counter() - began)
    sizes = sum(math.prod(array.shape) for array in net.params.values())
    demo.figure(f"its parameters at width {width}", sizes, str(count), sizes == count)
    x = demo.device.asarray(Stream(demo.seed, "image").uniform((1, 3, 227, 227), 0, 255), "float32")
    loss = xpnet.SoftmaxCrossEntropy()
    began = time.perf_counter()
    value = loss.forward(net.forward(x, train=True), demo.device.asarray([0], "int64"))
    net.backward(loss.backward())
    steps = {path: float(abs(xpnet.to_numpy(g)).max()) for path, g in net.grads.items()}
    demo.note("seconds forward and backward, one image", time.perf_counter() - began)
    # of 1000 classes: guessing costs ln 1000, about 6.9
    demo.between("its loss before any training", float(value), (4, 14))
    moved = sum(0 < step < math.inf for step in steps.values())
    words = "parameter arrays with a gradient, finite and not zero"
    demo.figure(words, moved, f"all {len(steps)}", moved == len(steps))


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
