"""Pictures of the MNIST demonstrations: a file appears; bad input is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xpnet import plots

pytest.importorskip("matplotlib")
LABELS = {"xlabel": "epoch", "ylabel": "accuracy"}


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_line_panels(count: int, tmp_path: Path) -> None:
    lines = {"train": (range(3), [0.1, 0.5, 0.7]), "test": ([0, 1, 2], [0.1, 0.4, 0.5])}
    panels = {f"panel {i}": lines for i in range(count)}
    path = tmp_path / "lines.png"
    plots.line_panels(panels, path, title="title", ylim=(0, 1), **LABELS)
    assert path.stat().st_size > 1000


def test_line_panels_says_what_does_not_fit(tmp_path: Path) -> None:
    for panels in ({}, {"empty": {}}):
        with pytest.raises(ValueError, match="at least one line each"):
            plots.line_panels(panels, tmp_path / "no.png", **LABELS)
    with pytest.raises(ValueError, match="'a', got 2 x and 1 y"):
        plots.line_panels({"p": {"a": ([0, 1], [0])}}, tmp_path / "no.png", **LABELS)
    assert not list(tmp_path.iterdir())


def test_histograms(tmp_path: Path) -> None:
    row = {"layer 1": np.arange(10.0), "layer 2": np.zeros((2, 3), "float32")}
    plots.histograms({"He": row, "Xavier": row}, tmp_path / "h.png", title="title")
    assert (tmp_path / "h.png").exists()
    for grid in ({}, {"a": {}}, {"a": row, "b": {"layer 1": np.ones(2)}}):
        with pytest.raises(ValueError, match="same number of columns"):
            plots.histograms(grid, tmp_path / "no.png")


@pytest.mark.parametrize("diverging", [False, True])
def test_image_grid(diverging: bool, tmp_path: Path) -> None:
    images = [("7", np.eye(5)), ("", np.zeros((1, 5, 5)))] * 6
    plots.image_grid(images, tmp_path / "i.png", title="title", diverging=diverging)
    plots.image_grid({"one": np.eye(3)}, tmp_path / "one.svg")
    assert (tmp_path / "i.png").exists()
    assert (tmp_path / "one.svg").exists()


def test_image_grid_says_what_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        plots.image_grid([], tmp_path / "no.png")
    for shape in ((5,), (3, 5, 5), (1, 1, 5, 5)):
        with pytest.raises(ValueError, match="expected images"):
            plots.image_grid([("", np.ones(shape))], tmp_path / "no.png")


def test_confusion(tmp_path: Path) -> None:
    plots.confusion(np.array([[5, 1], [0, 4]]), tmp_path / "c.png", "title")
    plots.confusion(np.diag([5, 4, 3]), tmp_path / "right.png")
    assert (tmp_path / "c.png").exists()
    for wrong in (np.ones(3), np.ones((2, 3)), np.ones((0, 0))):
        with pytest.raises(ValueError, match=r"expected a matrix \(k, k\)"):
            plots.confusion(wrong, tmp_path / "no.png")
