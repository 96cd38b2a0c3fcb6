"""The draws of an epoch: what an augmentation does to the batches of a data set."""

from __future__ import annotations

from xpnet import ops
from xpnet.arrays import Array, namespace
from xpnet.data.datasets import Dataset
from xpnet.devices import device_of

__all__ = ["Draws"]


class Draws:
    """The draws of an epoch, beside the data set that they are for, and its batches.

    Parameters
    ----------
    data : Dataset
        With an augmentation, on the device where its batches are made.
    """

    def __init__(self, data: Dataset) -> None:
        assert data.augmentation is not None
        self._data, self._augmentation = data, data.augmentation
        self._drawn: list[list[Array]] = []
        self._epoch: int | None = None

    def begin(self, epoch: int) -> None:
        """Draw for an epoch, into the arrays of the one before."""
        if epoch == self._epoch:
            return
        place, (n, _, *size) = device_of(self._data.x), self._data.x.shape
        drawn = self._augmentation.draw(epoch, n, (size[0], size[1]))
        if not self._drawn:
            self._drawn = [[place.asarray(a) for a in arrays] for arrays in drawn]
        else:
            for own, new in zip(self._drawn, drawn, strict=True):
                for a, b in zip(own, new, strict=True):
                    a[...] = place.asarray(b)
        self._epoch = epoch

    def batch(self, order: Array | None, first: int | Array, n: int) -> tuple[Array, ...]:
        """Return a batch as :func:`xpnet.ops.batch.gather` takes it, changed: x, t and weights."""
        rows = [[ops.batch.gather(a, order, first, n=n) for a in own] for own in self._drawn]
        parts = [a for a in (self._data.x, self._data.t, self._data.weights) if a is not None]
        x, *rest = (ops.batch.gather(a, order, first, n=n) for a in parts)
        x = self._changed(x, rows)
        if self._augmentation.mix_up is None:
            return x, *rest
        partners, shares = rows[-1]
        xp = namespace(x)
        theirs = [[xp.take(a, partners, axis=0) for a in own] for own in self._drawn]
        other, *others = (xp.take(a, partners, axis=0) for a in parts)
        x = ops.image.mix(x, self._changed(other, theirs), shares)
        return x, *(self._mixed(a, b, shares) for a, b in zip(rest, others, strict=True))

    def _changed(self, x: Array, rows: list[list[Array]]) -> Array:
        for stage, drawn in zip(self._augmentation.stages, rows, strict=False):
            x = stage.apply(x, *drawn)
        return x

    def _mixed(self, a: Array, b: Array, shares: Array) -> Array:
        """Return means of targets, labels as rows of a weight a class, or of weights."""
        xp = namespace(a)
        if xp.isdtype(a.dtype, "integral"):
            shape = (a.shape[0], self._data.classes) if a.ndim == 1 else a.shape
            like = xp.zeros(shape, dtype=xp.float32, device=a.device)
            a, b = (ops.loss.as_scores(whole, like) for whole in (a, b))
        share = xp.astype(shares, a.dtype) / 256
        share = xp.reshape(share, (-1,) + (1,) * (a.ndim - 1))
        return a * share + b * (1 - share)
