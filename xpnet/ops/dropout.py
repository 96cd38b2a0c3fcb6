"""Dropout's mask, drawn where the array lies by the counter generator Philox-4x64-10."""

from __future__ import annotations

import math

from xpnet.arrays import Array, namespace
from xpnet.ops.dispatch import op

__all__ = ["dropout", "dropout_backward", "philox_uniform"]

_LOW = 0xFFFFFFFF
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS = 10

# A 64-bit word is a pair (low, high) of its 32-bit halves, each in an int64 array: the standard's
# libraries all have int64, few have the whole of uint64.  Products wrap modulo 2**64, which
# leaves their bits right.
Word = tuple[Array, Array]


@op
def dropout(
    x: Array, counter: Array, *, key: int, rate: float, scale: float
) -> tuple[Array, Array]:
    """Return ``x`` with each number zeroed with probability ``rate``, and the mask.

    The mask is a pure function of the key and the counter; the counter goes up by one.

    Parameters
    ----------
    x : array
    counter : array, int64, 0-d, on the device of x
        How many masks were drawn before; incremented in place.
    key : int
        The 128-bit Philox key.
    rate : float
        The share of zeros, 0 <= rate < 1.
    scale : float
        What the kept numbers are multiplied by.

    Returns
    -------
    y : array, shape of x
    mask : array of ``scale`` and 0, shape and dtype of x
    """
    xp = namespace(x)
    drawn = xp.reshape(philox_uniform(key, counter, math.prod(x.shape)), x.shape)
    counter += 1
    mask = xp.astype(drawn >= rate, x.dtype) * scale
    return x * mask, mask


@op
def dropout_backward(dy: Array, mask: Array) -> Array:
    """Return dx."""
    return dy * mask


def philox_uniform(key: int, counter: Array, size: int) -> Array:
    """Return ``size`` float32 numbers from [0, 1), bit for bit those NumPy draws.

    Equal to ``Generator(Philox(key=key, counter=int(counter) << 64)).random(size, float32)``.

    Parameters
    ----------
    key : int
        128 bits.
    counter : array, int64, 0-d
        The second word of the 256-bit counter; the first numbers the blocks from 1.
    size : int
        How many numbers.

    Returns
    -------
    array, float32, shape (size,), on the device of ``counter``
    """
    xp, device = namespace(counter), counter.device
    blocks = -(-size // 8)
    first = xp.arange(1, blocks + 1, dtype=xp.int64, device=device)
    zero = xp.zeros(blocks, dtype=xp.int64, device=device)
    step = zero + counter
    words = [_split(first), _split(step), (zero, zero), (zero, zero)]
    keys = [key & (2**64 - 1), key >> 64]
    for _ in range(_ROUNDS):
        words = _round(words, keys)
        keys = [(k + add) % 2**64 for k, add in zip(keys, _KEY_STEPS, strict=True)]
    halves = xp.reshape(xp.stack([half for word in words for half in word], axis=1), (-1,))
    return xp.astype(halves[:size] >> 8, xp.float32) * 2.0**-24


def _round(words: list[Word], keys: list[int]) -> list[Word]:
    high_0, low_0 = _product(_MULTIPLIERS[0], words[0])
    high_1, low_1 = _product(_MULTIPLIERS[1], words[2])
    return [_xor(high_1, words[1], keys[0]), low_1, _xor(high_0, words[3], keys[1]), low_0]


def _split(a: Array) -> Word:
    return a & _LOW, (a >> 32) & _LOW


def _xor(a: Word, b: Word, key: int) -> Word:
    return a[0] ^ b[0] ^ (key & _LOW), a[1] ^ b[1] ^ (key >> 32)


def _product(constant: int, word: Word) -> tuple[Word, Word]:
    """Return the high and the low word of the 128-bit product, by schoolbook halves."""
    c0, c1 = constant & _LOW, constant >> 32
    w0, w1 = word
    p00, p01, p10, p11 = (_split(p) for p in (w0 * c0, w1 * c0, w0 * c1, w1 * c1))
    middle = p00[1] + p01[0] + p10[0]
    upper = p01[1] + p10[1] + p11[0] + (middle >> 32)
    top = p11[1] + (upper >> 32)
    return (upper & _LOW, top & _LOW), (p00[0], middle & _LOW)
