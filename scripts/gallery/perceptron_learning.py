"""A perceptron that learns from its errors: gates that a line can draw, and two that none can."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import xpnet
from scripts.gallery import _drawings, harness
from scripts.gallery.perceptron_gates import bits
from xpnet import plots
from xpnet.models import perceptron

ROWS = ("L7",)
TITLE = "A perceptron learns AND, OR and NAND from data, but neither XOR nor two moons"

# name: (answers, the most corrections that any order can take). By Novikoff's theorem these are
# R^2 |v|^2 for any v that scores all four at least 1 on their side: R^2 = 3, and v = (2, 2, -3),
# (2, 2, -1), (-2, -2, 3) with the bias as the third weight.
GATES = {"AND": ("0001", 51), "OR": ("0111", 27), "NAND": ("1110", 51)}
XOR = "0110"


class Learner:
    """A perceptron that starts at zero, and what each pass over the samples brought."""

    def __init__(self, demo: harness.Demo, x: Any, targets: Sequence[int]) -> None:
        self.model = perceptron.Perceptron([([[0.0], [0.0]], [0.0])], dtype="float64")
        self.model.to(demo.device)
        self.x, self.targets = demo.device.asarray(x, "float64"), list(targets)
        self.demo = demo
        self.errors: list[int] = []  # of each pass; the rest is after it
        self.accuracy: list[float] = []
        self.weights: list[tuple[float, float, float]] = []

    def learn(self, passes: int) -> None:
        """Correct the weights by each sample in turn, until a pass brings no error.

        Where the answer is wrong, ``answer - target`` is 1 or -1, and as the gradient of the score
        it makes descent at rate 1 Rosenblatt's rule: the sample is taken from the weights or added.
        """
        net, optimizer = self.model.layers[0], xpnet.SGD(lr=1.0)
        while len(self.errors) < passes and 0 not in self.errors:
            wrong = 0
            for k, target in enumerate(self.targets):
                sample = self.x[k : k + 1, :]
                error = self.model(sample) - float(target)
                if float(error[0, 0]):
                    net.forward(sample, train=True)
                    net.backward(error)
                    optimizer.update(net.params, net.grads)
                    wrong += 1
            W, b = (xpnet.to_numpy(net.params[key]) for key in ("0.W", "0.b"))
            self.errors.append(wrong)
            self.weights.append((float(W[0, 0]), float(W[1, 0]), float(b[0])))
            right = xpnet.to_numpy(self.model(self.x))[:, 0] == np.array(self.targets)
            self.accuracy.append(float(right.mean()))

    def against_loops(self) -> tuple[bool, float]:
        """Return whether plain arithmetic errs as often, and how far its weights lie apart."""
        samples = [(float(x0), float(x1), 1.0) for x0, x1 in xpnet.to_numpy(self.x)]
        w, errors, apart = [0.0, 0.0, 0.0], [], 0.0
        for found in self.weights:
            errors.append(0)
            for sample, target in zip(samples, self.targets, strict=True):
                answer = int(sum(a * b for a, b in zip(w, sample, strict=True)) > 0)
                if answer != target:
                    w = [a + (target - answer) * b for a, b in zip(w, sample, strict=True)]
                    errors[-1] += 1
            apart = max(apart, *(abs(a - b) for a, b in zip(w, found, strict=True)))
        return errors == self.errors, apart

    def answers(self, points: Any) -> Any:
        """Return the answers to points on the host."""
        return xpnet.to_numpy(self.model(self.demo.device.asarray(points, "float64")))[:, 0]


def run(demo: harness.Demo) -> None:
    """Learn the gates, XOR and the moons; hold every pass against plain arithmetic."""
    order = random.Random(demo.seed).sample(range(4), 4)
    x = [perceptron.INPUTS[k] for k in order]
    learned: dict[str, Learner] = {}
    for name, (table, most) in GATES.items():
        learner = learned[name] = Learner(demo, x, [int(table[k]) for k in order])
        learner.learn(most + 1)
        found = bits(learner.answers(perceptron.INPUTS))
        demo.figure(f"{name} over 00, 10, 01, 11", found, table, found == table)
        made = sum(learner.errors)
        demo.figure(f"{name}: corrections", made, f"at most {most}", 0 < made <= most)

    passes = demo.pick(100, 500, 5000)
    learner = learned["XOR"] = Learner(demo, x, [int(XOR[k]) for k in order])
    learner.learn(passes)
    least = min(learner.errors)
    demo.figure(f"XOR: fewest errors in a pass, of {passes}", least, "above 0", least > 0)
    again = learner.weights.index(learner.weights[-1]) + 1
    demo.figure(
        "XOR: the last weights were there after pass",
        again,
        f"before {passes}: it goes in circles",
        again < passes,
    )

    moons = xpnet.data.two_moons(200, 0.2, demo.seed)
    walker = learned["two moons"] = Learner(demo, moons.x, [int(label) for label in moons.t])
    walker.learn(demo.pick(20, 50, 500))
    best = max(walker.accuracy)
    demo.figure("two moons: the best pass's accuracy", best, "from .7 to .95", 0.7 < best < 0.95)
    for name, learner in learned.items():
        same, apart = learner.against_loops()
        demo.figure(
            f"{name}, by plain arithmetic: errors of {len(learner.errors)} passes, weights",
            ["equal" if same else "other", apart],
            "equal, at most 1e-9 apart",
            same and apart <= 1e-9,
        )
    draw(demo, learned, order)


def draw(demo: harness.Demo, learned: dict[str, Learner], order: Sequence[int]) -> None:
    """Draw the lines that were found, and the errors on the way to them."""
    panels, lines = {}, {}
    for name in (*GATES, "XOR"):
        learner = learned[name]
        labels = [learner.targets[order.index(k)] for k in range(4)]
        panels[name] = learner.answers, labels
        w = learner.weights[-1]
        lines[name] = {"{:g}$x_1$ {:+g}$x_2$ {:+g} = 0".format(*w): w} if any(w[:2]) else {}
    plots.decision_regions(
        panels,
        perceptron.INPUTS,
        demo.picture("perceptron_learning"),
        lines=lines,
        margin=1.0,
        title="What was learned (0 on the line itself), XOR's when it was given up",
    )
    walker = learned["two moons"]
    w0, w1, b = walker.weights[-1]
    accuracy = f"accuracy {walker.accuracy[-1]:.3f}, best pass {max(walker.accuracy):.3f}"
    _drawings.class_boundaries(
        {
            f"after {len(walker.errors)} passes": (
                lambda grid: grid[:, 0] * w0 + grid[:, 1] * w1 + b,
                accuracy,
            )
        },
        walker.x,
        walker.targets,
        demo.picture("perceptron_learning_moons"),
        title="Two moons: a perceptron draws one line",
    )
    shown = {name: learner.errors[:20] for name, learner in learned.items()}
    curves = {name: (np.arange(1, len(e) + 1), np.array(e)) for name, e in shown.items()}
    plots.curves(
        {
            "Gates of two inputs": {
                name: curve for name, curve in curves.items() if name in panels
            },
            "Two moons, 200 points": {"": curves["two moons"]},
        },
        demo.picture("perceptron_learning_errors"),
        xlabel="pass",
        ylabel="errors corrected",
        columns=2,
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
