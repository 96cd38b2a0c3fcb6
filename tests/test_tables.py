"""Tables of text."""

from __future__ import annotations

import pytest

from xpnet.tables import aligned, readable_bytes, ruled

ROWS = [("layer", "numbers"), ("0 Linear", "7"), ("total", "7")]


def test_the_first_columns_stand_left_and_the_others_right():
    assert aligned([("a", "b", "c"), ("long", "longer", "longest")], left=1) == [
        "a          b        c",
        "long  longer  longest",
    ]
    assert aligned([("a", ""), ("bb", "c")], left=2) == ["a    ", "bb  c"]


def test_titles_and_totals_are_set_off_by_rules():
    assert ruled(ROWS, left=1).splitlines() == [
        "layer     numbers",
        "-----------------",
        "0 Linear        7",
        "-----------------",
        "total           7",
    ]


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        aligned([("a", "b"), ("c",)], left=1)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "-"), (999, "999 B"), (1000, "1.0 kB"), (999_940, "999.9 kB"), (999_950, "1.0 MB"),
     (2.5e9, "2.5 GB"), (4e15, "4,000,000.0 GB")],
)  # fmt: skip
def test_bytes_have_the_unit_that_suits_them(number, text):
    assert readable_bytes(number) == text
