"""Pictures in general: files, notebooks, axes of a user."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from tests.plots.test_lines import rows
from xpnet import models, plots
from xpnet.data import Dataset
from xpnet.training import History, metrics


@pytest.mark.parametrize(
    ("suffix", "first"), [("png", b"\x89PNG\r\n"), ("pdf", b"%PDF-"), ("svg", b"<?xml")]
)
def test_the_suffix_decides_the_format(tmp_path, suffix, first):
    path = tmp_path / "runs" / f"curves.{suffix}"
    plots.training_curves(History(rows()), path)
    assert path.read_bytes().startswith(first)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_without_matplotlib_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(plots.PlotError) as caught:
        plots.training_curves(rows(), tmp_path / "curves.png")
    assert str(caught.value) == "pictures need matplotlib: run `pip install matplotlib`"
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_not_imported_before_a_picture_is_drawn():
    program = "import sys, xpnet, xpnet.plots; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_legend_lies_below_its_axis(tmp_path, drawn):
    x = np.arange(4.0)
    plots.curves({"a": {"short": (x, x), "long" * 8: (x, -x)}}, tmp_path / "curves.png", xlabel="x")
    (axis,) = drawn[0].axes
    legend = axis.get_legend().get_window_extent()
    assert legend.y1 < axis.xaxis.label.get_window_extent().y0


def every_picture() -> dict[str, Callable[..., Figure]]:
    """Return each picture of one axis, or of one panel, as a function of ``path`` and axes."""
    net = models.mlp((4,), 3, input_shape=(1, 5, 5), rescale=None)
    images = np.random.default_rng(0).random((6, 1, 5, 5), "float32")
    data = Dataset(images, np.arange(6) % 3, classes=3)
    wrong = metrics.misclassified(np.eye(3)[[1, 1, 2, 2, 0, 2]], data.t)
    line, x = {"p": {"y": ([1, 10], [2, 3])}}, np.arange(3.0)
    decide = {"p": (lambda points: points[:, 0], np.array([0, 1, 1]))}
    panels = {
        "bars": partial(plots.bars, {"p": {"y": x}}),
        "curves": partial(plots.curves, {"p": {"y": (x, x)}}),
        "decision_regions": partial(plots.decision_regions, decide, np.eye(3, 2)),
        "histograms": partial(plots.histograms, {"p": {"y": x}}),
        "line_panels": partial(plots.line_panels, line, xlabel="x", ylabel="y"),
        "training_curves": partial(plots.training_curves, [{"epoch": 1, "train_loss": 1.0}]),
    }
    single = {
        "activations": partial(plots.activations, net, data, "1"),
        "confusion": partial(plots.confusion, np.eye(2)),
        "filters": partial(plots.filters, net),
        "image_grid": partial(plots.image_grid, [("", x[None])]),
        "loss_over_rates": partial(plots.loss_over_rates, [1, 2], [1, 2], [1, 2]),
        "misclassified": partial(plots.misclassified, data, wrong),
        "reliability": partial(plots.reliability, [0.5], [0.4], [3]),
        "samples": partial(plots.samples, data),
    }
    by_axes = {name: lambda ax=None, p=p, **o: p(axes=ax, **o) for name, p in panels.items()}
    return by_axes | single


every = pytest.mark.parametrize("name", list(every_picture()))


def test_every_function_that_draws_is_among_them():
    helpers = {"PlotError", "legend_below", "new_figure", "new_panels", "save_figure"}
    assert set(every_picture()) == set(plots.__all__) - helpers


@every
def test_a_picture_is_a_figure_that_a_notebook_shows(name, tmp_path):
    figure = every_picture()[name](title="a title")
    assert isinstance(figure, Figure)
    assert figure.get_suptitle() == "a title"
    assert figure._repr_png_().startswith(b"\x89PNG\r\n")
    assert list(tmp_path.iterdir()) == []


@every
def test_a_picture_is_drawn_into_axes_of_a_user(name, tmp_path):
    mine = Figure()
    ours, others = mine.subplots(1, 2)
    path = tmp_path / "mine.png"
    assert every_picture()[name](ax=ours, path=path, title="ours") is mine
    assert ours.has_data() or ours.texts
    assert not others.has_data()
    assert (ours.get_title(), mine.get_suptitle()) == ("ours", "")
    assert path.read_bytes().startswith(b"\x89PNG")


@every
def test_a_picture_says_what_axes_are(name):
    with pytest.raises(TypeError, match=r"ax(es)?: expected axes of matplotlib, such as .*, got 3"):
        every_picture()[name](ax=3)


def test_a_part_of_a_figure_takes_a_picture_and_the_whole_is_returned():
    mine = Figure(layout="constrained")
    left, _ = mine.subfigures(1, 2)
    assert plots.confusion(np.eye(2), ax=left.subplots()) is mine


def test_too_few_axes_are_refused():
    lines = {"y": (np.arange(2), np.arange(2))}
    with pytest.raises(ValueError, match=r"^axes: expected 2, one for each panel, got 1$"):
        plots.curves({"a": lines, "b": lines}, axes=Figure().subplots())


@pytest.mark.parametrize(
    ("log", "scales"),
    [(False, "linear linear"), (True, "linear log"), ("x", "log linear"), ("xy", "log log")],
)
@pytest.mark.parametrize("draw", [plots.curves, partial(plots.line_panels, xlabel="", ylabel="")])
def test_axes_are_logarithmic_where_that_is_asked_for(draw, log, scales):
    axis = draw({"p": {"y": (np.arange(1, 4), np.arange(1, 4))}}, log=log).axes[0]
    assert f"{axis.get_xscale()} {axis.get_yscale()}" == scales
    with pytest.raises(ValueError, match="log: expected 'x', 'y' or 'xy', got 'z'"):
        draw({"p": {"y": (np.arange(1, 4), np.arange(1, 4))}}, log="z")


def test_a_figure_pickles_and_shows_itself_again():
    figure = pickle.loads(pickle.dumps(plots.confusion(np.eye(2))))
    assert figure._repr_png_().startswith(b"\x89PNG")
