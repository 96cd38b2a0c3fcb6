"""The record of a run: one row an epoch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xpnet.files import replacing

__all__ = ["History"]


class History:
    """Rows of numbers, one an epoch, in order.

    A row holds ``epoch`` (from 1), ``steps``, ``lr`` (in force at the epoch's end),
    ``train_loss``, ``train_accuracy``, ``validation_loss``, ``validation_accuracy``, ``seconds``
    (of training alone) and ``samples_per_second``; what was not measured is None.
    """

    def __init__(self, rows: list[dict[str, Any]] | None = None) -> None:
        self.rows = list(rows or [])

    def append(self, row: dict[str, Any]) -> None:
        """Add a row."""
        self.rows.append(row)

    def __getitem__(self, name: str) -> list[Any]:
        """Return one column."""
        return [row[name] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        last = f", last {self.rows[-1]}" if self.rows else ""
        return f"History({len(self.rows)} epochs{last})"

    def save(self, path: str | Path) -> None:
        """Write the rows as JSON lines, replacing the file whole."""
        with replacing(Path(path)) as part:
            part.write_text("".join(json.dumps(row) + "\n" for row in self.rows))

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read what :meth:`save` wrote."""
        return cls([json.loads(line) for line in Path(path).read_text().splitlines()])
