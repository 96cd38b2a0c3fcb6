"""PyTorch's devices."""

from __future__ import annotations

import functools
import importlib
from typing import Any, ClassVar

from xpnet.arrays import Array, HostArray, library
from xpnet.devices.base import Device, DeviceError

__all__ = ["TorchDevice"]


class TorchDevice(Device):
    """A processor or a GPU, through PyTorch."""

    forms: ClassVar[tuple[str, ...]] = ("torch:cpu", "torch:cuda:N")

    @classmethod
    def named(cls, name: str) -> Device | None:
        """Return the device of ``"torch:cpu"``, ``"torch:cuda"`` or ``"torch:cuda:N"``."""
        match name.split(":"):
            case ["torch", "cpu"]:
                return _working("cpu")
            case ["torch", "cuda"]:
                return _working("cuda:0")
            case ["torch", "cuda", index] if index.isdecimal():
                return _working(f"cuda:{index}")
        return None

    @classmethod
    def of(cls, x: Array) -> Device:
        """Return the device that a tensor lies on."""
        return _device(x, x.device)

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


def _device(x: Array, handle: Any) -> Device:
    return TorchDevice(f"torch:{handle}", library(x), handle)


@functools.cache
def _working(handle_name: str) -> Device:
    wanted = f"device 'torch:{handle_name}'"
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        raise DeviceError(
            f"{wanted} needs PyTorch, which is not installed: run `pip install torch`, "
            f"or choose device 'cpu'"
        ) from None
    handle = torch.device(handle_name)
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
    return _device(torch.empty(0), handle)
