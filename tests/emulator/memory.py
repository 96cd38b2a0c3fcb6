"""Device memory: blocks with guard bytes, and the pools that keep them.

A block goes back to its pool when the last array on it dies, as in CuPy; what was recorded in a
graph holds raw memory alone, so that the reuse of blocks within a graph happens here as there.
"""

from __future__ import annotations

import bisect
import contextlib
import math
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import state
from .state import EmulationError, counters, current_device, current_stream

UNIT = 512
"""Bytes on whose multiples blocks start and end."""
GUARD = 2048
_MARK = 0xC3


class Block:
    """Memory of a device, between guard bytes."""

    def __init__(self, size: int, device_id: int) -> None:
        self.raw = np.empty(size + 2 * GUARD + UNIT, np.uint8)
        address = self.raw.ctypes.data
        self._start = -address % UNIT + GUARD
        self.origin = address
        self.ptr = address + self._start
        self.size = size
        self.device_id = device_id
        self.released = False
        self.in_graph = False
        self._requested = size
        self._guard(size)

    def _guard(self, requested: int) -> None:
        self._requested = requested
        self.raw[self._start - GUARD : self._start] = _MARK
        self.raw[self._start + requested : self._start + self.size + GUARD] = _MARK

    def hand_out(self, requested: int) -> None:
        """Guard what lies behind the bytes that are asked for.

        Not so where a graph knows the block: its other users may have asked for more.
        """
        if self.ptr not in _blocks:  # a new one, or one that came back from the garbage collector
            _register(self)
        self.in_graph |= state.is_capturing()
        self._guard(self.size if self.in_graph else requested)

    def check(self, name: str) -> None:
        """Raise where something wrote beyond the block."""
        before = self.raw[self._start - GUARD : self._start]
        behind = self.raw[self._start + self._requested : self._start + self.size + GUARD]
        for guard, where in ((before, "before"), (behind, "behind")):
            if guard.tobytes() == bytes([_MARK]) * guard.size:
                continue
            wrong = np.flatnonzero(guard != _MARK)
            byte = GUARD - int(wrong[0]) if where == "before" else int(wrong[-1]) + 1
            self._guard(self._requested)
            raise EmulationError(
                f"{name} wrote out of bounds: up to {byte} bytes {where} an allocation of "
                f"{self._requested} bytes"
            )


_starts: list[int] = []
_blocks: dict[int, weakref.ref[Block]] = {}


def _register(block: Block) -> None:
    bisect.insort(_starts, block.ptr)
    _blocks[block.ptr] = weakref.ref(block, lambda _, ptr=block.ptr: _forget(ptr))


def _forget(ptr: int) -> None:
    del _blocks[ptr]
    _starts.pop(bisect.bisect_left(_starts, ptr))


def bytes_at(pointer: int, count: int, what: str) -> tuple[Block, np.ndarray]:
    """Return the block of a raw device pointer, and ``count`` bytes from there."""
    place = bisect.bisect_right(_starts, pointer) - 1
    block = _blocks[_starts[place]]() if place >= 0 else None
    if block is None or pointer + count > block.ptr + block.size:
        raise EmulationError(f"{what}: {count} bytes at {pointer:#x} are not memory of a device")
    if block.device_id != current_device():
        raise EmulationError(
            f"{what}: memory of device {block.device_id}, current is {current_device()}"
        )
    start = pointer - block.origin
    return block, block.raw[start : start + count]


class Memory:
    """One use of a block, from its allocation on; its death gives the block back."""

    def __init__(self, block: Block | None, requested: int, give_back: Callable[[], None]) -> None:
        self.block = block
        self.ptr = 0 if block is None else block.ptr
        self.size = requested
        self.device_id = current_device() if block is None else block.device_id
        self._give_back = give_back

    def __del__(self) -> None:
        self._give_back()

    def __reduce__(self) -> Any:
        raise TypeError("memory of a device cannot be copied")


class MemoryPointer:
    """An address within a memory."""

    def __init__(self, mem: Memory, offset: int) -> None:
        self.mem = mem
        self.ptr = mem.ptr + offset
        self.device_id = mem.device_id

    def __int__(self) -> int:
        return self.ptr

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)

    @property
    def device(self) -> state.Device:
        """The device of the memory."""
        return state.Device(self.device_id)


def _nothing() -> None:
    pass


def raw(size: int) -> MemoryPointer:
    """Return memory that the driver gives, not a pool."""
    state.refuse_in_capture(f"cudaMalloc of {size} bytes")
    counters.device_mallocs += 1
    return MemoryPointer(Memory(Block(size, current_device()), size, _nothing), 0)


class MemoryPool:
    """Keeps the blocks that arrays leave, for arrays of the same size on the same stream.

    CuPy's would also cut a large block for a small array; that of equal size is what a second
    run of the same work finds there as well.
    """

    def __init__(self, allocator: Any = None) -> None:
        self._allocator = allocator or raw
        self._free: defaultdict[tuple[int, int], defaultdict[int, list[Block]]]
        self._free = defaultdict(lambda: defaultdict(list))
        self._used: defaultdict[int, int] = defaultdict(int)

    def malloc(self, size: int) -> MemoryPointer:
        """Return memory for ``size`` bytes."""
        if state.is_capturing() and self is default_pool:
            raise EmulationError(
                "an array was made from the default pool during a capture: the memory of a "
                "graph needs a pool of its own"
            )
        counters.allocations += 1
        if size == 0:
            return MemoryPointer(Memory(None, 0, _nothing), 0)
        device_id, rounded = current_device(), math.ceil(size / UNIT) * UNIT
        free = self._free[device_id, current_stream().ptr][rounded]
        if free:
            block = free.pop()
        else:
            state.refuse_in_capture(f"cudaMalloc of {rounded} bytes: the pool has no free block")
            block = self._allocator(rounded).mem.block
        block.hand_out(size)
        used = self._used
        used[device_id] += rounded

        def give_back() -> None:
            used[device_id] -= rounded
            free.append(block)

        return MemoryPointer(Memory(block, size, give_back), 0)

    def used_bytes(self) -> int:
        """Return the bytes of the current device that arrays hold."""
        return self._used[current_device()]

    def free_bytes(self) -> int:
        """Return the bytes of the current device that wait for arrays."""
        return sum(size * len(free) for size, free in self._free_lists())

    def total_bytes(self) -> int:
        """Return the bytes of the current device that the pool has taken."""
        return self.used_bytes() + self.free_bytes()

    def n_free_blocks(self) -> int:
        """Return how many blocks of the current device wait for arrays."""
        return sum(len(free) for _, free in self._free_lists())

    def free_all_blocks(self, stream: state.Stream | None = None) -> None:
        """Give blocks that wait back to the device."""
        if self.n_free_blocks():
            state.refuse_in_capture("cudaFree", anywhere=True)
        for _, free in self._free_lists(None if stream is None else stream.ptr):
            for block in free:
                block.released = True
            free.clear()

    def _free_lists(self, stream: int | None = None) -> Iterator[tuple[int, list[Block]]]:
        for (device_id, ptr), sizes in self._free.items():
            if device_id == current_device() and stream in (None, ptr):
                yield from sizes.items()


class _Allocator(threading.local):
    def __init__(self) -> None:
        self.chosen: Callable[[int], MemoryPointer] | None = None


default_pool = MemoryPool()
_allocator = _Allocator()
_for_all: Callable[[int], MemoryPointer] | None = None


def alloc(size: int) -> MemoryPointer:
    """Return memory from the current allocator."""
    return (_allocator.chosen or _for_all or default_pool.malloc)(size)


def set_allocator(allocator: Callable[[int], MemoryPointer] | None = None) -> None:
    """Choose the allocator of all threads; None is the default pool's."""
    global _for_all
    if _allocator.chosen is not None:
        raise ValueError("Can't change the global allocator inside `using_allocator` context")
    _for_all = allocator


def get_allocator() -> Callable[[int], MemoryPointer]:
    """Return the current allocator."""
    return _allocator.chosen or _for_all or default_pool.malloc


@contextlib.contextmanager
def using_allocator(allocator: Callable[[int], MemoryPointer]) -> Iterator[None]:
    """Choose the allocator of this thread within a context."""
    if allocator is None:
        raise NotImplementedError("arrays outside of pools are not emulated")
    previous, _allocator.chosen = _allocator.chosen, allocator
    try:
        yield
    finally:
        _allocator.chosen = previous


def get_default_memory_pool() -> MemoryPool:
    """Return the pool that serves where no other was chosen."""
    return default_pool


class PinnedMemoryPointer(bytearray):
    """Page-locked host memory: bytes like any others here."""

    @property
    def ptr(self) -> int:
        """The address."""
        return np.frombuffer(self, np.uint8).ctypes.data

    def size(self) -> int:
        """Return the number of bytes."""
        return len(self)


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    """Return page-locked host memory."""
    state.refuse_in_capture("cudaHostAlloc", anywhere=True)
    return PinnedMemoryPointer(size)
