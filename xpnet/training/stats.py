"""The statistics of an epoch in progress, on the device until somebody asks."""

from __future__ import annotations

import time
from typing import NamedTuple

from xpnet import ops
from xpnet.arrays import Array, to_numpy
from xpnet.devices import Device, device_of
from xpnet.ops.batch import has_classes
from xpnet.training.metrics import Evaluation

__all__ = ["Partial", "Stats"]


class Partial(NamedTuple):
    """The statistics of the part of an epoch that is done, and so the position in it.

    Attributes
    ----------
    batches, samples : int
    record : list of float
        As :class:`Stats` keeps it.
    seconds : float
        That it took.
    """

    batches: int
    samples: int
    record: list[float]
    seconds: float


class Stats:
    """Summed loss, right answers and batches so far; see :func:`xpnet.ops.batch.update_stats`.

    Parameters
    ----------
    place : Device
    classes : bool
        Whether targets are classes.
    record : array, float64, shape (3,), optional
        Zeros, where the sums are to be kept; by default a new array.

    Attributes
    ----------
    batches, samples : int
        As the host counts them.
    loss : array, 0-d, or None
        The mean loss of the last batch, on the device: ``float`` waits for it.  It holds until
        the next step.
    """

    def __init__(self, place: Device, classes: bool, record: Array | None = None) -> None:
        self.since = time.perf_counter()
        self.batches = 0
        self.samples = 0
        self.classes = classes
        self.loss: Array | None = None
        self.record = place.zeros(3, "float64") if record is None else record

    def add(self, loss: Array, scores: Array, targets: Array) -> None:
        """Add a batch."""
        self.add_on_device(loss, scores, targets)
        self.count(scores.shape[0])

    def add_on_device(self, loss: Array, scores: Array, targets: Array) -> None:
        """Do the device's part of adding a batch."""
        self.loss = loss
        self.classes = self.classes and has_classes(scores, targets)
        ops.batch.update_stats(self.record, scores, targets, loss, classes=self.classes)

    def count(self, samples: int, batches: int = 1) -> None:
        """Do the host's part of adding batches."""
        self.batches += batches
        self.samples += samples

    def saved(self) -> Partial:
        """Return all of it, to go on from; waits for the device."""
        seconds = time.perf_counter() - self.since
        return Partial(self.batches, self.samples, to_numpy(self.record).tolist(), seconds)

    def restore(self, partial: Partial) -> None:
        """Go on from what :meth:`saved` returned."""
        self.batches, self.samples = partial.batches, partial.samples
        self.record = device_of(self.record).asarray(partial.record)
        self.since -= partial.seconds

    def result(self) -> Evaluation:
        """Return the means so far; waits for the device."""
        n = max(self.samples, 1)
        loss, right, _ = map(float, to_numpy(self.record))
        return Evaluation(loss / n, right / n if self.classes else None, self.samples)
