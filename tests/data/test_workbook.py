"""Sheets of workbooks: what openpyxl writes, what others may write, and what is refused."""

from __future__ import annotations

import re
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from xpnet.data.workbook import MAX_CELLS, read_sheets

RELATIONS = '<Relationships xmlns="r">{}</Relationships>'
RELATION = '<Relationship Id="{}" Type="http://schemas/{}" Target="{}"/>'


def workbook(path: Path, sheet: str, prefix: str = "", texts: str | None = None) -> Path:
    """Write by hand a workbook of one sheet, called X."""
    related = RELATION.format("r1", "worksheet", "worksheets/first.xml")
    related += RELATION.format("r2", "sharedStrings", "/xl/texts.xml")
    members = {
        "_rels/.rels": RELATIONS.format(RELATION.format("a", "officeDocument", "/xl/book.xml")),
        "xl/_rels/book.xml.rels": RELATIONS.format(related),
        "xl/book.xml": f'<{prefix}workbook xmlns:q="x"><{prefix}sheets>'
        f'<{prefix}sheet name="X" sheetId="1" q:id="r1"/></{prefix}sheets></{prefix}workbook>',
        "xl/worksheets/first.xml": sheet,
    }
    if texts is not None:
        members["xl/texts.xml"] = texts
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def table(path: Path) -> np.ndarray:
    (found,) = read_sheets(path, ["X"])
    return found


def row(*cells: str) -> str:
    return f"<row>{''.join(cells)}</row>"


def cell(value: object, place: str = "", kind: str = "") -> str:
    about = (f' r="{place}"' if place else "") + (f' t="{kind}"' if kind else "")
    return f"<c{about}><v>{value}</v></c>"


def test_what_openpyxl_writes_is_read(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "X"
    rows = [[1, 2.5, None, -3e-7], [], [None, True, 10**15, 0]]
    for values in rows:
        book.active.append(values)
    book.create_sheet("other").append([7])
    book.save(tmp_path / "a.xlsx")
    found, other = read_sheets(tmp_path / "a.xlsx", ["X", "other"])
    np.testing.assert_array_equal(found, [[1, 2.5, np.nan, -3e-7], [np.nan, 1, 1e15, 0]])
    np.testing.assert_array_equal(other, [[7]])


@pytest.mark.parametrize(
    ("sheet", "expected"),
    [
        (row(cell(1), cell(2)) + row(cell(3)), [[1, 2], [3, np.nan]]),
        (row(cell(1, "B2"), cell(2, "AA2")), [[np.nan, 1, *[np.nan] * 24, 2]]),
        (row(cell(2, "B1"), cell(1, "A1"), cell(3)), [[1, 3]]),  # out of order
        (row(cell(1)) + '<row r="1048576">' + cell(2) + "</row>", [[1], [2]]),
        (row() * 1000 + row("<c/>", "<c><f>A1</f></c>") + row(cell("1E-3")), [[1e-3]]),
        (row(cell(1, kind="b"), cell(" 2 ")), [[1, 2]]),
        (row(cell("", kind="str")) + row(cell(1, "XFD1"))[:0], np.empty((0, 0))),
    ],
    ids=["ragged", "places", "disorder", "gap", "empty", "kinds", "nothing"],
)
def test_cells_come_to_their_places(tmp_path, sheet, expected):
    path = workbook(tmp_path / "a.xlsx", f"<w><sheetData>{sheet}</sheetData></w>")
    np.testing.assert_array_equal(table(path), expected)


def test_prefixes_of_tags_do_not_matter(tmp_path):
    sheet = row(cell(4)).replace("</", "</s:").replace("<", "<s:").replace("<s:/s:", "</s:")
    path = workbook(tmp_path / "a.xlsx", f'<s:w xmlns:s="x">{sheet}</s:w>', "m:")
    # the prefix of the list of sheets is declared there
    np.testing.assert_array_equal(table(path), [[4]])


TEXTS = "<sst><si><t>one</t></si><si><r><t>tw</t></r><r><t>o</t></r></si></sst>"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (cell(1, kind="s"), "'two'"),
        ('<c t="inlineStr"><is><t>three</t></is></c>', "'three'"),
        (cell("#DIV/0!", kind="e"), "'#DIV/0!'"),
        (cell("2020-01-01", kind="d"), "'2020-01-01'"),
        (cell("5", kind="str"), "'5'"),
        (cell("1_0"), "'1_0'"),
        (cell("x" * 1000), f"'{'x' * 100}'"),
    ],
)
def test_what_is_no_number_is_told_with_its_row(tmp_path, value, said):
    path = workbook(tmp_path / "a.xlsx", f"<w>{row(cell(1))}{row(value)}</w>", texts=TEXTS)
    message = re.escape(f"{path}, sheet 'X': expected numbers, got {said}")
    with pytest.raises(ValueError, match=f"^{message}.* in row 2$"):
        table(path)


DAMAGED = "no Excel workbook, or a damaged one"
BOMBS = {
    "cells": (row("<c/>" * 10) * 10**5, "more XML than a workbook of its size has"),
    "padding": (row(cell(1, "XFD1")) * 10**4, "holds more than [0-9]+ cells, with empty ones"),
    "one wide row": (
        row(cell(1, "XFD1")) + row(cell(1)) * 1000, "holds more than [0-9]+ cells, with empty ones"
    ),
    "columns": (row(cell(1) * 20_000), "holds more than 16384 columns"),
    "a column past all": (row(cell(1, "ZZZZ1")), "holds more than 16384 columns"),
    "no column": (row(cell(1, "7")), "no cell is called '7'"),
    "depth": ("<a>" * 10**6, "more XML than a workbook of its size has"),
    "a long tag": (f'<a b="{"x" * 10**7}"/>', "has a tag that is too long"),
    "a long comment": (f"<!--{' ' * 10**7}-->", "has a tag that is too long"),
    "unpacked": (" " * 2**26, "too large for the size of the file"),
    "a shared text that is not there": (row(cell(9, kind="s")), DAMAGED),
}  # fmt: skip


@pytest.mark.parametrize("what", BOMBS)
def test_a_sheet_takes_no_more_than_its_size_allows(tmp_path, what):
    sheet, message = BOMBS[what]
    path = workbook(tmp_path / "a.xlsx", f"<w>{sheet}</w>")
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"^{path}[^\n]*{message}[^\n]*$"):
            table(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_rows_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("xpnet.data.workbook._MAX_ROWS", 3)
    path = workbook(tmp_path / "a.xlsx", f"<w>{(row() + row(cell(1))) * 3}</w>")
    assert len(table(path)) == 3
    workbook(path, f"<w>{row(cell(1)) * 4}</w>")
    with pytest.raises(ValueError, match="holds more than 3 rows"):
        table(path)


@pytest.mark.parametrize("inner", ["&b;", "", '<!ENTITY % c SYSTEM "file:///etc/passwd"> %c;'])
def test_entities_are_refused(tmp_path, inner):
    doctype = f'<!DOCTYPE w [<!ENTITY a "1"><!ENTITY b "&a;&a;&a;">{inner[4:]}]>'
    path = workbook(tmp_path / "a.xlsx", f"{doctype}<w>{row(cell('&b;'))}</w>")
    with pytest.raises(ValueError, match="declares a document type, as no workbook does"):
        table(path)


@pytest.mark.parametrize("lacks", ["_rels/.rels", "xl/book.xml", "xl/worksheets/first.xml"])
def test_a_workbook_without_one_of_its_parts(tmp_path, lacks):
    workbook(tmp_path / "whole.xlsx", "<w/>")
    with (
        zipfile.ZipFile(tmp_path / "whole.xlsx") as whole,
        zipfile.ZipFile(tmp_path / "a.xlsx", "w") as part,
    ):
        for name in whole.namelist():
            if name != lacks:
                part.writestr(name, whole.read(name))
    with pytest.raises(ValueError, match=DAMAGED):
        table(tmp_path / "a.xlsx")


def test_the_limit_is_above_what_mnist_takes():
    assert MAX_CELLS > 60_000 * 400
