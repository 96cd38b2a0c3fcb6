"""Processes that have a GPU each, between which NCCL adds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from xpnet.arrays import Array, namespace
from xpnet.devices import Communicator, Device, device_of
from xpnet.parallel.processes import Processes

__all__ = ["NCCL"]


class NCCL(Processes):
    """Processes whose arrays are added on their devices, within recorded steps too.

    Parameters
    ----------
    joined : Processes
        The same processes, brought together otherwise: what is small goes by them, and by them
        the devices come to know of one another.

    Notes
    -----
    The devices are brought together when they add for the first time.
    """

    name = "nccl"
    on_device = True

    def __init__(self, joined: Processes) -> None:
        super().__init__(joined.rank, joined.size, shards=joined.shards, exact=joined.exact)
        self.joined = joined
        self.local_rank = joined.local_rank
        self._communicators: dict[str, Communicator] = {}

    def _communicator(self, place: Device) -> Communicator:
        found = self._communicators.get(place.name)
        if found is None:
            found = place.communicator(self.rank, self.size, lambda a: self.exchange(a)[0])
            self._communicators[place.name] = found
        return found

    def all_reduce(self, a: Array) -> None:
        """Add them by the devices."""
        self._communicator(device_of(a)).all_reduce(a)

    def all_gather(self, pieces: Array, counts: Sequence[int]) -> Array:
        """Gather as many rows of each rank as of the one that has most, and leave out the rest."""
        xp, most = namespace(pieces), max(counts)
        missing = xp.zeros_like(pieces[:1, ...])
        full = xp.concat([pieces, *[missing] * (most - pieces.shape[0])])
        rows = self._communicator(device_of(pieces)).all_gather(full)
        starts = range(0, most * self.size, most)
        parts = zip(starts, counts, strict=True)
        return xp.concat([rows[start : start + count, ...] for start, count in parts])

    def exchange(self, value: Any) -> list[Any]:
        """Exchange them by what brought the processes together."""
        return self.joined.exchange(value)

    def abort(self, status: int = 1) -> None:
        """End all ranks by what brought the processes together."""
        self.joined.abort(status)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), self.joined), ()
