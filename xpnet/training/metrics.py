"""Metrics: of scores against targets, of activations and of filters."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import NamedTuple

from xpnet import html
from xpnet.arrays import Array, namespace
from xpnet.layers import Network
from xpnet.ops.batch import absolute_errors, right_answers
from xpnet.training.classification import (
    Calibration,
    ClassReport,
    Misclassified,
    calibration,
    classification_report,
    confusion_matrix,
    misclassified,
    top_k_accuracy,
)

__all__ = [
    "COLUMNS",
    "MEASURED",
    "MEASURES",
    "PARTS",
    "Calibration",
    "ClassReport",
    "Evaluation",
    "Misclassified",
    "Spread",
    "absolute_errors",
    "activations",
    "better",
    "calibration",
    "classification_report",
    "confusion_matrix",
    "misclassified",
    "right_answers",
    "smoothness",
    "spread",
    "top_k_accuracy",
]


MEASURES = ("loss", "accuracy", "exact_match", "mean_absolute_error")
"""What is measured of a data set: attributes of :class:`Evaluation`."""

PARTS = ("train", "validation")
"""The parts of the data that are measured in each epoch."""

MEASURED = tuple(f"{part}_{name}" for part in PARTS for name in MEASURES)
"""The columns of a history that hold what was measured."""

RISING = ("accuracy", "match")
"""How the names end of columns that are the better the higher they are."""

COLUMNS = ("epoch", "steps", "lr", *MEASURED, "seconds", "samples_per_second")
"""The columns of a history, in order."""


def better(column: str, value: float | None, than: float | None, by: float = 0.0) -> bool:
    """Return whether a value of a history's column is better than another, by more than ``by``.

    NaN, and None for what was not measured, are better than nothing; all else is than them.
    """
    if value is None or math.isnan(value):
        return False
    if than is None or math.isnan(than):
        return True
    return value > than + by if column.endswith(RISING) else value < than - by


class Evaluation(NamedTuple):
    """What a network does on a data set.

    What an answer is, and when it is right, is said by the loss (``Loss.answers``).

    Attributes
    ----------
    loss : float
        The mean over the samples.
    accuracy : float or None
        The share of answers that are right; None where answers are numbers, or unknown.
    samples : int
    exact_match : float or None
        The share of samples right in all their answers; None where each has one alone.
    mean_absolute_error : float or None
        Of answers that are numbers, complex ones by their modulus: the mean over samples and
        outputs.
    """

    loss: float
    accuracy: float | None
    samples: int
    exact_match: float | None = None
    mean_absolute_error: float | None = None

    def columns(self, part: str) -> dict[str, float | None]:
        """Return the measures by their names in a history: of ``part``, such as "train"."""
        return {f"{part}_{name}": getattr(self, name) for name in MEASURES}

    def _repr_html_(self) -> str:
        measured = [(name, value) for name, value in self._asdict().items() if value is not None]
        return html.table(["", "value"], [(n.replace("_", " "), html.cell(v)) for n, v in measured])


def activations(net: Network, x: Array, kinds: tuple[type, ...] = ()) -> dict[str, Array]:
    """Return the outputs of a network's layers for a batch, by path.

    Parameters
    ----------
    net : Network
    x : array, shape (n, *input_shape)
        As its ``forward`` takes it.
    kinds : classes of layers, optional
        Which layers; by default all.
    """
    found: dict[str, Array] = {}

    def keep(path: str, x: Array, y: Array) -> None:
        found[path] = y

    with ExitStack() as hooks:
        for path, layer in net.walk():
            if not kinds or isinstance(layer, kinds):
                hooks.enter_context(net.hook(path, keep))
        net.forward(x)
    return found


class Spread(NamedTuple):
    """How numbers are spread.

    Attributes
    ----------
    mean, std, low, high : float
        Standard deviation and extremes in the numbers' unit.
    zeros : float
        The share of exact zeros.
    """

    mean: float
    std: float
    low: float
    high: float
    zeros: float


def spread(values: Array) -> Spread:
    """Return how the numbers of an array are spread; at least one number is needed."""
    if 0 in values.shape:
        raise ValueError(f"spread: expected at least one number, got shape {tuple(values.shape)}")
    xp = namespace(values)
    zeros = xp.mean(xp.astype(values == 0, values.dtype))
    measured = (xp.mean(values), xp.std(values), xp.min(values), xp.max(values), zeros)
    return Spread(*map(float, measured))


def smoothness(filters: Array) -> float:
    """Return how alike neighbouring weights of filters are: 1 for smooth, about 0 for noise.

    It is the correlation of weights that are next to each other in a row or column (Moran's I
    with the filter's own mean and variance), averaged over the filters; a flat filter counts 0.

    Parameters
    ----------
    filters : array, shape (filters, c, kh, kw)
        kh or kw above 1.
    """
    if filters.ndim != 4 or max(filters.shape[2:]) < 2:
        raise ValueError(
            f"smoothness: expected filters (f, c, kh, kw) of more than one pixel, "
            f"got {tuple(filters.shape)}"
        )
    xp = namespace(filters)
    _, c, kh, kw = filters.shape
    rest = filters - xp.mean(filters, axis=(1, 2, 3), keepdims=True)
    across = xp.sum(rest[..., 1:] * rest[..., :-1], axis=(1, 2, 3))
    down = xp.sum(rest[..., 1:, :] * rest[..., :-1, :], axis=(1, 2, 3))
    pairs = c * (kh * (kw - 1) + (kh - 1) * kw)
    variance = xp.mean(rest * rest, axis=(1, 2, 3))
    flat = variance == 0
    correlation = (across + down) / pairs / xp.where(flat, 1.0, variance)
    return float(xp.mean(correlation))
