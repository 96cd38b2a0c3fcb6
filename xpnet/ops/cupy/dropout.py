"""Dropout by Philox-4x64-10, in one CUDA kernel."""

from __future__ import annotations

import cupy

from xpnet.arrays import Array
from xpnet.ops.cupy import launch
from xpnet.ops.dropout import dropout


@dropout.register("cupy")
def _dropout(
    x: Array, counter: Array, *, key: int, rate: float, scale: float
) -> tuple[Array, Array]:
    kind = launch.kind_of(x)
    if kind is None:
        return NotImplemented
    x = launch.dense(x)
    y, mask = cupy.empty_like(x), cupy.empty_like(x)
    keys = (_signed(key % 2**64), _signed(key >> 64))
    blocks = max(1, -(-x.size // (8 * launch.THREADS)))  # a thread draws eight numbers
    arrived = launch.arrived() if blocks > 1 else None
    launch.kernel("dropout", kind)(
        (blocks,), (launch.THREADS,),
        (x, y, mask, counter, arrived, *keys, x.size, float(rate), float(scale)),
    )  # fmt: skip
    return y, mask


def _signed(word: int) -> int:
    """Return the whole number whose 64 bits, read with a sign, are those of a word."""
    return word - 2**64 if word >= 2**63 else word
