"""Launching kernels: their grids, and the arrays they take."""

from __future__ import annotations

import functools
from typing import Any

import cupy
import numpy as np

from xpnet.arrays import Array
from xpnet.ops.cupy import kernels

THREADS = 256
LIMIT = 2**31 - THREADS
"""More numbers than the largest array has that kernels count in 32 bits, whole blocks of them."""

CHANNELS = 2**16
"""More channels than a grid can have rows."""


@functools.cache
def kernel(name: str, kind: str) -> Any:
    """Return a kernel for a dtype, given by its character: "f" or "d"."""
    return _module(kind).get_function(name)


@functools.cache
def _module(kind: str) -> Any:
    real = {"f": "float", "d": "double"}[kind]
    return cupy.RawModule(code=kernels.source(), options=("-std=c++17", f"-DREAL={real}"))


def each(name: str, kind: str, size: int, *args: Any) -> None:
    """Launch a kernel with a thread for each of ``size`` numbers.

    Of its arguments None is a null pointer.
    """
    if size:
        kernel(name, kind)((-(-size // THREADS),), (THREADS,), args)


def each_place(
    name: str, kind: str, arrays: tuple[Array | None, ...], n: int, channels: int, rows: int,
    cols: int, *args: Any,
) -> None:  # fmt: skip
    """Launch a kernel with a thread for each place on (n, channels, rows, cols)."""
    if n and channels and rows and cols:
        kernel(name, kind)(
            (-(-n * rows * cols // THREADS), channels), (THREADS,),
            (*arrays, n, channels, rows, cols, divisor(rows), divisor(cols), *args),
        )  # fmt: skip


@functools.lru_cache(4096)
def divisor(d: int) -> int:
    """Return a number that kernels divide by, as they take it: a multiplication and a shift."""
    shift = (d - 1).bit_length()
    return -(-(1 << (31 + shift)) // d) + (shift << 32)


COUNTERS = 1024
"""Groups of blocks of a launch that can have a last one each."""


def arrived() -> Array:
    """Return what blocks count by which of them is the last; every launch leaves it at 0.

    Launches that may run at the same time, on several streams, need counters of their own.
    """
    return _counters(cupy.cuda.runtime.getDevice(), cupy.cuda.get_current_stream().ptr)


@functools.cache
def _counters(gpu: int, stream: int) -> Array:
    return cupy.zeros(COUNTERS, np.uint32)


def kind_of(*arrays: Array | None) -> str | None:
    """Return the one dtype of arrays that kernels take, as its character, or None."""
    kind = None
    for a in arrays:
        if a is None:
            continue
        own = a.dtype.char
        if (kind is not None and own != kind) or a.size >= LIMIT:
            return None
        kind = own
    return kind if kind == "f" or kind == "d" else None


def dense(a: Array) -> Array:
    """Return an array, or a copy of it, whose numbers lie side by side."""
    return a if a.flags.c_contiguous else cupy.ascontiguousarray(a)


def filled_kind(*arrays: Array | None) -> str | None:
    """Return the one dtype of arrays as :func:`kind_of` does; None if one of them is empty."""
    if any(a is not None and not a.size for a in arrays):
        return None
    return kind_of(*arrays)
