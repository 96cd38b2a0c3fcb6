"""Tables of numbers in CSV files, a row a sample: read some rows at a time, within bounds."""

from __future__ import annotations

import csv
import io
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from xpnet.arrays import HostArray
from xpnet.checks import arguments, came, distinct_names, file_path, flag, nearest, whole_number
from xpnet.data.datasets import Dataset
from xpnet.files import UnreadableError, contents, listed, reading

__all__ = ["MAX_CLASSES", "MAX_COLUMNS", "from_csv"]

MAX_COLUMNS = 2**16
"""The most columns that a table may have: in memory the name of each takes some 60 bytes."""

MAX_CLASSES = 2**16
"""The most words that a column of labels may hold."""

_BLOCK = 2**21  # characters
_MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}

Column = str | int


@overload
def from_csv(
    path: str | os.PathLike[str],
    *,
    target: Column,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    drop: Column | Sequence[Column] = (),
    shape: Sequence[int] | None = None,
    delimiter: str = ",",
    header: bool | None = None,
) -> Dataset: ...
@overload
def from_csv(
    path: str | os.PathLike[str],
    *,
    target: None,
    drop: Column | Sequence[Column] = (),
    shape: Sequence[int] | None = None,
    delimiter: str = ",",
    header: bool | None = None,
) -> HostArray: ...
@arguments('write from_csv(path, target="label"), or target=None where there are samples alone')
def from_csv(
    path: str | os.PathLike[str],
    *,
    target: Column | None,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    drop: Column | Sequence[Column] = (),
    shape: Sequence[int] | None = None,
    delimiter: str = ",",
    header: bool | None = None,
) -> Dataset | HostArray:
    """Read a table of numbers from a CSV file, a row for each sample.

    Parameters
    ----------
    path : path
        Text in UTF-8; fields may be quoted.
    target : str, int or None
        The column of the targets, by name or by number from 0: numbers, or words that name classes.
        None for a file of samples alone.
    classes : int, optional
        The number of classes, where the targets are labels as numbers: see :class:`Dataset`.
    class_names : sequence of str, optional
        What the classes are called, in order.  By default the words of the target, sorted; of a
        second file give those of the first, ``class_names=train.class_names``, or a class that it
        lacks would move the others.
    drop : str, int or sequence of these
        Columns to leave out, which may hold anything.
    shape : sequence of int, optional
        Of a sample, such as ``(1, 28, 28)``: by default (columns,).
    delimiter : str
        What stands between two fields.
    header : bool, optional
        Whether the first row names the columns: by default, if it holds the target's name or no
        numbers.

    Returns
    -------
    Dataset, or with ``target=None`` array
        ``x`` of shape (n, *shape): uint8 where every number is whole and of 0 to 255, else float64;
        ``t`` of shape (n,): int64 where every target is a word or a whole number, else float64.

    Raises
    ------
    ValueError
        A row differs in length, a field is missing or no number, or there is no such column; the
        sentence begins with the path and says which row of the file, from 1, and which column.
    OSError
        The file is missing or cannot be read.

    Notes
    -----
    Reading takes the file's size and twice that of the arrays.

    Examples
    --------
    >>> train = from_csv("train.csv", target="label", classes=10, shape=(1, 28, 28))
    >>> test = from_csv("test.csv", target=None, shape=(1, 28, 28))
    """
    path = file_path(path)
    if not isinstance(delimiter, str) or len(delimiter) != 1:
        raise ValueError(f"delimiter: expected a single character, got {came(delimiter)}")
    header = None if header is None else flag("header", header)
    sizes = None if shape is None else [whole_number("shape", n, 1) for n in _several(shape)]
    names = None if class_names is None else distinct_names("class_names", class_names)
    with _reading(path):
        table = _Table(path, delimiter, header, target)
    column = None if target is None else table.column("target", target)
    left_out = {column, *(table.column("drop", one) for one in _several(drop))}
    features = [k for k in range(table.width) if k not in left_out]
    table.check_features(features)
    if sizes and math.prod(sizes) != len(features):
        raise ValueError(f"shape: expected one of {len(features)} numbers, got {came(shape)}")
    with _reading(path):
        x, t, names = table.read(features, column, names)
    x = x.reshape(-1, *(sizes or [len(features)]))
    return x if t is None else Dataset(x, t, classes, str(path), class_names=names)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    with reading(path, "expected a table of text in UTF-8"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of no rows, which are counted here
        yield


def _several(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple)) else [value]


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field


def _is_missing(field: str) -> bool:
    return field.strip().lower() in _MISSING or (_is_number(field) and math.isnan(float(field)))


class _Block(NamedTuple):
    """Some rows of a file: the number of their first line in it, and their lines."""

    start: int
    lines: list[str]


class _Table:
    """The rows of a file, some at a time, and the names of its columns."""

    def __init__(
        self, path: Path, delimiter: str, header: bool | None, target: Column | None
    ) -> None:
        self._path, self._delimiter = path, delimiter
        raw = contents(path)
        if raw.startswith((b"PK\3\4", b"\x1f\x8b")):
            raise UnreadableError(f"{path}: expected text, got a packed file: unpack it first")
        self._stream = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig")
        self._line = 1  # of the block that comes next
        self._first = self._lines(1)
        if not self._first:
            raise UnreadableError(f"{path}: expected a table, but it is empty")
        if sum(line.count(delimiter) for line in self._first) >= MAX_COLUMNS:
            raise UnreadableError(f"{path}: holds more than {MAX_COLUMNS} columns")
        fields = [field.strip() for field in next(self._rows(_Block(1, self._first)))[1]]
        self.width = len(fields)
        self._named = self._has_header(fields, target) if header is None else header
        self.names = fields if self._named else [str(k) for k in range(self.width)]
        others = [one for one in ";\t|," if one in self._first[0]] if self.width == 1 else []
        self.hint = f": say what stands between fields, delimiter={others[0]!r}" if others else ""
        self._target: int | None = None

    def _has_header(self, fields: list[str], target: Column | None) -> bool:
        """Return whether the first row names the columns, or raise where that is a guess."""
        numbers = [field for field in fields if _is_number(field)]
        counts = len(fields) > 2 and fields == [str(k) for k in range(len(fields))]
        if target in fields or not numbers:
            return True
        if len(numbers) == len(fields) and not counts:
            return False
        found = "counts the columns" if counts else "holds words and numbers"
        raise UnreadableError(
            f"{self._path}: its first row {found}: say header=False if it is a sample, or "
            f"header=True if it names the columns"
        )

    def column(self, argument: str, which: Column) -> int:
        """Return the number of a column that an argument asks for by name or by number."""
        if not isinstance(which, str):
            name, most = f"{self._path}: {argument}", self.width - 1
            return whole_number(name, which, -self.width, most) % self.width
        if self._named and self.names.count(which) == 1:
            return self.names.index(which)
        if not self._named:
            cure = f": no row names the columns: give a number, such as {argument}=0"
        elif which in self.names:
            cure = ": several are called so: give the number of one"
        else:
            near = self.hint or nearest(which, self.names)
            cure = f", got only {listed(self.names)}{near}"
        raise UnreadableError(f"{self._path}: {argument}: expected a column {which!r}{cure}")

    def check_features(self, features: list[int]) -> None:
        """Raise unless there are columns for the samples, each with a name if the file has them."""
        if not features:
            raise UnreadableError(f"{self._path}: no column is left for the samples{self.hint}")
        nameless = next((k for k in features if not self.names[k]), None)
        if nameless is not None:
            raise UnreadableError(
                f"{self._path}: column {nameless} has no name, as the rows' numbers that pandas "
                f"writes: leave it out, drop={nameless}, or say header=False"
            )

    def read(
        self, features: list[int], target: int | None, class_names: tuple[str, ...] | None
    ) -> tuple[HostArray, HostArray | None, tuple[str, ...] | None]:
        """Return samples, targets and the names of the classes, those given or else the words."""
        x: list[HostArray] = []
        t: list[HostArray] = []
        labels: _Labels | None = None
        self._target = target
        for block in self._blocks():
            if target is not None and not x and self._are_words(block, target, class_names):
                labels = _Labels(class_names)
            columns = features if target is None or labels else [*features, target]
            numbers = self._numbers(block, columns)
            x.append(_narrowed(numbers[:, : len(features)]))
            if target is not None:
                t.append(self._numbered(block, target, labels) if labels else numbers[:, -1].copy())
        if not x:
            raise UnreadableError(f"{self._path}: expected rows of numbers, got none{self.hint}")
        if target is None:
            return np.concatenate(x), None, None
        targets = np.concatenate(t)
        if labels:
            return np.concatenate(x), labels.sorted(targets), tuple(labels.names)
        whole = bool(((abs(targets) < 2**53) & (targets == np.floor(targets))).all())
        return np.concatenate(x), targets.astype(np.int64) if whole else targets, class_names

    # Rows

    def _lines(self, characters: int) -> list[str]:
        """Return the next lines, in whole rows, not all of them blank; none at the end."""
        while lines := self._stream.readlines(characters):
            self._complete(lines)
            if any(map(str.strip, lines)):
                return lines
            self._line += len(lines)
        return []

    def _complete(self, lines: list[str]) -> None:
        """Append the lines over which the last field goes on, if it is quoted and does not end."""
        is_open, room = sum(line.count('"') for line in lines) % 2, _BLOCK
        while is_open and (line := self._stream.readline()):
            lines.append(line)
            is_open, room = (is_open + line.count('"')) % 2, room - len(line)
            if room < 0:
                raise UnreadableError(f"{self._path}: a quoted field has no end")

    def _blocks(self) -> Iterator[_Block]:
        """Yield the rows, some at a time, without the names of the columns."""
        if not self._named:
            yield _Block(self._line, self._first)
        self._line += len(self._first)
        while lines := self._lines(_BLOCK):
            yield _Block(self._line, lines)
            self._line += len(lines)

    def _rows(self, block: _Block) -> Iterator[tuple[str, list[str]]]:
        """Yield where each row is that is not blank, and its fields."""
        reader = csv.reader(block.lines, delimiter=self._delimiter)
        for row in reader:
            if len(row) > 1 or "".join(row).strip():
                yield f"{self._path}: row {block.start + reader.line_num - 1}", row

    def _loaded(self, block: _Block, columns: list[int], dtype: type) -> HostArray:
        return np.loadtxt(
            filter(str.strip, block.lines), dtype, None, self._delimiter,
            usecols=columns, ndmin=2, quotechar='"',
        )  # fmt: skip

    def _digits(self, block: _Block) -> HostArray | None:
        """Return the fields of rows of digits alone, ten times as fast as loadtxt, else None."""
        text, delimiter = "".join(block.lines).encode(), self._delimiter.encode()
        full, rows = self.width - 1, len(block.lines)
        if text.translate(None, b"0123456789\n" + delimiter):
            return None
        if any(row.count(self._delimiter) != full for row in block.lines):
            return None
        try:
            commas = text.replace(delimiter, b",").replace(b"\n", b",")
            fields = np.fromstring(commas, np.int64, sep=",")
        except ValueError:  # of an empty field, at which other versions of NumPy stop
            return None
        if fields.size != rows * self.width or fields.max() >= 2**53:
            return None
        return fields.reshape(rows, self.width)

    def _numbers(self, block: _Block, columns: list[int]) -> HostArray:
        digits = self._digits(block)
        if digits is not None:
            return np.take(digits, columns, axis=1).astype(np.float64)
        try:
            numbers = self._loaded(block, columns, np.float64)
        except ValueError:
            self._check(block, columns)
            raise
        if np.isnan(numbers).any():
            self._check(block, columns)
        # loadtxt passes over fields that it is not asked for, and so over those too many
        rows, full = filter(str.strip, block.lines), self.width - 1
        if any(row.count(self._delimiter) != full or '"' in row for row in rows):
            self._check(block, [])
        return numbers

    def _are_words(self, block: _Block, target: int, names: Sequence[str] | None) -> bool:
        _, row = next(self._rows(block))
        field = row[target].strip() if target < len(row) else ""
        return field in (names or ()) or not (_is_number(field) or _is_missing(field))

    def _numbered(self, block: _Block, target: int, labels: _Labels) -> HostArray:
        words = self._loaded(block, [target], object)[:, 0].tolist()
        try:
            return labels.numbered([word.strip() for word in words])
        except KeyError:
            self._check_words(block, target, labels)
            raise UnreadableError(
                f"{self._path}: column {self._called(target)} holds more than {MAX_CLASSES} words: "
                f"expected a target of numbers, or of a few words that name classes"
            ) from None

    # What is wrong, by row and column

    def _check(self, block: _Block, columns: list[int]) -> None:
        """Raise where a row differs in length, or has no number in one of some columns."""
        for where, row in self._rows(block):
            if len(row) != self.width:
                raise UnreadableError(
                    f"{where}: expected {self.width} fields, as in the first row, got {len(row)}"
                )
            for k in columns:
                if _is_missing(row[k]) or not _is_number(row[k]):
                    found = "but it is missing" if _is_missing(row[k]) else f"got {came(row[k])}"
                    raise UnreadableError(
                        f"{where}, column {self._called(k)}: expected a number, {found}: "
                        f"{self._cure(k)}"
                    )

    def _cure(self, column: int) -> str:
        if column == self._target:
            return "drop the row, or name the classes, class_names=[...]"
        drop = self._called(column)
        return f"leave the column out, drop={drop}, or mend it in a frame, see from_frame"

    def _check_words(self, block: _Block, target: int, labels: _Labels) -> None:
        """Raise where there is no word, or one that names no class."""
        for row_is, row in self._rows(block):
            word, where = row[target].strip(), f"{row_is}, column {self._called(target)}"
            if not word:
                raise UnreadableError(
                    f"{where}: expected a class's name, but it is missing: drop the row"
                )
            if labels.fixed and word not in labels.names:
                raise UnreadableError(
                    f"{where}: expected one of the class_names, {listed(labels.names)}, got "
                    f"{came(word)}{nearest(word, labels.names)}"
                )

    def _called(self, column: int) -> str:
        return repr(self.names[column]) if self._named else str(column)


class _Labels:
    """The numbers of words, as they come.

    Attributes
    ----------
    names : list of str
    fixed : bool
        Whether there are no other words than those given.
    """

    def __init__(self, names: Sequence[str] | None) -> None:
        self.fixed = names is not None
        self.names = list(names or ())
        self._numbers = {name: number for number, name in enumerate(self.names)}

    def numbered(self, words: list[str]) -> HostArray:
        """Return the numbers of words; raise a KeyError for one that may not be."""
        if not self.fixed:
            for word in words:
                self._numbers.setdefault(word, len(self._numbers))
            if "" in self._numbers or len(self._numbers) > MAX_CLASSES:
                raise KeyError
            self.names = list(self._numbers)
        return np.array([self._numbers[word] for word in words], np.int64)

    def sorted(self, numbers: HostArray) -> HostArray:
        """Sort the names, unless they were given, and return the numbers that words now have."""
        if self.fixed:
            return numbers
        old, self.names = self._numbers, sorted(self.names)
        new = np.empty(len(old), np.int64)
        new[[old[name] for name in self.names]] = np.arange(len(old))
        return new[numbers]


def _narrowed(block: HostArray) -> HostArray:
    """Return numbers as bytes where that keeps each, else as they are; never a view of a block."""
    with np.errstate(invalid="ignore"):
        small = block.astype(np.uint8)
    return small if np.array_equal(small, block) else block.copy()
