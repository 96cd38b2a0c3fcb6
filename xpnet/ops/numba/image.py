"""Images changed as bytes, in compiled loops that go over each pixel once."""

from __future__ import annotations

import math

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.image import ONE, add_noise, cut_out, mix, strength, warp
from xpnet.ops.numba.jit import Loop, flat, inner, put, read_only
from xpnet.threadpool import split, worth


@inner
def _cells(size, last, cells, weights):
    """Fill in which nodes each row, or column, lies between, and how near to the second one."""
    for i in range(size):
        place = i * (256 * last) // max(1, size - 1)
        cells[i] = min(place >> 8, last - 1)
        t = place - (cells[i] << 8)
        weights[i] = (t * t * (768 - 2 * t)) >> 16


@inner
def _bend(nodes, s, i, cells, weights, moved, v, u):
    """Add to the places of row i what the field of image s moves them by."""
    for axis in range(2):
        for k in range(moved.shape[1]):
            above, below = nodes[s, axis, cells[0, i], k], nodes[s, axis, cells[0, i] + 1, k]
            moved[axis, k] = (above << 8) + (below - above) * weights[0, i]
    for j in range(len(v)):
        k, share = cells[1, j], weights[1, j]
        down, right = moved[0, k], moved[1, k]
        v[j] += ((down << 8) + (moved[0, k + np.uint32(1)] - down) * share) >> 16
        u[j] += ((right << 8) + (moved[1, k + np.uint32(1)] - right) * share) >> 16


@inner
def _sample(image, stride, corners, down, right, y):
    """Fill in a row of pixels, each between four of an image in its frame."""
    for j in range(len(y)):
        upper, lower = corners[j], corners[j] + stride
        a, b = np.int32(image[upper]), np.int32(image[upper + np.uint32(1)])
        c, d = np.int32(image[lower]), np.int32(image[lower + np.uint32(1)])
        a, c = (a << 8) + (b - a) * right[j], (c << 8) + (d - c) * right[j]
        y[j] = ((a << 8) + (c - a) * down[j] + (1 << 15)) >> 16


@Loop
def _warp_loop(x, matrices, nodes, fill, y, start, stop):
    # A frame of what lies outside is laid around the image, and places are brought into it: no
    # pixel needs a branch.
    _, channels, h, w = x.shape
    bent, knots, stride = len(nodes) > 0, nodes.shape[2], w + 3
    cells, weights = np.zeros((2, max(h, w)), np.uint32), np.zeros((2, max(h, w)), np.int64)
    _cells(h, knots - 1, cells[0], weights[0])
    _cells(w, knots - 1, cells[1], weights[1])
    moved = np.zeros((2, knots), np.int64)
    framed = np.full((channels, (h + 3) * stride), fill, np.uint8)
    v, u = np.zeros(w, np.int64), np.zeros(w, np.int64)
    corners, down, right = np.zeros(w, np.uint32), np.zeros(w, np.int32), np.zeros(w, np.int32)
    for s in range(start, stop):
        for k in range(channels):
            for i in range(h):
                put(framed[k], (i + 1) * stride + 1, x[s, k, i], 0, stride - 3)
        a, b, c, d, e, f = matrices[s]
        for i in range(h):
            first_v, first_u = np.int64(a) * i + c + ONE, np.int64(d) * i + f + ONE
            for j in range(w):
                v[j], u[j] = first_v + np.int64(b) * j, first_u + np.int64(e) * j
            if bent:
                _bend(nodes, s, i, cells, weights, moved, v, u)
            for j in range(w):
                row, column = min(max(v[j], 0), (h + 1) * ONE), min(max(u[j], 0), (w + 1) * ONE)
                corners[j] = (row >> 16) * stride + (column >> 16)
                down[j], right[j] = (row >> 8) & 255, (column >> 8) & 255
            for k in range(channels):
                _sample(framed[k], np.uint32(stride), corners, down, right, y[s, k, i])


@warp.register("numba")
def _warp(x: Array, matrices: Array, nodes: Array | None, *, fill: int) -> Array:
    if x.dtype != np.uint8:
        return NotImplemented
    y = np.empty(x.shape, x.dtype)
    bends = np.zeros((0, 2, 2, 2), np.int64) if nodes is None else nodes.astype(np.int64)
    given = read_only(x), read_only(matrices), read_only(bends)
    split(
        lambda start, stop: _warp_loop(*given, fill, y, start, stop), len(x), worth(900.0 * x.size)
    )
    return y


@Loop
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


@Loop
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
    rows = len(x), math.prod(x.shape[1:])
    _noise_loop(read_only(x).reshape(rows), read_only(keys), strength(std), y.reshape(rows))
    return y


@Loop
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
    rows = len(x), math.prod(x.shape[1:])
    _mix_loop(*(flat(a).reshape(rows) for a in (x, partners)), read_only(shares), y.reshape(rows))
    return y
