"""The fingerprint of a data set: what tells whether two runs saw the same samples in one order."""

from __future__ import annotations

import zlib

import numpy as np

from xpnet.arrays import Array, dtype_name, pieces, to_numpy
from xpnet.data.datasets import Dataset

__all__ = ["fingerprint"]

MOST_BYTES = 2**28
"""Of an array: of a larger one rows at even distances are looked at, as many as this holds."""

MOST_ROWS = 2**12
"""Those rows at the most: a disk finds each by itself."""


def fingerprint(data: Dataset) -> str:
    """Return a data set's shapes and dtypes and checksums of its numbers, in words.

    Equal on every array library and device.
    """
    weights = "" if data.weights is None else f", weights {_described(data.weights)}"
    return f"x {_described(data.x)}, t {_described(data.t)}{weights}"


def _described(array: Array) -> str:
    n, checksum = array.shape[0], 0
    step = max(1, -(-n * to_numpy(array[:1, ...]).nbytes // MOST_BYTES))
    if step > 1:
        step = max(step, -(-n // MOST_ROWS))
    for _, rows in pieces(array, step):
        checksum = zlib.crc32(np.ascontiguousarray(to_numpy(rows)).data, checksum)
    return f"{dtype_name(array)} {tuple(array.shape)} of checksum {checksum:08x}"
