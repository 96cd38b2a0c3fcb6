"""AND, NAND and OR, each of one neuron, and the lines that they draw between 0 and 1."""

from __future__ import annotations

import sys
from collections.abc import Callable

import xpnet
from scripts.gallery import harness
from xpnet import plots
from xpnet.arrays import Array
from xpnet.models import perceptron

ROWS = ("A1",)
TITLE = "AND, NAND and OR as one neuron each"
TABLES = {"and": "0001", "nand": "1110", "or": "0111"}


def run(demo: harness.Demo) -> None:
    """Ask each gate the four questions; draw its half plane."""
    x = demo.device.asarray(perceptron.INPUTS, "float32")
    panels, lines = {}, {}
    for name, table in TABLES.items():
        gate = perceptron.logic_gate(name).to(demo.device)
        answers = bits(gate(x))
        demo.figure(f"{name.upper()} over 00, 10, 01, 11", answers, table, answers == table)
        panels[name.upper()] = region_of(gate, demo), [int(bit) for bit in table]
        W, b = (xpnet.to_numpy(gate.layers[0].params[key]) for key in ("0.W", "0.b"))
        line = (float(W[0, 0]), float(W[1, 0]), float(b[0]))
        lines[name.upper()] = {"{:g}$x_1$ {:+g}$x_2$ {:+g} = 0".format(*line): line}
    w = demo.device.asarray([0.5, 0.5], "float32")
    answers = bits(perceptron.threshold_neuron(x, w, theta=0.7))
    demo.figure("AND in the threshold form, theta .7", answers, "0001", answers == "0001")
    plots.decision_regions(
        panels,
        perceptron.INPUTS,
        demo.picture("perceptron_gates"),
        lines=lines,
        title="One neuron is one line: it answers 1 on the blue side",
    )


def bits(answers: Array) -> str:
    """Return answers as text, "0001"."""
    return "".join(str(int(answer)) for answer in xpnet.to_numpy(answers).reshape(-1))


def region_of(gate: perceptron.Perceptron, demo: harness.Demo) -> Callable[[Array], Array]:
    """Return a gate as a function of points on the host, to draw where it answers 1."""
    return lambda points: gate(demo.device.asarray(points, "float32"))


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
