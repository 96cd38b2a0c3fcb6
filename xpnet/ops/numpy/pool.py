"""Max-pooling in NumPy's words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.pool import max_pool2d, max_pool2d_backward
from xpnet.ops.window import cropped, framed, output_sizes, window_cells


@max_pool2d.register("numpy")
def _max_pool2d(x: Array, kh: int, kw: int, stride: int, pad: int) -> tuple[Array, Any]:
    if kh * kw > 256 or x.dtype.kind != "f":
        return NotImplemented  # type: ignore[no-any-return]
    oh, ow = output_sizes(x.shape, kh, kw, stride, pad)
    wide = framed(x, pad, -math.inf)
    cells = [wide[at] for at in window_cells(kh, kw, stride, oh, ow)]
    y = cells[0].copy()
    winners = np.zeros(y.shape, np.uint8)
    for number, cell in enumerate(cells[1:], 1):
        ahead = np.greater(cell, y).view(np.uint8)
        ahead *= np.uint8(number)
        np.maximum(winners, ahead, out=winners)
        np.maximum(y, cell, out=y)
    return y, (winners, x.shape)


@max_pool2d_backward.register("numpy")
def _max_pool2d_backward(dy: Array, kept: Any, kh: int, kw: int, stride: int, pad: int) -> Array:
    winners, (n, c, h, w) = kept
    wide = np.zeros((n, c, h + 2 * pad, w + 2 * pad), dy.dtype)
    apart = stride >= max(kh, kw)
    for number, at in enumerate(window_cells(kh, kw, stride, *dy.shape[2:])):
        if apart:
            np.multiply(dy, winners == number, out=wide[at])
        else:
            wide[at] += dy * (winners == number)
    return cropped(wide, pad)
