"""How loops are compiled and kept, and how they take arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numba.core.compiler_lock import global_compiler_lock

from xpnet import forks
from xpnet.arrays import Array
from xpnet.devices.host_code import recording
from xpnet.ops.numba.cache import MachineCode

DTYPES = (np.dtype("float32"), np.dtype("float64"))

forks.hold(global_compiler_lock)


class Loop:
    """A compiled loop that bodies call: what it was called with can be recorded.

    Parameters
    ----------
    function : callable
        It is compiled on first use; the machine code is kept on disk for the next process.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._run = inner(function)

    def __call__(self, *args: Any) -> Any:
        """Run it."""
        result = self._run(*args)
        calls = recording.get()
        if calls is not None:
            calls.add(self._run, args)
        return result


def inner(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function that loops call."""
    loop = njit(nogil=True, error_model="numpy", **options)(function)
    loop._cache = MachineCode(function)
    return loop


def reordering(function: Callable[..., Any]) -> Any:
    """Compile a function that loops call, whose sums may be taken in any order."""
    return inner(function, fastmath={"reassoc"})


@inner
def put(to, at, a, start, count):
    """Copy some numbers to others: an assignment of slices compiles for seconds, for its errors."""
    for i in range(count):
        to[at + i] = a[start + i]


def read_only(a: Array) -> Array:
    """Return a contiguous array that is only read: of one type, so that loops compile once."""
    if not (a.flags.c_contiguous and a.flags.aligned):
        a = np.array(a, order="C")
    a = a.view()
    a.flags.writeable = False
    return a


def flat(a: Array) -> Array:
    """Return all numbers of an array in a row, as :func:`read_only` does."""
    return read_only(a).reshape(-1)


def rounded_up(count: int, unit: int) -> int:
    """Return a count rounded up to whole units."""
    return -(-count // unit) * unit
