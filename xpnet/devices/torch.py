"""PyTorch's devices."""

from __future__ import annotations

import functools
import importlib
import re
from typing import ClassVar

from xpnet.arrays import Array, HostArray, library
from xpnet.devices.base import Device, DeviceError, first_line

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
