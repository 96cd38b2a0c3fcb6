"""Pictures; matplotlib is imported here alone, and only when a picture is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from xpnet.files import replacing

__all__ = ["PlotError", "training_curves"]


class PlotError(ImportError):
    """Matplotlib is not installed."""


def _figure(**options: Any) -> Any:
    """Return a new figure that no window shows."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise PlotError("pictures need matplotlib: run `pip install 'xpnet[plots]'`") from None
    return Figure(layout="constrained", **options)


def _save(figure: Any, path: str | Path) -> None:
    path = Path(path)
    with replacing(path) as part:
        figure.savefig(part, format=path.suffix[1:] or "png", dpi=120)


def training_curves(rows: Iterable[Mapping[str, Any]], path: str | Path, title: str = "") -> None:
    """Draw loss and accuracy over the epochs of a run.

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
    figure = _figure(figsize=(9, 3.6))
    axes = figure.subplots(1, 2)
    for axis, quantity in zip(axes, ("loss", "accuracy"), strict=True):
        for part, style in (("train", "o-"), ("validation", "s--")):
            values = [row[f"{part}_{quantity}"] for row in rows]
            if any(value is not None for value in values):
                axis.plot(epochs, values, style, markersize=4, label=part)
        axis.set(xlabel="epoch", ylabel=quantity)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend()
    axes[0].set_yscale("log")
    if title:
        figure.suptitle(title)
    _save(figure, path)
