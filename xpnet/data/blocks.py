"""An order for disks: blocks of neighbours at random, and some blocks at a time shuffled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnet.arrays import HostArray
from xpnet.checks import Constructible, check_fields, whole_number
from xpnet.random import Stream

__all__ = ["BlockOrder", "Blocks"]


@dataclass(frozen=True)
class Blocks(Constructible):
    """How samples are shuffled that lie on a disk, which is slow at random places.

    Blocks of neighbouring samples come in random order; the samples of some blocks, a window, are
    shuffled together.  The order of an epoch is a function of (seed, epoch, number of samples)
    alone and of these two; it is made a window at a time.

    Parameters
    ----------
    size : int
        Samples in a block: as many as take a disk about as long to read as to find.
    window : int
        Blocks that are shuffled together.  The more, the nearer to a shuffle of all; the system
        should have memory for so many.
    """

    size: int = 256
    window: int = 32

    def __post_init__(self) -> None:
        check_fields(self, size=_at_least_1, window=_at_least_1)


def _at_least_1(name: str, value: Any) -> int:
    return whole_number(name, value, 1)


class BlockOrder:
    """The numbers of samples in the order of an epoch, of which a slice is made when it is taken.

    Parameters
    ----------
    blocks : Blocks
    n : int
        The number of samples.
    stream : Stream
        What draws it.
    epoch : int
    by_place : ndarray, shape (n,), optional
        The samples' numbers in the order in which they lie, of which blocks are made; by default
        they lie by number.
    """

    def __init__(
        self,
        blocks: Blocks,
        n: int,
        stream: Stream,
        epoch: int,
        by_place: HostArray | None = None,
    ) -> None:
        self._size, self._many = min(blocks.size, n), blocks.window
        self._n, self._by_place = n, by_place
        self._stream, self._epoch = stream, epoch
        count = -(-n // self._size)
        self._blocks = stream.child("blocks").permutation(count, epoch)
        sizes = np.where(self._blocks == count - 1, n - (count - 1) * self._size, self._size)
        self._ends = np.cumsum(np.add.reduceat(sizes, np.arange(0, count, self._many)))
        self._kept: tuple[int, HostArray] | None = None

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, part: slice) -> HostArray:
        start, stop, _ = part.indices(self._n)
        found = [np.empty(0, np.int64)]
        while start < stop:
            number = int(np.searchsorted(self._ends, start, side="right"))
            end = int(self._ends[number])
            window = self._window(number)
            found.append(window[len(window) - (end - start) :][: stop - start])
            start = end
        return np.concatenate(found)

    def _window(self, number: int) -> HostArray:
        if self._kept is None or self._kept[0] != number:
            blocks = self._blocks[number * self._many : (number + 1) * self._many]
            places = (blocks[:, None] * self._size + np.arange(self._size)).reshape(-1)
            places = places[places < self._n]
            draw = self._stream.child("window").child(number)
            places = places[draw.permutation(len(places), self._epoch)]
            self._kept = number, places if self._by_place is None else self._by_place[places]
        return self._kept[1]
