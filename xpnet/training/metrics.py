"""Metrics: of scores against targets, of activations and of filters."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import NamedTuple

from xpnet.arrays import Array, dtype_kind, namespace, to_numpy
from xpnet.functions import one_hot, softmax
from xpnet.layers import Network
from xpnet.ops.batch import absolute_errors, right_answers

__all__ = [
    "COLUMNS",
    "MEASURED",
    "MEASURES",
    "Evaluation",
    "Misclassified",
    "Spread",
    "absolute_errors",
    "activations",
    "better",
    "confusion_matrix",
    "misclassified",
    "right_answers",
    "smoothness",
    "spread",
]


MEASURES = ("loss", "accuracy", "exact_match", "mean_absolute_error")
"""What is measured of a data set: attributes of :class:`Evaluation`."""

MEASURED = tuple(f"{part}_{name}" for part in ("train", "validation") for name in MEASURES)
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


def confusion_matrix(scores: Array, labels: Array) -> Array:
    """Return how many samples of each class are taken for each class.

    Parameters
    ----------
    scores : array, shape (n, k)
        The class is the one with the highest score.
    labels : array of integers, shape (n,)
        From 0 to k - 1.

    Returns
    -------
    array of int64, shape (k, k)
        A row for each true class, a column for each class taken.

    Raises
    ------
    ValueError
        The shapes do not fit, or a label is out of range.
    """
    xp, k = namespace(scores), _classes(scores, labels)
    guesses = xp.argmax(scores, axis=1)
    pairs = xp.matrix_transpose(one_hot(labels, k, "float64")) @ one_hot(guesses, k, "float64")
    return xp.astype(pairs, xp.int64)


class Misclassified(NamedTuple):
    """The samples that a network gets wrong, those it is surest of first.

    Attributes
    ----------
    indices : array of int64, shape (m,)
    labels, guesses : array of int64, shape (m,)
        The true class and the one taken for it.
    confidence : array, shape (m,)
        The softmax of the guess, at most 1.
    """

    indices: Array
    labels: Array
    guesses: Array
    confidence: Array


def misclassified(scores: Array, labels: Array) -> Misclassified:
    """Return the samples that are classified wrongly, the most confident first.

    Parameters
    ----------
    scores : array, shape (n, k)
    labels : array of integers, shape (n,)
        From 0 to k - 1.

    Raises
    ------
    ValueError
        The shapes do not fit, or a label is out of range.
    """
    _classes(scores, labels)
    xp = namespace(scores)
    labels = xp.astype(labels, xp.int64)
    guesses = xp.astype(xp.argmax(scores, axis=1), xp.int64)
    confidence = xp.max(softmax(scores), axis=1)
    wrong = xp.nonzero(guesses != labels)[0]
    order = xp.argsort(xp.take(confidence, wrong, axis=0), descending=True)
    wrong = xp.take(wrong, order, axis=0)
    chosen = (xp.take(a, wrong, axis=0) for a in (labels, guesses, confidence))
    return Misclassified(wrong, *chosen)


def _classes(scores: Array, labels: Array) -> int:
    """Return the number of classes, having checked that scores and labels fit."""
    exact = dtype_kind(namespace(labels), labels.dtype) == "exact"
    if scores.ndim != 2 or tuple(labels.shape) != (scores.shape[0],) or not exact:
        raise ValueError(
            f"expected scores (n, k) and n integer labels, got {tuple(scores.shape)} and "
            f"{labels.dtype} {tuple(labels.shape)}"
        )
    host, k = to_numpy(labels), int(scores.shape[1])
    if host.size and not 0 <= host.min() <= host.max() < k:
        raise ValueError(f"expected labels of 0 to {k - 1}, got {host.min()} to {host.max()}")
    return k


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
