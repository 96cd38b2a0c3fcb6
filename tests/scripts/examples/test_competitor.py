"""The competitor's program: what it finds, on the digits, that it goes on, and that it is short."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.examples import competitor
from tests.scripts.examples import own_statements

pytestmark = pytest.mark.gallery


def test_it_goes_on_where_it_was_and_finds_the_same(tmp_path: Path) -> None:
    found = competitor.main(str(tmp_path), 1, 1, dataset="digits")
    assert found[0][0] > 0.8
    assert found == competitor.main(str(tmp_path), 1, 1, dataset="digits")  # finished: at once
    assert [path.name for path in tmp_path.glob("*0.safetensors")] == ["competitor-0.safetensors"]


@pytest.mark.slow
@pytest.mark.mnist
def test_three_networks_name_more_than_9970_digits(tmp_path: Path) -> None:
    alone, together = competitor.main(str(tmp_path))
    assert sum(alone) / 3 >= 0.9960
    assert together >= 0.9970


def test_it_has_at_most_30_lines_of_its_own() -> None:
    statements = own_statements(competitor)
    assert len(statements) <= 30
