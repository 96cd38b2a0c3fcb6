"""The book's helpers (``common/util.py``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xpnet import ops
from xpnet.arrays import Array, namespace, to_numpy
from xpnet.book._globals import permuted
from xpnet.devices import device_of

__all__ = ["col2im", "conv_output_size", "im2col", "np", "shuffle_dataset", "smooth_curve"]


def smooth_curve(x: Array | Sequence[float]) -> Array:
    """Return a curve smoothed by a Kaiser window (beta 2) of 11 points, mirrored at its ends.

    The smoothing is the book's definition.

    Parameters
    ----------
    x : array or sequence of numbers, shape (n,)

    Returns
    -------
    array, shape (n,) for n of 11 or more
    """
    values, width = to_numpy(x), 11
    window = np.kaiser(width, 2)
    mirrored = np.concatenate([values[width - 1 : 0 : -1], values, values[-1:-width:-1]])
    smooth = np.convolve(window / window.sum(), mirrored, mode="valid")
    smooth = smooth[width // 2 : len(smooth) - width // 2]
    return smooth if isinstance(x, Sequence) else device_of(x).asarray(smooth)


def shuffle_dataset(x: Array, t: Array) -> tuple[Array, Array]:
    """Return samples and targets in one new order, drawn by ``np.random.permutation``."""
    order = permuted(x.shape[0])
    return rows(x, order), rows(t, order)


def rows(a: Array, indices: Array) -> Array:
    """Return the rows of an array at indices that lie on the host."""
    return namespace(a).take(a, device_of(a).asarray(indices), axis=0)


def conv_output_size(input_size: int, filter_size: int, stride: int = 1, pad: int = 0) -> float:
    """Return the size of a convolution's output: by true division, so that a misfit shows."""
    return (input_size + 2 * pad - filter_size) / stride + 1


def im2col(input_data: Array, filter_h: int, filter_w: int, stride: int = 1, pad: int = 0) -> Array:
    """Return every window of images (n, c, h, w) as a row (c filter_h filter_w), in float64."""
    x = as_float64(input_data)
    return ops.conv.im2col(x, ops.Window(filter_h, filter_w, stride, pad))


def col2im(
    col: Array,
    input_shape: tuple[int, ...],
    filter_h: int,
    filter_w: int,
    stride: int = 1,
    pad: int = 0,
) -> Array:
    """Return float64 images (n, c, h, w) whose pixels are sums over the windows they are in."""
    window = ops.Window(filter_h, filter_w, stride, pad)
    return ops.conv.col2im(as_float64(col), tuple(input_shape), window)


def as_float64(x: Array) -> Array:
    """Return an array as float64: in small whole numbers sums would wrap round in silence."""
    xp = namespace(x)
    return xp.astype(x, xp.float64, copy=False)
