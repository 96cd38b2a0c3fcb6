"""Pictures of lines: of a run over its epochs, of a loss over rates, of any y over x."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from xpnet.arrays import Array, to_numpy
from xpnet.plots.figures import (
    finished,
    legend_below,
    new_axis,
    new_figure,
    new_panels,
    scales,
    users_axes,
    whole_ticks,
)

__all__ = ["curves", "line_panels", "loss_over_rates", "training_curves"]

PARTS = ("train", "validation")
"""The parts of the data whose measures are drawn."""


def training_curves(
    rows: Iterable[Mapping[str, Any]],
    path: str | Path | None = None,
    title: str = "",
    *,
    log: bool = True,
    axes: Any = None,
) -> Any:
    """Draw over the epochs of a run what was measured: its loss, its accuracy, its errors.

    Parameters
    ----------
    rows : History, or rows like its
    path : path, optional
        The picture's file; its suffix decides the format.
    title : str
    log : bool
        Whether the axis of the loss is logarithmic.
    axes : array of matplotlib Axes, optional
        Where to draw instead of in a new figure: one for each measure, the loss first.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    PlotError
        Matplotlib is not installed.
    """
    rows = list(rows)
    epochs = [row["epoch"] for row in rows]
    curves = {measure: _curves(rows, measure) for measure in _measures(rows)}
    drawn = {measure: lines for measure, lines in curves.items() if lines or measure == "loss"}
    own = axes is None
    if own:
        axes = new_figure(figsize=(4.5 * max(len(drawn), 2), 3.6)).subplots(1, len(drawn))
    axes = users_axes("axes", axes, len(drawn))
    for axis, (measure, lines) in zip(axes, drawn.items(), strict=True):
        for part, values in lines.items():
            style = "o-" if part == "train" else "s--"
            axis.plot(epochs, values, style, markersize=4, label=part)
        axis.set(xlabel="epoch", ylabel=measure.replace("_", " "))
        whole_ticks(axis.xaxis)
        axis.grid(alpha=0.3)
        if lines:  # where neither falling losses and errors nor rising accuracies are
            falls = measure in ("loss", "mean_absolute_error")
            axis.legend(loc="upper right" if falls else "lower right")
    axes[0].set(**scales(log))
    return finished(axes[0], path, title, own=own)


def _measures(rows: list[Mapping[str, Any]]) -> list[str]:
    """Return what numbers in rows measure of the parts of the data, the loss first."""
    names = dict.fromkeys(n for row in rows for n, value in row.items() if isinstance(value, Real))
    split = (name.partition("_") for name in names)
    return list(dict.fromkeys(["loss", *(measure for part, _, measure in split if part in PARTS)]))


def _curves(rows: list[Mapping[str, Any]], measure: str) -> dict[str, list[float]]:
    """Return a measure of each part of the data that it was taken of, NaN where it was not."""
    columns = {part: [row.get(f"{part}_{measure}") for row in rows] for part in PARTS}
    return {
        part: [math.nan if value is None else value for value in values]
        for part, values in columns.items()
        if any(value is not None for value in values)
    }


def loss_over_rates(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    path: str | Path | None = None,
    title: str = "",
    *,
    ax: Any = None,
) -> Any:
    """Draw the loss of steps over their learning rates.

    Parameters
    ----------
    rates, losses, smoothed : sequence of float
        Of each step: see :class:`xpnet.training.LRCurve`.
    path : path, optional
        The picture's file; its suffix decides the format.
    title : str
    ax : matplotlib Axes, optional
        Where to draw instead of in a new figure.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        There is nothing to draw, or the sequences differ in length.
    PlotError
        Matplotlib is not installed.
    """
    if not len(rates) == len(losses) == len(smoothed) > 0:
        raise ValueError(
            f"loss_over_rates: expected as many losses as rates, at least one, got "
            f"{len(rates)} rates, {len(losses)} losses and {len(smoothed)} smoothed"
        )
    axis = new_axis(ax, 6, 3.8)
    axis.plot(rates, losses, ".", markersize=4, alpha=0.5, label="of a batch")
    axis.plot(rates, smoothed, label="smoothed")
    axis.set(xlabel="learning rate", ylabel="loss", xscale="log")
    # The last may be any number of times higher, and would leave a flat line of the others.
    low, high = min(losses), max([smoothed[0], *smoothed[:-1]])
    space = high - low or 1.0
    axis.set_ylim(low - 0.1 * space, high + 0.3 * space)
    axis.grid(alpha=0.3)
    axis.legend()
    return finished(axis, path, title, own=ax is None)


def line_panels(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    path: str | Path | None = None,
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    columns: int = 4,
    ylim: tuple[float, float] | None = None,
    log: bool | str = False,
    axes: Any = None,
) -> Any:
    """Draw lines in panels side by side, which share their axes and one legend.

    Parameters
    ----------
    panels : mapping of str to mapping of str to (x, y)
        The title of each panel, and the label and points of each of its lines.
    path : path, optional
        The picture's file; its suffix decides the format.
    xlabel, ylabel : str
    title : str
    columns : int
        Panels in a row.
    ylim : (float, float), optional
        The ends of the y axis.
    log : bool or str
        Whether the y axis is logarithmic, or which are: ``"x"``, ``"y"`` or ``"xy"``.
    axes : matplotlib Axes or array of them, optional
        Where to draw instead of in a new figure, one for each panel: each with a legend of its
        own.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        There is nothing to draw, or a line's x and y differ in length.
    """
    _check_lines(panels)
    own = axes is None
    columns = min(columns, len(panels))
    drawn = _sharing(len(panels), columns) if own else users_axes("axes", axes, len(panels))
    for axis, (name, lines) in zip(drawn, panels.items(), strict=True):
        for number, (label, (x, y)) in enumerate(lines.items()):
            style = ("-", "--", "-.", ":")[number % 4] if len(x) > 1 else "o"
            axis.plot(x, y, style, label=label, linewidth=1.4)
        axis.set_title(name, fontsize="small" if len(panels) > 1 else "medium")
        axis.grid(alpha=0.3)
        axis.set(**scales(log))
        whole_ticks(axis.xaxis)
        if ylim:
            axis.set_ylim(*ylim)
    _label(drawn, columns, xlabel, ylabel, shared=own and len(panels) > 1, own=own)
    look = {"x": 0.02, "ha": "left"} if own and len(panels) > 1 else {}
    return finished(drawn[0], path, title, own=own, **look)


def _check_lines(panels: Mapping[str, Mapping[str, tuple[Any, Any]]]) -> None:
    if not panels or not all(panels.values()):
        raise ValueError("line_panels: expected panels with at least one line each")
    for lines in panels.values():
        for label, (x, y) in lines.items():
            if len(x) != len(y) or len(x) == 0:
                raise ValueError(
                    f"line_panels: expected points for {label!r}, got {len(x)} x and {len(y)} y"
                )


def _sharing(count: int, columns: int) -> list[Any]:
    """Return axes of a new figure that share their scales."""
    if count == 1:
        return [new_figure(figsize=(7, 4.2)).subplots()]
    rows = -(-count // columns)
    size = (2.3 * columns, 1.8 * rows + 0.6) if columns > 2 else (9, 3.6 * rows)
    grid = new_figure(figsize=size).subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for spare in grid.flat[count:]:
        spare.set_axis_off()
    return list(grid.flat[:count])


def _label(
    axes: list[Any], columns: int, xlabel: str, ylabel: str, *, shared: bool, own: bool
) -> None:
    """Name axes and lines: once for panels that share them, else for each panel."""
    figure = axes[0].figure
    if not shared:
        for axis in axes:
            axis.set(xlabel=xlabel, ylabel=ylabel)
            if len(axis.lines) > 1:
                figure.legend(loc="outside right upper") if own else axis.legend(fontsize="small")
        return
    for axis in axes[-columns:]:
        axis.tick_params(labelbottom=True)  # a panel with none below it shows its numbers
    figure.supxlabel(xlabel, fontsize="medium")
    figure.supylabel(ylabel, fontsize="medium")
    fullest = max(axes, key=lambda axis: min(len(ln.get_xdata()) for ln in axis.lines))
    handles, labels = fullest.get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))


def curves(
    panels: Mapping[str, Mapping[str, tuple[Array, Array]]],
    path: str | Path | None = None,
    *,
    points: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    xlabel: str = "x",
    ylabel: str = "y",
    title: str = "",
    columns: int = 3,
    log: bool | str = False,
    axes: Any = None,
) -> Any:
    """Draw curves in panels side by side.

    Parameters
    ----------
    panels : mapping of panel title to mapping of label to (x, y)
        x and y are arrays of shape (n,), of any library; an empty label is left out of the legend.
    path : path, optional
        The picture's file; its suffix decides the format.
    points : mapping of panel title to mapping of label to (x, y), optional
        Single points to mark.
    xlabel, ylabel, title : str
    columns : int
        Panels in a row.
    log : bool or str
        Whether the y axis is logarithmic, or which are: ``"x"``, ``"y"`` or ``"xy"``.
    axes : matplotlib Axes or array of them, optional
        Where to draw instead of in a new figure: one for each panel.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        There is no panel or no curve in one, x and y differ in shape, or points name no panel.
    PlotError
        Matplotlib is not installed.
    """
    points = points or {}
    stray = set(points) - set(panels)
    if stray:
        raise ValueError(f"curves: points name no panel: {', '.join(sorted(stray))}")
    rows = max(map(len, panels.values()), default=0)  # of a legend, at the most
    height = 2.5 + 0.25 * max(0, rows - 2)
    _, drawn = new_panels("curves", panels, columns, 3.2, height, axes)
    for (name, lines), axis in zip(panels.items(), drawn, strict=True):
        if not lines:
            raise ValueError(f"curves: expected at least one curve in panel {name!r}, got none")
        for k, (label, (xs, ys)) in enumerate(lines.items()):
            x, y = _points(label or name, xs, ys)
            style = ("-", "--", "-.", ":")[k % 4] if len(x) > 1 else "o"
            axis.plot(x, y, style, label=label or None)
            if x.dtype.kind in "iu":
                whole_ticks(axis.xaxis)
        for label, spot in points.get(name, {}).items():
            axis.plot(*spot, "o", markersize=5, color="black")
            axis.annotate(
                label, spot, textcoords="offset points", xytext=(7, -4), va="top", fontsize=9
            )
        axis.set(title=name, xlabel=xlabel, ylabel=ylabel, **scales(log))
        axis.grid(alpha=0.3)
        if any(lines):
            legend_below(axis)
    return finished(drawn[0], path, title, own=axes is None)


def _points(label: str, xs: Array, ys: Array) -> tuple[Any, Any]:
    x, y = to_numpy(xs), to_numpy(ys)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            f"curves: expected x and y of one shape (n,) for {label!r}, got {x.shape} and {y.shape}"
        )
    return x, y
