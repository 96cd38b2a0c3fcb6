"""What frames a training step: a batch is gathered from the data, its results are recorded.

The record of an epoch is three float64 numbers on the device: the loss summed over samples, the
right answers, and the batches so far.  A step that is recorded once and replayed finds its place
in the data, and its row of the scalars, by the last of them.
"""

from __future__ import annotations

from xpnet.arrays import Array, dtype_kind, is_complex, namespace, to_numpy
from xpnet.ops.dispatch import op
from xpnet.ops.elementwise import rescale

__all__ = ["correct", "gather_batch", "has_classes", "update_stats"]


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
    xp = namespace(x)
    start = first if isinstance(first, int) else n * int(to_numpy(first)[2])
    if order is None:
        x, t = x[start : start + n, ...], t[start : start + n, ...]
    else:
        chosen = order[start : start + n]
        x, t = xp.take(x, chosen, axis=0), xp.take(t, chosen, axis=0)
    return x if scale is None else rescale(x, scale=scale, dtype=dtype), t


def has_classes(scores: Array, targets: Array) -> bool:
    """Return whether scores and targets are such that an answer is right or wrong."""
    if scores.ndim != 2 or is_complex(scores):
        return False
    if targets.ndim == 2:
        return bool(scores.shape[1] > 1)
    return dtype_kind(namespace(targets), targets.dtype) == "exact"


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
    if not has_classes(scores, targets):
        return None
    xp = namespace(scores)
    labels = xp.argmax(targets, axis=1) if targets.ndim == 2 else targets
    guess = (
        xp.argmax(scores, axis=1)
        if scores.shape[1] > 1
        else xp.astype(scores[:, 0] > 0, labels.dtype)
    )
    return xp.sum(xp.astype(guess == labels, xp.int64))


@op
def update_stats(
    record: Array, scores: Array, targets: Array, loss: Array, *, classes: bool
) -> None:
    """Add a batch to the record of its epoch.

    Parameters
    ----------
    record : array, float64, shape (3,)
        Summed loss, right answers and batches; changed in place.
    scores : array, shape (n, ...)
    targets : array, shape (n, ...)
    loss : array, 0-d
        The batch's mean.
    classes : bool
        Whether answers are right or wrong.
    """
    xp = namespace(record)
    record[0] += xp.astype(loss, xp.float64) * scores.shape[0]
    if classes:
        record[1] += xp.astype(correct(scores, targets), xp.float64)
    record[2] += 1.0
