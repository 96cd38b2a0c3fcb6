"""Equal initial weights: hidden units that begin alike stay alike, and are worth one unit."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

import xpnet
from scripts.gallery import harness
from xpnet import initializers, plots
from xpnet.data import Dataset
from xpnet.initializers import Init
from xpnet.layers import Linear, Sequential, Sigmoid

ROWS = ("L8",)
TITLE = "Equal initial weights stay equal: 16 hidden units learn no more than one"
UNITS, LR = 16, 1.5
STARTS = 0.0, 0.05


@dataclass
class Learned:
    """What a network 64-units-10 became.

    Attributes
    ----------
    losses : list of float
        Of all training images, before each step.
    spread : float
        The largest difference of two hidden units' weights, in or out, at any time.
    accuracy : float
        On the images it has not seen.
    filters : array, shape (64, units)
        The hidden units' weights at the end.
    """

    losses: list[float]
    spread: float
    accuracy: float
    filters: Any


def run(demo: harness.Demo) -> None:
    """Learn the same from weights that are equal, random, and of one unit alone."""
    train, test = map(scans, xpnet.data.load("digits"))
    images = demo.pick(200, 500, 500)
    train = Dataset(train.x[:images], train.t[:images], classes=10)
    equal = {value: learn(demo, train, test, initializers.constant(value)) for value in STARTS}
    for value, found in equal.items():
        name = f"all weights {value:g}"
        # a product may sum some columns in another order: a last digit, which descent makes larger
        demo.figure(
            f"{name}: largest spread",
            found.spread,
            "at most 1e-6: 0, or rounding that grows",
            found.spread <= 1e-6,
        )
        losses, accuracy = one_unit(train, test, value, len(found.losses))
        demo.figure(
            f"{name}: loss from first to last",
            [found.losses[0], found.losses[-1]],
            f"{losses[0]:.6f} to {losses[-1]:.6f}, as of one unit by plain arithmetic",
            float(np.abs(np.subtract(found.losses, losses)).max()) <= 1e-8,
        )
        demo.figure(
            f"{name}: held-out accuracy",
            found.accuracy,
            f"{accuracy:.4f}, as of that unit",
            abs(found.accuracy - accuracy) < 1e-9,
        )
    single = learn(demo, train, test, "xavier", units=1)
    worst = max(abs(found.accuracy - single.accuracy) for found in equal.values())
    demo.figure(
        "a network of one unit: held-out accuracy",
        single.accuracy,
        "within .25 of both, below .5",
        worst <= 0.25 and single.accuracy < 0.5,
    )
    random = learn(demo, train, test, "xavier")
    demo.figure("random weights: largest spread", random.spread, "above 1", random.spread > 1)
    least = demo.pick(0.75, 0.9, 0.9)
    demo.figure(
        "random weights: held-out accuracy",
        random.accuracy,
        f"at least {least}",
        random.accuracy >= least,
    )
    draw(demo, equal, single, random)


def scans(digits: Dataset) -> Dataset:
    """Return the 8x8 scans that the images were enlarged from, as numbers from 0 to 1."""
    x = xpnet.to_numpy(digits.x)[:, 0, 3:27:3, 3:27:3]
    return Dataset(x.reshape(len(x), 64) / 255, digits.t, classes=10)


def learn(
    demo: harness.Demo, train: Dataset, test: Dataset, init: Init, units: int = UNITS
) -> Learned:
    """Descend by the gradient of all images, in float64."""
    layers = [Linear(units, init=init), Sigmoid(), Linear(10, init=init)]
    net = Sequential(layers, input_shape=(64,), seed=demo.seed, dtype="float64").to(demo.device)
    trainer = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.SGD(lr=LR))
    data = train.to(demo.device)
    losses, spread = [], 0.0
    for k in range(demo.pick(200, 400, 400)):
        loss, _ = trainer.step(data.x, data.t)
        losses.append(float(loss))
        if k % 10 == 9:
            W, b, V = (xpnet.to_numpy(net.params[key]) for key in ("0.W", "0.b", "2.W"))
            spread = max(spread, *(float(np.ptp(a, axis=-1).max()) for a in (W, b, V.T)))
    accuracy = harness.accuracy(trainer.evaluate(test.to(demo.device)))
    return Learned(losses, spread, accuracy, W)


def one_unit(train: Dataset, test: Dataset, start: float, steps: int) -> tuple[list[float], float]:
    """Return the losses and the accuracy of the one unit that equal units amount to.

    Its weights out are theirs together, so they move by each of 16 gradients; its weights in
    move by the 16th part of its own, the share that one of the units gets.
    """
    w, b, v, c = np.full(64, start), 0.0, np.full(10, UNITS * start), np.zeros(10)
    hot, losses = np.eye(10)[train.t], []
    for _ in range(steps):
        h = 1 / (1 + np.exp(-(train.x @ w + b)))
        e = np.exp(np.outer(h, v) + c)
        p = e / e.sum(axis=1, keepdims=True)
        losses.append(float(-(hot * np.log(p)).sum() / len(p)))
        ds = (p - hot) / len(p)
        dz = ds @ v * h * (1 - h)
        v, c = v - LR * UNITS * h @ ds, c - LR * ds.sum(axis=0)
        w, b = w - LR / UNITS * dz @ train.x, b - LR / UNITS * dz.sum()
    h = 1 / (1 + np.exp(-(test.x @ w + b)))
    return losses, float((np.argmax(np.outer(h, v) + c, axis=1) == test.t).mean())


def draw(demo: harness.Demo, equal: dict[float, Learned], single: Learned, random: Learned) -> None:
    """Draw the losses, and the weights of four hidden units each."""
    curves = {f"{UNITS} units, all weights {value:g}": one for value, one in equal.items()}
    curves |= {"1 unit, random weights": single, f"{UNITS} units, random weights": random}
    plots.line_panels(
        {
            "Digits, 64 inputs": {
                name: (range(len(one.losses)), one.losses) for name, one in curves.items()
            }
        },
        demo.picture("equal_weights"),
        xlabel="step",
        ylabel="loss",
    )
    plots.image_grid(
        [
            (f"{name} {k + 1}", one.filters[:, k].reshape(8, 8))
            for name, one in (("equal", equal[STARTS[-1]]), ("random", random))
            for k in range(4)
        ],
        demo.picture("equal_weights_units"),
        columns=8,
        diverging=True,
        title="Weights of hidden units, learned from equal and from random ones",
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
