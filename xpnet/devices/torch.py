"""PyTorch's devices."""

from __future__ import annotations

import contextlib
import functools
import importlib
import re
import weakref
from collections.abc import Iterator
from typing import Any, ClassVar

from xpnet.arrays import Array, HostArray, library
from xpnet.devices.base import Allocations, Device, DeviceError, first_line

__all__ = ["TorchDevice"]


class TorchDevice(Device):
    """A processor or a GPU, through PyTorch."""

    forms: ClassVar[tuple[str, ...]] = ("torch:cpu", "torch:cuda:N")

    @classmethod
    def named(cls, name: str) -> Device | None:
        """Return the device of ``"torch:cpu"``, ``"torch:cuda:N"`` or another type of PyTorch's."""
        found = re.fullmatch(r"torch:([a-z]+(?::\d+)?)", name)
        if found is None:
            return None
        return _working("cuda:0" if found[1] == "cuda" else found[1])

    @classmethod
    def of(cls, x: Array) -> Device:
        """Return the device that a tensor lies on."""
        return cls(f"torch:{x.device}", library(x), x.device)

    @staticmethod
    def to_numpy(x: Array) -> HostArray:
        """Return a tensor's values, of a lazy conjugate or one that records gradients too."""
        host: HostArray = x.detach().cpu().resolve_conj().numpy()
        return host

    def synchronize(self) -> None:
        """Wait for a GPU."""
        if self._handle.type == "cuda":
            importlib.import_module("torch").cuda.synchronize(self._handle)

    def free_bytes(self) -> int | None:
        """Return the free memory of a GPU in bytes, None for the processor."""
        if self._handle.type == "cuda":
            return int(importlib.import_module("torch").cuda.mem_get_info(self._handle)[0])
        return None

    @contextlib.contextmanager
    def allocations(self) -> Iterator[Allocations]:
        """Count the storages of the tensors that operations return."""
        dispatch = importlib.import_module("torch.utils._python_dispatch")
        count = _Storages()

        class Counting(dispatch.TorchDispatchMode):  # type: ignore[misc, name-defined]
            def __torch_dispatch__(
                self, function: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                result = function(*args, **(kwargs or {}))
                for one in result if isinstance(result, (list, tuple)) else [result]:
                    if hasattr(one, "untyped_storage"):
                        count.add(one.untyped_storage())
                return result

        with Counting():
            yield count


class _Storages(Allocations):
    """Storages of tensors, as long as they live."""

    held = 0
    peak = 0

    def __init__(self) -> None:
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def add(self, storage: Any) -> None:
        """Count a storage, if it is new, until it is freed."""
        if storage not in self._known:
            self._known.add(storage)
            size = storage.nbytes()
            weakref.finalize(storage, self._freed, size)
            self.held += size
            self.peak = max(self.peak, self.held)

    def _freed(self, size: int) -> None:
        self.held -= size

    def restart(self) -> None:
        self.peak = self.held


@functools.cache
def _working(handle_name: str) -> Device | None:
    wanted = f"device 'torch:{handle_name}'"
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        raise DeviceError(
            f"{wanted} needs PyTorch, which is not installed: run `pip install torch`, "
            f"or choose device 'cpu'"
        ) from None
    try:
        handle = torch.device(handle_name)
    except RuntimeError:
        return None
    if handle.type == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError(
                f"{wanted}: this PyTorch finds no usable GPU: check `nvidia-smi` and that "
                f"PyTorch is a CUDA build, or choose device 'torch:cpu'"
            )
        if handle.index >= torch.cuda.device_count():
            raise DeviceError(
                f"{wanted}: PyTorch sees {torch.cuda.device_count()} GPU(s), numbered from 0"
            )
    try:
        return TorchDevice.of(torch.empty(0, device=handle))
    except (AssertionError, ImportError, RuntimeError) as error:
        raise DeviceError(
            f"{wanted}: this PyTorch cannot use it ({first_line(error).split('. ')[0]}); "
            f"choose device 'torch:cpu'"
        ) from None
