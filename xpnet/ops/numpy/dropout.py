"""Dropout by NumPy's own Philox generator."""

from __future__ import annotations

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.dropout import dropout


@dropout.register("numpy")
def _dropout(
    x: Array, counter: Array, *, key: int, rate: float, scale: float
) -> tuple[Array, Array]:
    bits = np.random.Philox(key=key, counter=int(counter) << 64)
    drawn = np.random.Generator(bits).random(x.shape, np.float32)
    counter += 1
    mask = np.multiply(drawn >= rate, scale, dtype=x.dtype)
    return x * mask, mask
