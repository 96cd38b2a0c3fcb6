"""The numbers in the sheets of an Excel workbook.

A workbook is a zip archive of XML parts (ECMA-376): one lists the sheets, and each sheet has one
of rows of cells.  They are unpacked and parsed as they come, cells are counted, and a gap between
rows costs nothing: a file takes no more time and memory than its size allows.
"""

from __future__ import annotations

import math
import os
import posixpath
from array import array
from collections.abc import Callable, Sequence
from typing import Any
from xml.parsers import expat

import numpy as np

from xpnet.arrays import HostArray
from xpnet.data.archives import Archive
from xpnet.files import UnreadableError, contents, listed, reading

__all__ = ["MAX_CELLS", "read_sheets"]

MAX_CELLS = 2**25
"""The most cells of a sheet, with those left out in its rows: eight bytes each, twice.

In a file of n bytes no more than 4 n + 2^18."""

_MAX_ROWS, _MAX_COLUMNS = 2**20, 2**14  # Excel's own
_MAX_DEPTH, _MAX_TAG, _MAX_TEXT = 64, 2**20, 100

Start = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]


def read_sheets(path: str | os.PathLike[str], names: Sequence[str]) -> list[HostArray]:
    """Return sheets as tables of float64, with NaN in empty cells and without empty rows.

    Parameters
    ----------
    path : path
    names : sequence of str
        Of the sheets.

    Raises
    ------
    ValueError
        The file is no workbook or larger than it may be, lacks a sheet, or a cell holds no number.
    OSError
        It cannot be read.
    """
    raw = contents(path)
    with reading(path, "no Excel workbook, or a damaged one"):
        book = _Workbook(raw)
        for name in names:
            if name not in book.sheets:
                raise UnreadableError(
                    f"{path}: expected a sheet {name!r}, got only {listed(book.sheets)}"
                )
        return [_Sheet(book, name, f"{path}, sheet {name!r}").table() for name in names]


class _Workbook:
    """Which sheets there are, and where their parts and their texts are."""

    def __init__(self, raw: bytes) -> None:
        self._archive = Archive(raw)
        self.most_cells = min(MAX_CELLS, 2**18 + 4 * len(raw))  # packed, a cell takes some bytes
        self._tags = 3 * self.most_cells
        root = self._relations("")
        book = next(part for kind, part in root.values() if kind == "officeDocument")
        self._related = self._relations(book)
        self.sheets: dict[str, str] = {}
        self.parse(book, self._sheet)

    def _sheet(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "sheet":
            target = next(value for key, value in attributes.items() if key.endswith(":id"))
            self.sheets[attributes["name"]] = self._related[target][1]

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Return kind and place of the parts that a part names, by its names for them."""
        folder, name = posixpath.split(part)
        found: dict[str, tuple[str, str]] = {}

        def relation(tag: str, attributes: dict[str, str]) -> None:
            if tag == "Relationship":
                place = posixpath.normpath(posixpath.join("/", folder, attributes["Target"]))
                found[attributes["Id"]] = posixpath.basename(attributes["Type"]), place[1:]

        self.parse(posixpath.join(folder, "_rels", f"{name}.rels"), relation)
        return found

    def parse(
        self, part: str, start: Start, end: End | None = None, text: End | None = None
    ) -> None:
        """Parse a part as it comes; tags go by their names without prefixes."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        depth = fed = 0

        def started(tag: str, attributes: dict[str, str]) -> None:
            nonlocal depth
            depth += 1
            self._tags -= 1
            if depth > _MAX_DEPTH or self._tags < 0:
                raise ValueError("more XML than a workbook of its size has")
            start(tag.rpartition(":")[2], attributes)

        def ended(tag: str) -> None:
            nonlocal depth
            depth -= 1
            if end is not None:
                end(tag.rpartition(":")[2])

        def doctype(*_: Any) -> None:
            raise ValueError("its XML declares a document type, as no workbook does")

        parser.StartElementHandler, parser.EndElementHandler = started, ended
        parser.StartDoctypeDeclHandler, parser.CharacterDataHandler = doctype, text
        for chunk in self._archive.chunks(part):
            parser.Parse(chunk, False)
            fed += len(chunk)
            if fed - parser.CurrentByteIndex > _MAX_TAG:
                raise ValueError("its XML has a tag that is too long")
        parser.Parse(b"", True)

    def text(self, wanted: int) -> str:
        """Return the beginning of a text that sheets share."""
        part = next(part for kind, part in self._related.values() if kind == "sharedStrings")
        count, found = -1, ""

        def start(tag: str, _: dict[str, str]) -> None:
            nonlocal count
            count += tag == "si"

        def text(characters: str) -> None:
            nonlocal found
            if count == wanted and len(found) < _MAX_TEXT:
                found += characters

        self.parse(part, start, text=text)
        return found


class _Sheet:
    """The rows of a sheet, as its XML comes."""

    def __init__(self, book: _Workbook, name: str, where: str) -> None:
        self._book, self._where = book, where
        self._rows: list[array[float]] = []
        self._row: array[float] = array("d")
        self._filled = self._in_value = False
        self._cells = self._column = 0
        self._columns: dict[str, int] = {}
        self._kind = self._text = ""
        book.parse(book.sheets[name], self._start, self._end, self._characters)

    def table(self) -> HostArray:
        """Return the rows, filled up to the longest."""
        width = max(map(len, self._rows), default=0)
        self._count(len(self._rows) * width)
        table = np.full((len(self._rows), width), math.nan)
        for i, row in enumerate(self._rows):
            table[i, : len(row)] = row
        return table

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "c":
            self._kind, self._text = attributes.get("t", "n"), ""
            place = attributes.get("r")
            self._column = self._numbered(place) if place else self._column + 1
            if self._column > _MAX_COLUMNS:
                raise UnreadableError(f"{self._where}: holds more than {_MAX_COLUMNS} columns")
        elif tag in ("v", "t"):
            self._in_value = True
        elif tag == "row":
            self._row, self._filled, self._column = array("d"), False, 0

    def _characters(self, text: str) -> None:
        if self._in_value and len(self._text) < _MAX_TEXT:
            self._text += text

    def _end(self, tag: str) -> None:
        if tag in ("v", "t"):
            self._in_value = False
        elif tag == "c":
            self._put(self._value())
        elif tag == "row" and self._filled:
            self._rows.append(self._row)
            if len(self._rows) > _MAX_ROWS:
                raise UnreadableError(f"{self._where}: holds more than {_MAX_ROWS} rows")
            self._cells += len(self._row)
            self._count(self._cells)

    def _count(self, cells: int) -> None:
        if cells > self._book.most_cells:
            raise UnreadableError(
                f"{self._where}: holds more than {self._book.most_cells} cells, with empty ones"
            )

    def _numbered(self, place: str) -> int:
        """Return the number of the column of a cell such as ``"AB12"``."""
        letters = place.rstrip("0123456789")
        if letters not in self._columns:
            number = 0
            for letter in letters[:4]:
                number = 26 * number + ord(letter) - ord("A") + 1
            if not (letters.isascii() and letters.isalpha() and letters.isupper()):
                raise UnreadableError(f"{self._where}: no cell is called {place[:20]!r}")
            self._columns[letters] = number
        return self._columns[letters]

    def _value(self) -> float:
        text = self._text
        if self._kind in ("n", "b") and "_" not in text:
            try:
                return float(text or "nan")
            except ValueError:
                pass
        if not text:
            return math.nan
        if self._kind == "s":
            text = self._book.text(int(text))
        row = len(self._rows) + 1
        raise UnreadableError(
            f"{self._where}: expected numbers, got {text[:_MAX_TEXT]!r} in row {row}"
        )

    def _put(self, value: float) -> None:
        if value != value:  # an empty cell
            return
        self._filled = True
        self._row.extend([math.nan] * (self._column - len(self._row)))
        self._row[self._column - 1] = value
