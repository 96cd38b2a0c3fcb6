"""The host: NumPy arrays."""

from __future__ import annotations

import contextlib
import math
import tracemalloc
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from xpnet.arrays import Array, HostArray, library, to_numpy
from xpnet.devices.base import Allocations, Device, Recorder
from xpnet.devices.host_code import HostCode
from xpnet.devices.host_cores import several

__all__ = ["CPU", "HostDevice"]


class HostDevice(Device):
    """The processor and its memory, through NumPy."""

    records_loops: ClassVar[bool] = True
    records_on_one_core: ClassVar[bool] = not several()
    forms: ClassVar[tuple[str, ...]] = ("cpu",)

    @classmethod
    def named(cls, name: str) -> Device | None:
        """Return the one device there is."""
        return CPU if name == "cpu" else None

    @classmethod
    def of(cls, x: Array) -> Device:
        """Return the one device there is."""
        return CPU

    @staticmethod
    def to_numpy(x: Array) -> HostArray:
        """Return the array itself."""
        return np.asarray(x)

    def asarray(self, x: Array, dtype: str | None = None) -> Array:
        """Return ``x`` as a NumPy array; it may share memory with ``x``."""
        host = to_numpy(x)
        return host if dtype is None else host.astype(dtype, copy=False)

    def zeros(self, shape: int | tuple[int, ...], dtype: str) -> Array:
        """Return zeros that start on a multiple of 256 bytes."""
        itemsize = np.dtype(dtype).itemsize
        count = shape if isinstance(shape, int) else math.prod(shape)
        raw = np.zeros(count * itemsize + 256, np.uint8)
        start = -raw.ctypes.data % 256
        return raw[start : start + count * itemsize].view(dtype).reshape(shape)

    def recorder(self) -> Recorder:
        """Return a recorder of compiled loops."""
        return HostCode()

    @contextlib.contextmanager
    def allocations(self) -> Iterator[Allocations]:
        """Count what Python's allocators are asked for: NumPy and compiled code tell them."""
        traced = tracemalloc.is_tracing()
        if not traced:
            tracemalloc.start()
        try:
            yield _Traced()
        finally:
            if not traced:
                tracemalloc.stop()


class _Traced(Allocations):
    """Python's trace, from here on."""

    def __init__(self) -> None:
        self._before = tracemalloc.get_traced_memory()[0]
        self.restart()

    @property
    def held(self) -> int:
        return tracemalloc.get_traced_memory()[0] - self._before

    @property
    def peak(self) -> int:
        return tracemalloc.get_traced_memory()[1] - self._before

    def restart(self) -> None:
        tracemalloc.reset_peak()


CPU = HostDevice("cpu", library(np.empty(0)), "cpu")
