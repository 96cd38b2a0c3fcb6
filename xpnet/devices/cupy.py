"""NVIDIA GPUs, through CuPy."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import numpy as np

from xpnet.arrays import Array, HostArray, library, namespace, to_numpy
from xpnet.devices.base import (
    Allocations,
    Communicator,
    Device,
    DeviceError,
    Recorder,
    first_line,
)
from xpnet.devices.cuda_graphs import CudaGraphs
from xpnet.devices.nccl import NcclCommunicator

__all__ = ["CuPyDevice"]


class CuPyDevice(Device):
    """A GPU, through CuPy."""

    records: ClassVar[bool] = True
    forms: ClassVar[tuple[str, ...]] = ("gpu", "gpu:N")

    @classmethod
    def named(cls, name: str) -> Device | None:
        """Return the GPU of ``"gpu"`` or ``"gpu:N"``."""
        match name.split(":"):
            case ["gpu"]:
                return _working(0)
            case ["gpu", index] if index.isdecimal():
                return _working(int(index))
        return None

    @classmethod
    def of(cls, x: Array) -> Device:
        """Return the GPU that an array lies on."""
        return cls(f"gpu:{x.device.id}", library(x), x.device)

    @staticmethod
    def to_numpy(x: Array) -> HostArray:
        """Return an array's values, copied from the GPU."""
        return np.asarray(x.get())

    @staticmethod
    def is_current(x: Array) -> bool:
        """Return whether an array lies on the GPU on which CuPy launches work as things are."""
        return bool(x.device.id == namespace(x).cuda.runtime.getDevice())

    def scope(self) -> AbstractContextManager[Any]:
        """Return a context in which CuPy works on this GPU."""
        return self._handle  # type: ignore[no-any-return]

    def work(self) -> AbstractContextManager[Any]:
        """Return the scope alone: what has touched a GPU cannot go on in a forked child."""
        return self.scope()

    def synchronize(self) -> None:
        """Wait for the current stream."""
        with self._handle:
            self.xp.cuda.get_current_stream().synchronize()

    def free_bytes(self) -> int | None:
        """Return the GPU's free memory in bytes, with what CuPy's pool keeps unused."""
        with self._handle:
            pooled = self.xp.get_default_memory_pool().free_bytes()
            return int(self.xp.cuda.runtime.memGetInfo()[0] + pooled)

    @contextlib.contextmanager
    def allocations(self) -> Iterator[Allocations]:
        """Count what a memory pool of its own gives out."""
        with self.scope():
            count = _Pool(self.xp.cuda.MemoryPool())
            with self.xp.cuda.using_allocator(count.malloc):
                yield count

    def prefetch(self, batches: Iterator[tuple[Array, ...]]) -> Iterator[tuple[Array, ...]]:
        """Copy groups on a stream of its own, from two sets of pinned buffers by turns."""
        with self.scope():
            staging = [_Staging(self), _Staging(self)]
        sent: deque[tuple[_Staging, tuple[Array, ...]]] = deque()
        try:
            for number, batch in enumerate(batches):
                buffers = staging[number % 2]
                with self.scope():
                    sent.append((buffers, buffers.send(tuple(map(to_numpy, batch)))))
                if len(sent) == 2:
                    yield self._arrived(*sent.popleft())
            while sent:
                yield self._arrived(*sent.popleft())
        finally:
            for buffers in staging:
                buffers.finish()

    def _arrived(self, buffers: _Staging, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        with self.scope():
            buffers.wait()
        return arrays

    def communicator(self, rank: int, size: int, share: Callable[[Any], Any]) -> Communicator:
        """Return a communicator of NCCL's."""
        return NcclCommunicator(self, rank, size, share)

    def host_memory(self, like: Array) -> HostArray:
        """Return page-locked memory."""
        return _pinned(like.shape, like.dtype)

    def copy_to_host(self, a: Array, into: HostArray) -> None:
        """Copy an array, and wait for it."""
        with self.scope():
            a.get(out=into)

    def recorder(self) -> Recorder:
        """Return a recorder of CUDA graphs."""
        return CudaGraphs(self)

    def describe(self) -> dict[str, str]:
        """Return what identifies this GPU, CUDA and CuPy."""
        runtime = self.xp.cuda.runtime
        return super().describe() | {
            "hardware": runtime.getDeviceProperties(self._handle.id)["name"].decode(),
            "cuda": str(runtime.runtimeGetVersion()),
        }


class _Pool(Allocations):
    """A memory pool, looked at whenever an array is made."""

    peak = 0

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def malloc(self, size: int) -> Any:
        """Return memory of the pool."""
        pointer = self._pool.malloc(size)
        self.peak = max(self.peak, self.held)
        return pointer

    @property
    def held(self) -> int:
        return int(self._pool.used_bytes())

    def restart(self) -> None:
        self.peak = self.held


class _Staging:
    """Pinned buffers on the host, and a stream that copies from them to a GPU."""

    def __init__(self, place: Device) -> None:
        self._xp = place.xp
        self._stream = place.xp.cuda.Stream(non_blocking=True)
        self._buffers: list[Any] = []
        self._sent: Any = None

    def send(self, batch: tuple[Array, ...]) -> tuple[Array, ...]:
        self.finish()
        arrays = tuple(self._xp.empty(a.shape, dtype=a.dtype) for a in batch)
        # their memory may be in use by what the current stream was asked to do before
        self._stream.wait_event(self._xp.cuda.get_current_stream().record())
        shapes = [(buffer.shape, buffer.dtype) for buffer in self._buffers]
        if shapes != [(a.shape, a.dtype) for a in batch]:
            self._buffers = [_pinned(a.shape, a.dtype) for a in batch]
        for buffer, own, values in zip(self._buffers, arrays, batch, strict=True):
            buffer[...] = values
            own.set(buffer, stream=self._stream)
        self._sent = self._stream.record()
        return arrays

    def finish(self) -> None:
        """Wait until the buffers are no longer being read."""
        if self._sent is not None:
            self._sent.synchronize()

    def wait(self) -> None:
        """Let the current stream wait until what was sent last has come."""
        self._xp.cuda.get_current_stream().wait_event(self._sent)


def _pinned(shape: tuple[int, ...], dtype: Any) -> HostArray:
    memory: HostArray = importlib.import_module("cupyx").empty_pinned(shape, dtype)
    return memory


@functools.cache
def _working(index: int) -> Device:
    wanted = f"device 'gpu:{index}'"
    try:
        cupy = importlib.import_module("cupy")
    except ModuleNotFoundError:
        raise DeviceError(
            f"{wanted} needs CuPy, which is not installed: {_INSTALL}, or choose device 'cpu'"
        ) from None
    except ImportError as error:
        raise DeviceError(f"{wanted}: CuPy does not import ({first_line(error)}); {_CTK}") from None
    with _cuda_failures(cupy, wanted):
        count = int(cupy.cuda.runtime.getDeviceCount())
    if count == 0:
        raise DeviceError(f"{wanted}: {_NO_GPU}")
    if index >= count:
        raise DeviceError(
            f"{wanted}: this machine has {count} GPU{'s' if count > 1 else ''}, "
            f"numbered from 0: choose 'gpu:{count - 1}' or lower"
        )
    handle = cupy.cuda.Device(index)
    with _cuda_failures(cupy, wanted), handle:
        square = cupy.ones((2, 2), dtype=cupy.float32)
        float((square @ square).sum())  # loads the compiler and cuBLAS, which may be missing
    return CuPyDevice(f"gpu:{index}", library(square), handle)


_INSTALL = (  # what the extras gpu and gpu-cuda12 name
    "run `pip install 'cupy-cuda13x[ctk]' nvmath-python` (CUDA 13) or "
    "`pip install 'cupy-cuda12x[ctk]' nvmath-python` (CUDA 12)"
)
_CTK = f"install CuPy together with the CUDA libraries: {_INSTALL}"
_NO_GPU = "the NVIDIA driver finds no GPU: check `nvidia-smi`, or choose device 'cpu'"


@contextlib.contextmanager
def _cuda_failures(cupy: Any, wanted: str) -> Iterator[None]:
    """Turn what CUDA raises while a GPU is first touched into one sentence with its cure."""
    try:
        yield
    except cupy.cuda.runtime.CUDARuntimeError as error:
        reason = first_line(error)
        if "InsufficientDriver" in reason:
            raise DeviceError(
                f"{wanted}: no NVIDIA driver, or one too old for CuPy's CUDA ({reason}); "
                f"install or update the driver, or choose device 'cpu'"
            ) from None
        if "NoDevice" in reason:
            raise DeviceError(f"{wanted}: {_NO_GPU}") from None
        raise DeviceError(
            f"{wanted} does not work ({reason}); check `nvidia-smi`, or choose device 'cpu'"
        ) from None
    except (ImportError, OSError, RuntimeError) as error:
        raise DeviceError(
            f"{wanted}: a CUDA library is missing ({first_line(error)}); {_CTK}"
        ) from None
