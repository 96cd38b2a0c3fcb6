"""Pictures that serve one demonstration or two; what any user draws is in xpnet.plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from xpnet.arrays import Array, to_numpy
from xpnet.plots import legend_below, new_figure, new_panels, save_figure


def computation_graph(
    nodes: Mapping[str, tuple[float, float, str]],
    edges: Sequence[tuple[str, str, float, float]],
    path: str | Path,
    title: str = "",
) -> None:
    """Draw a graph of operations, on each edge its value and the gradient that came back.

    Parameters
    ----------
    nodes : mapping of name to (x, y, text)
        Where each node stands and what is written in it.  Nodes of one or two signs are drawn as
        circles (operations), others as boxes.
    edges : sequence of (from, to, value, gradient)
        Of nodes by name; the value is written above the edge, the gradient below it.
    path : path
        The picture's file; its suffix decides the format.
    title : str

    Raises
    ------
    ValueError
        There are no nodes, or an edge names none of them.
    PlotError
        Matplotlib is not installed.
    """
    if not nodes:
        raise ValueError("computation_graph: expected at least one node, got none")
    for start, end, *_ in edges:
        for name in (start, end):
            if name not in nodes:
                raise ValueError(f"computation_graph: an edge names {name!r}, which is no node")
    xs, ys = [x for x, _, _ in nodes.values()], [y for _, y, _ in nodes.values()]
    wide, high = 1.75, 1.0  # inches a unit
    figure = new_figure(
        figsize=(wide * (max(xs) - min(xs) + 1.2), high * (max(ys) - min(ys) + 1.2))
    )
    axis = figure.subplots()
    patches = {}
    for name, (x, y, text) in nodes.items():
        shape = "circle,pad=0.35" if len(text) <= 2 else "round,pad=0.35"
        box = {
            "boxstyle": shape,
            "facecolor": "#cfe2f3" if len(text) <= 2 else "#f4f4f4",
            "edgecolor": "0.4",
        }
        written = axis.text(x, y, text, ha="center", va="center", fontsize=11, bbox=box)
        patches[name] = written.get_bbox_patch()
    for start, end, value, gradient in edges:
        (x0, y0, _), (x1, y1, _) = nodes[start], nodes[end]
        arrow = {
            "arrowstyle": "-|>",
            "color": "0.4",
            "patchA": patches[start],
            "patchB": patches[end],
            "shrinkA": 2,
            "shrinkB": 2,
        }
        axis.annotate("", (x1, y1), (x0, y0), arrowprops=arrow)
        turn = np.arctan2(high * (y1 - y0), wide * (x1 - x0))
        for text, color, side in (
            (f"{value:.6g}", "black", 8),
            (f"{gradient:.6g}", "C3", -8),
        ):
            axis.annotate(
                text,
                (0.45 * x0 + 0.55 * x1, 0.45 * y0 + 0.55 * y1),
                (-side * np.sin(turn), side * np.cos(turn)),
                textcoords="offset points",
                ha="center",
                va="center",
                rotation=np.degrees(turn),
                color=color,
                fontsize=10,
            )
    axis.set(xlim=(min(xs) - 0.6, max(xs) + 0.6), ylim=(min(ys) - 0.6, max(ys) + 0.6))
    axis.axis("off")
    axis.plot([], [], color="black", label="value, forward")
    axis.plot([], [], color="C3", label="gradient, backward")
    axis.legend(
        fontsize=9, loc="lower right", frameon=False, labelcolor="linecolor", handlelength=0
    )
    if title:
        figure.suptitle(title)
    save_figure(figure, path)


def network_diagram(
    values: Sequence[Array],
    weights: Sequence[Array],
    path: str | Path,
    *,
    names: Sequence[str] = (),
    title: str = "",
) -> None:
    """Draw a fully connected network: a circle with its value for each unit, a line each weight.

    Parameters
    ----------
    values : sequence of arrays, shape (units,)
        What each layer answers, the input first.
    weights : sequence of arrays, shape (units before, units)
        Between each two layers.  Wider lines are larger weights, red lines are negative ones.
    path : path
        The picture's file; its suffix decides the format.
    names : sequence of str, optional
        What is written above each layer.
    title : str

    Raises
    ------
    ValueError
        The shapes of values and weights do not fit one another.
    PlotError
        Matplotlib is not installed.
    """
    layers, links = [to_numpy(v) for v in values], [to_numpy(W) for W in weights]
    sizes = [layer.shape for layer in layers]
    wanted = [a + b for a, b in pairwise(sizes)]
    if not sizes or any(len(size) != 1 for size in sizes) or [W.shape for W in links] != wanted:
        raise ValueError(
            f"network_diagram: expected weights between layers of values {sizes}, "
            f"got {[W.shape for W in links]}"
        )
    tallest = max(len(layer) for layer in layers)
    figure = new_figure(figsize=(2.4 * len(layers), 1.1 * tallest + 0.8))
    axis = figure.subplots()
    places = [
        [(2.2 * k, (len(layer) - 1) / 2 - i) for i in range(len(layer))]
        for k, layer in enumerate(layers)
    ]
    largest = max((abs(W).max() for W in links), default=1.0) or 1.0
    for k, W in enumerate(links):
        for i, (x0, y0) in enumerate(places[k]):
            for j, (x1, y1) in enumerate(places[k + 1]):
                axis.plot(
                    [x0, x1], [y0, y1], color="C3" if W[i, j] < 0 else "C0", alpha=0.5,
                    linewidth=0.3 + 3 * abs(W[i, j]) / largest, zorder=1,
                )  # fmt: skip
                at = 0.2 + 0.1 * (j % 3)  # staggered, or labels of crossing lines collide
                axis.text(
                    x0 + at * (x1 - x0), y0 + at * (y1 - y0), f"{W[i, j]:.3g}", fontsize=8,
                    ha="center", va="center", zorder=2,
                    bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"},
                )  # fmt: skip
    for name, spots in zip(names, places, strict=False):
        axis.text(spots[0][0], tallest / 2 - 0.1, name, ha="center", va="bottom")
    for layer, spots in zip(layers, places, strict=True):
        for value, (x, y) in zip(layer, spots, strict=True):
            axis.text(
                x, y, f"{value:.4g}", ha="center", va="center", fontsize=9, zorder=3,
                bbox={"boxstyle": "round,pad=0.5", "facecolor": "#cfe2f3", "edgecolor": "0.4"},
            )  # fmt: skip
    axis.set(xlim=(-0.6, 2.2 * len(layers) - 1.6), ylim=(-tallest / 2 + 0.2, tallest / 2 + 0.2))
    axis.axis("off")
    if title:
        figure.suptitle(title)
    save_figure(figure, path)


def array_equations(
    rows: Sequence[Sequence[Array | str]], path: str | Path, title: str = ""
) -> None:
    """Draw equations between arrays, each array as a grid of its numbers.

    Parameters
    ----------
    rows : sequence of sequences of arrays (at most 2-D) and signs
        One equation a row: ``[A, "@", B, "=", C]``.
    path : path
        The picture's file; its suffix decides the format.
    title : str

    Raises
    ------
    ValueError
        There is no row, or an array has more than two axes.
    PlotError
        Matplotlib is not installed.
    """
    if not rows:
        raise ValueError("array_equations: expected at least one row, got none")
    drawn: list[tuple[float, float, Any]] = []
    top = widest = 0.0
    for row in rows:
        tables = [cell if isinstance(cell, str) else to_numpy(cell) for cell in row]
        if any(not isinstance(table, str) and table.ndim > 2 for table in tables):
            raise ValueError("array_equations: expected arrays of at most two axes")
        grids = [table if isinstance(table, str) else np.atleast_2d(table) for table in tables]
        height = max((len(grid) for grid in grids if not isinstance(grid, str)), default=1)
        left = 0.0
        for grid in grids:
            drawn.append((left, top - height / 2, grid))
            left += 0.8 if isinstance(grid, str) else grid.shape[1] + 0.2
        top -= height + 0.6
        widest = max(widest, left)
    figure = new_figure(figsize=(0.55 * widest + 0.3, 0.45 * -top + 0.5))
    axis = figure.subplots()
    for left, middle, grid in drawn:
        if isinstance(grid, str):
            axis.text(left + 0.3, middle, grid, ha="center", va="center", fontsize=13)
            continue
        for i, j in np.ndindex(grid.shape):
            x, y = left + j, middle + len(grid) / 2 - i - 1
            axis.add_patch(_rectangle((x, y), "#cfe2f3"))
            axis.text(x + 0.5, y + 0.5, f"{grid[i, j]:.4g}", ha="center", va="center", fontsize=10)
    axis.set(xlim=(-0.1, widest), ylim=(top + 0.5, 0.1), aspect="equal")
    axis.axis("off")
    if title:
        figure.suptitle(title)
    save_figure(figure, path)


def _rectangle(corner: tuple[float, float], color: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, 1, 1, facecolor=color, edgecolor="white")


def contour_paths(
    f: Callable[[Array, Array], Array],
    panels: Mapping[str, Array],
    path: str | Path,
    *,
    limits: tuple[float, float, float, float] | None = None,
    levels: int = 9,
    names: tuple[str, str] = ("x", "y"),
    title: str = "",
    columns: int = 3,
) -> None:
    """Draw walks over the contours of a function of two numbers.

    Parameters
    ----------
    f : callable
        Takes two NumPy arrays x and y of one shape and returns the heights in that shape.
    panels : mapping of panel title to array of shape (n, 2)
        The points of each walk, the start first.
    path : path
        The picture's file; its suffix decides the format.
    limits : (x low, x high, y low, y high), optional
        What is shown; by default what the walk covers.
    levels : int
        Contour lines, evenly spaced in the square root of f - min f.
    names : (str, str)
        Of the axes.
    title : str
    columns : int
        Panels in a row.

    Raises
    ------
    ValueError
        There is no panel, or a walk has another shape.
    PlotError
        Matplotlib is not installed.
    """
    figure, axes = new_panels("contour_paths", panels, columns, 3.1, 2.9)
    for (name, points), axis in zip(panels.items(), axes, strict=True):
        walk = to_numpy(points)
        if walk.ndim != 2 or walk.shape[1] != 2 or not len(walk):
            raise ValueError(
                f"contour_paths: expected a walk (n, 2) in panel {name!r}, got {walk.shape}"
            )
        if limits is None:
            reach = max(abs(walk).max(), 1e-12) * 1.15
            x_low, x_high, y_low, y_high = -reach, reach, -reach, reach
        else:
            x_low, x_high, y_low, y_high = limits
        x, y = np.meshgrid(np.linspace(x_low, x_high, 201), np.linspace(y_low, y_high, 201))
        z = f(x, y)
        roots = np.linspace(0, np.sqrt(z.max() - z.min()), levels + 1)[1:]
        axis.contour(x, y, z, levels=z.min() + roots**2, cmap="viridis", linewidths=0.7, alpha=0.6)
        axis.plot(*walk.T, "o-", color="C3", markersize=2.5, linewidth=1)
        axis.plot(*walk[0], "o", color="black", markersize=5, label="start")
        axis.plot(*walk[-1], "*", color="black", markersize=9, label=f"after {len(walk) - 1} steps")
        axis.set_title(name, fontsize="medium")
        axis.set(xlabel=names[0], ylabel=names[1], xlim=(x_low, x_high), ylim=(y_low, y_high))
        legend_below(axis)
    if title:
        figure.suptitle(title)
    save_figure(figure, path)


def class_boundaries(
    panels: Mapping[str, tuple[Callable[[Array], Array] | None, str]],
    points: Array,
    labels: Array,
    path: str | Path,
    *,
    margin: float = 0.4,
    title: str = "",
    columns: int = 4,
) -> None:
    """Draw where classifiers of the plane change their mind, with the points they learned from.

    Parameters
    ----------
    panels : mapping of panel title to (score, caption)
        ``score`` takes a NumPy array of points (m, 2) and returns m numbers, above 0 for class 1;
        None leaves the points alone.  The caption stands under the panel.
    points : array, shape (n, 2)
    labels : array, shape (n,)
        0 or 1.
    path : path
        The picture's file; its suffix decides the format.
    margin : float
        How far the plane is shown beyond the points.
    title : str
    columns : int
        Panels in a row.

    Raises
    ------
    ValueError
        There is no panel, or points or labels have another shape.
    PlotError
        Matplotlib is not installed.
    """
    where, classes = to_numpy(points), to_numpy(labels)
    if where.ndim != 2 or where.shape[1] != 2 or classes.shape != where.shape[:1]:
        raise ValueError(
            f"class_boundaries: expected points (n, 2) and labels (n,), got {where.shape} and "
            f"{classes.shape}"
        )
    low, high = where.min(axis=0) - margin, where.max(axis=0) + margin
    x1, x2 = (np.linspace(low[i], high[i], 201) for i in (0, 1))
    grid = np.stack([a.reshape(-1) for a in np.meshgrid(x1, x2)], axis=1)
    figure, axes = new_panels("class_boundaries", panels, columns, 2.7, 2.5)
    for k, ((name, (score, caption)), axis) in enumerate(zip(panels.items(), axes, strict=True)):
        if score:
            scores = to_numpy(score(grid)).reshape(len(x2), len(x1))
            colors = ["#dbe9f6", "#fde3cf"]
            axis.contourf(x1, x2, scores > 0, levels=[-0.5, 0.5, 1.5], colors=colors)
            axis.contour(x1, x2, scores, levels=[0.0], colors="black", linewidths=1)
        for label, color in ((0, "C0"), (1, "C1")):
            spots = where[classes == label].T
            axis.plot(*spots, "o", markersize=2.5, color=color, label=f"class {label}")
        axis.set_title(name, fontsize="small")
        axis.set_xlabel(f"$x_1$\n{caption}", fontsize="small")
        axis.set_ylabel("" if k % columns else "$x_2$", fontsize="small")
        axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        axis.tick_params(labelsize="x-small")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=8)
    if title:
        figure.suptitle(title, fontsize="medium")
    save_figure(figure, path)


def weight_paths(
    panels: Mapping[str, Mapping[str, Array]],
    path: str | Path,
    *,
    every: int = 1,
    levels: Sequence[float] = (),
    reach: float | None = None,
    title: str = "",
    columns: int = 2,
) -> None:
    """Draw how weights move while they learn.

    Parameters
    ----------
    panels : mapping of panel title to mapping of label to weights
        The weights of each line, of shape (points,); where they are no longer finite the line
        ends.  All panels have the same labels.
    path : path
        The picture's file; its suffix decides the format.
    every : int
        Steps from one point to the next.
    levels : sequence of float
        Values to mark by a dotted line, such as those of an exact solution.
    reach : float, optional
        The largest weight shown; weights beyond +-1 are then on a logarithmic scale.
    title : str
    columns : int
        Panels in a row.

    Raises
    ------
    ValueError
        There is no panel.
    PlotError
        Matplotlib is not installed.
    """
    figure, axes = new_panels("weight_paths", panels, columns, 4.4, 3.0)
    for (name, lines), axis in zip(panels.items(), axes, strict=True):
        for level in levels:
            axis.axhline(level, color="grey", linestyle=":", linewidth=1)
        for k, (label, weights) in enumerate(lines.items()):
            values = to_numpy(weights)
            steps = every * np.arange(len(values))
            axis.plot(steps, values, "-" if k < 4 else "--", linewidth=1.2, label=label)
            axis.set_xlim(0, max(steps[-1], 1))
        axis.xaxis.get_major_locator().set_params(nbins=5, integer=True)
        if reach:
            axis.set_yscale("symlog", linthresh=1.0)
            axis.set_ylim(-reach, reach)
        axis.set_title(name, fontsize="medium")
        axis.set(xlabel="step", ylabel="weight")
        axis.grid(alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8)
    if title:
        figure.suptitle(title, fontsize="medium")
    save_figure(figure, path)


def complex_plane(
    panels: Mapping[str, Mapping[str, Array]],
    path: str | Path,
    *,
    title: str = "",
    columns: int = 4,
) -> None:
    """Draw complex numbers as points of the plane, or the ways they went.

    Parameters
    ----------
    panels : mapping of panel title to mapping of label to numbers
        Numbers (n,) are points; (steps, n) are n ways, whose ends are marked.
    path : path
        The picture's file; its suffix decides the format.
    title : str
    columns : int
        Panels in a row.

    Raises
    ------
    ValueError
        There is no panel.
    PlotError
        Matplotlib is not installed.
    """
    figure, axes = new_panels("complex_plane", panels, columns, 3.2, 3.0)
    for (name, groups), axis in zip(panels.items(), axes, strict=True):
        axis.axhline(0, color="grey", linewidth=0.6)
        axis.axvline(0, color="grey", linewidth=0.6)
        reach = 0.0
        for k, (label, numbers) in enumerate(groups.items()):
            ways = to_numpy(numbers)
            ways = ways[None] if ways.ndim == 1 else ways
            if len(ways) > 1:
                axis.plot(ways.real, ways.imag, color=f"C{k}", linewidth=1)
            ends = ways[-1]
            axis.plot(ends.real, ends.imag, "ox^s"[k % 4], markersize=5, color=f"C{k}", label=label)
            sizes = abs(ways)
            reach = max(reach, 1.15 * float(sizes[np.isfinite(sizes)].max(initial=0)))
        reach = reach or 1.0  # nothing but zeros, or nothing finite
        axis.set(title=name, xlabel="real part", ylabel="imaginary part")
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axis.grid(alpha=0.3)
        legend_below(axis)
    if title:
        figure.suptitle(title, fontsize="medium")
    save_figure(figure, path)


GROUPS = ("#f4f4f4", "#cfe2f3", "#fde3cf", "#d9ead3", "#ead1dc")
"""The colours of cells that belong together: 0 is for those that stand apart."""


def marked_arrays(
    rows: Mapping[str, Sequence[tuple[Array, Array | int] | str]], path: str | Path, title: str = ""
) -> None:
    """Draw equations between arrays as grids of numbers whose cells are coloured by group.

    Parameters
    ----------
    rows : mapping of caption to sequence of (array, groups) and signs
        The caption stands above its row.  Arrays have at most two axes; the groups, an array of
        the same shape or one number for all cells, are whole numbers from 0 (grey) to 4.
    path : path
        The picture's file; its suffix decides the format.
    title : str

    Raises
    ------
    ValueError
        There is no row, an array has more than two axes, or the groups have another shape.
    PlotError
        Matplotlib is not installed.
    """
    if not rows:
        raise ValueError("marked_arrays: expected at least one row, got none")
    drawn: list[tuple[float, float, Any, Any]] = []
    captions: list[tuple[float, str]] = []
    top, widest = 0.0, 0.0
    for caption, cells in rows.items():
        grids: list[tuple[Any, Any]] = []
        for cell in cells:
            if isinstance(cell, str):
                grids.append((cell, None))
                continue
            numbers = np.atleast_2d(to_numpy(cell[0]))
            groups = np.asarray(cell[1])
            if numbers.ndim > 2 or groups.shape not in ((), numbers.shape):
                raise ValueError(
                    f"marked_arrays: expected an array of at most two axes and groups of its "
                    f"shape in row {caption!r}, got {numbers.shape} and {groups.shape}"
                )
            grids.append((numbers, np.broadcast_to(groups, numbers.shape)))
        height = max((len(grid) for grid, groups in grids if groups is not None), default=1)
        captions.append((top, caption))
        left = 0.0
        for grid, groups in grids:
            drawn.append((left, top - 0.75 - height / 2, grid, groups))
            left += 0.8 if groups is None else grid.shape[1] + 0.2
        top -= height + 1.35
        widest = max(widest, left, 0.21 * len(caption))
    figure = new_figure(figsize=(0.5 * widest + 0.3, 0.45 * -top + 0.5))
    axis = figure.subplots()
    for high, caption in captions:
        axis.text(0, high - 0.35, caption, va="center", fontsize=10)
    for left, middle, grid, groups in drawn:
        if groups is None:
            axis.text(left + 0.3, middle, grid, ha="center", va="center", fontsize=13)
            continue
        for i, j in np.ndindex(grid.shape):
            x, y = left + j, middle + len(grid) / 2 - i - 1
            axis.add_patch(_rectangle((x, y), GROUPS[groups[i, j]]))
            axis.text(x + 0.5, y + 0.5, f"{grid[i, j]:.3g}", ha="center", va="center", fontsize=9)
    axis.set(xlim=(-0.1, widest), ylim=(top + 0.5, 0.1), aspect="equal")
    axis.axis("off")
    if title:
        figure.suptitle(title, fontsize="medium")
    save_figure(figure, path)


def vector_field(
    points: Array,
    vectors: Array,
    path: str | Path,
    *,
    f: Callable[[Array, Array], Array] | None = None,
    xlabel: str = "$x_0$",
    ylabel: str = "$x_1$",
    title: str = "",
) -> None:
    """Draw an arrow at each point of the plane.

    Parameters
    ----------
    points, vectors : array, shape (n, 2)
        Where each arrow begins, and its direction; the longest arrow is as long as two
        neighbouring points are apart where the points are a square grid.
    path : path
        The picture's file; its suffix decides the format.
    f : callable, optional
        Takes two NumPy arrays x and y of one shape and returns heights, drawn as contours.
    xlabel, ylabel, title : str

    Raises
    ------
    ValueError
        There is no point, or points and vectors differ in shape.
    PlotError
        Matplotlib is not installed.
    """
    where, arrows = to_numpy(points), to_numpy(vectors)
    if where.ndim != 2 or where.shape[1] != 2 or not len(where) or arrows.shape != where.shape:
        raise ValueError(
            f"vector_field: expected points and vectors (n, 2), got {where.shape} and "
            f"{arrows.shape}"
        )
    low, high = where.min(axis=0), where.max(axis=0)
    spacing = float((high - low).max()) / max(len(where) ** 0.5 - 1, 1) or 1.0
    longest = float(np.hypot(*arrows.T).max()) or 1.0
    figure = new_figure(figsize=(5.2, 5.0))
    axis = figure.subplots()
    low, high = low - spacing, high + spacing
    if f is not None:
        x, y = np.meshgrid(np.linspace(low[0], high[0], 201), np.linspace(low[1], high[1], 201))
        axis.contour(x, y, f(x, y), levels=8, cmap="viridis", linewidths=0.7, alpha=0.6)
    axis.quiver(
        *where.T, *(arrows * spacing / longest).T, color="C3", width=0.004,
        angles="xy", scale_units="xy", scale=1,
    )  # fmt: skip
    axis.set(xlabel=xlabel, ylabel=ylabel, aspect="equal")
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    if title:
        figure.suptitle(title, fontsize="medium")
    save_figure(figure, path)


def scattered(
    groups: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    path: str | Path,
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
) -> None:
    """Draw points in groups over a logarithmic axis.

    Parameters
    ----------
    groups : mapping of label to (x, y)
        x above 0.
    path : path
        The picture's file; its suffix decides the format.
    xlabel, ylabel, title : str

    Raises
    ------
    ValueError
        There is no group.
    PlotError
        Matplotlib is not installed.
    """
    figure, (axis,) = new_panels("scattered", {title: groups} if groups else {}, 1, 4.5, 3.0)
    for k, (label, (x, y)) in enumerate(groups.items()):
        axis.plot(x, y, "os^v"[k % 4], markersize=5, alpha=0.8, label=label)
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel, xscale="log")
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    save_figure(figure, path)
