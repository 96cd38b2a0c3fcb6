"""XOR of two layers of neurons, and a search that shows that one neuron is not enough."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from itertools import product

import numpy as np

from scripts.gallery import harness
from scripts.gallery.perceptron_gates import astray, bits, lines_of, region_of
from xpnet import functions, plots
from xpnet.arrays import Array
from xpnet.models import perceptron

ROWS = ("A2",)
TITLE = "XOR as AND(NAND, OR): two layers do what one neuron cannot"
RULES: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "NAND": ("1110", lambda x1, x2: x1 + x2 < 1.4),
    "OR": ("0111", lambda x1, x2: x1 + x2 > 0.4),
    "XOR = AND(NAND, OR)": ("0110", lambda x1, x2: 0.4 < x1 + x2 < 1.4),
}
"""The answers to 00, 10, 01 and 11, and where in the plane the answer is 1."""


def run(demo: harness.Demo) -> None:
    """Ask the gate and its hidden neurons; draw their regions; try every neuron of a grid."""
    x = demo.device.asarray(perceptron.INPUTS, "float32")
    gate = perceptron.logic_gate("xor").to(demo.device)
    hidden = gate.layers[0]
    decisions: tuple[Callable[[Array], Array], ...] = (
        lambda points: functions.step(hidden.forward(points))[:, 0],
        lambda points: functions.step(hidden.forward(points))[:, 1],
        gate,
    )
    panels = {}
    for (name, (table, rule)), decide in zip(RULES.items(), decisions, strict=True):
        answers, region = bits(decide(x)), region_of(decide, demo)
        demo.figure(f"{name} over 00, 10, 01, 11", answers, table, answers == table)
        amiss = astray(region, rule)
        demo.figure(f"{name}: points on the wrong side of a line", amiss, "0", amiss == 0)
        panels[name] = region, [int(bit) for bit in answers]

    steps = demo.pick(8, 16)  # eighths and the like are exact: no score is rounded over 0
    counts = perceptron.truth_tables(
        demo.device.asarray(np.arange(-2 * steps, 2 * steps + 1) / steps)
    )
    demo.note("neurons tried, w1, w2 and b from -2 to 2", sum(counts.values()))
    plain = counted(2 * steps)
    demo.figure(
        "neurons for each of the 16 truth tables",
        list(counts.values()),
        ", ".join(str(plain[table]) for table in counts),
        counts == {table: plain[table] for table in counts} and len(counts) == 16,
    )
    missing = [table for table, count in counts.items() if not count]
    demo.figure(
        "truth tables that none computes",
        missing,
        "XOR 0110 and its opposite 1001 alone",
        missing == ["0110", "1001"],
    )

    nand, either = (
        {name: line} for name, line in zip(("NAND", "OR"), lines_of(hidden), strict=True)
    )
    plots.decision_regions(
        panels,
        perceptron.INPUTS,
        demo.picture("xor_gate"),
        lines=dict(zip(RULES, (nand, either, nand | either), strict=True)),
        title="Two neurons, and what the third makes of them: they answer 1 on blue",
    )


def counted(most: int) -> Counter[str]:
    """Return how many neurons of whole weights and biases up to a size answer with each table."""
    values = range(-most, most + 1)
    return Counter(
        f"{b > 0:d}{w1 + b > 0:d}{w2 + b > 0:d}{w1 + w2 + b > 0:d}"
        for w1, w2, b in product(values, repeat=3)
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
