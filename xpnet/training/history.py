"""The record of a run: one row an epoch."""

from __future__ import annotations

import csv
import io
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, overload

from xpnet import html
from xpnet.arrays import to_numpy
from xpnet.checks import file_path, missing_attribute, one_of, whole_number
from xpnet.files import check_values, contents, json_value, reading, replacing
from xpnet.training.metrics import COLUMNS, MEASURES, PARTS

__all__ = ["History"]

SHOWN = 10
"""The rows, the last ones, that a notebook shows."""

ELSEWHERE = {
    "history": 'a column is history["train_loss"], a row is history[-1]',
    "accuracy": 'write history["train_accuracy"] or history["validation_accuracy"]',
    "loss": 'write history["train_loss"] or history["validation_loss"]',
    "keys": "the names of the columns are those of history[-1]",
    "columns": "the names of the columns are those of history[-1]",
}
"""What to write instead of names that the histories of other libraries have."""


class History:
    """Rows of numbers, one an epoch, in order.

    A row holds ``epoch`` (from 1), ``steps``, ``lr`` (in force at the epoch's end), the measures
    of the training and of the validation samples (``train_loss``, ``train_accuracy``,
    ``train_exact_match``, ``train_mean_absolute_error``, ``validation_loss`` ...: see
    :class:`~xpnet.training.Evaluation`), ``seconds`` (of training alone) and
    ``samples_per_second``; what was not measured is None.

    Examples
    --------
    >>> history["train_loss"]    # a column
    >>> history[-1]              # the last row
    """

    def __init__(self, rows: list[dict[str, Any]] | None = None) -> None:
        self.rows = list(rows or [])

    def append(self, row: dict[str, Any]) -> None:
        """Add a row."""
        self.rows.append(row)

    @overload
    def __getitem__(self, key: str) -> list[Any]: ...

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, key: slice) -> History: ...

    def __getitem__(self, key: str | int | slice) -> list[Any] | dict[str, Any] | History:
        """Return a column by its name, a row by its number, or some rows by a slice of numbers.

        A negative number counts from the end.

        Raises
        ------
        ValueError
            There is no such column or row.
        """
        if isinstance(key, str):
            if self.rows:
                one_of("history", key, dict.fromkeys(name for row in self.rows for name in row))
            return [row.get(key) for row in self.rows]
        if isinstance(key, slice):
            return History(self.rows[key])
        n = len(self.rows)
        if n == 0:
            raise ValueError(f"history: no epoch has ended yet, so there is no row {key!r}")
        return self.rows[whole_number("history", key, -n, n - 1)]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __getattr__(self, name: str) -> Any:
        """Say where what is looked for is to be had."""
        raise missing_attribute(self, name, ELSEWHERE)

    def __repr__(self) -> str:
        last = f", last {self.rows[-1]}" if self.rows else ""
        return f"History({len(self.rows)} epochs{last})"

    def _repr_html_(self) -> str:
        """Return the curves of what was measured, and a table of the last rows."""
        names = dict.fromkeys(name for row in self.rows for name, v in row.items() if v is not None)
        shown = [[html.cell(row.get(name)) for name in names] for row in self.rows[-SHOWN:]]
        curves = [
            html.curve(
                measure.replace("_", " "), {part: self._column(part, measure) for part in PARTS}
            )
            for measure in MEASURES
        ]
        cut = f", the last {SHOWN} of them" if len(self.rows) > SHOWN else ""
        caption = f"History: {len(self.rows)} epochs{cut}"
        table = html.table([name.replace("_", " ") for name in names], shown, caption)
        return html.side_by_side([*filter(None, curves), table])

    def _column(self, part: str, measure: str) -> list[Any]:
        return [row.get(f"{part}_{measure}") for row in self.rows]

    def as_json(self) -> list[dict[str, Any]]:
        """Return the rows as JSON can hold them: Python's own numbers, None for NaN and infinity.

        A RuntimeWarning names the column and the epoch of each NaN and infinity.

        Raises
        ------
        TypeError
            A value is no number, text, or list of them; the message names its column.
        """
        return self._converted(_as_json)

    def _converted(self, convert: Callable[[str, Any], Any]) -> list[dict[str, Any]]:
        return [
            {name: convert(f"{name} of epoch {row.get('epoch', i)}", row[name]) for name in row}
            for i, row in enumerate(self.rows, 1)
        ]

    def save(self, path: str | Path) -> None:
        """Write the rows as JSON lines, replacing the file whole; null is NaN or infinite."""
        text = "".join(json.dumps(row) + "\n" for row in self.as_json())
        with replacing(path) as part:
            part.write_text(text)

    def to_csv(self, path: str | Path) -> None:
        """Write the rows as comma-separated values, replacing the file whole.

        Below a line of names there is a line for each epoch: the columns that every history has,
        then those of this one in the order of the alphabet.  Numbers read back as they are, NaN and
        infinity among them; what was not measured is empty, and a list is JSON text.

        Raises
        ------
        TypeError
            A value is no number, text, or list of them; the message names its column.
        """
        own = {name for row in self.rows for name in row}.difference(COLUMNS)
        text = io.StringIO()
        writer = csv.DictWriter(text, [*COLUMNS, *sorted(own)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._converted(_as_cell))
        with replacing(path) as part:
            part.write_text(text.getvalue(), encoding="utf-8", newline="")

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ValueError
            A line is no row; the sentence names the file and the line.
        OSError
            The file cannot be read.
        """
        rows, path = [], file_path(path)
        with reading(path, "no history of xpnet"):
            text = contents(path).decode()
            check_values(text)
        for number, line in enumerate(text.splitlines(), 1):
            with reading(path, f"expected a row, a JSON object, in line {number}"):
                row = json_value(line)
                if type(row) is not dict:
                    raise ValueError(f"got {type(row).__name__}")
                rows.append(row)
        return cls(rows)


def _as_cell(what: str, value: Any) -> Any:
    """Return what a writer of CSV makes a cell of that reads back as the value."""
    if hasattr(value, "dtype"):
        value = to_numpy(value).tolist()
    if isinstance(value, float):  # NaN and infinity as well
        return value
    value = _as_json(what, value)
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def _as_json(what: str, value: Any) -> Any:
    if hasattr(value, "dtype"):
        value = to_numpy(value).tolist()
    if isinstance(value, float) and not math.isfinite(value):
        warnings.warn(  # from one place, so that Python shows each once, however often it is saved
            f"{what} is {value}, which JSON cannot hold, and is written as null: "
            f"look for NaN in the data, or take a lower learning rate",
            RuntimeWarning,
            stacklevel=1,
        )
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _as_json(what, part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(what, part) for part in value]
    raise TypeError(f"{what}: expected numbers, text or lists of them, got {value!r}")
