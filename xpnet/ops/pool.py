"""Max and average pooling of images (n, c, h, w)."""

from __future__ import annotations

import math
from typing import Any

from xpnet.arrays import Array, namespace
from xpnet.ops.dispatch import op
from xpnet.ops.window import Window, cropped, framed

__all__ = ["avg_pool2d", "avg_pool2d_backward", "max_pool2d", "max_pool2d_backward"]


@op
def max_pool2d(x: Array, window: Window) -> tuple[Array, Any]:
    """Return the largest number of each window.

    Padding never wins: it is minus infinity.  A NaN in a window makes its
    output NaN.  Of equal numbers the first in reading order wins, and the gradient goes to it.

    Parameters
    ----------
    x : array, shape (n, c, h, w)
    window : Window

    Returns
    -------
    y : array, shape (n, c, oh, ow)
    kept : what :func:`max_pool2d_backward` of the same library needs
    """
    xp = namespace(x)
    oh, ow = window.positions(x.shape)
    wide = framed(x, window.pad, -math.inf)
    cells = (wide[at] for at in window.views(oh, ow))
    y = xp.asarray(next(cells), copy=True)
    winners = xp.zeros(y.shape, dtype=xp.int16, device=x.device)
    for number, cell in enumerate(cells, 1):
        winners = xp.where(cell > y, xp.asarray(number, dtype=xp.int16, device=x.device), winners)
        y = xp.maximum(y, cell)
    return y, (winners, x.shape)


@op
def max_pool2d_backward(dy: Array, kept: Any, window: Window) -> Array:
    """Return the gradient of :func:`max_pool2d`: each dy goes to its window's winner.

    Parameters
    ----------
    dy : array, shape (n, c, oh, ow)
    kept : as :func:`max_pool2d` returned it

    Returns
    -------
    array, shape (n, c, h, w)
    """
    xp = namespace(dy)
    winners, (n, c, h, w) = kept
    pad = window.pad
    wide = xp.zeros((n, c, h + 2 * pad, w + 2 * pad), dtype=dy.dtype, device=dy.device)
    for number, at in enumerate(window.views(*dy.shape[2:])):
        wide[at] += xp.where(winners == number, dy, 0.0)
    return cropped(wide, pad)


@op
def avg_pool2d(x: Array, window: Window) -> Array:
    """Return the mean of each window; padding counts as zeros.

    Parameters
    ----------
    x : array, shape (n, c, h, w)
    window : Window

    Returns
    -------
    array, shape (n, c, oh, ow)
    """
    xp = namespace(x)
    oh, ow = window.positions(x.shape)
    wide = framed(x, window.pad, 0.0)
    cells = (wide[at] for at in window.views(oh, ow))
    y = xp.asarray(next(cells), copy=True)
    for cell in cells:
        y += cell
    y *= 1 / window.cells
    return y


@op
def avg_pool2d_backward(dy: Array, x_shape: tuple[int, ...], window: Window) -> Array:
    """Return the gradient of :func:`avg_pool2d`: each dy is shared out over its window.

    Parameters
    ----------
    dy : array, shape (n, c, oh, ow)
    x_shape : (n, c, h, w)

    Returns
    -------
    array, shape (n, c, h, w)
    """
    xp = namespace(dy)
    n, c, h, w = x_shape
    pad = window.pad
    wide = xp.zeros((n, c, h + 2 * pad, w + 2 * pad), dtype=dy.dtype, device=dy.device)
    share = dy * (1 / window.cells)
    for at in window.views(*dy.shape[2:]):
        wide[at] += share
    return cropped(wide, pad)
