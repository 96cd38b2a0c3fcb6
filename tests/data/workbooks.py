"""Workbooks as Excel's own library writes them."""

from __future__ import annotations

from pathlib import Path

import pytest


def workbook(path: Path, **sheets: list[list[object]]) -> Path:
    """Write sheets by their names, and return the path."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path
