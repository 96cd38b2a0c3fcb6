"""The table of a network's layers."""

from __future__ import annotations

import math
from typing import Self

from xpnet import html
from xpnet.layers.base import Layer
from xpnet.layers.memory import StepMemory
from xpnet.tables import ruled

__all__ = ["Summary"]


class Summary(str):
    """A table of layers as text, below it the memory of a training step if that was asked for.

    Attributes
    ----------
    memory : StepMemory or None
    """

    memory: StepMemory | None
    _rows: list[tuple[str, ...]]

    def __new__(cls, net: Layer, memory: StepMemory | None = None) -> Self:
        """Make the text."""
        rows = _rows(net)
        text = ruled(rows, left=2)
        self = super().__new__(cls, text if memory is None else f"{text}\n\n{memory}")
        self._rows, self.memory = rows, memory
        return self

    def __repr__(self) -> str:
        return str(self)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)

    def _repr_html_(self) -> str:
        """Return the tables for a notebook."""
        titles, *rows = self._rows
        tables = html.table(titles, rows, left=2)
        if self.memory is not None:
            tables += html.table((self.memory.title, ""), self.memory.rows())
        return tables


def _rows(net: Layer) -> list[tuple[str, ...]]:
    """Return the titles, a row a layer, and the totals."""
    rows: list[tuple[str, ...]] = [("layer", "output", "parameters", "FLOPs", "bytes kept")]
    totals, frozen = [0, 0, 0], 0
    for path, leaf in net.walk():
        count = sum(math.prod(array.shape) for array in leaf.params.values())
        numbers = [count, leaf.flops(), leaf.cache_bytes()]
        totals = [a + b for a, b in zip(totals, numbers, strict=True)]
        frozen += count if leaf.is_frozen else 0
        rows.append(
            (
                f"{path} {type(leaf).__name__}{' (frozen)' if leaf.is_frozen else ''}",
                " x ".join(map(str, leaf.output_shape)),
                *(f"{number:,}" for number in numbers),
            )
        )
    learn = f"total ({totals[0] - frozen:,} learn)" if frozen else "total"
    rows.append((learn, "", *(f"{number:,}" for number in totals)))
    return rows
