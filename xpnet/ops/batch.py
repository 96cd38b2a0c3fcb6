"""What frames a training step: a batch is gathered from the data, its results are recorded.

The record of an epoch is seven float64 numbers on the device (``RECORD``).  A step that is recorded
once and replayed finds its place in the data, and its row of the scalars, by the count of batches.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from xpnet.arrays import Array, is_complex, namespace, to_numpy
from xpnet.ops.dispatch import op
from xpnet.ops.elementwise import rescale
from xpnet.ops.loss import as_scores

__all__ = [
    "RECORD",
    "Answers",
    "absolute_errors",
    "gather",
    "gather_batch",
    "right_answers",
    "update_stats",
]

RECORD = ("loss", "right", "batches", "wholly_right", "absolute_error", "answers", "weight")
"""What is summed up over an epoch: losses of samples, right answers, batches, samples right in all
their answers, absolute errors, answers given, and samples; each by the weight of its sample."""


class Answers(NamedTuple):
    """What scores answer, and so what makes an answer right.

    Attributes
    ----------
    kind : "class", "yes or no" or "number"
        One class a sample, that of the highest score; a yes or a no by each score; or a number by
        each score, which is near or far but not right or wrong.
    cut : float
        Above it a score says yes.  A target says yes above .5.

    Notes
    -----
    Of complex scores the real parts answer: the class or the yes whose target is the nearest.
    """

    kind: Literal["class", "yes or no", "number"]
    cut: float = 0.0

    @property
    def right_or_wrong(self) -> bool:
        """Whether an answer is right or wrong, and not near or far."""
        return self.kind != "number"


@op
def gather(a: Array, order: Array | None, first: int | Array, *, n: int) -> Array:
    """Return n rows of an array in the order of an epoch.

    Parameters
    ----------
    a : array
        A row for each sample.
    order, first, n
        As :func:`gather_batch` takes them.
    """
    start = first if isinstance(first, int) else n * int(to_numpy(first)[2])
    if order is None:
        return a[start : start + n, ...]
    return namespace(a).take(a, order[start : start + n], axis=0)


@op
def gather_batch(
    x: Array,
    t: Array,
    order: Array | None,
    first: int | Array,
    *,
    n: int,
    scale: float | None = None,
    dtype: str = "float32",
) -> tuple[Array, Array]:
    """Return n samples and their targets in the order of an epoch.

    Parameters
    ----------
    x, t : array
        All samples and targets.
    order : array, int64, or None
        The numbers of the samples, as the epoch takes them; by default as they lie.
    first : int or array
        Where in that order to begin; or the epoch's record, for the batch that comes next, all
        so far having had n samples.
    n : int
    scale : float or None
        What to multiply x by, in the dtype named by ``dtype``; None leaves x as it is.

    Returns
    -------
    x : array, shape (n, ...)
    t : array, shape (n, ...)
    """
    x, t = gather(x, order, first, n=n), gather(t, order, first, n=n)
    return x if scale is None else rescale(x, scale=scale, dtype=dtype), t


def right_answers(scores: Array, targets: Array, answers: Answers) -> Array:
    """Return which answers are right; a score that is NaN answers nothing.

    Parameters
    ----------
    scores : array, shape (n, ...)
    targets : array
        Labels (n,); or numbers in the shape of the scores.  A class is right if no other class
        has a larger number in its row.
    answers : Answers
        Classes, or yes and no.

    Returns
    -------
    array of bool, shape (n, m)
        One answer a sample, or as many as there are scores.
    """
    if answers.kind == "class":
        return _right_classes(_real(scores), targets)[:, None]
    said, wanted = _rows(_real(scores)), _rows(_real(as_scores(targets, scores)))
    return ((wanted > 0.5) & (said > answers.cut)) | ((wanted <= 0.5) & (said <= answers.cut))


def _right_classes(scores: Array, targets: Array) -> Array:
    xp = namespace(scores)
    guess = xp.argmax(scores, axis=1)
    if targets.ndim == 1:
        right = xp.astype(targets, guess.dtype, copy=False) == guess
    else:
        wanted = _real(as_scores(targets, scores))
        right = xp.take_along_axis(wanted, guess[:, None], axis=1)[:, 0] == xp.max(wanted, axis=1)
    return right & ~xp.any(xp.isnan(scores), axis=1)


def absolute_errors(scores: Array, targets: Array) -> Array:
    """Return how far each score is from its target, of complex numbers the modulus.

    Parameters
    ----------
    scores : array, shape (n, ...)
    targets : array
        Labels (n,); or numbers in the shape of the scores.

    Returns
    -------
    array, shape (n, m), real
    """
    return namespace(scores).abs(_rows(scores - as_scores(targets, scores)))


def _real(a: Array) -> Array:
    return namespace(a).real(a) if is_complex(a) else a


def _rows(a: Array) -> Array:
    return a if a.ndim == 2 else namespace(a).reshape(a, (a.shape[0], math.prod(a.shape[1:])))


@op
def update_stats(
    record: Array,
    scores: Array,
    targets: Array,
    loss: Array,
    weights: Array | None = None,
    *,
    answers: Answers | None,
) -> None:
    """Add a batch to the record of its epoch.

    Parameters
    ----------
    record : array, float64, shape (7,)
        See ``RECORD``; changed in place.
    scores : array, shape (n, ...)
    targets : array, shape (n, ...)
    loss : array, 0-d
        The batch's mean.
    weights : array, shape (n,), optional
        Of the samples; by default each counts 1.
    answers : Answers or None
        What is told right from wrong, or how far from it; None for nothing.
    """
    xp, n = namespace(record), scores.shape[0]
    whole = float(n) if weights is None else xp.sum(weights, dtype=xp.float64)
    record[0] += xp.astype(loss, xp.float64) * whole
    record[2] += 1.0
    record[6] += whole

    def total(rows: Array) -> Array:
        rows = xp.astype(rows, xp.float64)
        if weights is not None:
            rows = rows * xp.astype(weights, xp.float64)[:, None]
        return xp.sum(rows)

    if answers is None:
        return
    if not answers.right_or_wrong:
        errors = absolute_errors(scores, targets)
        record[4] += total(errors)
        record[5] += whole * errors.shape[1]
        return
    right = right_answers(scores, targets, answers)
    count = total(right)
    record[1] += count
    record[3] += count if right.shape[1] == 1 else total(xp.all(right, axis=1, keepdims=True))
    record[5] += whole * right.shape[1]
