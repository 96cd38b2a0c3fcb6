"""Devices: where arrays live and which library computes on them.

``device("gpu:1")`` is the one selector.  A :class:`Device` pairs an array library's namespace
with that library's own device handle.  Each library has a file here with its subclass of
:class:`Device`, and a row below; these files and ``ops`` are the only places that know array
libraries by name.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from xpnet.arrays import Array, declare, library
from xpnet.checks import names_in
from xpnet.devices.base import Communicator, Device, DeviceError, Recorder
from xpnet.devices.cupy import CuPyDevice
from xpnet.devices.host import CPU, HostDevice
from xpnet.devices.standard import StandardDevice
from xpnet.devices.torch import TorchDevice

__all__ = [
    "CPU",
    "Communicator",
    "Device",
    "DeviceError",
    "Recorder",
    "device",
    "device_of",
    "register",
]

_by_library: dict[str, type[Device]] = {}

MEANT = {
    "cuda": "gpu",
    "cuda:0": "gpu:0",
    "cupy": "gpu",
    "numpy": "cpu",
    "torch": "torch:cpu",
    "torch:gpu": "torch:cuda:0",
} | {name: name for name in ("cpu", "gpu", "auto")}
"""The devices that names in lower case stand for in other libraries, or were to stand for."""


def register(library: str, kind: type[Device]) -> None:
    """Let a class make the devices of an array library.

    Parameters
    ----------
    library : str
        The library's name: that of its module.
    kind : type
        A subclass of :class:`Device`, in place of the one that the library had before.
    """
    _by_library[library] = kind
    has_current = kind.is_current is not Device.is_current
    declare(library, kind.to_numpy, kind.is_current if has_current else None)


register("numpy", HostDevice)
register("cupy", CuPyDevice)
register("torch", TorchDevice)


def device(name: str | Device) -> Device:
    """Return the device of a name, checked to work.

    Parameters
    ----------
    name : str or Device
        ``"cpu"`` (NumPy), ``"gpu"`` or ``"gpu:N"`` (CuPy), ``"torch:cpu"``, ``"torch:cuda"`` or
        ``"torch:cuda:N"`` (PyTorch), or ``"auto"``: the first GPU if CuPy can use one, else the
        CPU, never PyTorch's: ``device("auto").name`` says which.  ``"LIBRARY:DEVICE"`` is a device
        of another array API library that is imported already, named as that library names it.  A
        Device is returned as it is.

    Raises
    ------
    ValueError
        The name is none of these.
    DeviceError
        The device cannot be used; the message says why and what cures it.
    """
    if isinstance(name, Device):
        return name
    if name == "auto":
        with contextlib.suppress(DeviceError):
            return device("gpu")
        return CPU
    if isinstance(name, str):
        kinds = list(_by_library.values())
        module = name.partition(":")[0]
        if module in sys.modules and module not in _by_library:
            kinds.append(StandardDevice)
        for kind in kinds:
            found = kind.named(name)
            if found is not None:
                return found
    forms = ", ".join(repr(form) for kind in _by_library.values() for form in kind.forms)
    meant = MEANT.get(str(name).lower())
    cure = f": did you mean {meant!r}?" if meant else ""
    raise ValueError(f"device: expected {forms} or 'auto', got {name!r}{cure}")


def device_of(x: Array) -> Device:
    """Return the device that an array lies on: that of its name, too."""
    return _by_library.get(library(x).name, StandardDevice).of(x)


if not TYPE_CHECKING:  # which knows the names, and would know all with this
    __getattr__ = names_in(__name__, __all__)
