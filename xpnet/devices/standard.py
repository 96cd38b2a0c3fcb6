"""Devices of an array API library that has no file of its own, array-api-strict for one."""

from __future__ import annotations

import importlib
import re
from typing import Any

import numpy as np

from xpnet.arrays import Array, HostArray, library, namespace
from xpnet.devices.base import Device

__all__ = ["StandardDevice"]


class StandardDevice(Device):
    """A device of a library of which nothing is known but that it follows the standard."""

    @classmethod
    def named(cls, name: str) -> Device | None:
        """Return the device of ``"LIBRARY:DEVICE"``, the library's module and its device's name."""
        module, _, label = name.partition(":")
        xp = importlib.import_module(module)
        if hasattr(xp, "__array_namespace_info__"):
            for handle in xp.__array_namespace_info__().devices():
                if _label(handle) == label:
                    return cls.of(xp.empty(0, device=handle))
        return None

    @classmethod
    def of(cls, x: Array) -> Device:
        """Return the device that an array lies on."""
        found = library(x)
        return cls(f"{found.name}:{_label(x.device)}", found, x.device)

    @staticmethod
    def to_numpy(x: Array) -> HostArray:
        """Return an array's values, by way of the device that its library works on by default."""
        home = namespace(x).__array_namespace_info__().default_device()
        x = x.to_device(home)
        return np.asarray(x) if hasattr(x, "__array__") else np.from_dlpack(x)


def _label(handle: Any) -> str:
    """Return a device's name as its library writes it: what is in quotes where it is a call."""
    quoted = re.search(r"'([^']+)'", str(handle))
    return quoted[1] if quoted else str(handle)
