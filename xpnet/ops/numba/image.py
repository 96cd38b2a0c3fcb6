"""Images changed as bytes, in compiled loops that go over each pixel once."""

from __future__ import annotations

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.image import add_noise, cut_out, mix, strength, warp
from xpnet.ops.numba.jit import compiled, flat, read_only
from xpnet.threadpool import split, worth


@compiled
def _cells(size, last, cells, weights):
    """Fill in which nodes each row, or column, lies between, and how near to the second one."""
    for i in range(size):
        place = i * (256 * last) // max(1, size - 1)
        cells[i] = min(place >> 8, last - 1)
        t = place - (cells[i] << 8)
        weights[i] = (t * t * (768 - 2 * t)) >> 16


@compiled
def _warp_loop(x, matrices, nodes, fill, y, start, stop):
    _, channels, h, w = x.shape
    bent, knots = len(nodes) > 0, nodes.shape[2]
    cells, weights = np.zeros((2, max(h, w)), np.int64), np.zeros((2, max(h, w)), np.int64)
    moved = np.zeros((2, knots), np.int64)  # by the nodes' columns, in one row of pixels
    _cells(h, knots - 1, cells[0], weights[0])
    _cells(w, knots - 1, cells[1], weights[1])
    for s in range(start, stop):
        a, b, c, d, e, f = matrices[s]
        for i in range(h):
            if bent:
                for axis in range(2):
                    for k in range(knots):
                        above, below = (
                            nodes[s, axis, cells[0, i], k],
                            nodes[s, axis, cells[0, i] + 1, k],
                        )
                        moved[axis, k] = above * (256 - weights[0, i]) + below * weights[0, i]
            for j in range(w):
                v = np.int64(a) * i + np.int64(b) * j + c
                u = np.int64(d) * i + np.int64(e) * j + f
                if bent:
                    k, share = cells[1, j], weights[1, j]
                    v += (moved[0, k] * (256 - share) + moved[0, k + 1] * share) >> 16
                    u += (moved[1, k] * (256 - share) + moved[1, k + 1] * share) >> 16
                row, column = v >> 16, u >> 16
                down, right = (v >> 8) & 255, (u >> 8) & 255
                inside = row >= 0 and row + 1 < h and column >= 0 and column + 1 < w
                for k in range(channels):
                    image = x[s, k]
                    if inside:
                        upper = image[row, column] * (256 - right) + image[row, column + 1] * right
                        row_below = image[row + 1]
                        lower = row_below[column] * (256 - right) + row_below[column + 1] * right
                    else:
                        upper = _pair(image, row, column, right, fill)
                        lower = _pair(image, row + 1, column, right, fill)
                    y[s, k, i, j] = (upper * (256 - down) + lower * down + (1 << 15)) >> 16


@compiled
def _pair(image, row, column, right, fill):
    """Return two neighbours in a row, weighted; what lies outside is ``fill``."""
    h, w = image.shape
    left, other = np.int64(fill), np.int64(fill)
    if 0 <= row < h:
        if 0 <= column < w:
            left = np.int64(image[row, column])
        if 0 <= column + 1 < w:
            other = np.int64(image[row, column + 1])
    return left * (256 - right) + other * right


@warp.register("numba")
def _warp(x: Array, matrices: Array, nodes: Array | None, *, fill: int) -> Array:
    if x.dtype != np.uint8:
        return NotImplemented
    y = np.empty(x.shape, x.dtype)
    bends = np.zeros((0, 2, 2, 2), np.int64) if nodes is None else nodes.astype(np.int64)
    given = read_only(x), read_only(matrices), read_only(bends)
    split(
        lambda start, stop: _warp_loop(*given, fill, y, start, stop), len(x), worth(30.0 * x.size)
    )
    return y


@compiled
def _cut_loop(x, boxes, fill):
    n, channels, h, w = x.shape
    for s in range(n):
        top, bottom, left, right = boxes[s]
        for k in range(channels):
            for i in range(max(0, top), min(h, bottom)):
                for j in range(max(0, left), min(w, right)):
                    x[s, k, i, j] = fill


@cut_out.register("numba")
def _cut_out(x: Array, boxes: Array, *, fill: int) -> Array:
    if x.dtype != np.uint8:
        return NotImplemented
    y = np.array(x, order="C")
    _cut_loop(y, read_only(boxes), np.uint8(fill))
    return y


@compiled
def _noise_loop(x, keys, strength, y):
    for s in range(len(x)):
        for i in range(x.shape[1]):
            word = np.uint32(keys[s] + i * 0x9E3779B9)
            word = np.uint32((word ^ (word >> np.uint32(16))) * np.uint32(0x21F0AAAD))
            word = np.uint32((word ^ (word >> np.uint32(15))) * np.uint32(0x735A2D97))
            word ^= word >> np.uint32(15)
            four = np.int64(word & 255) + ((word >> 8) & 255) + ((word >> 16) & 255) + (word >> 24)
            moved = x[s, i] + (((four - 510) * strength + (1 << 15)) >> 16)
            y[s, i] = min(max(moved, 0), 255)


@add_noise.register("numba")
def _add_noise(x: Array, keys: Array, *, std: float) -> Array:
    if x.dtype != np.uint8:
        return NotImplemented
    y = np.empty(x.shape, x.dtype)
    _noise_loop(
        read_only(x).reshape(len(x), -1), read_only(keys), strength(std), y.reshape(len(x), -1)
    )
    return y


@compiled
def _mix_loop(x, partners, shares, y):
    for s in range(len(x)):
        share = np.int64(shares[s])
        for i in range(x.shape[1]):
            y[s, i] = (x[s, i] * share + partners[s, i] * (256 - share) + 128) >> 8


@mix.register("numba")
def _mix(x: Array, partners: Array, shares: Array) -> Array:
    if x.dtype != np.uint8 or partners.dtype != np.uint8:
        return NotImplemented
    y = np.empty(x.shape, x.dtype)
    rows = [flat(a).reshape(len(x), -1) for a in (x, partners)]
    _mix_loop(*rows, read_only(shares), y.reshape(len(x), -1))
    return y
