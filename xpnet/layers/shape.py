"""Layers at the entrance: pixels to numbers, images to rows."""

from __future__ import annotations

import math

from xpnet import ops
from xpnet.arrays import Array, namespace
from xpnet.checks import Hyperparameter, finite
from xpnet.layers.base import Layer, Shape
from xpnet.random import Stream

__all__ = ["Flatten", "Rescale"]


class Rescale(Layer):
    """Input of any dtype, pixels for instance, brought to the network's dtype and range.

    Forward: ``y = x scale + shift``.  Backward: ``dx = dy scale``.

    Parameters
    ----------
    scale : float
        ``1 / 255`` takes bytes to [0, 1].
    shift : float

    Notes
    -----
    Input and output of one shape; the only layer that takes integers.  Nothing is kept for
    backward.
    """

    accepts = ("real", "complex", "exact")

    scale = Hyperparameter(finite)
    shift = Hyperparameter(finite)

    def __init__(self, scale: float, shift: float = 0.0) -> None:
        super().__init__()
        self.scale = scale
        self.shift = shift

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return ``x scale + shift`` in the network's dtype."""
        self.check(x)
        if train:
            self.keep(True)
        y = ops.elementwise.rescale(x, scale=self.scale, dtype=self.dtype)
        return y + self.shift if self.shift else y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return dx."""
        self.take()
        return dy * self.scale if need_dx else None

    def flops(self) -> int:
        """Two for each number."""
        return 2 * math.prod(self.input_shape)


class Flatten(Layer):
    """Each sample as one row.

    Forward: (n, ...) to (n, d).  Backward: the other way.

    Notes
    -----
    Kept for backward: the input's shape, no bytes.
    """

    accepts = ("real", "complex")

    def setup(self, input_shape: Shape, rng: Stream) -> Shape:
        """Return the shape (d,)."""
        return (math.prod(input_shape),)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return x in rows."""
        self.check(x)
        if train:
            self.keep(x.shape)
        return namespace(x).reshape(x, (x.shape[0], self.output_shape[0]))

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return dx."""
        shape = self.take()
        return namespace(dy).reshape(dy, shape) if need_dx else None
