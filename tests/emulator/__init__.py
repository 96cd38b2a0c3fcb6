"""An emulated CuPy: code written for it, CUDA kernels included, runs without a GPU.

``install()`` puts the modules ``cupy``, ``cupyx`` and ``nvmath`` (cuBLASLt alone) in the place of
the real ones, ``uninstall()`` takes them away.  What is computed is computed by NumPy and by the
kernels themselves, compiled for the host; what a GPU leaves undefined, and what is not emulated,
raises.
"""

from __future__ import annotations

import sys
from types import ModuleType

from . import state
from .state import EmulationError, counters

__all__ = ["EmulationError", "counters", "install", "uninstall"]

_REPLACED = ("cupy", "cupyx", "nvmath", "array_api_compat.cupy")
_hidden: dict[str, ModuleType] = {}


def _take_away() -> dict[str, ModuleType]:
    """Remove all modules of the libraries that are replaced, and return them."""
    names = [
        name
        for name in sys.modules
        if any(name == library or name.startswith(f"{library}.") for library in _REPLACED)
    ]
    compat = sys.modules.get("array_api_compat")
    if compat is not None and hasattr(compat, "cupy"):
        del compat.cupy
    return {name: sys.modules.pop(name) for name in names}


def install(devices: int = 2) -> None:
    """Put the emulated modules into ``sys.modules``, and set all counters to 0.

    Parameters
    ----------
    devices : int
        How many GPUs there are; with 0 the first use of one fails as without a GPU.
    """
    from . import cublaslt, namespace, nccl

    _hidden.update(_take_away())
    state.configure(devices)
    sys.modules.update(namespace.modules() | cublaslt.modules() | nccl.modules())


def uninstall() -> None:
    """Put back what was there before ``install``.

    Whoever keeps arrays or modules of the emulator, or knows libraries by the type of their
    arrays, still has them.
    """
    _take_away()
    sys.modules.update(_hidden)
    _hidden.clear()
