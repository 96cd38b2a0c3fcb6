"""What NumPy's bodies ask of dtypes."""

from __future__ import annotations

from xpnet.arrays import Array


def mixed(x: Array, W: Array) -> bool:
    """Return whether two arrays are not of one real dtype."""
    return bool(x.dtype != W.dtype or x.dtype.kind != "f")
