"""The analyst's program: what it finds, and that it is short."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.examples import analyst
from tests.scripts.examples import own_statements

pytestmark = pytest.mark.gallery


def test_it_finds_the_rare_answer_and_another_process_finds_the_same(tmp_path: Path) -> None:
    accuracy, same = analyst.main(str(tmp_path))
    assert accuracy >= 0.8
    assert same
    assert (tmp_path / "customers.joblib").exists()


def test_its_table_has_words_gaps_and_a_rare_answer() -> None:
    rows = [line.split(",") for line in analyst.TABLE.read_text().splitlines()[1:]]
    assert len(rows) == 600
    assert any(cell.isalpha() for cell in rows[0])
    assert sum("" in row for row in rows) > 50
    assert sum(row[-1] == "yes" for row in rows) == 60


def test_it_has_at_most_15_lines_of_its_own() -> None:
    statements = own_statements(analyst)
    assert len(statements) <= 15
    assert all(node.end_lineno == node.lineno for node in statements if not hasattr(node, "body"))
