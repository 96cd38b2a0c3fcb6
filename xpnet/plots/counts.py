"""Pictures of counts and shares: confusion, reliability, bars, histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpnet.arrays import Array, to_numpy
from xpnet.checks import distinct_names
from xpnet.plots.figures import (
    finished,
    legend_below,
    new_axis,
    new_figure,
    new_panels,
    scales,
    users_axes,
)

__all__ = ["bars", "confusion", "histograms", "reliability"]


def confusion(
    matrix: Any,
    path: str | Path | None = None,
    title: str = "",
    *,
    class_names: Sequence[str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw a confusion matrix: the errors in colour, every count in figures.

    Parameters
    ----------
    matrix : array of integers, shape (k, k)
        A row for each true class, a column for each class taken.
    path : path, optional
        The picture's file; its suffix decides the format.
    title : str
    class_names : sequence of str, optional
        What the classes are called, such as ``data.class_names``: by default their numbers.
    ax : matplotlib Axes, optional
        Where to draw instead of in a new figure.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        It is no square matrix, or there are not as many names.
    """
    counts = to_numpy(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ValueError(f"confusion: expected a matrix (k, k), got {tuple(counts.shape)}")
    k = len(counts)
    names = range(k) if class_names is None else distinct_names("class_names", class_names)
    if len(names) != k:
        raise ValueError(f"class_names: expected one for each of {k} classes, got {len(names)}")
    longest = max(len(str(name)) for name in names)
    errors = counts.copy()
    errors[range(k), range(k)] = 0  # or the diagonal would drown them
    words = 0.07 * max(longest - 2, 0)  # the inches that long names take, on both axes
    size = max(0.52 * k, 1.6) + 1.6 + words, max(0.46 * k, 1.4) + 1.3 + words
    axis = new_axis(ax, *size)
    shown = axis.imshow(errors, cmap="Reds", vmin=0, vmax=max(int(errors.max()), 1))
    for i, j in zip(*counts.nonzero(), strict=True):
        axis.text(
            j, i, f"{counts[i, j]}", ha="center", va="center", fontsize="small",
            color="white" if errors[i, j] > errors.max() / 2 else "black",
            weight="bold" if i == j else "normal",
        )  # fmt: skip
    axis.set(xlabel="class taken", ylabel="true class")
    axis.set_xticks(range(k), names, rotation=90 if longest > 2 else 0)
    axis.set_yticks(range(k), names)
    bar = axis.figure.colorbar(shown, ax=axis, label="errors")
    bar.locator.set_params(integer=True)
    bar.update_ticks()
    return finished(axis, path, title, own=ax is None, fontsize="medium")


def reliability(
    confidence: Sequence[float],
    accuracy: Sequence[float],
    samples: Sequence[int],
    path: str | Path | None = None,
    title: str = "",
    *,
    ax: Any = None,
) -> Any:
    """Draw how often answers are right over how sure they are, and the shares of the samples.

    Parameters
    ----------
    confidence, accuracy : sequence of float
        Means of the samples of each bin, NaN where it has none: see
        :class:`xpnet.training.metrics.Calibration`.
    samples : sequence of int
        How many each bin has.
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
        There are no samples, or the sequences differ in length.
    """
    sure, right, counts = (np.asarray(values, float) for values in (confidence, accuracy, samples))
    if not sure.shape == right.shape == counts.shape or not counts.sum() > 0:
        raise ValueError(
            f"reliability: expected a confidence, an accuracy and a count for each bin, got "
            f"{len(sure)}, {len(right)} and {len(counts)}, of {counts.sum():g} samples"
        )
    axis = new_axis(ax, 4.8, 4.8)
    edges = np.linspace(0, 1, len(counts) + 1)
    share = counts / counts.sum()
    axis.bar(
        edges[:-1], share, np.diff(edges), align="edge", color="#d9e3ee", edgecolor="white",
        label="share of the samples",
    )  # fmt: skip
    axis.plot([0, 1], [0, 1], "--", color="grey", linewidth=1, label="as sure as right")
    axis.plot(sure, right, color="tab:red", linewidth=0.8, alpha=0.5)
    size = 12 + 100 * share  # a bin of few samples says little
    axis.scatter(sure, right, size, color="tab:red", zorder=3, label="accuracy")
    axis.set(xlabel="confidence", ylabel="accuracy, share", xlim=(0, 1.02), ylim=(0, 1.03))
    axis.grid(alpha=0.3)
    legend_below(axis)
    return finished(axis, path, title, own=ax is None, fontsize="medium")


def bars(
    panels: Mapping[str, Mapping[str, Array]],
    path: str | Path | None = None,
    *,
    ticks: Sequence[str] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    columns: int = 3,
    log: bool | str = False,
    form: str = "{:.3g}",
    axes: Any = None,
) -> Any:
    """Draw numbers as bars with their values written above, in panels side by side.

    Parameters
    ----------
    panels : mapping of panel title to mapping of label to array of shape (n,)
        Each label's bars have a colour of their own.
    path : path, optional
        The picture's file; its suffix decides the format.
    ticks : sequence of str, optional
        The names of the n places; by default 0, 1, 2 ...
    xlabel, ylabel, title : str
    columns : int
        Panels in a row.
    log : bool or str
        Whether the y axis is logarithmic, or which are: ``"x"``, ``"y"`` or ``"xy"``.
    form : str
        How a value is written; ``""`` for not at all.
    axes : matplotlib Axes or array of them, optional
        Where to draw instead of in a new figure: one for each panel.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        There is no panel, nothing in one, or the arrays differ in length.
    PlotError
        Matplotlib is not installed.
    """
    _, drawn = new_panels("bars", panels, columns, 3.6, 3.0, axes)
    for (name, groups), axis in zip(panels.items(), drawn, strict=True):
        heights = {label: to_numpy(values) for label, values in groups.items()}
        shapes = {values.shape for values in heights.values()}
        if len(shapes) != 1 or any(len(shape) != 1 for shape in shapes):
            raise ValueError(
                f"bars: expected arrays of one shape (n,) in panel {name!r}, got {sorted(shapes)}"
            )
        places = np.arange(shapes.pop()[0])
        names = [str(k) for k in places] if ticks is None else list(ticks)
        if len(names) != len(places):
            raise ValueError(f"bars: expected {len(places)} ticks, got {len(names)}")
        width = 0.8 / len(heights)
        for k, (label, values) in enumerate(heights.items()):
            at = places + (k - (len(heights) - 1) / 2) * width
            made = axis.bar(at, values, width * 0.94, label=label or None)
            if form:
                texts = [form.format(value) for value in values]
                axis.bar_label(made, texts, fontsize=7, padding=1)
        axis.set(title=name, xlabel=xlabel, ylabel=ylabel)
        axis.set_xticks(places, names)
        axis.set(**scales(log))
        axis.margins(y=0.15)
        if any(heights):
            legend_below(axis)
    return finished(drawn[0], path, title, own=axes is None)


def histograms(
    grid: Mapping[str, Mapping[str, Any]],
    path: str | Path | None = None,
    *,
    bins: int = 30,
    title: str = "",
    log: bool = False,
    axes: Any = None,
) -> Any:
    """Draw a histogram for each cell of a grid, with the standard deviation above it.

    Parameters
    ----------
    grid : mapping of str to mapping of str to array
        The label of each row, and the label and numbers of each of its columns.
    path : path, optional
        The picture's file; its suffix decides the format.
    bins : int
    title : str
    log : bool
        Whether the counts' axes are logarithmic.
    axes : array of matplotlib Axes, optional
        Where to draw instead of in a new figure: one for each cell, row by row.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ValueError
        There is nothing to draw, or the rows differ in length.
    """
    if not grid or len({len(row) for row in grid.values()}) > 1 or not next(iter(grid.values())):
        raise ValueError("histograms: expected rows of one and the same number of columns")
    columns, own = len(next(iter(grid.values()))), axes is None
    if own:
        figure = new_figure(figsize=(2 * columns + 0.6, 1.35 * len(grid) + 0.6))
        axes = figure.subplots(len(grid), columns, squeeze=False)
        figure.supxlabel(f"output ({bins} bins)", fontsize="small")
    axes = users_axes("axes", axes, columns * len(grid))
    for i, (label, row) in enumerate(grid.items()):
        cells = axes[i * columns : (i + 1) * columns]
        for axis, (name, values) in zip(cells, row.items(), strict=True):
            numbers = to_numpy(values).reshape(-1)
            axis.hist(numbers, bins, color="tab:blue", log=log)
            spread = f"std {numbers.std():.3g}"
            axis.set_title(f"{name}: {spread}" if i == 0 else spread, fontsize="x-small")
            if not log:
                axis.set_yticks([])
            axis.locator_params(axis="x", nbins=3)
            axis.ticklabel_format(axis="x", scilimits=(-2, 3))
            axis.tick_params(labelsize="xx-small")
            axis.xaxis.get_offset_text().set_fontsize("xx-small")
        cells[0].set_ylabel(label, fontsize="small")
    return finished(axes[0], path, title, own=own, fontsize="medium")
