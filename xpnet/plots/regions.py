"""Pictures of what a classifier answers in the plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xpnet.arrays import Array, to_numpy
from xpnet.plots.figures import finished, legend_below, new_panels

__all__ = ["decision_regions"]


def decision_regions(
    panels: Mapping[str, tuple[Callable[[Array], Array], Array]],
    points: Array,
    path: str | Path | None = None,
    *,
    lines: Mapping[str, Mapping[str, tuple[float, float, float]]] | None = None,
    margin: float = 0.5,
    title: str = "",
    columns: int = 4,
    axes: Any = None,
) -> Any:
    """Draw which points of the plane a classifier answers with 1, and what was asked of it.

    Parameters
    ----------
    panels : mapping of panel title to (decide, labels)
        ``decide`` takes a NumPy array of points (m, 2) and returns m answers, above .5 for yes;
        labels, 0 or 1, of shape (n,), are drawn as open and filled circles.
    points : array, shape (n, 2)
    path : path, optional
        The picture's file; its suffix decides the format.
    lines : mapping of panel title to mapping of label to (w1, w2, b), optional
        Lines ``w1 x1 + w2 x2 + b = 0`` to draw.
    margin : float
        How far the plane is shown beyond the points.
    title : str
    columns : int
        Panels in a row.
    axes : matplotlib Axes or array of them, optional
        Where to draw instead of in a new figure: one for each panel.

    Returns
    -------
    matplotlib Figure

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
    _, drawn = new_panels("decision_regions", panels, columns, 2.9, 3.4, axes)
    for (name, (decide, asked)), axis in zip(panels.items(), drawn, strict=True):
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
    return finished(drawn[0], path, title, own=axes is None)
