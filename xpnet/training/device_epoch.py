"""An epoch whose position lies on the device: what a recorded step reads, and nothing else.

A step asks the device for the same work each time if whatever changes lies there: the order of the
samples, the scalars of the update, the counters of dropout, and the record of the epoch, whose
count of batches says which samples and which row of scalars come next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xpnet import ops
from xpnet.arrays import Array, namespace, real_dtype
from xpnet.data import Batches
from xpnet.layers import ArrayMap, Network
from xpnet.losses import Loss
from xpnet.ops.batch import RECORD
from xpnet.ops.update import COLUMNS, DeviceScalars
from xpnet.optimizers import Optimizer
from xpnet.training.stats import Stats

__all__ = ["AfterBackward", "DeviceEpoch", "Step"]

AfterBackward = Callable[[ArrayMap], None]
"""What is done to a network's gradients between backward and update, in place."""

AHEAD = 128
"""Steps whose scalars are laid down at a time."""


class Step:
    """A training step: forward, loss, backward, update.

    Parameters
    ----------
    net : Network
    loss : Loss
    optimizer : Optimizer
    after_backward : callable, optional
        Gets the network's gradients before the update.
    """

    def __init__(
        self,
        net: Network,
        loss: Loss,
        optimizer: Optimizer,
        after_backward: AfterBackward | None = None,
    ) -> None:
        self.net = net
        self.loss = loss
        self.optimizer = optimizer
        self.after_backward = after_backward

    def __call__(
        self,
        x: Array,
        t: Array,
        weights: Array | None = None,
        *,
        start: int = 0,
        scalars: DeviceScalars | None = None,
    ) -> tuple[Array, Array]:
        """Make one update from a batch; return its mean loss and its scores.

        Parameters
        ----------
        x, t : array
        weights : array, shape (n,), optional
            How much each sample counts.
        start : int
            The layer that x is the input of.
        scalars : DeviceScalars, optional
            Where the update's scalars are looked up by the device; by default the optimizer
            counts a step and says what they are.
        """
        net = self.net
        scores = net.forward(x, train=True, start=start)
        value = self.loss.forward(scores, t, weights)
        net.backward(self.loss.backward(), need_dx=False)
        if self.after_backward is not None:
            self.after_backward(net.grads)
        if scalars is None:
            self.optimizer.update(net.params, net.grads)
        else:
            self.optimizer.apply(net.params, net.grads, scalars)
        return value, scores


class DeviceEpoch:
    """The steps of an epoch of a data set that is resident on a device.

    Parameters
    ----------
    step : Step
    batches : Batches

    Attributes
    ----------
    full : int
        Batches that are not short.
    record : array, float64, a number for each of ``RECORD``
        Of the epoch's :class:`~xpnet.training.stats.Stats`.
    order : array, int64, or None
        The samples' numbers as the epoch takes them.
    """

    def __init__(self, step: Step, batches: Batches) -> None:
        place, self.step, self.batches = batches.device, step, batches
        self.full = batches.samples // batches.batch_size
        self.record = place.zeros(len(RECORD), "float64")
        self.order = place.zeros(len(batches.data), "int64") if batches.shuffle else None
        names = tuple(step.optimizer.scalars(1))
        rows = place.zeros((len(batches), max(len(names), len(COLUMNS))), "float64")
        real = real_dtype(step.net.dtype)
        self.scalars = DeviceScalars(names, rows, self.record, real)
        self._laid: list[list[float]] = []  # the rows, as the host laid them down

    def begin(self, number: int, stats: Stats) -> None:
        """Go to an epoch, counted from 0, and there to where its statistics are."""
        self.record[...] = stats.record
        stats.record = self.record
        self._laid = [[]] * len(self.batches)
        order = self.batches.order(number)
        if order is not None and self.order is not None:
            self.order[...] = order

    def eager(self, number: int, factors: Sequence[float], stats: Stats) -> None:
        """Make a step by its number, each piece of work by itself."""
        optimizer, size = self.step.optimizer, self.batches.batch_size
        optimizer.bind(self.step.net.params, self.step.net.grads)
        self.lay_scalars(number, 1, factors)
        optimizer.lr_factor = factors[number]
        optimizer.steps += 1
        n = min(size, self.batches.samples - number * size)
        x, t, weights, start = self.batch(number * size, n)
        value, scores = self.step(x, t, weights, start=start, scalars=self.scalars)
        stats.add_on_device(value, scores, t, weights)

    def ask(self, count: int, stats: Stats) -> None:
        """Ask for the next steps of full batches, with scalars from the device: to be recorded."""
        stats.loss = None  # a recording takes the memory that the work before it leaves free
        for _ in range(count):
            x, t, weights, start = self.batch(self.record, self.batches.batch_size)
            value, scores = self.step(x, t, weights, start=start, scalars=self.scalars)
            stats.add_on_device(value, scores, t, weights)

    def batch(self, first: int | Array, n: int) -> tuple[Array, Array, Array | None, int]:
        """Return n samples, targets, weights, and the layer that the samples are the input of."""
        data, net = self.batches.data, self.step.net
        scale = net.input_scale
        x, t = ops.batch.gather_batch(
            data.x, data.t, self.order, first, n=n, scale=scale, dtype=net.dtype
        )
        weights = data.weights
        if weights is not None:
            weights = ops.batch.gather(weights, self.order, first, n=n)
        return x, t, weights, 0 if scale is None else 1

    def lay_scalars(self, number: int, count: int, factors: Sequence[float]) -> None:
        """Have the scalars of steps on the device, laid down anew where they changed."""
        if self._laid[number : number + count] == self._rows(number, count, factors):
            return
        ahead = min(AHEAD, len(factors) - number)
        rows = self._laid[number : number + ahead] = self._rows(number, ahead, factors)
        there = self.batches.device.asarray(rows, "float64")
        self.scalars.rows[number : number + ahead, : len(self.scalars.names)] = there

    def _rows(self, number: int, count: int, factors: Sequence[float]) -> list[list[float]]:
        optimizer, rows = self.step.optimizer, []
        for k in range(count):
            optimizer.lr_factor = factors[number + k]
            scalars = optimizer.scalars(optimizer.steps + k + 1)
            rows.append([float(scalars[name]) for name in self.scalars.names])
        return rows

    def go_elsewhere(self, number: int, count: int, factors: Sequence[float]) -> int:
        """Leave a step for another, of other samples, counters and rate; return its number.

        As many full batches follow as are wanted.  On the way a step is made, which moves all
        counters on.
        """
        other = number + 1 if number + 1 + count <= self.full else 0
        if self.order is not None:
            self.order[...] = namespace(self.order).roll(self.order, 1)
        self.step.optimizer.lr *= 0.9
        self.record[2] = float(other)
        self.eager(other, factors, Stats(self.batches.device, None, self.record))
        self.record[2] = float(other)
        return other
