"""Tables of text."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["aligned", "readable_bytes", "ruled"]


def aligned(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Return rows of cells as lines, each column as wide as its widest cell.

    Parameters
    ----------
    rows : sequence of rows of equal length
    left : int
        How many columns, from the first, stand at the left; the others stand at the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if k < left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def ruled(rows: Sequence[Sequence[str]], left: int) -> str:
    """Return a table whose first row, the titles, and last row, the totals, are set off by rules.

    Parameters
    ----------
    rows, left
        As those of :func:`aligned`.
    """
    titles, *lines, totals = aligned(rows, left)
    rule = "-" * len(titles)
    return "\n".join([titles, rule, *lines, rule, totals])


def readable_bytes(number: float) -> str:
    """Return bytes in the decimal unit that suits them, ``"-"`` for none."""
    if number < 1000:
        return f"{number} B" if number else "-"
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if number < 999.95 or unit == "GB":
            break
    return f"{number:,.1f} {unit}"
