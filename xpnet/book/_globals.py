# ruff: noqa: NPY002  (the book's programs call np.random.seed)
"""What the book holds globally: NumPy's random generator, and here a device beside it.

Everything is drawn on the host and moved, so a seed draws the same on every device.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from xpnet.arrays import Array
from xpnet.devices import CPU, Device, device
from xpnet.initializers import Init, initializer
from xpnet.random import Stream

__all__ = ["HostArray", "chosen", "permuted", "place", "uniform", "use", "weights", "zeros"]

HostArray: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_device: Device = CPU


def use(name: str | Device) -> Device:
    """Set where the book's networks and ``load_mnist`` put their arrays from now on.

    Parameters
    ----------
    name : str or Device
        As :func:`xpnet.device` takes it: ``"cpu"``, ``"gpu"`` ...

    Returns
    -------
    Device
    """
    global _device
    _device = device(name)
    return _device


def place() -> Device:
    """Return the device that :func:`use` set, at first the CPU."""
    return _device


class _GlobalGenerator(Stream):
    """NumPy's global generator in the clothes of a stream, for the rules of initial weights."""

    def normal(self, shape: tuple[int, ...], std: float = 1.0) -> HostArray:
        """Draw by ``np.random.randn``."""
        return std * np.random.randn(*shape)


def weights(init: Init, shape: tuple[int, ...], fan_in: int | None = None) -> Array:
    """Draw float64 weights; ``init`` is a standard deviation, ``"he"`` or ``"xavier"``."""
    stream, fan = _GlobalGenerator(0), fan_in or math.prod(shape[:-1])
    return place().asarray(initializer(init)(stream, shape, fan, shape[-1]))


def zeros(size: int) -> Array:
    """Return float64 zeros, where the book's arrays are put."""
    return place().asarray(np.zeros(size))


def uniform(shape: tuple[int, ...]) -> HostArray:
    """Draw numbers from [0, 1) by ``np.random.rand``."""
    return np.asarray(np.random.rand(*shape))


def chosen(n: int, count: int) -> HostArray:
    """Draw ``count`` of the numbers below n, with replacement, by ``np.random.choice``."""
    return np.random.choice(n, count)


def permuted(n: int) -> HostArray:
    """Return the numbers below n in the order of ``np.random.permutation``."""
    return np.random.permutation(n)
