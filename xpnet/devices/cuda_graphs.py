"""Work on a GPU recorded as CUDA graphs, through CuPy."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from xpnet.devices.base import Device, Recorder

__all__ = ["CudaGraphs"]


class CudaGraphs(Recorder):
    """A stream of a GPU, with a memory pool of its own for recordings.

    Parameters
    ----------
    place : Device
        Of CuPy.
    """

    def __init__(self, place: Device) -> None:
        self._place = place
        self._cuda = place.xp.cuda
        with place.scope():
            self._stream = self._cuda.Stream(non_blocking=True)
        self._shared = place.xp.get_default_memory_pool()
        self._pool = self._cuda.MemoryPool(functools.partial(_allocate, self._cuda, place.name))

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Queue on this stream what is done within this context."""
        with self._place.scope():
            self._cuda.get_current_stream().synchronize()
            with self._stream:
                try:
                    yield
                finally:
                    self._stream.synchronize()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return the launch of a graph of what ``work`` asks for.

        It is called twice: nothing can be asked of the driver while work is recorded, and so it is
        first done, and leaves in the recordings' memory what it will need there.
        """
        with self._cuda.using_allocator(self._pool.malloc):
            work()
            self._stream.begin_capture()
            try:
                work()
            except BaseException:
                with contextlib.suppress(Exception):  # of the recording that is given up
                    self._stream.end_capture()
                raise
            graph = self._stream.end_capture()
        return functools.partial(graph.launch, self._stream)

    def empty_cache(self) -> None:
        """Free the blocks that the default pool keeps for this stream."""
        self._stream.synchronize()
        self._shared.free_all_blocks(self._stream)

    def close(self) -> None:
        """Free the recordings' pool."""
        with self._place.scope():
            self.empty_cache()
            self._pool.free_all_blocks()


def _allocate(cuda: Any, name: str, size: int) -> Any:
    """Return memory from the driver, or raise what keeps the pool from giving blocks back.

    Where the driver has none left, a pool frees all that no array holds; but a recording needs its
    memory without arrays in it.
    """
    try:
        return cuda.MemoryPointer(cuda.Memory(size), 0)
    except cuda.runtime.CUDARuntimeError as error:
        raise MemoryError(
            f"{name} has no {size:,} bytes left for a recording of steps: graph='off' does without"
        ) from error
