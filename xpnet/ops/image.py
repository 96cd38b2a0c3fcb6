"""Images changed as bytes: the same ones on every library.

Coordinates are whole numbers with 16 bits after the point, weights of pixels have 8, and what is
rounded is rounded as whole numbers are: nothing depends on how a library computes with floats.
Images of floating-point numbers are changed at the same places, by the same weights.
"""

from __future__ import annotations

import math
from typing import Any

from xpnet.arrays import Array, dtype_name, namespace
from xpnet.ops.dispatch import op

__all__ = ["ONE", "STANDARD_DEVIATION", "add_noise", "cut_out", "mix", "strength", "warp"]

ONE = 1 << 16
"""One pixel, in coordinates."""

STANDARD_DEVIATION = (4 * (256**2 - 1) / 12) ** 0.5
"""Of the sum of four bytes, which stands for a normal number."""

_WORD = 0xFFFFFFFF


@op
def warp(x: Array, matrices: Array, nodes: Array | None, *, fill: int) -> Array:
    """Return images resampled, between pixels by bilinear interpolation.

    The pixel at row i and column j is taken from row ``a i + b j + c`` and column
    ``d i + e j + f`` of the image, each moved by a displacement that lies between those of the
    nearest four nodes.

    Parameters
    ----------
    x : array, shape (n, channels, h, w), uint8 or floating-point
    matrices : array, int32, shape (n, 6)
        (a, b, c, d, e, f) of each image, in units of ``1 / ONE``.
    nodes : array, int32, shape (n, 2, k, k), or None
        Displacements of rows and of columns on a grid from corner to corner, in units of
        ``1 / ONE``; in between the weights follow ``3 t^2 - 2 t^3``.
    fill : int
        What lies outside.

    Returns
    -------
    array, shape and dtype of x
    """
    xp, (n, channels, h, w) = namespace(x), x.shape
    rows = xp.arange(h, dtype=xp.int64, device=x.device)[:, None]
    columns = xp.arange(w, dtype=xp.int64, device=x.device)[None, :]
    m = xp.reshape(xp.astype(matrices, xp.int64), (n, 6, 1, 1))
    v = m[:, 0, ...] * rows + m[:, 1, ...] * columns + m[:, 2, ...]
    u = m[:, 3, ...] * rows + m[:, 4, ...] * columns + m[:, 5, ...]
    if nodes is not None:
        nodes = xp.astype(nodes, xp.int64)
        v = v + _between(nodes[:, 0, ...], h, w)
        u = u + _between(nodes[:, 1, ...], h, w)
    flat, total = xp.reshape(x, (n, channels, h * w)), None
    down, right = (v >> 8) & 255, (u >> 8) & 255
    for row, weight in ((v >> 16, 256 - down), ((v >> 16) + 1, down)):
        for column, share in ((u >> 16, 256 - right), ((u >> 16) + 1, right)):
            part = _pixels(flat, row, column, (h, w), fill) * _like(weight * share, x)[:, None, ...]
            total = part if total is None else total + part
    return _rounded(total, x, 16)


def _pixels(flat: Array, row: Array, column: Array, size: tuple[int, int], fill: int) -> Array:
    """Return the pixels at some places as int64, or as they are; ``fill`` outside."""
    xp, (n, channels, _), (h, w) = namespace(flat), flat.shape, size
    inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
    place = xp.reshape(xp.where(inside, row * w + column, 0), (n, 1, h * w))
    found = xp.take_along_axis(flat, xp.broadcast_to(place, flat.shape), axis=2)
    found = xp.reshape(_like(found, flat), (n, channels, h, w))
    return xp.where(inside[:, None, ...], found, fill)


def _between(nodes: Array, h: int, w: int) -> Array:
    """Return what lies between nodes (n, k, k) at the pixels of images: (n, h, w)."""
    xp = namespace(nodes)
    for axis, size in ((1, h), (2, w)):
        last = nodes.shape[axis] - 1
        place = xp.arange(size, dtype=xp.int64, device=nodes.device) * (256 * last)
        place = place // max(1, size - 1)
        cell = xp.minimum(place >> 8, last - 1)
        t = place - (cell << 8)
        weight = xp.reshape((t * t * (768 - 2 * t)) >> 16, (1, -1, 1) if axis == 1 else (1, 1, -1))
        before, after = (xp.take(nodes, cell + k, axis=axis) for k in (0, 1))
        nodes = before * (256 - weight) + after * weight
    return nodes >> 16


def _like(a: Array, x: Array) -> Array:
    """Return numbers as images are computed with: whole ones of bytes, or those of floats."""
    xp = namespace(a)
    return xp.astype(a, xp.int64 if dtype_name(x) == "uint8" else x.dtype)


def _rounded(total: Array, x: Array, bits: int) -> Array:
    """Return sums of pixels times weights as pixels again."""
    if dtype_name(x) == "uint8":
        return namespace(x).astype((total + (1 << (bits - 1))) >> bits, x.dtype)
    return total * 2.0**-bits


@op
def cut_out(x: Array, boxes: Array, *, fill: int) -> Array:
    """Return images with a box of one value in each.

    Parameters
    ----------
    x : array, shape (n, channels, h, w)
    boxes : array, int32, shape (n, 4)
        The first row and the one after the last, and columns likewise; they may lie outside.
    fill : int
        The value.
    """
    xp, (n, _, h, w) = namespace(x), x.shape
    rows = xp.arange(h, dtype=xp.int32, device=x.device)[None, :, None]
    columns = xp.arange(w, dtype=xp.int32, device=x.device)[None, None, :]
    top, bottom, left, right = (xp.reshape(boxes[:, k], (n, 1, 1)) for k in range(4))
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    return xp.where(inside[:, None, ...], xp.asarray(fill, dtype=x.dtype, device=x.device), x)


@op
def add_noise(x: Array, keys: Array, *, std: float) -> Array:
    """Return samples with noise, nearly normal, added to each number; bytes stay bytes.

    Parameters
    ----------
    x : array, shape (n, ...)
    keys : array, int64, shape (n,)
        From 0 to 2^32 - 1: the noise is a function of them.
    std : float
        The noise's standard deviation, in units of x.
    """
    xp, size = namespace(x), math.prod(x.shape[1:])
    places = xp.arange(size, dtype=xp.int64, device=x.device)[None, :]
    word = _scrambled(keys[:, None] + places * 0x9E3779B9)
    four = (word & 255) + ((word >> 8) & 255) + ((word >> 16) & 255) + (word >> 24)
    noise = xp.reshape(four - 510, x.shape)
    if dtype_name(x) == "uint8":
        moved = xp.astype(x, xp.int64) + ((noise * strength(std) + (1 << 15)) >> 16)
        return xp.astype(xp.minimum(xp.maximum(moved, 0), 255), x.dtype)
    return x + xp.astype(noise, x.dtype) * (std / STANDARD_DEVIATION)


def strength(std: float) -> int:
    """Return what a sum of four bytes is multiplied by, with 16 bits after the point."""
    return round(std / STANDARD_DEVIATION * ONE)


def _scrambled(word: Array) -> Array:
    """Return the low 32 bits of words, each bit of which depends on every bit before.

    The finalizer of Ettinger's search for 32-bit mixers of low bias, "hash-prospector", 2018.
    """
    word = word & _WORD
    word = ((word ^ (word >> 16)) * 0x21F0AAAD) & _WORD
    word = ((word ^ (word >> 15)) * 0x735A2D97) & _WORD
    return word ^ (word >> 15)


@op
def mix(x: Array, partners: Array, shares: Array) -> Array:
    """Return means of samples and their partners.

    Parameters
    ----------
    x, partners : array, shape (n, ...)
        Bytes stay bytes.
    shares : array, int32, shape (n,)
        Of x, from 0 to 256.
    """
    xp: Any = namespace(x)
    share = _like(xp.reshape(shares, (-1,) + (1,) * (x.ndim - 1)), x)
    total = _like(x, x) * share + _like(partners, x) * (256 - share)
    return _rounded(total, x, 8)
