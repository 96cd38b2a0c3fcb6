"""AND, NAND and OR, each of one neuron, and the lines that they draw between 0 and 1."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

import xpnet
from scripts.gallery import harness
from xpnet import plots
from xpnet.arrays import Array
from xpnet.models import perceptron

ROWS = ("A1",)
TITLE = "AND, NAND and OR as one neuron each"
GATES = {
    "AND": ((0.5, 0.5, -0.7), "0001"),
    "NAND": ((-0.5, -0.5, 0.7), "1110"),
    "OR": ((0.5, 0.5, -0.2), "0111"),
}
"""The weights and the bias of each gate, and its answers to 00, 10, 01 and 11."""

MINUS = "\N{MINUS SIGN}"
PLANE = [(i / 16, j / 16) for i in range(-8, 25) for j in range(-8, 25)]


def run(demo: harness.Demo) -> None:
    """Ask each gate the four questions and where its half plane ends; draw it."""
    x = demo.device.asarray(perceptron.INPUTS, "float32")
    panels, lines = {}, {}
    for name, ((w1, w2, b), table) in GATES.items():
        gate = perceptron.logic_gate(name.lower()).to(demo.device)
        answers = bits(gate(x))
        demo.figure(f"{name} over 00, 10, 01, 11", answers, table, answers == table)
        (line,) = lines_of(gate.layers[0])
        passed = bool(np.allclose(line, (w1, w2, b), rtol=1e-6, atol=0))
        demo.figure(f"{name}: w1, w2 and b", line, f"{w1:g}, {w2:g}, {b:g}", passed)
        region = region_of(gate, demo)
        amiss = astray(region, above(w1, w2, b))
        demo.figure(f"{name}: points on the wrong side of the line", amiss, "0", amiss == 0)
        panels[name] = region, [int(bit) for bit in answers]
        words = f"{line[0]:g}$x_1$ {line[1]:+g}$x_2$ {line[2]:+g} = 0"
        lines[name] = {words.replace("-", MINUS): line}
    edge = perceptron.Perceptron([([[0.5], [0.5]], [-0.5])]).to(demo.device)
    for name, answers, table in (
        ("bias -.5: a score of 0 is not enough", bits(edge(x)), "0001"),
        ("AND in the threshold form, theta .7", by_threshold(demo, 0.7), "0001"),
        ("theta .5: a sum of theta is not enough", by_threshold(demo, 0.5), "0001"),
        ("theta .2", by_threshold(demo, 0.2), "0111"),
    ):
        demo.figure(name, answers, table, answers == table)
    plots.decision_regions(
        panels,
        perceptron.INPUTS,
        demo.picture("perceptron_gates"),
        lines=lines,
        title="The line of each neuron, which answers 1 on blue",
    )


def bits(answers: Array) -> str:
    """Return answers as text, "0001"."""
    return "".join(str(int(answer)) for answer in xpnet.to_numpy(answers).reshape(-1))


def by_threshold(demo: harness.Demo, theta: float) -> str:
    """Return what the sum of the halved inputs answers against a threshold."""
    x = demo.device.asarray(perceptron.INPUTS, "float32")
    w = demo.device.asarray([0.5, 0.5], "float32")
    return bits(perceptron.threshold_neuron(x, w, theta=theta))


def lines_of(layer: xpnet.Sequential) -> list[tuple[float, float, float]]:
    """Return the line of each neuron of a layer: its two weights and its bias."""
    W, b = (xpnet.to_numpy(layer.params[key]) for key in ("0.W", "0.b"))
    return [(float(w1), float(w2), float(bias)) for (w1, w2), bias in zip(W.T, b, strict=True)]


def above(w1: float, w2: float, b: float) -> Callable[[float, float], bool]:
    """Return the rule of a neuron: whether the score of a point is above 0."""
    return lambda x1, x2: w1 * x1 + w2 * x2 + b > 0


def region_of(decide: Callable[[Array], Array], demo: harness.Demo) -> Callable[[Array], Array]:
    """Return a gate as a function of points on the host, to draw where it answers 1."""
    return lambda points: decide(demo.device.asarray(points, "float32"))


def astray(region: Callable[[Array], Array], rule: Callable[[float, float], bool]) -> int:
    """Count the points of a grid of sixteenths that a gate answers otherwise than a rule."""
    answers = bits(region(np.array(PLANE)))
    return sum(bit != "01"[rule(*point)] for bit, point in zip(answers, PLANE, strict=True))


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
