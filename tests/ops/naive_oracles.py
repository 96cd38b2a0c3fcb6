"""Convolution and pooling as plain loops over n, f, p, q, c, i, j: slow and beyond doubt."""

from __future__ import annotations

import math
from itertools import product

import numpy as np


def sizes(h, w, kh, kw, stride, pad):
    """Count the positions of a window by trying them all."""
    rows = [p for p in range(-pad, h + pad, stride) if p + kh <= h + pad]
    cols = [q for q in range(-pad, w + pad, stride) if q + kw <= w + pad]
    return len(rows), len(cols)


def meetings(x_shape, kh, kw, stride, pad):
    """Yield (p, q, i, j, row, column) for every kernel cell that meets a real pixel."""
    h, w = x_shape[2:]
    oh, ow = sizes(h, w, kh, kw, stride, pad)
    for p, q, i, j in product(range(oh), range(ow), range(kh), range(kw)):
        row, col = p * stride + i - pad, q * stride + j - pad
        if 0 <= row < h and 0 <= col < w:
            yield p, q, i, j, row, col


def conv(x, W, b, stride, pad):
    (n, c, h, w), (f, _, kh, kw) = x.shape, W.shape
    y = np.zeros((n, f, *sizes(h, w, kh, kw, stride, pad)))
    for s, k in product(range(n), range(f)):
        y[s, k] = 0.0 if b is None else b[k]
        for p, q, i, j, row, col in meetings(x.shape, kh, kw, stride, pad):
            for d in range(c):
                y[s, k, p, q] += x[s, d, row, col] * W[k, d, i, j]
    return y


def conv_backward(dy, x, W, stride, pad):
    (n, c), (f, _, kh, kw) = x.shape[:2], W.shape
    dW, db, dx = np.zeros(W.shape), np.zeros(f), np.zeros(x.shape)
    for s, k in product(range(n), range(f)):
        db[k] += math.fsum(dy[s, k].ravel().tolist())
        for p, q, i, j, row, col in meetings(x.shape, kh, kw, stride, pad):
            for d in range(c):
                dW[k, d, i, j] += dy[s, k, p, q] * x[s, d, row, col]
                dx[s, d, row, col] += dy[s, k, p, q] * W[k, d, i, j]
    return dW, db, dx


def max_pool(x, kh, kw, stride, pad):
    """Return the maxima and, for each, the (row, column) of the first pixel that has it."""
    n, c, h, w = x.shape
    y = np.full((n, c, *sizes(h, w, kh, kw, stride, pad)), np.nan)
    winners = {}
    for s, d in product(range(n), range(c)):
        for p, q, _, _, row, col in meetings(x.shape, kh, kw, stride, pad):
            at = (s, d, p, q)
            if at not in winners or x[s, d, row, col] > y[at]:
                y[at], winners[at] = x[s, d, row, col], (row, col)
    return y, winners


def max_pool_backward(dy, winners, x_shape):
    dx = np.zeros(x_shape)
    for (s, d, p, q), (row, col) in winners.items():
        dx[s, d, row, col] += dy[s, d, p, q]
    return dx


def avg_pool(x, kh, kw, stride, pad):
    n, c, h, w = x.shape
    y = np.zeros((n, c, *sizes(h, w, kh, kw, stride, pad)))
    for s, d in product(range(n), range(c)):
        for p, q, _, _, row, col in meetings(x.shape, kh, kw, stride, pad):
            y[s, d, p, q] += x[s, d, row, col] / (kh * kw)
    return y


def avg_pool_backward(dy, x_shape, kh, kw, stride, pad):
    dx = np.zeros(x_shape)
    for s, d in product(range(x_shape[0]), range(x_shape[1])):
        for p, q, _, _, row, col in meetings(x_shape, kh, kw, stride, pad):
            dx[s, d, row, col] += dy[s, d, p, q] / (kh * kw)
    return dx
