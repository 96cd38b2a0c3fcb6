"""Pictures: that they are drawn, and what they show."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure

from xpnet import plots
from xpnet.training import History


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


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """Return a list in which the figures that are saved will stand."""
    figures, save = [], Figure.savefig

    def kept(self, *arguments, **options):
        figures.append(self)
        return save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    return figures


def lines(figure: Figure) -> list[dict[str, list[float]]]:
    return [{ln.get_label(): list(ln.get_ydata()) for ln in axis.lines} for axis in figure.axes]


@pytest.mark.parametrize(
    ("suffix", "first"), [("png", b"\x89PNG\r\n"), ("pdf", b"%PDF-"), ("svg", b"<?xml")]
)
def test_the_suffix_decides_the_format(tmp_path, suffix, first):
    path = tmp_path / "runs" / f"curves.{suffix}"
    plots.training_curves(History(rows()), path)
    assert path.read_bytes().startswith(first)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


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
    assert [list(axis) for axis in lines(drawn[1])] == [["train", "validation"], []]


def test_without_matplotlib_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(plots.PlotError) as caught:
        plots.training_curves(rows(), tmp_path / "curves.png")
    assert str(caught.value) == "pictures need matplotlib: run `pip install matplotlib`"
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_not_imported_before_a_picture_is_drawn():
    program = "import sys, xpnet, xpnet.plots; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
