"""Pooling layers."""

from __future__ import annotations

import math

from xpnet import ops
from xpnet.arrays import Array, namespace
from xpnet.checks import Hyperparameter, one_length, pair
from xpnet.layers.base import Layer, Shape
from xpnet.layers.fit import image_shape
from xpnet.random import Stream

__all__ = ["AvgPool2d", "GlobalAvgPool2d", "MaxPool2d"]


class _Pool2d(Layer):
    """A window that moves over each channel of an image."""

    cure = "write MaxPool2d(2, stride=2, pad=0), its window as one size or (height, width)"

    size = Hyperparameter(pair, 1)
    stride = Hyperparameter(one_length, 1)
    pad = Hyperparameter(one_length)

    def __init__(
        self, size: int | tuple[int, int], *, stride: int | None = None, pad: int = 0
    ) -> None:
        super().__init__()
        self.size = size
        self.stride = max(self.size) if stride is None else stride
        self.pad = pad
        if self.pad > min(self.size) // 2:
            raise ValueError(f"pad: expected at most half the window {self.size}, got {pad}")

    @property
    def window(self) -> ops.Window:
        """The window as ops take it."""
        return ops.Window(*self.size, self.stride, self.pad)

    def setup(self, input_shape: Shape, rng: Stream) -> Shape:
        """Return the shape of the pooled image."""
        c, h, w = image_shape(self, input_shape)
        oh, ow = self.window.positions((h, w))
        if oh < 1 or ow < 1:
            raise ValueError(
                f"{self.label}: a window of {self.size[0]}x{self.size[1]} does not fit images of "
                f"{h}x{w} with pad {self.pad}"
            )
        return (c, oh, ow)

    def flops(self) -> int:
        """One for each cell of each window."""
        return math.prod(self.output_shape) * math.prod(self.size)


class MaxPool2d(_Pool2d):
    """The largest number of each window.

    Forward: ``y[p, q] = max_ij x[p s + i, q s + j]``.  Backward: dy goes to the number that won.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window, in pixels.
    stride : int, optional
        In pixels; by default the window's (larger) size.
    pad : int
        Pixels on every side that never win; at most half the window.

    Notes
    -----
    Input (n, c, h, w), output (n, c, oh, ow).  Of equal numbers the first in reading order wins;
    a NaN makes its window's output NaN.  Kept for backward: the winner's place in its window, one
    byte for each output on NumPy, two elsewhere.
    """

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the windows' maxima."""
        self.check(x)
        y, kept = ops.pool.max_pool2d(x, self.window)
        if train:
            self.keep(kept)
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return dx."""
        kept = self.take()
        if not need_dx:
            return None
        return ops.pool.max_pool2d_backward(dy, kept, self.window)

    def cache_bytes(self) -> int:
        """Two bytes for each output."""
        return 2 * math.prod(self.output_shape)


class AvgPool2d(_Pool2d):
    """The mean of each window; padding counts as zeros.

    Forward: ``y[p, q] = mean_ij x[p s + i, q s + j]``.  Backward: dy is shared out evenly.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window, in pixels.
    stride : int, optional
        In pixels; by default the window's (larger) size.
    pad : int
        Zeros on every side, in pixels; at most half the window.

    Notes
    -----
    Input (n, c, h, w), output (n, c, oh, ow).  Kept for backward: the input's shape, no bytes.
    """

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the windows' means."""
        self.check(x)
        if train:
            self.keep(x.shape)
        return ops.pool.avg_pool2d(x, self.window)

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return dx."""
        shape = self.take()
        if not need_dx:
            return None
        return ops.pool.avg_pool2d_backward(dy, shape, self.window)


class GlobalAvgPool2d(Layer):
    """The mean of each channel: an image becomes one number a channel.

    Forward: ``y[n, c] = mean_hw x[n, c, h, w]``.  Backward: ``dx = dy / (h w)`` everywhere.

    Notes
    -----
    Input (n, c, h, w), output (n, c).  Kept for backward: the input's shape, no bytes.
    Lin et al., "Network in network", 2013.
    """

    def setup(self, input_shape: Shape, rng: Stream) -> Shape:
        """Return the shape (c,)."""
        return image_shape(self, input_shape)[:1]

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the channels' means."""
        self.check(x)
        if train:
            self.keep(x.shape)
        return namespace(x).mean(x, axis=(2, 3))

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return dx."""
        shape = self.take()
        if not need_dx:
            return None
        xp = namespace(dy)
        share = dy[:, :, None, None] * (1 / (shape[2] * shape[3]))
        return xp.asarray(xp.broadcast_to(share, shape), copy=True)

    def flops(self) -> int:
        """One for each number."""
        return math.prod(self.input_shape)
