"""Metrics of scores against targets."""

from __future__ import annotations

from typing import NamedTuple

from xpnet.device import Array, dtype_kind, namespace

__all__ = ["Evaluation", "correct"]


class Evaluation(NamedTuple):
    """What a network does on a data set.

    Attributes
    ----------
    loss : float
        The mean over the samples.
    accuracy : float or None
        The share of samples classified rightly; None where the targets are no classes.
    samples : int
    """

    loss: float
    accuracy: float | None
    samples: int


def correct(scores: Array, targets: Array) -> Array | None:
    """Return how many samples are classified rightly.

    The class is the one with the highest score, or for a single output whether it is positive.

    Parameters
    ----------
    scores : array, shape (n, k)
    targets : array
        Labels (n,), or one row a sample (n, k) whose largest number marks the class.

    Returns
    -------
    array, 0-d, integer; None where scores or targets are no classes
    """
    xp = namespace(scores)
    if scores.ndim != 2:
        return None
    labels = targets
    if targets.ndim == 2:
        if scores.shape[1] == 1:
            return None
        labels = xp.argmax(targets, axis=1)
    elif dtype_kind(namespace(targets), targets.dtype) != "exact":
        return None
    guess = (
        xp.argmax(scores, axis=1)
        if scores.shape[1] > 1
        else xp.astype(scores[:, 0] > 0, labels.dtype)
    )
    return xp.sum(xp.astype(guess == labels, xp.int64))
