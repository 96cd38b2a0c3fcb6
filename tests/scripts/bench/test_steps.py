"""The step benchmark: that it measures."""

from __future__ import annotations

from scripts.bench import steps


def test_it_measures_a_workload() -> None:
    assert 1 < steps.measure("tiny", "cpu", 0.02) < 1e6
