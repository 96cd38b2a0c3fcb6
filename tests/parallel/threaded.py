"""Ranks as threads of one process: what MPI does, done by a barrier and a list."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import reduce
from typing import Any, TypeVar

from xpnet.arrays import Array, namespace
from xpnet.parallel import Processes

T = TypeVar("T")


class Meeting:
    """Where threads exchange what they have.

    Parameters
    ----------
    size : int
        How many come.
    order : sequence of int, optional
        In which arrays are added: by default as a balanced tree.
    """

    def __init__(self, size: int, order: Sequence[int] | None = None) -> None:
        self.size, self.order = size, order
        self.reduced = 0
        self._barrier = threading.Barrier(size, timeout=60)
        self._given: list[Any] = [None] * size

    def exchange(self, rank: int, value: Any) -> list[Any]:
        """Return what all give."""
        self._given[rank] = value
        self._barrier.wait()
        found = list(self._given)
        self._barrier.wait()
        return found

    def end(self) -> None:
        """Let nobody wait any more."""
        self._barrier.abort()


class Threaded(Processes):
    """One of several threads."""

    name = "threads"

    def __init__(self, rank: int, meeting: Meeting, **options: Any) -> None:
        super().__init__(rank, meeting.size, **{"shards": None, "exact": True, **options})
        self.meeting = meeting

    def all_reduce(self, a: Array) -> None:
        if self.rank == 0:
            self.meeting.reduced += 1
        arrays = [namespace(a).asarray(b, copy=True) for b in self.meeting.exchange(self.rank, a)]
        self.meeting.exchange(self.rank, None)  # all have copied
        if self.meeting.order is None:
            while len(arrays) > 1:
                pairs = zip(arrays[::2], arrays[1::2], strict=False)
                odd = arrays[len(arrays) // 2 * 2 :]
                arrays = [b + c for b, c in pairs] + odd
            a[...] = arrays[0]
        else:
            a[...] = reduce(lambda b, c: b + c, [arrays[k] for k in self.meeting.order])

    def all_gather(self, pieces: Array, counts: Sequence[int]) -> Array:
        found = self.meeting.exchange(self.rank, pieces)
        assert [one.shape[0] for one in found] == list(counts)
        whole = namespace(pieces).concat(found)
        self.meeting.exchange(self.rank, None)
        return whole

    def exchange(self, value: Any) -> list[Any]:
        return self.meeting.exchange(self.rank, value)

    def abort(self, status: int = 1) -> None:
        self.meeting.end()


def on_ranks(
    size: int,
    work: Callable[[Processes], T],
    order: Sequence[int] | None = None,
    **options: Any,
) -> list[T]:
    """Do some work on several ranks at once; return what each comes to, or raise its error."""
    meeting = Meeting(size, order)

    def alone(rank: int) -> T:
        try:
            return work(Threaded(rank, meeting, **options))
        except BaseException:
            meeting.end()
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(copy_context().run, alone, rank) for rank in range(size)]
    errors = [f.exception() for f in futures]
    real = [e for e in errors if e is not None and not isinstance(e, threading.BrokenBarrierError)]
    if real:
        raise real[0]
    return [f.result() for f in futures]
