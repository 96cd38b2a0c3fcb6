"""XOR of two layers of neurons, and a search that shows that one neuron is not enough."""

from __future__ import annotations

import sys

import numpy as np

import xpnet
from scripts.gallery import harness
from scripts.gallery.perceptron_gates import bits, region_of
from xpnet import functions, plots
from xpnet.models import perceptron

ROWS = ("A2",)
TITLE = "XOR as AND(NAND, OR): two layers do what one neuron cannot"


def run(demo: harness.Demo) -> None:
    """Ask the gate the four questions; try every neuron of a grid; draw the region."""
    x = demo.device.asarray(perceptron.INPUTS, "float32")
    gate = perceptron.logic_gate("xor").to(demo.device)
    answers = bits(gate(x))
    demo.figure("XOR over 00, 10, 01, 11", answers, "0110", answers == "0110")
    hidden = gate.layers[0]
    inner = functions.step(hidden.forward(x))
    inner = [bits(inner[:, 0]), bits(inner[:, 1])]
    demo.figure("its hidden neurons", inner, "NAND 1110, OR 0111", inner == ["1110", "0111"])

    steps = demo.pick(8, 16, 40)  # eighths and the like are exact: no score is rounded over 0
    values = np.arange(-2 * steps, 2 * steps + 1) / steps
    counts = perceptron.truth_tables(demo.device.asarray(values))
    demo.note("neurons tried, w1, w2 and b from -2 to 2", sum(counts.values()))
    demo.figure("of them compute XOR", counts["0110"], "0", counts["0110"] == 0)
    missing = [table for table, count in counts.items() if not count]
    demo.figure(
        "truth tables that none computes",
        missing,
        "XOR 0110 and its opposite 1001 alone",
        missing == ["0110", "1001"],
    )

    W, b = (xpnet.to_numpy(hidden.params[key]) for key in ("0.W", "0.b"))
    lines = {
        name: (float(W[0, k]), float(W[1, k]), float(b[k])) for k, name in enumerate(("NAND", "OR"))
    }
    gates = {"NAND": "nand", "OR": "or", "XOR = AND(NAND, OR)": "xor"}
    tables = dict(zip(gates, (*inner, answers), strict=True))
    plots.decision_regions(
        {
            name: (
                region_of(perceptron.logic_gate(gate).to(demo.device), demo),
                [int(bit) for bit in tables[name]],
            )
            for name, gate in gates.items()
        },
        perceptron.INPUTS,
        demo.picture("xor_gate"),
        lines={"NAND": {"NAND": lines["NAND"]}, "OR": {"OR": lines["OR"]}, list(gates)[2]: lines},
        title="XOR lies between two lines, each drawn by one neuron",
    )


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
