"""Separate two moons by networks of 1 to 50 hidden units, with two losses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import xpnet
from scripts.gallery import _drawings, _two_layers, harness
from scripts.gallery.harness import mean
from xpnet import data as datasets
from xpnet.data import Dataset
from xpnet.layers import Layer, Linear, Sequential, Sigmoid, Tanh

ROWS = ("I",)
TITLE = "two moons: how many hidden units a boundary needs, and how many are too many"

SIZES = (1, 2, 3, 4, 5, 20, 50)
LOSSES = {"squared error": "squared", "softmax cross-entropy": "softmax"}
FIRST = 3
"""Steps that are held against plain arithmetic."""


class Learner(NamedTuple):
    """A trained network, its accuracies, and its loss before each step."""

    trainer: xpnet.Trainer
    train: float
    test: float
    losses: list[float]


def network(hidden: int, loss: str, seed: int, activation: type[Layer] = Tanh) -> Sequential:
    """Return the network 2-hidden-2, or 2-2 for 0; with squared error its outputs are sigmoids."""
    layers: list[Layer] = [Linear(hidden, init="xavier"), activation()] if hidden else []
    layers.append(Linear(2, init="xavier"))
    if loss == "squared":
        layers.append(Sigmoid())
    return Sequential(layers, input_shape=(2,), seed=seed, dtype="float64")


def rate(demo: harness.Demo, loss: str, activation: type[Layer] = Tanh) -> float:
    """Return a learning rate: sigmoids and squares make small gradients, short runs want more."""
    if activation is Sigmoid:
        return 4.0
    lr: float = {"squared": demo.pick(10.0, 5.0), "softmax": demo.pick(2.0, 1.0)}[loss]
    return lr


def passes(demo: harness.Demo) -> int:
    """Return how often all points are gone through."""
    count: int = demo.pick(2000, 20_000)
    return count


def learn(
    demo: harness.Demo,
    data: tuple[Dataset, Dataset],
    hidden: int,
    loss: str,
    *,
    seed: int,
    decay: float = 0.0,
    activation: type[Layer] = Tanh,
    steps: int | None = None,
    talk: bool = False,
) -> Learner:
    """Descend by the gradient of all points at once; the last loss is that after all steps."""
    measure = {"squared": xpnet.SquaredError, "softmax": xpnet.SoftmaxCrossEntropy}[loss]()
    net = network(hidden, loss, seed, activation).to(demo.device)
    optimizer = xpnet.SGD(lr=rate(demo, loss, activation), weight_decay=decay)
    trainer = xpnet.Trainer(net, measure, optimizer)
    train, test = (part.to(demo.device) for part in data)
    losses = []
    for k in range(1 + (passes(demo) if steps is None else steps)):
        losses.append(trainer.step(train.x, train.t)[0])
        if talk and k % 1000 == 0:
            print(f"pass {k:5d}: loss {float(losses[-1]):.6f}", flush=True)
    fitted, held_out = (harness.accuracy(trainer.evaluate(part)) for part in (train, test))
    return Learner(trainer, fitted, held_out, [float(loss) for loss in losses])


def draws_of(demo: harness.Demo) -> range:
    """Return the seeds of points and weights over which accuracies are averaged."""
    return range(demo.seed, demo.seed + max(demo.seeds, demo.pick(2, 3, 10)))


def points(seed: int) -> tuple[Dataset, Dataset]:
    """Return 200 points to learn from and 10 000 that are held out."""
    return datasets.two_moons(200, 0.2, seed), datasets.two_moons(10_000, 0.2, seed + 1_000_000)


def run(demo: harness.Demo) -> None:
    """Train every size with both losses from several draws; compare mean accuracies."""
    draws = {seed: points(seed) for seed in draws_of(demo)}
    train, test = draws[demo.seed]
    demo.between("distance from the half circles, standard deviation", scatter(test), (0.19, 0.21))
    for title, loss in LOSSES.items():
        gap = distance_from_plain_arithmetic(demo, draws[demo.seed], loss)
        demo.at_most(f"{title}, {FIRST} steps of 2-3-2, distance from plain arithmetic", gap, 1e-9)
    net = network(50, "softmax", demo.seed)
    spreads = [float(xpnet.to_numpy(net.params[name]).std()) for name in ("0.W", "2.W")]
    for spread, n in zip(spreads, (2, 50), strict=True):
        name = f"initial weights of {n} inputs, standard deviation times sqrt({n})"
        demo.between(name, spread * n**0.5, (0.75, 1.25))

    many = demo.pick((1, 3, 50), SIZES)
    for title, loss in LOSSES.items():
        panels, held_out = {}, {}
        for hidden in many:
            if hidden == 3:
                print(f"{title}, network 2-3-2")
            learners = [
                learn(demo, data, hidden, loss, seed=seed, talk=(hidden, seed) == (3, demo.seed))
                for seed, data in draws.items()
            ]
            held_out[hidden] = mean([one.test for one in learners])
            check(demo, f"{title}, {hidden} hidden", hidden, mean([one.train for one in learners]))
            demo.note(f"{title}, {hidden} hidden, held-out accuracy", held_out[hidden])
            units = f"{hidden} hidden unit{'s' * (hidden > 1)}"
            panels[units] = panel(learners)
        compare(demo, title, held_out)
        _drawings.class_boundaries(
            panels,
            train.x,
            train.t,
            demo.picture(f"two_moons_{loss}"),
            title=f"Two moons, tanh units, {title}, {passes(demo)} passes: boundaries of draw 1",
        )


def check(demo: harness.Demo, name: str, hidden: int, accuracy: float) -> None:
    """Hold a training accuracy against what its number of hidden units can reach."""
    if hidden == 1:
        demo.between(f"{name} (a straight line), training accuracy", accuracy, (0.83, 0.9))
    elif hidden == 2:
        demo.note(f"{name}, training accuracy", accuracy)
    else:
        demo.at_least(f"{name}, training accuracy", accuracy, demo.pick(0.94, 0.95))


def compare(demo: harness.Demo, title: str, held_out: dict[int, float]) -> None:
    """Hold 50 units against the best of 3 to 5 on points that none has learned from."""
    best = max(held_out[hidden] for hidden in held_out if hidden in (3, 4, 5))
    demo.between(
        f"{title}, best of 3 to 5 hidden, held out", best, demo.pick((0.93, 0.98), (0.94, 0.98))
    )
    demo.between(
        f"{title}, 50 hidden without L2, held out, less the best of 3 to 5",
        held_out[50] - best,
        demo.pick((-0.03, 0.015), (-0.03, 0)),  # few passes do not overfit yet
    )


def scatter(data: Dataset) -> float:
    """Return how far points lie from the half circles of radius 1, as a standard deviation."""
    x, t = xpnet.to_numpy(data.x), xpnet.to_numpy(data.t)
    centres = np.where(t[:, None] == 0, [0.0, 0.0], [1.0, 0.5])
    return float((np.linalg.norm(x - centres, axis=1) - 1).std())


def distance_from_plain_arithmetic(
    demo: harness.Demo,
    data: tuple[Dataset, Dataset],
    loss: str,
    activation: type[Layer] = Tanh,
    decay: float = 0.0,
) -> float:
    """Return how far the first losses of three hidden units are from those computed by hand."""
    net = network(3, loss, demo.seed, activation)
    names = {"W1": "0.W", "b1": "0.b", "W2": "2.W", "b2": "2.b"}
    expected = _two_layers.descend(
        {mine: xpnet.to_numpy(net.params[name]) for mine, name in names.items()},
        xpnet.to_numpy(data[0].x),
        np.eye(2)[xpnet.to_numpy(data[0].t)],
        hidden="sigmoid" if activation is Sigmoid else "tanh",
        loss="squared" if loss == "squared" else "softmax",
        lr=rate(demo, loss, activation),
        decay=decay,
        steps=FIRST,
    )
    found = learn(
        demo, data, 3, loss, seed=demo.seed, activation=activation, decay=decay, steps=FIRST
    )
    return float(np.abs(np.subtract(found.losses, expected)).max())


def panel(learners: Sequence[Learner]) -> tuple[Callable[[Any], Any], str]:
    """Return what draws the boundary of the first draw, and the words under it."""
    net = learners[0].trainer.net

    def score(grid: Any) -> Any:
        scores = net.forward(net.device.asarray(grid))
        return scores[:, 1] - scores[:, 0]

    held_out = mean([one.test for one in learners])
    return score, f"held out {held_out:.4f}, mean of {len(learners)} draws"


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
