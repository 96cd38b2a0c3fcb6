"""Sums over several GPUs, one for each process, by NCCL through CuPy."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from xpnet.arrays import Array
from xpnet.devices.base import Communicator, Device, DeviceError, first_line

__all__ = ["NcclCommunicator"]

_CURE = "install 'xpnet[nccl]' (with CUDA 12 'xpnet[nccl-cuda12]'), or choose processes='mpi'"


class NcclCommunicator(Communicator):
    """A communicator of NCCL's, whose work is queued on CuPy's current stream.

    Parameters
    ----------
    place : Device
        Of CuPy, and of this process alone.
    rank, size : int
    share : callable
        Returns on each rank what the first one gives.

    Raises
    ------
    DeviceError
        NCCL is missing, or cannot bring the processes together.
    """

    def __init__(self, place: Device, rank: int, size: int, share: Callable[[Any], Any]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of CuPy's, that it is missing
            self._nccl = importlib.import_module("cupy.cuda.nccl")
        if not self._nccl.available:
            raise DeviceError(f"processes='nccl' needs NCCL, which is not installed: {_CURE}")
        self._place = place
        identity = share(self._nccl.get_unique_id() if rank == 0 else None)
        try:
            with place.scope():
                self._joined = self._nccl.NcclCommunicator(size, identity, rank)
        except RuntimeError as error:
            raise DeviceError(
                f"NCCL cannot bring {size} processes together ({first_line(error)}): give each a "
                f"GPU of its own, or choose processes='mpi'"
            ) from error
        self._size = size

    def all_reduce(self, a: Array) -> None:
        """Add by ncclAllReduce, in place."""
        with self._place.scope():
            pointer, add = a.data.ptr, self._nccl.NCCL_SUM
            self._joined.allReduce(pointer, pointer, *self._numbers(a), add, self._stream)

    def all_gather(self, a: Array) -> Array:
        """Gather by ncclAllGather."""
        with self._place.scope():
            made = self._place.xp.empty((self._size * a.shape[0], *a.shape[1:]), dtype=a.dtype)
            self._joined.allGather(a.data.ptr, made.data.ptr, *self._numbers(a), self._stream)
        return made

    def _numbers(self, a: Array) -> tuple[int, int]:
        """Return how many real numbers an array has, and what NCCL calls their type."""
        parts = 2 if a.dtype.kind == "c" else 1
        real = np.dtype(f"f{a.dtype.itemsize // parts}")
        return parts * a.size, getattr(self._nccl, f"NCCL_{real.name.upper()}")

    @property
    def _stream(self) -> int:
        pointer: int = self._place.xp.cuda.get_current_stream().ptr
        return pointer
