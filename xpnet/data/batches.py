"""Batches: a data set in a new order each epoch, brought to the device a piece at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, TypeAlias

from xpnet import ops
from xpnet.arrays import Array
from xpnet.checks import Constructible, came, flag, instance, plain, whole_number
from xpnet.data.blocks import BlockOrder, Blocks
from xpnet.data.datasets import Dataset
from xpnet.data.draws import Draws
from xpnet.data.stored import StoredArray
from xpnet.devices import CPU, Device, device_of
from xpnet.devices import device as find_device
from xpnet.random import Stream

__all__ = ["Batches", "Shuffle"]

Shuffle: TypeAlias = bool | Literal["blocks"] | Blocks
"""Whether, or how, the samples of an epoch are put in an order of its own."""

SHARE_OF_MEMORY = 0.5
"""The share of an accelerator's free memory that a data set may fill to be kept there whole."""


class Batches(Constructible):
    """The batches of a data set, epoch by epoch.

    A set that fits stays on the device whole, in the dtype it has (bytes for pixels), and is
    gathered there.  One that does not fit, or lies in files, is gathered on the host, by a thread
    that works ahead, and brought over while the device computes.

    Parameters
    ----------
    data : Dataset
    batch_size : int
        Samples in a batch; the last one of an epoch may be shorter.
    device : str or Device
        Where the batches shall be.
    shuffle : bool, "blocks" or Blocks
        Whether each epoch has an order of its own, drawn from (seed, epoch); ``"blocks"``, or
        :class:`~xpnet.data.Blocks` of other sizes, is one for samples on a disk.
    seed : int
    drop_last : bool
        Whether a last, shorter batch is left out.
    resident : bool, optional
        Whether the whole set is kept on the device; by default, if it fits and is in memory.
    ahead : int
        How many batches are gathered ahead, where the set is not resident.
    augment : bool
        Whether samples of a set that is augmented are changed.
    rows : callable, optional
        Given the size of a batch, returns from and to which of its rows are wanted here: where
        several processes share batches.

    Attributes
    ----------
    draws : Draws or None
        What changes them.
    """

    def __init__(
        self,
        data: Dataset,
        batch_size: int,
        *,
        device: str | Device = "cpu",
        shuffle: Shuffle = True,
        seed: int = 0,
        drop_last: bool = False,
        resident: bool | None = None,
        ahead: int = 2,
        augment: bool = True,
        rows: Callable[[int], tuple[int, int]] | None = None,
    ) -> None:
        instance("data", data, Dataset, "Dataset(x, t)")
        batch_size = whole_number("batch_size", batch_size, 1)
        self.drop_last = flag("drop_last", drop_last)
        if self.drop_last and batch_size > len(data):
            raise ValueError(
                f"batch_size: {batch_size} with drop_last leaves no batch of {len(data)} samples"
            )
        self.batch_size = batch_size
        self.shuffle = _checked_shuffle(shuffle)
        self.ahead = whole_number("ahead", ahead)
        self.device = find_device(device)
        self.resident = fits(data, self.device) if resident is None else flag("resident", resident)
        if self.resident and data.stored:
            raise ValueError(
                f"resident: expected a data set in memory, got {data}: write resident=False, or "
                f"Batches(Dataset(numpy.asarray(data.x), numpy.asarray(data.t)), ...) to read it"
            )
        self.data = data.to(self.device if self.resident else device_of(data.x))
        self.draws = None
        if flag("augment", augment) and data.augmentation is not None:
            self.draws = Draws(self.data)
        self._rows = rows
        self._stream = Stream(seed, "batches")
        self._by_place = None
        if isinstance(self.shuffle, Blocks) and isinstance(data.x, StoredArray):
            self._by_place = data.x.by_place()

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        whole, rest = divmod(len(self.data), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    @property
    def samples(self) -> int:
        """The number of samples in an epoch."""
        return min(len(self.data), len(self) * self.batch_size)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[tuple[Array, ...]]:
        """Yield (x, t) on the device until every sample was seen once.

        Where the data set has weights, (x, t, weights).

        Parameters
        ----------
        number : int
            Which epoch, counted from 0: the same number gives the same batches.
        start : int
            The batch to begin with.
        """
        order = self.order(number)
        if self.draws is not None:
            with device_of(self.data.x).scope():
                self.draws.begin(number)
        numbers = range(start, len(self))
        if self.resident:
            for batch in numbers:
                with self.device.scope():
                    arrays = self._gather(batch, order)
                yield arrays
        else:
            yield from self.device.prefetch(self._gathered_ahead(numbers, order))

    @property
    def ordered(self) -> bool:
        """Whether the rows that are wanted here are others than those that lie next."""
        return bool(self.shuffle) or self._rows is not None

    def size(self, batch: int) -> int:
        """Return the samples of a batch, by its number in an epoch."""
        return min(self.batch_size, self.samples - batch * self.batch_size)

    def own(self, batch: int) -> tuple[int, int]:
        """Return from and to which of its rows a batch is wanted here."""
        n = self.size(batch)
        return (0, n) if self._rows is None else self._rows(n)

    def order(self, number: int) -> Array | BlockOrder | None:
        """Return the samples' numbers as an epoch takes them; None for as they lie.

        The array is on the device if the set is.  Of blocks it is made slice by slice, where the
        processor gathers.
        """
        place, n = self.device if self.resident else device_of(self.data.x), len(self.data)
        if isinstance(self.shuffle, Blocks):
            order = BlockOrder(self.shuffle, n, self._stream, number, self._by_place)
            return order if place == CPU else place.asarray(order[:])
        return place.asarray(self._stream.permutation(n, number)) if self.shuffle else None

    def own_order(self, number: int) -> Array | None:
        """Return the samples' numbers as an epoch takes them, of the rows that are wanted here.

        One batch after the other; None for all as they lie.
        """
        order = self.order(number)
        if self._rows is None:
            return order
        place = device_of(self.data.x)
        xp = place.xp
        with place.scope():
            whole = xp.arange(len(self.data)) if order is None else place.asarray(order[:])
            full, rest = divmod(self.samples, self.batch_size)
            first, end = self._rows(self.batch_size)
            rows = xp.reshape(whole[: self.samples - rest], (full, self.batch_size))[:, first:end]
            first, end = self._rows(rest)
            last = whole[self.samples - rest : self.samples][first:end]
            return xp.concat([xp.reshape(rows, (-1,)), last])

    def _gather(self, batch: int, order: Array | BlockOrder | None) -> tuple[Array, ...]:
        first, end = self.own(batch)
        start, n, data = batch * self.batch_size + first, end - first, self.data
        if self.draws is not None:
            return self.draws.batch(order, start, n)
        x, t = ops.batch.gather_batch(data.x, data.t, order, start, n=n)
        if data.weights is None:
            return x, t
        return x, t, ops.batch.gather(data.weights, order, start, n=n)

    def _gathered_ahead(
        self, numbers: range, order: Array | BlockOrder | None
    ) -> Iterator[tuple[Array, ...]]:
        waiting: deque[Future[Any]] = deque()
        with ThreadPoolExecutor(1, "xpnet-batches") as thread:
            for number in numbers:
                waiting.append(thread.submit(self._gather, number, order))
                if len(waiting) > self.ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


def _checked_shuffle(given: Any) -> bool | Blocks:
    value = plain(given)
    if isinstance(value, (bool, Blocks)):
        return value
    if isinstance(value, str) and value == "blocks":
        return Blocks()
    raise ValueError(
        f"shuffle: expected True, False, 'blocks' or Blocks(size, window), got {came(given)}"
    )


def fits(data: Dataset, place: Device) -> bool:
    """Return whether a data set may be kept on a device whole."""
    if data.stored:
        return False
    free = place.free_bytes()
    if free is None or device_of(data.x) == place:
        return True
    needed = sum(a.dtype.itemsize * math.prod(a.shape) for a in (data.x, data.t))
    return bool(needed <= SHARE_OF_MEMORY * free)
