"""Two moons again: without a hidden layer, with sigmoid units, and 50 units held back by L2."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import xpnet
from scripts.gallery import _drawings, harness
from scripts.gallery.harness import mean
from scripts.gallery.two_moons import (
    FIRST,
    Learner,
    distance_from_plain_arithmetic,
    draws_of,
    learn,
    panel,
    passes,
    points,
)
from xpnet.layers import Sigmoid

ROWS = ("L11",)
TITLE = "two moons: the points, no hidden layer, sigmoid units, and L2 against 50 units"

DECAY = 1e-3


def run(demo: harness.Demo) -> None:
    """Draw the points; train each network from several draws; compare mean accuracies."""
    draws = {seed: points(seed) for seed in draws_of(demo)}
    data = draws[demo.seed]
    for name, activation, decay in (
        ("of sigmoid units", Sigmoid, 0.0),
        (f"with L2 {DECAY:g}", xpnet.layers.Tanh, DECAY),
    ):
        gap = distance_from_plain_arithmetic(demo, data, "softmax", activation, decay)
        demo.at_most(f"{FIRST} steps {name}, distance from plain arithmetic", gap, 1e-9)

    straight = [learn(demo, data, 0, "softmax", seed=k) for k, data in draws.items()]
    demo.between("no hidden layer, training accuracy", trained(straight), (0.83, 0.9))
    demo.note("no hidden layer, held-out accuracy", held_out(straight))
    steps = demo.pick(5000, passes(demo))  # sigmoids are slower
    curved = [
        learn(demo, data, 3, "softmax", seed=k, activation=Sigmoid, steps=steps)
        for k, data in draws.items()
    ]
    demo.at_least("3 sigmoid units, training accuracy", trained(curved), 0.95)
    demo.note("3 sigmoid units, held-out accuracy", held_out(curved))

    free = [learn(demo, data, 50, "softmax", seed=k) for k, data in draws.items()]
    held = [learn(demo, data, 50, "softmax", seed=k, decay=DECAY) for k, data in draws.items()]
    for name, learners, least, norms in (
        ("50 units without L2", free, 0.96, demo.pick((12.5, 50), (20, 50))),
        (f"50 units with L2 {DECAY:g}", held, 0.94, (7, 12)),
    ):
        demo.at_least(f"{name}, training accuracy", trained(learners), least)
        demo.note(f"{name}, held-out accuracy", held_out(learners))
        demo.between(f"{name}, norm of all weights", mean([norm(one) for one in learners]), norms)
    gain = held_out(held) - held_out(free)
    demo.at_least("held-out accuracy with L2, less that without", gain, demo.pick(-0.005, 0.002))

    train = data[0]
    _drawings.class_boundaries(
        {
            "the points": (None, f"{len(train)} of them"),
            "no hidden layer": panel(straight),
            f"3 sigmoid units, {steps} passes": panel(curved),
            "50 tanh units": panel(free),
            f"50 tanh units, L2 {DECAY:g}": panel(held),
        },
        train.x,
        train.t,
        demo.picture("moons_regularisation"),
        title=f"Two moons, softmax cross-entropy, {passes(demo)} passes where not said: draw 1",
        columns=3,
    )


def trained(learners: Sequence[Learner]) -> float:
    """Return the mean accuracy on the points that were learned from."""
    return mean([one.train for one in learners])


def held_out(learners: Sequence[Learner]) -> float:
    """Return the mean accuracy on points that were not."""
    return mean([one.test for one in learners])


def norm(learner: Learner) -> float:
    """Return the root of the sum of the squared weights, biases left out."""
    params = learner.trainer.net.params
    weights = [xpnet.to_numpy(params[name]) for name in params if name.endswith("W")]
    return float(sum((W**2).sum() for W in weights) ** 0.5)


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
