"""The 2-D convolution layer."""

from __future__ import annotations

import math

from xpnet import ops
from xpnet.arrays import Array
from xpnet.checks import Hyperparameter, flag, one_length, pair, whole_number
from xpnet.initializers import Init, bias_initializer, weight_initializer
from xpnet.layers.base import Layer, Shape
from xpnet.layers.buffers import itemsize
from xpnet.layers.fit import image_shape
from xpnet.random import Stream

__all__ = ["Conv2d"]


class Conv2d(Layer):
    """Filters that slide over an image.

    Forward: ``y[n, f, p, q] = b[f] + sum_cij x[n, c, p s + i, q s + j] W[f, c, i, j]`` with stride
    s, x framed by ``pad`` zeros.  Backward: dW correlates x with dy, dx spreads dy back through W,
    db sums dy.

    Parameters
    ----------
    filters : int
        Output channels.
    size : int or (int, int)
        Height and width of a filter, in pixels.
    stride, pad : int
        In pixels, for height and width alike.
    bias : bool
        Whether there is a b.
    init : str, float or function
        The initial W: see :mod:`xpnet.initializers`; the fan-in is c kh kw.
    bias_init : float or function
        The initial b.

    Notes
    -----
    Input (n, c, h, w), output (n, filters, oh, ow), ``oh = (h + 2 pad - kh) // stride + 1``.
    Parameters W (filters, c, kh, kw), which weight decay acts on, and b (filters,).  Kept for
    backward: compiled, the input (not copied), and where max-pooling follows a byte for each of
    its outputs; on NumPy the framed input, ``c (h + 2 pad) (w + 2 pad)`` numbers a sample;
    elsewhere its columns, ``oh ow c kh kw`` numbers (``cache_bytes`` counts the latter), and on
    CuPy a byte for each pooled number as well.
    LeCun et al., "Gradient-based learning applied to document recognition", 1998.
    """

    multithreaded = True
    cure = "write Conv2d(16, 3, stride=1, pad=1): the input's channels are found when it is built"

    filters = Hyperparameter(whole_number, 1)
    size = Hyperparameter(pair, 1)
    stride = Hyperparameter(one_length, 1)
    pad = Hyperparameter(one_length)
    bias = Hyperparameter(flag)
    init = Hyperparameter(weight_initializer)
    bias_init = Hyperparameter(bias_initializer)

    def __init__(
        self,
        filters: int,
        size: int | tuple[int, int],
        *,
        stride: int = 1,
        pad: int = 0,
        bias: bool = True,
        init: Init = "he",
        bias_init: Init = 0.0,
    ) -> None:
        super().__init__()
        self.filters = filters
        self.size = size
        self.stride = stride
        self.pad = pad
        self.bias = bias
        self.init = init
        self.bias_init = bias_init

    def setup(self, input_shape: Shape, rng: Stream) -> Shape:
        """Make W and b."""
        c, h, w = image_shape(self, input_shape)
        kh, kw = self.size
        oh, ow = ops.Window(kh, kw, self.stride, self.pad).positions((h, w))
        if oh < 1 or ow < 1:
            raise ValueError(
                f"{self.label}: a filter of {kh}x{kw} does not fit images of {h}x{w} "
                f"with pad {self.pad}"
            )
        shape, fans = (self.filters, c, kh, kw), (c * kh * kw, self.filters * kh * kw)
        self.add_param("W", self.init(rng.child("W"), shape, *fans), decay=True)
        if self.bias:
            self.add_param("b", self.bias_init(rng.child("b"), (self.filters,), *fans))
        return (self.filters, oh, ow)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the filters' responses."""
        self.check(x)
        W, b = self.own.operands["W"], self.params.get("b")
        y, kept = ops.conv.conv2d(
            x, W, b, stride=self.stride, pad=self.pad, precision=self.own.precision
        )
        if train:
            self.keep(kept)
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill dW and db; return dx."""
        kept, grads = self.take(), self.grads
        return ops.conv.conv2d_backward(
            dy, kept, self.own.operands["W"], grads["W"], grads.get("b"), stride=self.stride,
            pad=self.pad, need_dx=need_dx, precision=self.own.precision,
        )  # fmt: skip

    def flops(self) -> int:
        """Two for each weight at each position."""
        return 2 * math.prod(self.output_shape) * self.input_shape[0] * math.prod(self.size)

    def cache_bytes(self) -> int:
        """Count the columns."""
        _, oh, ow = self.output_shape
        return oh * ow * self.input_shape[0] * math.prod(self.size) * itemsize(self.dtype)
