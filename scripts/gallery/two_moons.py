"""Separate two moons by networks of 1 to 50 hidden units, with two losses, and with L2."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import xpnet
from scripts.gallery import _drawings, harness
from xpnet.data import Dataset, two_moons
from xpnet.layers import Layer, Linear, Sequential, Sigmoid, Tanh

ROWS = ("I",)
TITLE = "two moons: how many hidden units a boundary needs, and how many are too many"

SIZES = (1, 2, 3, 4, 5, 20, 50)
DECAY = 1e-3
LOSSES = {"squared error": "squared", "softmax cross-entropy": "softmax"}


def network(hidden: int, loss: str, seed: int, activation: type[Layer] = Tanh) -> Sequential:
    """Return the network 2-hidden-2; with squared error its outputs are sigmoids."""
    layers = [Linear(hidden, init="xavier"), activation(), Linear(2, init="xavier")]
    if loss == "squared":
        layers.append(Sigmoid())
    return Sequential(layers, input_shape=(2,), seed=seed, dtype="float64")


def learn(
    demo: harness.Demo,
    data: Dataset,
    hidden: int,
    loss: str,
    *,
    seed: int,
    decay: float = 0.0,
    talk: bool = False,
    activation: type[Layer] = Tanh,
) -> xpnet.Trainer:
    """Descend by the gradient of all points at once."""
    measure, lr = {
        "squared": (xpnet.SquaredError(), 5.0),  # sigmoids and squares make small gradients
        "softmax": (xpnet.SoftmaxCrossEntropy(), 1.0),
    }[loss]
    net = network(hidden, loss, seed, activation).to(demo.device)
    trainer = xpnet.Trainer(net, measure, xpnet.SGD(lr=lr, weight_decay=decay))
    data = data.to(demo.device)
    passes = demo.pick(1500, 20_000)
    for k in range(passes + 1):
        value, _ = trainer.step(data.x, data.t)
        if talk and k % 1000 == 0:
            print(f"pass {k:5d}: loss {float(value):.6f}", flush=True)
    return trainer


def run(demo: harness.Demo) -> None:
    """Train every size with both losses; average the held-out figures over several draws."""
    draws = range(demo.seed, demo.seed + max(demo.seeds, demo.pick(1, 3, 10)))
    many = demo.pick((1, 3, 50), SIZES)
    for title, loss in LOSSES.items():
        panels, held_out = {}, {}
        for hidden in many:
            accuracies = []
            # sizes whose figures are compared are averaged over draws of points and weights
            for seed in draws if hidden in (3, 4, 5, 50) else draws[:1]:
                train, test = points(seed)
                talk = hidden == 3 and seed == demo.seed
                if talk:
                    print(f"{title}, network 2-3-2")
                trainer = learn(demo, train, hidden, loss, seed=seed, talk=talk)
                accuracies.append(
                    [harness.accuracy(trainer.evaluate(data)) for data in (train, test)]
                )
                if seed == demo.seed:
                    units = f"{hidden} hidden unit{'s' * (hidden > 1)}"
                    panels[units] = panel(trainer, accuracies[0][1])
            fitted, held_out[hidden] = (
                sum(one) / len(one) for one in zip(*accuracies, strict=True)
            )
            check(demo, f"{title}, {hidden} hidden", hidden, fitted)
            demo.note(f"{title}, {hidden} hidden, held-out accuracy", held_out[hidden])
        slack = demo.pick(0.01, 0)  # few passes do not overfit yet
        best = max(held_out[hidden] for hidden in many if hidden in (3, 4, 5))
        demo.figure(
            f"{title}, 50 hidden without L2, held out",
            held_out[50],
            f"not above the best of 3 to 5, {best:.4f}" + f" + {slack}" * (slack > 0),
            held_out[50] <= best + slack,
        )
        train, test = points(demo.seed)
        trainer = learn(demo, train, 50, loss, seed=demo.seed, decay=DECAY)
        accuracy = harness.accuracy(trainer.evaluate(test))
        panels[f"50 hidden units, L2 {DECAY:g}"] = panel(trainer, accuracy)
        demo.note(f"{title}, 50 hidden with L2 {DECAY:g}, held out, first draw", accuracy)
        _drawings.class_boundaries(
            panels,
            train.x,
            train.t,
            demo.picture(f"two_moons_{loss}"),
            title=f"Two moons, tanh units, {title}: held-out accuracy of draw 1 of {len(draws)}",
        )
    train, test = points(demo.seed)
    trainer = learn(demo, train, 3, "softmax", seed=demo.seed, activation=Sigmoid)
    demo.note(
        "three sigmoid units instead of tanh, training and held-out accuracy",
        [harness.accuracy(trainer.evaluate(data)) for data in (train, test)],
    )


def points(seed: int) -> tuple[Dataset, Dataset]:
    """Return 200 points to learn from and 10 000 that are held out."""
    return two_moons(200, 0.2, seed), two_moons(10_000, 0.2, seed + 1_000_000)


def panel(trainer: xpnet.Trainer, accuracy: float) -> tuple[Callable[[Any], Any], str]:
    """Return what draws a trained network's boundary, and the words under it."""
    net = trainer.net

    def score(grid: Any) -> Any:
        scores = net.forward(net.device.asarray(grid))
        return scores[:, 1] - scores[:, 0]

    return score, f"held out {accuracy:.4f}"


def check(demo: harness.Demo, name: str, hidden: int, accuracy: float) -> None:
    """Hold a training accuracy against what its number of hidden units can reach."""
    if hidden == 1:
        demo.figure(
            f"{name} (a straight line), training accuracy", accuracy, "under .9", accuracy < 0.9
        )
    elif hidden == 3:
        least = demo.pick(0.9, 0.95)
        demo.figure(f"{name}, training accuracy", accuracy, f"at least {least}", accuracy >= least)
    else:
        demo.note(f"{name}, training accuracy", accuracy)


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
