"""Max-pooling in NumPy's words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.pool import max_pool2d, max_pool2d_backward
from xpnet.ops.window import Window, cropped, framed


@max_pool2d.register("numpy")
def _max_pool2d(x: Array, window: Window) -> tuple[Array, Any]:
    if window.cells > 256 or x.dtype.kind != "f":
        return NotImplemented
    oh, ow = window.positions(x.shape)
    wide = framed(x, window.pad, -math.inf)
    cells = [wide[at] for at in window.views(oh, ow)]
    y = cells[0].copy()
    winners = np.zeros(y.shape, np.uint8)
    for number, cell in enumerate(cells[1:], 1):
        ahead = np.greater(cell, y).view(np.uint8)
        ahead *= np.uint8(number)
        np.maximum(winners, ahead, out=winners)
        np.maximum(y, cell, out=y)
    return y, (winners, x.shape)


@max_pool2d_backward.register("numpy")
def _max_pool2d_backward(dy: Array, kept: Any, window: Window) -> Array:
    winners, (n, c, h, w) = kept
    kh, kw, stride, pad = window
    wide = np.zeros((n, c, h + 2 * pad, w + 2 * pad), dy.dtype)
    apart = stride >= max(kh, kw)
    for number, at in enumerate(window.views(*dy.shape[2:])):
        if apart:
            np.multiply(dy, winners == number, out=wide[at])
        else:
            wide[at] += dy * (winners == number)
    return cropped(wide, pad)
