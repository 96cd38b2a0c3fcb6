"""What is computed by hand: its figures are as expected, on every library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.gallery import _drawings
from tests.scripts.gallery.mutations.by_hand import MUTATIONS as NAMES
from tests.scripts.gallery.test_basics import show


@pytest.mark.gallery
@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_as_expected(name: str, tmp_path: Path) -> None:
    show(name, tmp_path)


@pytest.mark.gallery
@pytest.mark.parametrize("name", NAMES)
def test_the_same_command_runs_on_torch(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    show(name, tmp_path, "torch:cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_as_expected_on_the_gpu(name: str, tmp_path: Path) -> None:
    show(name, tmp_path, "gpu")


# Pictures: what cannot be drawn is said in one sentence, and no file appears


@pytest.mark.parametrize(
    ("function", "arguments", "sentence"),
    [
        ("vector_field", (np.zeros(2), np.zeros(2)), r"vectors \(n, 2\), got \(2,\) and \(2,\)"),
        ("vector_field", (np.zeros((3, 2)), np.zeros((1, 2))), r"got \(3, 2\) and \(1, 2\)"),
        ("marked_arrays", ({},), "marked_arrays: expected at least one row, got none"),
        ("marked_arrays", ({"a": [(np.zeros((1, 1, 1)), 0)]},), r"in row 'a', got \(1, 1, 1\)"),
        ("marked_arrays", ({"a": [(np.zeros(2), [1])]},), r"got \(1, 2\) and \(1,\)"),
    ],
)
def test_pictures_refuse_what_cannot_be_drawn(
    function: str, arguments: tuple, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=sentence):
        getattr(_drawings, function)(*arguments, tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []
