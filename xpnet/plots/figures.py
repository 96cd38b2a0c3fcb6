"""What every picture begins and ends with; matplotlib is imported here alone."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xpnet.checks import came, one_of
from xpnet.files import replacing

__all__ = [
    "PlotError",
    "finished",
    "legend_below",
    "new_axis",
    "new_figure",
    "new_panels",
    "save_figure",
    "scales",
    "users_axes",
    "whole_ticks",
]


class PlotError(ImportError):
    """Matplotlib is not installed."""


def new_figure(**options: Any) -> Any:
    """Return a new figure, which no window shows, and which a notebook shows once."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise PlotError("pictures need matplotlib: run `pip install matplotlib`") from None
    figure: Any = Figure(layout="constrained", **options)
    # Notebooks know figures of pyplot alone; once they do, they ask for no picture of its own.
    figure._repr_png_ = functools.partial(_png, figure)
    return figure


def _png(figure: Any) -> bytes:
    """Return a figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    return file.getvalue()


def new_axis(ax: Any, width: float, height: float) -> Any:
    """Return the user's axes, or that of a new figure of some inches."""
    return new_figure(figsize=(width, height)).subplots() if ax is None else users_axes("ax", ax)[0]


def new_panels(
    function: str,
    panels: Mapping[str, Any],
    columns: int,
    width: float,
    height: float,
    axes: Any = None,
) -> tuple[Any, list[Any]]:
    """Return a figure and an axis for each panel, for pictures of one's own.

    Parameters
    ----------
    function : str
        Who draws, for messages.
    panels : mapping of panel title to anything
    columns : int
        Panels in a row.
    width, height : float
        Of a panel, in inches; one alone is larger.
    axes : matplotlib Axes or array of them, optional
        Where to draw instead of in a new figure: one for each panel.

    Raises
    ------
    ValueError
        There is no panel or no column, or there are fewer axes than panels.
    PlotError
        Matplotlib is not installed.
    """
    if not panels or columns < 1:
        raise ValueError(f"{function}: expected at least one panel and one column")
    if axes is not None:
        given = users_axes("axes", axes, len(panels))
        return given[0].figure, given
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    if len(panels) == 1:
        width, height = 1.5 * width, 1.2 * height
    figure = new_figure(figsize=(width * columns, height * rows + 0.3))
    made = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in made[len(panels) :]:
        spare.set_visible(False)
    return figure, made[: len(panels)]


def users_axes(name: str, given: Any, count: int = 1) -> list[Any]:
    """Return the first of the axes that a user gave, or raise; one alone will do for one."""
    axes = list(getattr(given, "flat", given if isinstance(given, (list, tuple)) else [given]))
    strange = [one for one in axes if not (hasattr(one, "plot") and hasattr(one, "figure"))]
    if strange:
        raise TypeError(
            f"{name}: expected axes of matplotlib, such as figure.subplots(), got "
            f"{came(strange[0])}"
        )
    if len(axes) < count:
        raise ValueError(f"{name}: expected {count}, one for each panel, got {len(axes)}")
    return axes[:count]


def scales(log: bool | str) -> dict[str, str]:
    """Return what makes axes logarithmic: of True y, else those that "x", "y" or "xy" names."""
    named = {True: "y", False: ""}[log] if isinstance(log, bool) else log
    if named:
        one_of("log", named, ["x", "y", "xy"])
    return {f"{axis}scale": "log" for axis in named}


def whole_ticks(axis: Any) -> None:
    """Let numbers stand at whole ones of an axis alone, such as ``ax.xaxis``."""
    if axis.get_scale() == "linear":
        axis.get_major_locator().set_params(integer=True)


def legend_below(axis: Any) -> None:
    """Put an axis's legend under it, where no curve runs; short labels in two columns."""
    _, labels = axis.get_legend_handles_labels()
    longest = max((len(label.replace("$", "").replace("_", "")) for label in labels), default=0)
    columns = 2 if longest <= 22 else 1  # or the legend would squeeze the axis
    axis.legend(
        fontsize=8, ncols=columns, loc="upper center", bbox_to_anchor=(0.5, 0),
        borderaxespad=4.6,  # of its letters: past the numbers and the name of the axis
    )  # fmt: skip


def finished(axis: Any, path: str | Path | None, title: str, *, own: bool, **look: Any) -> Any:
    """Give a picture its title, write it to a file if there is a path, and return the figure.

    Parameters
    ----------
    axis : matplotlib Axes
        One of the picture.
    own : bool
        Whether the figure is the picture's own; in that of a user the title stands over the axis.
    look
        Of the title.
    """
    if title:
        (axis.figure.suptitle if own else axis.set_title)(title, **look)
    figure = axis.figure.canvas.figure  # the whole one, where the axis is in a part of it
    if path is not None:
        save_figure(figure, path)
    return figure


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a figure to a file that is whole or not there; its suffix decides the format."""
    path = Path(path)
    with replacing(path) as part:
        figure.savefig(part, format=path.suffix[1:] or "png", dpi=120)
