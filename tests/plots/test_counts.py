"""Pictures of counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from xpnet import plots


def test_confusion_calls_the_classes_by_their_names(tmp_path, drawn):
    def ticks(axis):
        return [label.get_text() for label in axis.get_ticklabels()]

    plots.confusion(np.eye(3, dtype=int), tmp_path / "c.png", class_names=["ant", "bee", "cat"])
    plots.confusion(np.eye(3, dtype=int), tmp_path / "c.png")
    (named, *_), (numbered, *_) = (figure.axes for figure in drawn)
    assert ticks(named.xaxis) == ticks(named.yaxis) == ["ant", "bee", "cat"]
    assert ticks(numbered.xaxis) == ticks(numbered.yaxis) == ["0", "1", "2"]
    with pytest.raises(
        ValueError, match=r"^class_names: expected one for each of 2 classes, got 3"
    ):
        plots.confusion(np.eye(2), tmp_path / "no.png", class_names=["ant", "bee", "cat"])


def test_confusion(tmp_path: Path) -> None:
    plots.confusion(np.array([[5, 1], [0, 4]]), tmp_path / "c.png", "title")
    plots.confusion(np.diag([5, 4, 3]), tmp_path / "right.png")
    assert (tmp_path / "c.png").exists()
    for wrong in (np.ones(3), np.ones((2, 3)), np.ones((0, 0))):
        with pytest.raises(ValueError, match=r"expected a matrix \(k, k\)"):
            plots.confusion(wrong, tmp_path / "no.png")


def test_histograms(tmp_path: Path) -> None:
    row = {"layer 1": np.arange(10.0), "layer 2": np.zeros((2, 3), "float32")}
    plots.histograms({"He": row, "Xavier": row}, tmp_path / "h.png", title="title")
    assert (tmp_path / "h.png").exists()
    for grid in ({}, {"a": {}}, {"a": row, "b": {"layer 1": np.ones(2)}}):
        with pytest.raises(ValueError, match="same number of columns"):
            plots.histograms(grid, tmp_path / "no.png")


def test_reliability_draws_a_point_for_each_bin_with_samples() -> None:
    figure = plots.reliability([0.2, np.nan, 0.9], [0.1, np.nan, 1.0], [1, 0, 3])
    (points,) = figure.axes[0].collections
    shown = points.get_offsets().filled(np.nan)
    np.testing.assert_allclose(shown, [[0.2, 0.1], [np.nan, np.nan], [0.9, 1.0]])
    assert [bar.get_height() for bar in figure.axes[0].patches] == [0.25, 0, 0.75]


def test_reliability_says_what_does_not_fit() -> None:
    for given in (([0.5], [0.5], [0]), ([0.5], [0.5, 0.6], [1, 2]), ([], [], [])):
        with pytest.raises(ValueError, match=r"^reliability: expected a confidence, an accuracy"):
            plots.reliability(*given)
