"""What a part of the benchmark finds out: its table, its figures and its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xpnet import plots
from xpnet.arrays import HostArray

__all__ = ["Found", "Picture", "Settings", "line"]

Line = tuple[HostArray, HostArray]

FEW = 5
"""Places on an axis that are named each."""


@dataclass(frozen=True)
class Settings:
    """How a part is measured.

    Attributes
    ----------
    quick : bool
        Whether few sizes are, and for a moment.
    rounds : int
        Over which medians are taken.
    threads : int
        Of a process, where the part does not say.
    data : path or None
        Where the files of images stay; None for nowhere.
    cold : bool
        Whether images are streamed from the disk as well, and not from the system's cache alone.
    """

    quick: bool = False
    rounds: int = 5
    threads: int = 1
    data: Path | None = None
    cold: bool = False


class Picture(NamedTuple):
    """Lines to be drawn over a logarithmic axis: what was measured, and what would be ideal.

    Attributes
    ----------
    panels : mapping of panel title, with its unit, to mapping of label to (x, y)
    xlabel : str
    level : bool
        Whether the lines should not rise, and so are drawn from 0 and not over two such axes.
    """

    panels: Mapping[str, Mapping[str, Line]]
    xlabel: str
    level: bool = False

    def draw(self, path: Path) -> None:
        """Write it to a file."""
        log = "x" if self.level else "xy"
        figure = plots.curves(self.panels, xlabel=self.xlabel, ylabel="", log=log)
        for axis in figure.axes:
            places = sorted({float(x) for one in axis.lines for x in one.get_xdata()})
            if len(places) <= FEW:  # within a decade the labels of a logarithmic axis overlap
                axis.set_xticks(places, [f"{x:g}" for x in places])
                axis.xaxis.minorticks_off()
            if self.level:
                axis.set_ylim(0, 1.2 * axis.get_ylim()[1])
        plots.save_figure(figure, path)


@dataclass(frozen=True)
class Found:
    """What a part found out.

    Attributes
    ----------
    text : str
        Tables, and what is wanted of them.
    figures : dict
        What a file of results holds of it.
    pictures : dict of str to Picture
        By the name of the file.
    """

    text: str
    figures: dict[str, Any]
    pictures: dict[str, Picture] = field(default_factory=dict)


def line(x: list[float] | list[int], y: list[float]) -> Line:
    """Return a line's points as a picture takes them."""
    return np.array(x, float), np.array(y, float)
