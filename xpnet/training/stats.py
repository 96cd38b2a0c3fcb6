"""The statistics of an epoch in progress, on the device until somebody asks."""

from __future__ import annotations

import time
from typing import NamedTuple

from xpnet import ops
from xpnet.arrays import Array, to_numpy
from xpnet.devices import Device, device_of
from xpnet.ops.batch import RECORD, Answers
from xpnet.training.metrics import Evaluation

__all__ = ["Partial", "Stats"]


class Partial(NamedTuple):
    """The statistics of the part of an epoch that is done, and so the position in it.

    Attributes
    ----------
    batches, samples : int
    record : dict of str to float
        As :class:`Stats` keeps it, by the names of ``RECORD``.
    seconds : float
        That it took.
    """

    batches: int
    samples: int
    record: dict[str, float]
    seconds: float


class Stats:
    """Summed losses, right answers and errors so far; see :func:`xpnet.ops.batch.update_stats`.

    Parameters
    ----------
    place : Device
    answers : Answers or None
        What scores answer, as :meth:`xpnet.losses.Loss.answers` says.
    record : array, float64, shape (7,), optional
        Zeros, where the sums are to be kept; by default a new array.

    Attributes
    ----------
    batches, samples : int
        As the host counts them.
    loss : array, 0-d, or None
        The mean loss of the last batch, on the device: ``float`` waits for it.  It holds until
        the next step.
    """

    def __init__(self, place: Device, answers: Answers | None, record: Array | None = None) -> None:
        self.since = time.perf_counter()
        self.batches = 0
        self.samples = 0
        self.answers = answers
        self.loss: Array | None = None
        self.record = place.zeros(len(RECORD), "float64") if record is None else record

    def add(self, loss: Array, scores: Array, targets: Array, weights: Array | None = None) -> None:
        """Add a batch."""
        self.add_on_device(loss, scores, targets, weights)
        self.count(scores.shape[0])

    def add_on_device(
        self, loss: Array, scores: Array, targets: Array, weights: Array | None = None
    ) -> None:
        """Do the device's part of adding a batch."""
        self.loss = loss
        ops.batch.update_stats(self.record, scores, targets, loss, weights, answers=self.answers)

    def add_record(self, record: Array, loss: Array) -> None:
        """Do the device's part of adding a batch by its record and its mean loss."""
        self.loss = loss
        self.record += record

    def count(self, samples: int, batches: int = 1) -> None:
        """Do the host's part of adding batches."""
        self.batches += batches
        self.samples += samples

    def saved(self) -> Partial:
        """Return all of it, to go on from; waits for the device."""
        seconds = time.perf_counter() - self.since
        return Partial(self.batches, self.samples, self._sums(), seconds)

    def restore(self, partial: Partial) -> None:
        """Go on from what :meth:`saved` returned."""
        self.batches, self.samples = partial.batches, partial.samples
        sums = {"weight": float(partial.samples)} | partial.record  # as before samples had weights
        place = device_of(self.record)
        self.record = place.asarray([sums.get(name, 0.0) for name in RECORD], "float64")
        self.since -= partial.seconds

    def result(self) -> Evaluation:
        """Return the means so far; waits for the device."""
        sums = self._sums()
        n, given = sums["weight"] or 1.0, sums["answers"] or 1.0
        measured = Evaluation(sums["loss"] / n, None, self.samples)
        if self.answers is None:
            return measured
        if not self.answers.right_or_wrong:
            return measured._replace(mean_absolute_error=sums["absolute_error"] / given)
        whole = sums["wholly_right"] / n if given > n else None
        return measured._replace(accuracy=sums["right"] / given, exact_match=whole)

    def _sums(self) -> dict[str, float]:
        return dict(zip(RECORD, map(float, to_numpy(self.record)), strict=True))
