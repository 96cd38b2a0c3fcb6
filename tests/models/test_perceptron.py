"""Perceptrons: logic gates, thresholds, and what one neuron can tell apart."""

from __future__ import annotations

import numpy as np
import pytest

import xpnet
from tests.conftest import Backend
from xpnet.models import perceptron


@pytest.mark.parametrize(
    ("name", "table"),
    [("and", [0, 0, 0, 1]), ("nand", [1, 1, 1, 0]), ("or", [0, 1, 1, 1]), ("xor", [0, 1, 1, 0])],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gates_on_every_library(xp: Backend, name: str, table: list[int], dtype: str) -> None:
    gate = perceptron.logic_gate(name, dtype=dtype).to(xp.device)
    answers = gate(xp.array(perceptron.INPUTS, dtype))
    assert answers.shape == (4, 1)
    assert xpnet.to_numpy(answers).dtype == dtype
    assert xpnet.to_numpy(answers)[:, 0].tolist() == table


def test_threshold_form(xp: Backend) -> None:
    x, w = xp.array(perceptron.INPUTS, "float64"), xp.array([0.5, 0.5], "float64")
    assert xpnet.to_numpy(perceptron.threshold_neuron(x, w, 0.7)).tolist() == [0, 0, 0, 1]
    assert xpnet.to_numpy(perceptron.threshold_neuron(x, w, 0.5)).tolist() == [0, 0, 0, 1]


def test_truth_tables_of_single_neurons(xp: Backend) -> None:
    values = [-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5]
    counts = perceptron.truth_tables(xp.array(values, "float64"))
    expected = dict.fromkeys(counts, 0)
    for w1 in values:
        for w2 in values:
            for b in values:
                bits = (int(w1 * x1 + w2 * x2 + b > 0) for x1, x2 in perceptron.INPUTS)
                expected["".join(map(str, bits))] += 1
    assert counts == expected
    assert len(counts) == 16
    assert [table for table, count in counts.items() if count == 0] == ["0110", "1001"]


def test_perceptron_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="expected 'and', 'nand', 'or' or 'xor', got 'nor'"):
        perceptron.logic_gate("nor")
    with pytest.raises(ValueError, match="expected at least one layer, got none"):
        perceptron.Perceptron([])
    with pytest.raises(ValueError, match=r"W \(inputs, units\) and b \(units,\) in layer 0"):
        perceptron.Perceptron([([1.0, 2.0], [0.5])])
    with pytest.raises(ValueError, match=r"W \(1, units\) and b \(units,\) in layer 1, got \(2, 1"):
        perceptron.Perceptron([([[1.0], [2.0]], [0.5]), ([[1.0], [2.0]], [0.5])])
    with pytest.raises(ValueError, match=r"values of shape \(n,\), n >= 1, got \(2, 2\)"):
        perceptron.truth_tables(np.zeros((2, 2)))
    assert repr(perceptron.logic_gate("xor")) == "Perceptron(2 -> 2 -> 1)"
