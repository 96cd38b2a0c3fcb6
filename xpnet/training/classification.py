"""Metrics of classes: which are taken for which, how surely, and how well each is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from xpnet import html
from xpnet.arrays import Array, HostArray, dtype_kind, namespace, to_numpy
from xpnet.checks import distinct_names, whole_number
from xpnet.functions import one_hot, softmax
from xpnet.tables import ruled

__all__ = [
    "Calibration",
    "ClassReport",
    "Misclassified",
    "calibration",
    "classification_report",
    "confusion_matrix",
    "misclassified",
    "top_k_accuracy",
]


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


class Averages(NamedTuple):
    """Precision, recall and F1 of a class, or their means."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, repr=False)
class ClassReport:
    """How well each class is found; its text, and in notebooks its value, is a table.

    Attributes
    ----------
    class_names : tuple of str
        Of k classes.
    precision : tuple of float
        For each class, the share of what was taken for it that is it; 0 where nothing was.
    recall : tuple of float
        The share of its samples that were taken for it; 0 where it has none.
    f1 : tuple of float
        The harmonic mean of the two; 0 where both are.
    support : tuple of int
        The samples of each class.
    accuracy : float
        The share of all samples that are right.
    confusion : numpy.ndarray of int64, shape (k, k)
        See :func:`confusion_matrix`.
    """

    class_names: tuple[str, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f1: tuple[float, ...]
    support: tuple[int, ...]
    accuracy: float
    confusion: HostArray

    @property
    def macro(self) -> Averages:
        """The means over the classes, each of which counts as much as any other."""
        return self._means([1] * len(self.support))

    @property
    def weighted(self) -> Averages:
        """The means over the classes, each of which counts by its samples."""
        return self._means(list(self.support))

    def _means(self, weights: list[int]) -> Averages:
        whole = sum(weights)
        columns = (self.precision, self.recall, self.f1)
        return Averages(
            *(sum(w * v for w, v in zip(weights, c, strict=True)) / whole for c in columns)
        )

    def _rows(self) -> list[tuple[str, ...]]:
        total = str(sum(self.support))
        lines = zip(
            self.class_names, self.precision, self.recall, self.f1, self.support, strict=True
        )
        return [
            *((n, f"{p:.4f}", f"{r:.4f}", f"{f:.4f}", f"{s}") for n, p, r, f, s in lines),
            ("macro mean", *(f"{value:.4f}" for value in self.macro), total),
            ("weighted mean", *(f"{value:.4f}" for value in self.weighted), total),
            ("accuracy", "", "", f"{self.accuracy:.4f}", total),
        ]

    def __repr__(self) -> str:
        return ruled([TITLES, *self._rows()], left=1)

    def _repr_html_(self) -> str:
        return html.table(TITLES, self._rows())


TITLES = ("class", "precision", "recall", "F1", "samples")


def classification_report(
    scores: Array, labels: Array, class_names: Sequence[str] | None = None
) -> ClassReport:
    """Return precision, recall, F1 and the number of samples of each class.

    Parameters
    ----------
    scores : array, shape (n, k)
        The class is the one with the highest score.
    labels : array of integers, shape (n,)
        From 0 to k - 1; n is at least 1.
    class_names : sequence of str, optional
        Such as ``data.class_names``: by default their numbers.

    Raises
    ------
    ValueError
        The shapes do not fit, a label is out of range, or there are not as many names.

    Examples
    --------
    >>> print(classification_report(net.predict(test.x), test.t, test.class_names))
    """
    counts = to_numpy(confusion_matrix(scores, labels))
    _check_samples("classification_report", labels)
    numbers = map(str, range(len(counts)))
    names = tuple(numbers) if class_names is None else distinct_names("class_names", class_names)
    if len(names) != len(counts):
        raise ValueError(
            f"class_names: expected one for each of {len(counts)} classes, got {len(names)}"
        )
    found, taken, there = counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)
    return ClassReport(
        class_names=names,
        precision=_shares(found, taken),
        recall=_shares(found, there),
        f1=_shares(2 * found, taken + there),
        support=tuple(there.tolist()),
        accuracy=float(found.sum() / counts.sum()),
        confusion=counts,
    )


def _shares(counts: HostArray, of: HostArray) -> tuple[float, ...]:
    return tuple(c / n if n else 0.0 for c, n in zip(counts.tolist(), of.tolist(), strict=True))


def _check_samples(function: str, labels: Array) -> None:
    if not labels.shape[0]:
        raise ValueError(f"{function}: expected at least one sample, got none")


def top_k_accuracy(scores: Array, labels: Array, k: int = 5) -> float:
    """Return the share of the samples whose class is among the k with the highest scores.

    Of equal scores the first class counts as the higher, so that ``k=1`` gives the accuracy.

    Parameters
    ----------
    scores : array, shape (n, classes)
    labels : array of integers, shape (n,)
        From 0 to ``classes - 1``; n is at least 1.
    k : int
        From 1 to the number of classes.

    Raises
    ------
    ValueError
        The shapes do not fit, or a label or k is out of range.
    """
    classes, xp = _classes(scores, labels), namespace(scores)
    _check_samples("top_k_accuracy", labels)
    k = whole_number("k", k, 1, classes)
    columns = xp.arange(classes, dtype=xp.int64, device=scores.device)[None, :]
    true = xp.astype(labels, xp.int64)[:, None]
    own = xp.max(xp.where(columns == true, scores, -xp.inf), axis=1, keepdims=True)
    ahead = xp.where(columns < true, ~(scores < own), ~(scores <= own)) & (columns != true)
    found = xp.sum(xp.astype(ahead, xp.int64), axis=1) < k
    return float(xp.mean(xp.astype(found, xp.float64)))


@dataclass(frozen=True, repr=False)
class Calibration:
    """Whether a network is as sure of its answers as it is right.

    Attributes
    ----------
    confidence, accuracy : tuple of float
        The means over the samples of each bin of confidence, NaN where it has none.
    samples : tuple of int
        How many samples each bin has.
    error : float
        The expected calibration error: the mean over the samples of the distance between
        confidence and accuracy of their bin.
    largest_error : float
        The largest of these distances.
    """

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    samples: tuple[int, ...]
    error: float
    largest_error: float

    def plot(self, path: str | Path | None = None, title: str = "", *, ax: Any = None) -> Any:
        """Draw the reliability curve; return the figure, which a notebook shows.

        Parameters
        ----------
        path : path, optional
            A file to write the picture to; its suffix decides the format.
        title : str
            By default the expected calibration error.
        ax : matplotlib Axes, optional
            Where to draw instead of in a new figure.

        Raises
        ------
        ImportError
            Matplotlib is not installed.
        """
        from xpnet.plots import reliability  # which is imported when it is needed

        title = title or f"expected calibration error {self.error:.4f}"
        return reliability(self.confidence, self.accuracy, self.samples, path, title, ax=ax)

    def __repr__(self) -> str:
        errors = f"error {self.error:.4f}, largest error {self.largest_error:.4f}"
        return f"Calibration({errors}, {len(self.samples)} bins of {sum(self.samples)} samples)"

    def _repr_html_(self) -> str:
        bins = len(self.samples)
        rows = [
            (f"{k / bins:.3g} to {(k + 1) / bins:.3g}", f"{c:.4f}", f"{a:.4f}", f"{n}")
            for k, (c, a, n) in enumerate(
                zip(self.confidence, self.accuracy, self.samples, strict=True)
            )
            if n
        ]
        rows.append(("expected calibration error", f"{self.error:.4f}", "", f"{sum(self.samples)}"))
        return html.table(["bin", "confidence", "accuracy", "samples"], rows)


def calibration(scores: Array, labels: Array, bins: int = 15) -> Calibration:
    """Return how sure a network is of its answers, and how often it is right then.

    Parameters
    ----------
    scores : array, shape (n, k)
        Before the softmax, whose highest number is the confidence of the answer.
    labels : array of integers, shape (n,)
        From 0 to k - 1; n is at least 1.
    bins : int
        Of equal width from 0 to 1; each holds its upper end.

    Raises
    ------
    ValueError
        The shapes do not fit, a label is out of range, or a score is no finite number.

    Notes
    -----
    Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", 2015; Guo et
    al., "On calibration of modern neural networks", 2017.
    """
    _classes(scores, labels)
    _check_samples("calibration", labels)
    bins, xp = whole_number("bins", bins, 1), namespace(scores)
    if not xp.all(xp.isfinite(scores)):
        raise ValueError("calibration: expected finite scores, got NaN or infinity among them")
    sure = xp.max(softmax(xp.astype(scores, xp.float64)), axis=1)
    right = xp.astype(xp.argmax(scores, axis=1) == xp.astype(labels, xp.int64), xp.float64)
    places = xp.clip(xp.astype(xp.ceil(sure * bins), xp.int64) - 1, 0, bins - 1)
    columns = xp.stack([xp.ones_like(sure), sure, right], axis=1)
    sums = to_numpy(xp.matrix_transpose(one_hot(places, bins, "float64")) @ columns).tolist()
    means = [(s / n, r / n) if n else (float("nan"),) * 2 for n, s, r in sums]
    gaps = [abs(s - r) / n if n else 0.0 for n, s, r in sums]
    return Calibration(
        confidence=tuple(sure for sure, _ in means),
        accuracy=tuple(right for _, right in means),
        samples=tuple(int(n) for n, _, _ in sums),
        error=sum(n * gap for (n, _, _), gap in zip(sums, gaps, strict=True)) / labels.shape[0],
        largest_error=max(gaps),
    )
