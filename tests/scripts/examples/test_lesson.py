"""The teacher's program: that it draws its pictures, and that it is short."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from scripts.examples import lesson
from tests.scripts.examples import own_statements

pytestmark = pytest.mark.gallery


def test_it_draws_eight_pictures_of_a_network_that_reads(tmp_path: Path) -> None:
    assert lesson.main(str(tmp_path)) >= 0.97
    pictures = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(pictures) == [
        "confusion.png", "curves.png", "filters.png", "maps.png", "misread.png", "rates.png",
        "reliability.png", "units.png",
    ]  # fmt: skip
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())


def test_it_has_at_most_18_lines_of_its_own() -> None:
    statements = own_statements(lesson)
    assert len(statements) <= 18
    assert all(node.end_lineno == node.lineno for node in statements if not hasattr(node, "body"))
