"""Pictures of lines: that they are drawn, and what they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from xpnet import plots
from xpnet.training import History

LABELS = {"xlabel": "epoch", "ylabel": "accuracy"}


def rows(*, validation: bool = True, accuracy: bool = True) -> list[dict]:
    return [
        {
            "epoch": epoch,
            "train_loss": 2.0 / epoch,
            "train_accuracy": 1 - 0.5 / epoch if accuracy else None,
            "validation_loss": 3.0 / epoch if validation else None,
            "validation_accuracy": 1 - 0.6 / epoch if validation and accuracy else None,
        }
        for epoch in (1, 2, 3)
    ]


def lines(figure: Figure) -> list[dict[str, list[float]]]:
    return [{ln.get_label(): list(ln.get_ydata()) for ln in axis.lines} for axis in figure.axes]


def test_loss_and_accuracy_are_drawn_over_the_epochs(tmp_path, drawn):
    plots.training_curves(rows(), tmp_path / "curves.png", "a title")
    loss, accuracy = lines(drawn[0])
    assert loss == {"train": [2.0, 1.0, 2 / 3], "validation": [3.0, 1.5, 1.0]}
    assert accuracy == {"train": [0.5, 0.75, 1 - 0.5 / 3], "validation": [0.4, 0.7, 0.8]}
    assert [list(axis.lines[0].get_xdata()) for axis in drawn[0].axes] == [[1, 2, 3]] * 2
    assert [axis.get_ylabel() for axis in drawn[0].axes] == ["loss", "accuracy"]
    assert drawn[0].get_suptitle() == "a title"


def test_what_was_not_measured_is_not_drawn(tmp_path, drawn):
    plots.training_curves(rows(validation=False), tmp_path / "a.png")
    plots.training_curves(rows(accuracy=False), tmp_path / "b.png")
    assert [list(axis) for axis in lines(drawn[0])] == [["train"], ["train"]]
    assert [list(axis) for axis in lines(drawn[1])] == [["train", "validation"]]


def test_exact_matches_and_errors_have_panels_where_they_were_measured(tmp_path, drawn):
    several = [{**row, "train_exact_match": 0.1 * row["epoch"]} for row in rows()]
    errors = [{**row, "validation_mean_absolute_error": 0.5} for row in rows(accuracy=False)]
    plots.training_curves(several, tmp_path / "a.png")
    plots.training_curves(History(errors), tmp_path / "b.png")
    names = [[axis.get_ylabel() for axis in figure.axes] for figure in drawn]
    assert names == [["loss", "accuracy", "exact match"], ["loss", "mean absolute error"]]
    assert lines(drawn[0])[2] == {"train": pytest.approx([0.1, 0.2, 0.3])}
    assert lines(drawn[1])[1] == {"validation": [0.5, 0.5, 0.5]}


def test_epochs_without_a_measure_are_gaps(tmp_path, drawn):
    part = [{"epoch": 1, "train_loss": 1.0}, *rows()[1:]]
    part[2]["validation_loss"] = np.nan
    plots.training_curves(part, tmp_path / "a.png")
    np.testing.assert_array_equal(lines(drawn[0])[0]["validation"], [np.nan, 1.5, np.nan])


def test_measures_of_ones_own_have_panels_where_they_are_numbers(tmp_path, drawn):
    own = [{**row, "train_f1": np.float32(0.5), "train_of": [1], "f1": 3} for row in rows()]
    plots.training_curves(own, tmp_path / "curves.png")
    assert [axis.get_ylabel() for axis in drawn[0].axes] == ["loss", "accuracy", "f1"]
    assert lines(drawn[0])[2] == {"train": [0.5, 0.5, 0.5]}


def test_the_loss_over_rates_shows_what_the_last_one_would_dwarf(tmp_path, drawn):
    figure = plots.loss_over_rates([1, 10, 100], [2.0, 1.0, 1e9], [2.0, 1.5, 1e9])
    low, high = figure.axes[0].get_ylim()
    assert low < 1 < 2 < high < 3
    assert drawn == []
    plots.loss_over_rates([1], [2.0], [2.0], tmp_path / "one.png")
    assert (tmp_path / "one.png").exists()


@pytest.mark.parametrize("given", [([], [], []), ([1], [1, 2], [1]), ([1], [1], [])])
def test_the_loss_over_rates_says_what_does_not_fit(tmp_path, given):
    with pytest.raises(ValueError, match=r"^loss_over_rates: expected as many losses as rates"):
        plots.loss_over_rates(*given, tmp_path / "no.png")
    assert list(tmp_path.iterdir()) == []


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


def test_a_single_point_is_drawn_as_a_point_and_the_legend_shows_lines(tmp_path, drawn):
    full, short = (range(3), [0.1, 0.5, 0.7]), ([0], [0.1])
    panels = {"a": {"one": full, "other": short}, "b": {"one": full, "other": full}}
    plots.line_panels(panels, tmp_path / "lines.png", **LABELS)
    lines_of_a = drawn[0].axes[0].lines
    assert [line.get_marker() for line in lines_of_a] == ["None", "o"]
    handles = drawn[0].legends[0].legend_handles
    assert [handle.get_marker() for handle in handles] == ["None", "None"]
    plots.curves({"a": {"": (np.zeros(1), np.zeros(1))}}, tmp_path / "curves.png")
    assert [line.get_marker() for line in drawn[1].axes[0].lines] == ["o"]
