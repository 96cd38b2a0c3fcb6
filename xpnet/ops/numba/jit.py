"""How loops are compiled and kept, and how they take arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import config, njit

from xpnet.arrays import Array

DTYPES = (np.dtype("float32"), np.dtype("float64"))

# Numba notices when the file of a function changes, but not when one does that it calls
_SOURCES = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
_CACHE = Path(config.CACHE_DIR or Path(__file__).parent / "__pycache__") / (
    "xpnet-" + hashlib.blake2b(_SOURCES, digest_size=8).hexdigest()
)


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile on first use; the machine code is kept on disk for the next process."""
    before, config.CACHE_DIR = config.CACHE_DIR, str(_CACHE)
    try:
        return njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    finally:
        config.CACHE_DIR = before


def reordering(function: Callable[..., Any]) -> Any:
    """Compile a function whose sums may be taken in any order."""
    return compiled(function, fastmath={"reassoc"})


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
