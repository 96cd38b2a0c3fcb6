"""Layers around which the input takes a shortcut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xpnet.arrays import Array
from xpnet.layers.base import Layer, Shape, unbuilt
from xpnet.layers.sequential import Sequential
from xpnet.random import Stream

__all__ = ["Residual"]


class Residual(Layer):
    """Layers with a shortcut around them.

    Forward: ``y = body(x) + shortcut(x)``.  Backward: ``dx`` is the sum of both ways.

    Parameters
    ----------
    body : Sequential or sequence of Layer
    shortcut : Layer, optional
        By default the identity, which needs a body that keeps the shape.

    Notes
    -----
    Parameters lie under ``"body"`` and ``"shortcut"``.  Kept for backward: what the parts keep.
    He et al., "Deep residual learning for image recognition", 2016.
    """

    accepts = ("real", "complex")

    def __init__(self, body: Sequential | Sequence[Layer], shortcut: Layer | None = None) -> None:
        super().__init__()
        body = Sequential(body) if isinstance(body, (list, tuple)) else body
        self.body: Sequential = unbuilt("body: expected a list of layers", body)
        self.shortcut = shortcut and unbuilt("shortcut: expected a layer or None", shortcut)

    def setup(self, input_shape: Shape, rng: Stream) -> Shape:
        """Build both ways; they must end in one shape."""
        shape = self.body.build(input_shape, rng.child("body"), self.dtype)
        short = input_shape
        if self.shortcut is not None:
            short = self.shortcut.build(input_shape, rng.child("shortcut"), self.dtype)
        if shape != short:
            raise ValueError(
                f"{self.label}: the body makes {shape} and the shortcut {short}: "
                f"give a shortcut that makes {shape}"
            )
        return shape

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the sum of both ways."""
        self.check(x)
        if train:
            self.keep(True)
        short = x if self.shortcut is None else self.shortcut.forward(x, train=train)
        return self.body.forward(x, train=train) + short

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients of both ways; return dx."""
        self.take()
        short: Any = dy
        if self.shortcut is not None:
            short = self.shortcut.backward(dy, need_dx=need_dx)
        dx = self.body.backward(dy, need_dx=need_dx)
        return dx + short if need_dx else None

    def flops(self) -> int:
        """Those of both ways, and one for each number of the sum."""
        return super().flops() + math.prod(self.output_shape)
