"""Facts: what a run finds out, one JSON object a line, on the disk as soon as it is known."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

Fact = dict[str, Any]
"""Its kind stands under "fact"."""

LEFT_OUT = 77
"""The exit status of a program that found nothing out, because it cannot here; the last line that
it prints is why."""


class Facts:
    """A file that facts are added to; several processes may add to it.

    Parameters
    ----------
    path : path, optional
        Without one nothing is kept.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)

    def __str__(self) -> str:
        return str(self.path)

    def add(self, fact: str, **values: Any) -> None:
        """Add a fact; after it even a process that is killed leaves it behind."""
        if self.path is None:
            return
        line = json.dumps({"fact": fact, **_plain(values)}, allow_nan=False) + "\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line.encode())  # in one piece, whoever else writes
            os.fsync(file)
        finally:
            os.close(file)

    def mend(self) -> None:
        """Cut off a last line that a process did not finish."""
        if self.path is not None and self.path.exists():
            written = self.path.read_bytes()
            whole = written.rfind(b"\n") + 1
            if whole < len(written):
                os.truncate(self.path, whole)


def read(path: Path) -> list[Fact]:
    """Return the facts of a file; a last line that was not finished is passed over.

    Raises
    ------
    ValueError
        A line is no fact.
    OSError
        The file cannot be read.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(True), 1):
        if not line.endswith("\n"):
            break
        try:
            fact = json.loads(line)
        except ValueError:
            fact = None
        if not isinstance(fact, dict) or not isinstance(fact.get("fact"), str):
            raise ValueError(
                f'{path}: expected a JSON object with a "fact" in every line, '
                f"got {line.strip()[:60]!r} in line {number}"
            )
        found.append(fact)
    return found


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it: infinities, NaN and what it does not know, in words."""
    if isinstance(value, dict):
        return {str(key): _plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(own) for own in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)
