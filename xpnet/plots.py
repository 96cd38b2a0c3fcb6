"""Pictures; matplotlib is imported here alone, and only when a picture is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.arrays import Array, to_numpy
from xpnet.checks import distinct_names, names_in
from xpnet.files import replacing

__all__ = [
    "PlotError",
    "bars",
    "confusion",
    "curves",
    "decision_regions",
    "histograms",
    "image_grid",
    "legend_below",
    "line_panels",
    "loss_over_rates",
    "new_figure",
    "new_panels",
    "save_figure",
    "training_curves",
]


PARTS = ("train", "validation")
"""The parts of the data whose measures are drawn."""


class PlotError(ImportError):
    """Matplotlib is not installed."""


def new_figure(**options: Any) -> Any:
    """Return a new figure that no window shows."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise PlotError("pictures need matplotlib: run `pip install matplotlib`") from None
    return Figure(layout="constrained", **options)


def new_panels(
    function: str, panels: Mapping[str, Any], columns: int, width: float, height: float
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

    Raises
    ------
    ValueError
        There is no panel or no column.
    PlotError
        Matplotlib is not installed.
    """
    if not panels or columns < 1:
        raise ValueError(f"{function}: expected at least one panel and one column")
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    if len(panels) == 1:
        width, height = 1.5 * width, 1.2 * height
    figure = new_figure(figsize=(width * columns, height * rows + 0.3))
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in axes[len(panels) :]:
        spare.set_visible(False)
    return figure, axes[: len(panels)]


def legend_below(axis: Any) -> None:
    """Put an axis's legend under it, where no curve runs; short labels in two columns."""
    _, labels = axis.get_legend_handles_labels()
    longest = max((len(label.replace("$", "").replace("_", "")) for label in labels), default=0)
    columns = 2 if longest <= 22 else 1  # or the legend would squeeze the axis
    axis.legend(
        fontsize=8, ncols=columns, loc="upper center", bbox_to_anchor=(0.5, 0),
        borderaxespad=4.6,  # of its letters: past the numbers and the name of the axis
    )  # fmt: skip


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a figure to a file that is whole or not there; its suffix decides the format."""
    path = Path(path)
    with replacing(path) as part:
        figure.savefig(part, format=path.suffix[1:] or "png", dpi=120)


def training_curves(rows: Iterable[Mapping[str, Any]], path: str | Path, title: str = "") -> None:
    """Draw over the epochs of a run what was measured: its loss, its accuracy, its errors.

    Parameters
    ----------
    rows : History, or rows like its
    path : path
        The picture's file; its suffix decides the format.
    title : str

    Raises
    ------
    PlotError
        Matplotlib is not installed.
    """
    rows = list(rows)
    epochs = [row["epoch"] for row in rows]
    curves = {measure: _curves(rows, measure) for measure in _measures(rows)}
    drawn = {measure: lines for measure, lines in curves.items() if lines or measure == "loss"}
    figure = new_figure(figsize=(4.5 * max(len(drawn), 2), 3.6))
    axes = figure.subplots(1, len(drawn), squeeze=False)[0]
    for axis, (measure, lines) in zip(axes, drawn.items(), strict=True):
        for part, values in lines.items():
            style = "o-" if part == "train" else "s--"
            axis.plot(epochs, values, style, markersize=4, label=part)
        axis.set(xlabel="epoch", ylabel=measure.replace("_", " "))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        if lines:  # where neither falling losses and errors nor rising accuracies are
            falls = measure in ("loss", "mean_absolute_error")
            axis.legend(loc="upper right" if falls else "lower right")
    axes[0].set_yscale("log")
    if title:
        figure.suptitle(title)
    save_figure(figure, path)


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
) -> Any:
    """Draw the loss of steps over their learning rates; return the figure.

    Parameters
    ----------
    rates, losses, smoothed : sequence of float
        Of each step: see :class:`xpnet.training.LRCurve`.
    path : path, optional
        The picture's file; its suffix decides the format.
    title : str

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
    figure = new_figure(figsize=(6, 3.8))
    axis = figure.subplots()
    axis.plot(rates, losses, ".", markersize=4, alpha=0.5, label="of a batch")
    axis.plot(rates, smoothed, label="smoothed")
    axis.set(xlabel="learning rate", ylabel="loss", xscale="log")
    # The last may be any number of times higher, and would leave a flat line of the others.
    low, high = min(losses), max([smoothed[0], *smoothed[:-1]])
    space = high - low or 1.0
    axis.set_ylim(low - 0.1 * space, high + 0.3 * space)
    axis.grid(alpha=0.3, which="both")
    axis.legend()
    if title:
        figure.suptitle(title)
    if path is not None:
        save_figure(figure, path)
    return figure


def line_panels(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    path: str | Path,
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    columns: int = 4,
    ylim: tuple[float, float] | None = None,
) -> None:
    """Draw lines in panels side by side, which share their axes and one legend.

    Parameters
    ----------
    panels : mapping of str to mapping of str to (x, y)
        The title of each panel, and the label and points of each of its lines.
    path : path
        The picture's file; its suffix decides the format.
    xlabel, ylabel : str
    title : str
    columns : int
        Panels in a row.
    ylim : (float, float), optional
        The ends of the y axis.

    Raises
    ------
    ValueError
        There is nothing to draw, or a line's x and y differ in length.
    """
    if not panels or not all(panels.values()):
        raise ValueError("line_panels: expected panels with at least one line each")
    for lines in panels.values():
        for label, (x, y) in lines.items():
            if len(x) != len(y) or len(x) == 0:
                raise ValueError(
                    f"line_panels: expected points for {label!r}, got {len(x)} x and {len(y)} y"
                )
    if len(panels) == 1:
        figure = new_figure(figsize=(7, 4.2))
        axes = [figure.subplots()]
        used = 1
    else:
        columns = min(columns, len(panels))
        rows = -(-len(panels) // columns)
        figure = new_figure(
            figsize=(2.3 * columns, 1.8 * rows + 0.6) if columns > 2 else (9, 3.6 * rows)
        )
        axes = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
        used = columns
    for axis, (name, lines) in zip(axes, panels.items(), strict=False):
        for number, (label, (x, y)) in enumerate(lines.items()):
            style = ("-", "--", "-.", ":")[number % 4] if len(x) > 1 else "o"
            axis.plot(x, y, style, label=label, linewidth=1.4)
        axis.set_title(name, fontsize="small" if len(panels) > 1 else "medium")
        axis.grid(alpha=0.3)
        axis.xaxis.get_major_locator().set_params(integer=True)
        if ylim:
            axis.set_ylim(*ylim)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    if len(panels) == 1:
        axes[0].set(xlabel=xlabel, ylabel=ylabel)
        if len(next(iter(panels.values()))) > 1:
            figure.legend(loc="outside right upper")
    else:
        for axis in axes[max(len(panels) - used, 0) : len(panels)]:
            axis.tick_params(labelbottom=True)  # a panel with none below it shows its numbers
        figure.supxlabel(xlabel, fontsize="medium")
        figure.supylabel(ylabel, fontsize="medium")
        fullest = max(
            axes[: len(panels)], key=lambda axis: min(len(ln.get_xdata()) for ln in axis.lines)
        )
        handles, labels = fullest.get_legend_handles_labels()
        if len(labels) > 1:
            figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    if title:
        figure.suptitle(title, x=0.02, ha="left") if len(panels) > 1 else figure.suptitle(title)
    save_figure(figure, path)


def histograms(
    grid: Mapping[str, Mapping[str, Any]],
    path: str | Path,
    *,
    bins: int = 30,
    title: str = "",
) -> None:
    """Draw a histogram for each cell of a grid, with the standard deviation above it.

    Parameters
    ----------
    grid : mapping of str to mapping of str to array
        The label of each row, and the label and numbers of each of its columns.
    path : path
        The picture's file; its suffix decides the format.
    bins : int
    title : str

    Raises
    ------
    ValueError
        There is nothing to draw, or the rows differ in length.
    """
    if not grid or len({len(row) for row in grid.values()}) > 1 or not next(iter(grid.values())):
        raise ValueError("histograms: expected rows of one and the same number of columns")
    columns = len(next(iter(grid.values())))
    figure = new_figure(figsize=(2 * columns + 0.6, 1.35 * len(grid) + 0.6))
    axes = figure.subplots(len(grid), columns, squeeze=False)
    for i, (label, row) in enumerate(grid.items()):
        for axis, (name, values) in zip(axes[i], row.items(), strict=True):
            numbers = to_numpy(values).reshape(-1)
            axis.hist(numbers, bins, color="tab:blue")
            spread = f"std {numbers.std():.3g}"
            axis.set_title(f"{name}: {spread}" if i == 0 else spread, fontsize="x-small")
            axis.set_yticks([])
            axis.locator_params(axis="x", nbins=3)
            axis.ticklabel_format(axis="x", scilimits=(-2, 3))
            axis.tick_params(labelsize="xx-small")
            axis.xaxis.get_offset_text().set_fontsize("xx-small")
        axes[i][0].set_ylabel(label, fontsize="small")
    figure.supxlabel(
        "output (30 bins)" if bins == 30 else f"output ({bins} bins)", fontsize="small"
    )
    if title:
        figure.suptitle(title, fontsize="medium")
    save_figure(figure, path)


def image_grid(
    images: Mapping[str, Any] | Sequence[tuple[str, Any]],
    path: str | Path,
    *,
    columns: int = 10,
    title: str = "",
    diverging: bool = False,
) -> None:
    """Draw images in a grid, each with its words above it.

    Parameters
    ----------
    images : sequence of (str, array), or a mapping of them
        Of shape (h, w) or (1, h, w), grey, or (3, h, w), red, green and blue: whole numbers of 0 to
        255, or others of 0 to 1.
    path : path
        The picture's file; its suffix decides the format.
    columns : int
        Images in a row.
    title : str
    diverging : bool
        Whether the numbers of grey images have signs (weights): then 0 is white, below it blue,
        above it red, and all images share one scale.

    Raises
    ------
    ValueError
        There is nothing to draw, or an array is no image.

    Examples
    --------
    What a network gets wrong, by the names of the classes:

    >>> names, wrong = data.class_names, misclassified(net.predict(data.x), data.t)
    >>> taken = [(f"{names[t]} as {names[y]}", data.x[i]) for i, t, y, _ in zip(*wrong)]
    >>> image_grid(taken, "wrong.png")
    """
    pairs = list(images.items() if isinstance(images, Mapping) else images)
    arrays = [to_numpy(image) for _, image in pairs]
    if not arrays:
        raise ValueError("image_grid: expected at least one image, got none")
    for array in arrays:
        if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[0] not in (1, 3)):
            raise ValueError(
                f"image_grid: expected images (h, w), (1, h, w) or (3, h, w), "
                f"got {tuple(array.shape)}"
            )
    columns = min(columns, len(arrays))
    rows = -(-len(arrays) // columns)
    height = 1.32 if any(words for words, _ in pairs) else 1.1  # of a cell; an image is 1 by 1
    inch = 0.8 if diverging else 0.87  # of an image, beside the bar of colours
    size = max(0.95 * columns, 3.2), rows * height * inch + 0.35 * bool(title)
    figure = new_figure(figsize=size)
    axis = figure.subplots()  # one for all: fifty would take seconds to lay out
    reach = max(float(abs(array).max()) for array in arrays) or 1.0
    look = {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach} if diverging else {"cmap": "gray_r"}
    for number, ((words, _), array) in enumerate(zip(pairs, arrays, strict=True)):
        x, y = number % columns * 1.1, -(number // columns) * height
        shown = axis.imshow(
            np.moveaxis(array, 0, -1)
            if array.shape[:-2] == (3,)
            else array.reshape(array.shape[-2:]),
            extent=(x, x + 1, y - 1, y),
            interpolation="nearest",
            **look,
        )
        axis.text(x + 0.5, y + 0.06, words, ha="center", fontsize="small")
    axis.set(xlim=(-0.05, 1.1 * columns - 0.05), ylim=(-rows * height + height - 1.05, height - 1))
    axis.set_axis_off()
    if diverging:
        figure.colorbar(shown, fraction=0.04, label="weight")
    if title:
        figure.suptitle(title, fontsize="medium")
    save_figure(figure, path)


def confusion(
    matrix: Any, path: str | Path, title: str = "", *, class_names: Sequence[str] | None = None
) -> None:
    """Draw a confusion matrix: the errors in colour, every count in figures.

    Parameters
    ----------
    matrix : array of integers, shape (k, k)
        A row for each true class, a column for each class taken.
    path : path
        The picture's file; its suffix decides the format.
    title : str
    class_names : sequence of str, optional
        What the classes are called, such as ``data.class_names``: by default their numbers.

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
    errors = counts.copy()
    errors[range(k), range(k)] = 0  # or the diagonal would drown them
    figure = new_figure(figsize=(0.52 * k + 1.6, 0.46 * k + 1.3))
    axis = figure.subplots()
    shown = axis.imshow(errors, cmap="Reds", vmin=0, vmax=max(int(errors.max()), 1))
    for i in range(k):
        for j in range(k):
            if counts[i, j]:
                dark = errors[i, j] > errors.max() / 2
                colour = "white" if dark else "black"
                weight = "bold" if i == j else "normal"
                axis.text(
                    j,
                    i,
                    f"{counts[i, j]}",
                    ha="center",
                    va="center",
                    fontsize="small",
                    color=colour,
                    weight=weight,
                )
    axis.set(xlabel="class taken", ylabel="true class")
    axis.set_xticks(range(k), names, rotation=90 if max(len(str(n)) for n in names) > 2 else 0)
    axis.set_yticks(range(k), names)
    figure.colorbar(shown, label="errors")
    if title:
        figure.suptitle(title, fontsize="medium")
    save_figure(figure, path)


def curves(
    panels: Mapping[str, Mapping[str, tuple[Array, Array]]],
    path: str | Path,
    *,
    points: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    xlabel: str = "x",
    ylabel: str = "y",
    title: str = "",
    columns: int = 3,
    log: bool = False,
) -> None:
    """Draw curves in panels side by side.

    Parameters
    ----------
    panels : mapping of panel title to mapping of label to (x, y)
        x and y are arrays of shape (n,), of any library; an empty label is left out of the legend.
    path : path
        The picture's file; its suffix decides the format.
    points : mapping of panel title to mapping of label to (x, y), optional
        Single points to mark.
    xlabel, ylabel, title : str
    columns : int
        Panels in a row.
    log : bool
        Whether the y axis is logarithmic.

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
    figure, axes = new_panels("curves", panels, columns, 3.2, 2.5 + 0.25 * max(0, rows - 2))
    for (name, lines), axis in zip(panels.items(), axes, strict=True):
        if not lines:
            raise ValueError(f"curves: expected at least one curve in panel {name!r}, got none")
        for k, (label, (xs, ys)) in enumerate(lines.items()):
            x, y = to_numpy(xs), to_numpy(ys)
            if x.ndim != 1 or x.shape != y.shape:
                raise ValueError(
                    f"curves: expected x and y of one shape (n,) for {label or name!r}, "
                    f"got {x.shape} and {y.shape}"
                )
            style = ("-", "--", "-.", ":")[k % 4] if len(x) > 1 else "o"
            axis.plot(x, y, style, label=label or None)
            if x.dtype.kind in "iu":
                axis.xaxis.get_major_locator().set_params(integer=True)
        for label, spot in points.get(name, {}).items():
            axis.plot(*spot, "o", markersize=5, color="black")
            axis.annotate(
                label, spot, textcoords="offset points", xytext=(7, -4), va="top", fontsize=9
            )
        axis.set(title=name, xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
        axis.grid(alpha=0.3)
        if any(lines):
            legend_below(axis)
    if title:
        figure.suptitle(title)
    save_figure(figure, path)


def decision_regions(
    panels: Mapping[str, tuple[Callable[[Array], Array], Array]],
    points: Array,
    path: str | Path,
    *,
    lines: Mapping[str, Mapping[str, tuple[float, float, float]]] | None = None,
    margin: float = 0.5,
    title: str = "",
    columns: int = 4,
) -> None:
    """Draw which points of the plane a classifier answers with 1, and what was asked of it.

    Parameters
    ----------
    panels : mapping of panel title to (decide, labels)
        ``decide`` takes a NumPy array of points (m, 2) and returns m answers, above .5 for yes;
        labels, 0 or 1, of shape (n,), are drawn as open and filled circles.
    points : array, shape (n, 2)
    path : path
        The picture's file; its suffix decides the format.
    lines : mapping of panel title to mapping of label to (w1, w2, b), optional
        Lines ``w1 x1 + w2 x2 + b = 0`` to draw.
    margin : float
        How far the plane is shown beyond the points.
    title : str
    columns : int
        Panels in a row.

    Raises
    ------
    ValueError
        There is no panel, points or labels have another shape, or a line has no direction.
    PlotError
        Matplotlib is not installed.
    """
    where = to_numpy(points)
    if where.ndim != 2 or where.shape[1] != 2 or not len(where):
        raise ValueError(f"decision_regions: expected points (n, 2), got {where.shape}")
    low, high = where.min(axis=0) - margin, where.max(axis=0) + margin
    x1, x2 = (np.linspace(low[i], high[i], 301) for i in (0, 1))
    grid = np.stack([a.reshape(-1) for a in np.meshgrid(x1, x2)], axis=1)
    colors: dict[str, str] = {}  # a line has one colour in all panels
    figure, axes = new_panels("decision_regions", panels, columns, 2.9, 3.4)
    for (name, (decide, asked)), axis in zip(panels.items(), axes, strict=True):
        labels = to_numpy(asked)
        if labels.shape != where.shape[:1]:
            raise ValueError(
                f"decision_regions: expected labels ({len(where)},) in panel {name!r}, "
                f"got {labels.shape}"
            )
        answers = to_numpy(decide(grid)).reshape(len(x2), len(x1)) > 0.5
        axis.contourf(x1, x2, answers, levels=[-0.5, 0.5, 1.5], colors=["#f4f4f4", "#cfe2f3"])
        for label, (w1, w2, b) in (lines or {}).get(name, {}).items():
            if w1 == w2 == 0:
                raise ValueError(f"decision_regions: the line {label!r} has no direction")
            at = (0.0, -b / w2) if w2 else (-b / w1, 0.0)
            color = colors.setdefault(label, f"C{len(colors) + 1}")
            axis.axline(at, (at[0] + w2, at[1] - w1), color=color, label=label)
        for answer, face in ((0, "white"), (1, "black")):
            chosen = where[labels == answer]
            axis.plot(*chosen.T, "o", color="black", markerfacecolor=face, label=f"{answer}")
        axis.set(title=name, xlabel="$x_1$", ylabel="$x_2$", xlim=(low[0], high[0]))
        axis.set(ylim=(low[1], high[1]), aspect="equal")
        legend_below(axis)
    if title:
        figure.suptitle(title)
    save_figure(figure, path)


def bars(
    panels: Mapping[str, Mapping[str, Array]],
    path: str | Path,
    *,
    ticks: Sequence[str] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    columns: int = 3,
    log: bool = False,
    form: str = "{:.3g}",
) -> None:
    """Draw numbers as bars with their values written above, in panels side by side.

    Parameters
    ----------
    panels : mapping of panel title to mapping of label to array of shape (n,)
        Each label's bars have a colour of their own.
    path : path
        The picture's file; its suffix decides the format.
    ticks : sequence of str, optional
        The names of the n places; by default 0, 1, 2 ...
    xlabel, ylabel, title : str
    columns : int
        Panels in a row.
    log : bool
        Whether the y axis is logarithmic.
    form : str
        How a value is written; ``""`` for not at all.

    Raises
    ------
    ValueError
        There is no panel, nothing in one, or the arrays differ in length.
    PlotError
        Matplotlib is not installed.
    """
    figure, axes = new_panels("bars", panels, columns, 3.6, 3.0)
    for (name, groups), axis in zip(panels.items(), axes, strict=True):
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
            drawn = axis.bar(at, values, width * 0.94, label=label or None)
            if form:
                texts = [form.format(value) for value in values]
                axis.bar_label(drawn, texts, fontsize=7, padding=1)
        axis.set(title=name, xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
        axis.set_xticks(places, names)
        axis.margins(y=0.15)
        if any(heights):
            legend_below(axis)
    if title:
        figure.suptitle(title)
    save_figure(figure, path)


if not TYPE_CHECKING:  # which knows the names, and would know all with this
    __getattr__ = names_in(__name__, __all__)
