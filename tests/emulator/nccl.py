"""The module ``cupy.cuda.nccl``: what NCCL's sums over GPUs look like to the processes that ask.

Processes are threads here, each with a GPU of its own.  An operation is work of the stream that it
was given, written down in a capture as all other work, and done by a launch when all have come.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from functools import reduce
from types import ModuleType
from typing import Any

import numpy as np

from . import memory, state

TYPES = {
    "NCCL_INT8": (0, np.int8), "NCCL_UINT8": (1, np.uint8), "NCCL_INT32": (2, np.int32),
    "NCCL_UINT32": (3, np.uint32), "NCCL_INT64": (4, np.int64), "NCCL_UINT64": (5, np.uint64),
    "NCCL_FLOAT16": (6, np.float16), "NCCL_FLOAT32": (7, np.float32),
    "NCCL_FLOAT64": (8, np.float64),
}  # fmt: skip
NCCL_SUM = 0
PATIENCE = 60.0
"""Seconds that one waits for the others: real processes would wait for ever."""

_numbers = itertools.count(1)
_meetings: dict[bytes, _Meeting] = {}


def in_pairs(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Add neighbours first."""
    if len(arrays) == 1:
        return arrays[0]
    middle = len(arrays) // 2
    return in_pairs(arrays[:middle]) + in_pairs(arrays[middle:])


def one_after_the_other(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Add as around a ring."""
    return reduce(np.add, arrays)


add: Callable[[Sequence[np.ndarray]], np.ndarray] = in_pairs
"""How the arrays of ranks are added."""


class NcclError(RuntimeError):
    """An error of NCCL's."""


class _Meeting:
    """Where the threads of a communicator show one another memory."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=PATIENCE)
        self.shown: list[np.ndarray | None] = [None] * size
        self.asked: list[Any] = [None] * size
        self.devices: list[int] = [-1] * size


def get_unique_id() -> bytes:
    """Return what the ranks of a communicator are to be given."""
    return next(_numbers).to_bytes(128, "little")


class NcclCommunicator:
    """One rank's end of a communicator; made by all ranks at once."""

    def __init__(self, ndev: int, commId: bytes, rank: int) -> None:
        state.refuse_in_capture("ncclCommInitRank", anywhere=True)
        self._meeting = _meetings.setdefault(bytes(commId), _Meeting(ndev))
        self._rank, self._device = rank, state.current_device()
        meeting = self._meeting
        meeting.devices[rank] = self._device
        meeting.barrier.wait()
        if len(set(meeting.devices)) < ndev:
            raise NcclError("NCCL_ERROR_INVALID_USAGE: invalid usage (a GPU has several ranks)")

    def allReduce(  # noqa: N802 - its name
        self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int
    ) -> None:
        """Add the arrays of all ranks."""
        if op != NCCL_SUM:
            raise NotImplementedError("other reductions than a sum are not emulated")
        self._queue("ncclAllReduce", add, sendbuf, recvbuf, count, count, datatype, stream)

    def allGather(self, sendbuf: int, recvbuf: int, count: int, datatype: int, stream: int) -> None:  # noqa: N802
        """Lay the arrays of all ranks one behind the other."""
        total = count * len(self._meeting.shown)
        self._queue(
            "ncclAllGather", np.concatenate, sendbuf, recvbuf, count, total, datatype, stream
        )

    def _queue(
        self, name: str, work: Callable[[Sequence[np.ndarray]], np.ndarray], sent: int,
        received: int, count: int, total: int, datatype: int, stream: int,
    ) -> None:  # fmt: skip
        if state.current_device() != self._device:
            raise NcclError(f"NCCL_ERROR_INVALID_USAGE: {name} on another device")
        dtype = next(np.dtype(kind) for number, kind in TYPES.values() if number == datatype)
        meeting = self._meeting
        block, given = memory.bytes_at(sent, count * dtype.itemsize, name)
        into_block, into = memory.bytes_at(received, total * dtype.itemsize, name)

        def together() -> None:
            asked = (name, count, datatype)
            meeting.shown[self._rank], meeting.asked[self._rank] = given.view(dtype), asked
            meeting.barrier.wait()
            if any(other != asked for other in meeting.asked):
                raise NcclError(f"ranks differ in what they ask for: {meeting.asked}")
            found = work([a for a in meeting.shown if a is not None])
            meeting.barrier.wait()  # nobody reads any more
            into.view(dtype)[...] = found
            meeting.barrier.wait()

        queue = state.stream_of_pointer(stream)
        state.execute(name, together, (block, into_block), stream=queue)


def modules() -> dict[str, ModuleType]:
    """Return the module by its name."""
    made = ModuleType("cupy.cuda.nccl", "Emulated: see tests/emulator.")
    made.__dict__.update(
        {name: number for name, (number, _) in TYPES.items()},
        NCCL_SUM=NCCL_SUM,
        NcclCommunicator=NcclCommunicator,
        NcclError=NcclError,
        available=True,
        get_unique_id=get_unique_id,
    )
    return {made.__name__: made}
