"""The demonstrations of two moons, of the spreadsheet and of the networks that divide."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest

from scripts.gallery import (
    _drawings,
    _two_layers,
    harness,
    quotient_complex,
    quotient_first_attempt,
)
from scripts.gallery.quotient_network import tell, weights_of
from tests.scripts.gallery import test_basics as basics
from xpnet.models import learn_operation
from xpnet.models.quotient import Clipped

show = functools.partial(basics.show, largest=200_000)


@pytest.mark.gallery
@pytest.mark.parametrize("name", ["quotient_first_attempt", "quotient_complex", "quotient_network"])
def test_networks_that_divide(name: str, tmp_path: Path) -> None:
    show(name, tmp_path)


@pytest.mark.gallery
def test_two_moons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    row = show("two_moons", tmp_path)
    assert row["pictures"] == ["two_moons_squared.png", "two_moons_softmax.png"]
    printed = capsys.readouterr().out
    assert "pass  1000: loss" in printed  # every 1000 passes


@pytest.mark.gallery
def test_moons_held_back(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    row = show("moons_regularisation", tmp_path)
    assert row["pictures"] == ["moons_regularisation.png"]


@pytest.mark.gallery
@pytest.mark.mnist
@pytest.mark.skipif("XPNET_DATA" not in os.environ, reason="needs MNIST (XPNET_DATA)")
def test_digits_from_a_spreadsheet(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    show("spreadsheet_digits", tmp_path)


def demo_in(folder: Path) -> harness.Demo:
    return harness.demo_of(harness.parser().parse_args(["--quick", "--out", str(folder)]))


@pytest.mark.parametrize(
    ("hidden", "loss", "decay"),
    [("tanh", "squared", 0.0), ("sigmoid", "softmax", 0.1), ("sigmoid", "logistic", 0.0)],
)
def test_a_step_in_plain_numpy_gains_what_its_slope_promises(hidden, loss, decay) -> None:
    """With a tiny rate a step lowers loss and penalty by the rate times the squared slope."""
    rng = np.random.default_rng(1)
    weights = {
        name: rng.normal(size=shape)
        for name, shape in {"W1": (2, 3), "b1": (3,), "W2": (3, 2), "b2": (2,)}.items()
    }
    x, targets = rng.normal(size=(20, 2)), np.eye(2)[rng.integers(2, size=20)]

    def penalised(moved: dict) -> float:
        options = {"hidden": hidden, "loss": loss, "lr": 0.1, "steps": 0}
        size = sum((moved[name] ** 2).sum() for name in ("W1", "W2"))
        return _two_layers.descend(moved, x, targets, **options)[0] + decay / 2 * size

    slopes = {}
    for name, value in weights.items():
        slopes[name] = np.zeros_like(value)
        for place in np.ndindex(value.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = {key: one.copy() for key, one in weights.items()}
                moved[name][place] += step
                ends.append(penalised(moved))
            slopes[name][place] = (ends[0] - ends[1]) / 2e-6
    found = _two_layers.descend(
        weights, x, targets, hidden=hidden, loss=loss, lr=0.5, decay=decay, steps=1
    )
    stepped = {name: value - 0.5 * slopes[name] for name, value in weights.items()}
    expected = _two_layers.descend(stepped, x, targets, hidden=hidden, loss=loss, lr=0.5, steps=0)
    assert found[1] == pytest.approx(expected[0], rel=1e-7)


def test_the_first_attempt_is_explained_only_by_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs, weights = np.ones((4, 2)), np.ones((5, 6))
    weights[2:] = 2000
    for outputs, explained in (([1, 1e4, 0, np.inf], True), ([1, 2, 1, 1], False)):
        way = quotient_first_attempt.Way(pairs, weights, np.array(outputs))
        quotient_first_attempt.explain(demo_in(tmp_path), [way])
        assert ("Through exp" in capsys.readouterr().out) is explained


def test_the_second_attempt_is_explained_only_by_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest, still_moves = np.full((5, 4, 6), -0.5), np.arange(120.0).reshape(5, 4, 6)
    for path, explained in ((rest, True), (still_moves, False)):
        learned = Clipped(None, None, path.copy())
        learned.path[:, :2] = 1  # those that divide
        quotient_complex.explain(demo_in(tmp_path), learned, np.array([True, True, False, False]))
        assert ("phase i pi" in capsys.readouterr().out) is explained


def test_what_made_the_difference_is_said_worst_first(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {
        "random output weights": [4, 4],
        "real numbers and log(x^2)": [1, 4],
        "a constant rate": [0, 0],
    }
    tell(counts, [4, 4], 4)
    printed = capsys.readouterr().out
    words = ["What made the difference", "constant rate: 0", "log(x^2): 1 quot", "What made little"]
    places = [printed.index(word) for word in [*words, "random output weights: 4"]]
    assert places == sorted(places)


def test_weights_are_told_apart_by_what_a_unit_hears() -> None:
    learned = learn_operation("quotient", steps=0)
    learned.net.params["0.W"] = np.array([[0, 2], [3, 0.1]], complex)
    learned.net.params["2.W"] = np.array([[-1], [1]], complex)
    weights = weights_of([learned])
    assert sorted(weights["hidden"]["of the input it hears"].real) == [2, 3]
    assert sorted(weights["hidden"]["of the other"].real) == [0, 0.1]
    assert weights["output"]["unit that hears a"].real.tolist() == [1]
    assert weights["output"]["unit that hears b"].real.tolist() == [-1]


def test_plots_say_what_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "no.png"
    points = np.zeros((3, 2))
    for function in (_drawings.weight_paths, _drawings.complex_plane):
        with pytest.raises(ValueError, match=f"{function.__name__}: expected at least one panel"):
            function({}, path)
    with pytest.raises(ValueError, match="class_boundaries: expected at least one panel"):
        _drawings.class_boundaries({}, points, np.zeros(3), path)
    panels = {"a": (lambda grid: grid[:, 0], "")}
    with pytest.raises(ValueError, match=r"labels \(n,\), got \(3, 2\) and \(2,\)"):
        _drawings.class_boundaries(panels, points, np.zeros(2), path)
    assert not path.exists()


def test_points_without_a_boundary_are_drawn_with_axes_and_classes(tmp_path: Path) -> None:
    path = tmp_path / "points.svg"
    points = np.array([[0.0, 0.0], [1.0, 1.0]])
    _drawings.class_boundaries({"points": (None, "two of them")}, points, np.array([0, 1]), path)
    assert b"class 1" in path.read_bytes()


def test_ways_through_the_complex_plane_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "plane.svg"
    ways = np.exp(1j * np.linspace(0, 3, 20))[:, None] * [1, 2]
    _drawings.complex_plane({"p": {"ways": ways, "points": ways[0]}}, path, title="title")
    assert b"<svg" in path.read_bytes()
