"""An epoch whose position lies on the device: what a recorded step reads, and nothing else.

A step asks the device for the same work each time if whatever changes lies there: the order of the
samples, the scalars of the update, the counters of dropout, and the record of the epoch, whose
count of batches says which samples and which row of scalars come next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xpnet import ops
from xpnet.arrays import Array, namespace, real_dtype
from xpnet.data import Batches
from xpnet.layers import ArrayMap, Network
from xpnet.losses import Loss
from xpnet.ops.batch import RECORD
from xpnet.ops.update import COLUMNS, DeviceScalars
from xpnet.optimizers import Optimizer
from xpnet.threadpool import shares
from xpnet.training.callbacks import Callback, overrides
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
    callbacks : sequence of Callback
        Those with stages within the step take part.
    accumulate : int
        Parts that a batch is computed in.

    Attributes
    ----------
    after_backward, after_update : list of callable
        What is done to the gradients before the update, and to the parameters after it.
    callbacks : list of Callback
        Those that take part.
    """

    def __init__(
        self,
        net: Network,
        loss: Loss,
        optimizer: Optimizer,
        after_backward: AfterBackward | None = None,
        callbacks: Sequence[Callback] = (),
        accumulate: int = 1,
    ) -> None:
        self.net = net
        self.loss = loss
        self.optimizer = optimizer
        self.accumulate = accumulate
        before = [one for one in callbacks if overrides(one, "after_backward")]
        after = [one for one in callbacks if overrides(one, "after_update")]
        self.after_backward: list[AfterBackward] = [one.after_backward for one in before]
        if after_backward is not None:
            self.after_backward.insert(0, after_backward)
        self.after_update = [one.after_update for one in after]
        self.callbacks = before + [one for one in after if one not in before]

    @property
    def buffers(self) -> list[Array]:
        """The arrays beside the network's own that a step changes."""
        return [*self.optimizer.buffers, *(b for one in self.callbacks for b in one.buffers)]

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
        net, parts = self.net, min(self.accumulate, t.shape[0])
        if parts > 1:
            value, scores = self._in_parts(parts, x, t, weights, start)
        else:
            scores = net.forward(x, train=True, start=start)
            value = self.loss.forward(scores, t, weights)
            net.backward(self.loss.backward(), need_dx=False)
        self.update(scalars)
        return value, scores

    def add(
        self,
        batch: tuple[Array, Array, Array | None],
        stats: Stats,
        *,
        n: int,
        start: int = 0,
        scalars: DeviceScalars | None = None,
    ) -> None:
        """Make one update from a batch, and do the device's part of adding it to statistics.

        Parameters
        ----------
        batch : tuple
            Samples, targets, and weights or None.
        stats : Stats
        n : int
            The samples of the whole batch, of which other processes may have some.
        start, scalars
            As a call takes them.
        """
        value, scores = self(*batch, start=start, scalars=scalars)
        stats.add_on_device(value, scores, *batch[1:])

    def take_parts(self, other: Step) -> bool:
        """Become another step of the same network and rule; return whether a part is another."""
        own, others = self._told_apart(), other._told_apart()
        if own != others:
            vars(self).update(vars(other))
        return own != others

    def _told_apart(self) -> tuple[Any, ...]:
        """Return by what a step is told from another one of the same network and rule."""
        parts = [id(self.loss), *map(id, self.callbacks)]
        return self.accumulate, parts, self.after_backward, self.after_update

    def all_agree(self, well: bool) -> bool:
        """Return whether all went well wherever this step is made."""
        return well

    def agreed(self, stop: bool, signal: int | None, *, now: bool) -> tuple[bool, int | None]:
        """Return what :meth:`xpnet.training.steps.Runner.agreed` does."""
        return stop, signal

    def update(self, scalars: DeviceScalars | None = None) -> None:
        """Make the update from the gradients that are there."""
        net = self.net
        for change in self.after_backward:
            change(net.grads)
        if scalars is None:
            self.optimizer.update(net.params, net.grads)
        else:
            self.optimizer.apply(net.params, net.grads, scalars)
        for follow in self.after_update:
            follow(net.params)

    def _in_parts(
        self, parts: int, x: Array, t: Array, weights: Array | None, start: int
    ) -> tuple[Array, Array]:
        """Fill the gradients by passes over parts of a batch; return its mean loss and scores."""
        net, n = self.net, t.shape[0]
        flat: Any = net.grads.flat
        xp, losses, scores = namespace(flat), [], []
        total = xp.zeros_like(flat)
        for first, end in shares(n, parts):
            part = slice(first, end)
            given = None if weights is None else weights[part]
            scores.append(net.forward(x[part, ...], train=True, start=start))
            loss = self.loss.forward(scores[-1], t[part, ...], given)
            share = (end - first) / n if weights is None else _share(weights[part], weights)
            losses.append(loss * share)
            net.backward(self.loss.backward() * share, need_dx=False)
            total += flat
        flat[...] = total
        return xp.sum(xp.stack(losses)), xp.concat(scores)


def _share(some: Array, weights: Array) -> Array:
    """Return how much of a batch's weight some of its samples have."""
    xp = namespace(weights)
    total = xp.sum(weights)
    return xp.sum(some) / xp.where(total > 0, total, 1.0)


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
    size : int
        Samples that one of them has here.
    record : array, float64, a number for each of ``RECORD``
        Of the epoch's :class:`~xpnet.training.stats.Stats`.
    order : array, int64, or None
        The samples' numbers as the epoch takes them.
    """

    def __init__(self, step: Step, batches: Batches) -> None:
        place, self.step, self.batches = batches.device, step, batches
        self.full = batches.samples // batches.batch_size
        first, end = batches.own(0)
        self.size = end - first
        self.record = place.zeros(len(RECORD), "float64")
        self.order = place.zeros(len(batches.data), "int64") if batches.ordered else None
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
        if self.batches.draws is not None:
            self.batches.draws.begin(number)
        order = self.batches.own_order(number)
        if order is not None and self.order is not None:
            self.order[: order.shape[0]] = order

    def eager(self, number: int, factors: Sequence[float], stats: Stats) -> None:
        """Make a step by its number, each piece of work by itself."""
        optimizer = self.step.optimizer
        optimizer.bind(self.step.net.params, self.step.net.grads)
        self.lay_scalars(number, 1, factors)
        optimizer.lr_factor = factors[number]
        optimizer.steps += 1
        try:
            self._step(number * self.size, number, stats)
        except BaseException:
            optimizer.steps -= 1
            raise

    def ask(self, count: int, stats: Stats) -> None:
        """Ask for the next steps of full batches, with scalars from the device: to be recorded."""
        stats.loss = None  # a recording takes the memory that the work before it leaves free
        for _ in range(count):
            self._step(self.record, 0, stats)

    def _step(self, place: int | Array, number: int, stats: Stats) -> None:
        """Make a step of as many samples as a batch has, by its number, from a place on."""
        first, end = self.batches.own(number)
        *batch, start = self.batch(place, end - first)
        n = self.batches.size(number)
        self.step.add(tuple(batch), stats, n=n, start=start, scalars=self.scalars)

    def batch(self, first: int | Array, n: int) -> tuple[Array, Array, Array | None, int]:
        """Return n samples, targets, weights, and the layer that the samples are the input of."""
        data, net = self.batches.data, self.step.net
        if self.batches.draws is not None:
            x, t, *rest = self.batches.draws.batch(self.order, first, n)
            return x, t, rest[0] if rest else None, 0
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
