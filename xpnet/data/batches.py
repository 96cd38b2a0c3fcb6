"""Batches: a data set in a new order each epoch, brought to the device a piece at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from xpnet.data.datasets import Dataset
from xpnet.device import Array, Device, device_of, namespace
from xpnet.device import device as find_device
from xpnet.layers.base import whole
from xpnet.random import Stream

__all__ = ["Batches"]

SHARE_OF_MEMORY = 0.5
"""The share of an accelerator's free memory that a data set may fill to be kept there whole."""


class Batches:
    """The batches of a data set, epoch by epoch.

    A set that fits stays on the device whole, in the dtype it has (bytes for pixels), and is
    gathered there.  One that does not fit is gathered on the host, by a thread that works ahead.

    Parameters
    ----------
    data : Dataset
    batch_size : int
        Samples in a batch; the last one of an epoch may be shorter.
    device : str or Device
        Where the batches shall be.
    shuffle : bool
        Whether each epoch has an order of its own, drawn from (seed, epoch).
    seed : int
    drop_last : bool
        Whether a last, shorter batch is left out.
    resident : bool, optional
        Whether the whole set is kept on the device; by default, if it fits.
    ahead : int
        How many batches are gathered ahead, where the set is not resident.
    """

    def __init__(
        self,
        data: Dataset,
        batch_size: int,
        *,
        device: str | Device = "cpu",
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        resident: bool | None = None,
        ahead: int = 2,
    ) -> None:
        whole("batch_size", batch_size, 1)
        whole("ahead", ahead, 0)
        if drop_last and batch_size > len(data):
            raise ValueError(
                f"batch_size: {batch_size} with drop_last leaves no batch of {len(data)} samples"
            )
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.ahead = ahead
        self.device = find_device(device)
        self.resident = _fits(data, self.device) if resident is None else resident
        self.data = data.to(self.device) if self.resident else data
        self._stream = Stream(seed, "batches")

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        whole, rest = divmod(len(self.data), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    @property
    def samples(self) -> int:
        """The number of samples in an epoch."""
        return min(len(self.data), len(self) * self.batch_size)

    def epoch(self, number: int) -> Iterator[tuple[Array, Array]]:
        """Yield (x, t) on the device until every sample was seen once.

        Parameters
        ----------
        number : int
            Which epoch, counted from 0: the same number gives the same batches.
        """
        place = self.device if self.resident else device_of(self.data.x)
        order = None
        if self.shuffle:
            order = place.asarray(self._stream.permutation(len(self.data), number))
        end = self.samples
        parts = [
            slice(start, min(start + self.batch_size, end))
            for start in range(0, end, self.batch_size)
        ]
        if self.resident:
            for part in parts:
                with self.device.scope():
                    batch = self._gather(part, order)
                yield batch
        else:
            yield from self._gathered_ahead(parts, order)

    def _gather(self, part: slice, order: Array | None) -> tuple[Array, Array]:
        x, t = self.data.x, self.data.t
        if order is None:
            return x[part, ...], t[part, ...]
        xp, chosen = namespace(x), order[part]
        return xp.take(x, chosen, axis=0), xp.take(t, chosen, axis=0)

    def _gathered_ahead(
        self, parts: list[slice], order: Array | None
    ) -> Iterator[tuple[Array, Array]]:
        waiting: deque[Future[Any]] = deque()
        with ThreadPoolExecutor(1, "xpnet-batches") as thread:
            for part in parts:
                waiting.append(thread.submit(self._gather, part, order))
                if len(waiting) > self.ahead:
                    yield self._moved(waiting.popleft().result())
            while waiting:
                yield self._moved(waiting.popleft().result())

    def _moved(self, batch: tuple[Array, Array]) -> tuple[Array, Array]:
        moved = self.data._with(*batch).to(self.device)
        return moved.x, moved.t


def _fits(data: Dataset, place: Device) -> bool:
    free = place.free_bytes()
    if free is None:
        return True
    needed = sum(a.dtype.itemsize * math.prod(a.shape) for a in (data.x, data.t))
    return bool(needed <= SHARE_OF_MEMORY * free)
