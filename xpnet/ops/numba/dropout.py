"""Dropout by Philox-4x64-10, in a compiled loop."""

from __future__ import annotations

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.dropout import dropout, dropout_backward
from xpnet.ops.numba.jit import DTYPES, Loop, flat
from xpnet.ops.numba.vectors import high_product
from xpnet.threadpool import split, worth


@Loop
def _philox_mask(x, y, mask, key_0, key_1, counter, rate, scale, first, last):
    """Draw as ops.dropout defines it: 8 numbers of 24 bits from each block of 4 words.

    Of the blocks from first to last.
    """
    drawn_before = np.uint64(counter[0])
    halves = np.empty(8, np.uint32)
    zero = x.dtype.type(0)
    for block in range(first, last):
        w0, w1 = np.uint64(block + 1), drawn_before
        w2, w3 = np.uint64(0), np.uint64(0)
        k0, k1 = key_0, key_1
        for _ in range(10):
            high_0 = high_product(np.uint64(0xD2E7470EE14C6C93), w0)
            high_1 = high_product(np.uint64(0xCA5A826395121157), w2)
            low_0 = np.uint64(0xD2E7470EE14C6C93) * w0
            low_1 = np.uint64(0xCA5A826395121157) * w2
            w0, w1, w2, w3 = high_1 ^ w1 ^ k0, low_1, high_0 ^ w3 ^ k1, low_0
            k0 += np.uint64(0x9E3779B97F4A7C15)
            k1 += np.uint64(0xBB67AE8584CAA73B)
        for place, word in enumerate((w0, w1, w2, w3)):
            halves[2 * place] = np.uint32(word & np.uint64(0xFFFFFFFF))
            halves[2 * place + 1] = np.uint32(word >> np.uint64(32))
        start = 8 * block
        for i in range(min(8, x.size - start)):
            drawn = np.float32(halves[i] >> np.uint32(8)) * np.float32(2.0**-24)
            factor = scale if drawn >= rate else zero
            mask[start + i] = factor
            y[start + i] = x[start + i] * factor


@dropout.register("numba")
def _dropout(
    x: Array, counter: Array, *, key: int, rate: float, scale: float
) -> tuple[Array, Array]:
    if x.dtype not in DTYPES:
        return NotImplemented
    y, mask = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
    keys = np.uint64(key & (2**64 - 1)), np.uint64(key >> 64)
    drawn = counter.reshape(1)
    rest = *keys, drawn, np.float32(rate), x.dtype.type(scale)
    given, into, factors = flat(x), y.reshape(-1), mask.reshape(-1)
    split(
        lambda first, last: _philox_mask(given, into, factors, *rest, first, last),
        (x.size + 7) // 8, worth(50.0 * x.size),
    )  # fmt: skip
    _count(drawn)
    return y, mask


@Loop
def _count(counter):
    counter[0] += 1


@Loop
def _masked(dy, mask, dx):
    for i in range(dy.size):
        dx[i] = dy[i] * mask[i]


@dropout_backward.register("numba")
def _dropout_backward(dy: Array, mask: Array) -> Array:
    if dy.dtype not in DTYPES or dy.dtype != mask.dtype or dy.shape != mask.shape:
        return NotImplemented
    dx = np.empty(dy.shape, dy.dtype)
    upper, factors, into = flat(dy), flat(mask), dx.reshape(-1)
    split(lambda a, b: _masked(upper[a:b], factors[a:b], into[a:b]), dy.size, worth(4.0 * dy.size))
    return dx
