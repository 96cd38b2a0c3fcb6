"""Dropout."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

from xpnet import ops
from xpnet.arrays import Array
from xpnet.checks import Hyperparameter, fraction, one_of
from xpnet.layers.base import Layer, Shape
from xpnet.layers.buffers import itemsize
from xpnet.random import Stream

__all__ = ["Dropout"]

Scale: TypeAlias = Literal["train", "inference"]


class Dropout(Layer):
    """Numbers zeroed at random while training, so that units do not rely on one another.

    Forward in training: ``y = x mask``; backward: ``dx = dy mask``.  The mean is kept either by
    a mask of ``1 / (1 - rate)`` and 0 (``scale="train"``), inference then being the identity, or
    by a mask of 1 and 0 and a factor of ``1 - rate`` at inference (``scale="inference"``).

    Parameters
    ----------
    rate : float
        The share of zeros, 0 <= rate < 1.
    scale : "train" or "inference"
        When the loss of size is made up for.

    Notes
    -----
    Input and output of one shape.  State: counter, a 0-d int64, the number of masks drawn; a
    mask is a function of the network's seed, the layer's path and the counter alone.  In frozen
    parts of a network masks are drawn as elsewhere: there is nothing to learn.  Kept for backward:
    the mask, as many numbers as the input has.
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """

    rate = Hyperparameter(fraction)
    scale = Hyperparameter(one_of, get_args(Scale))

    def __init__(self, rate: float = 0.5, scale: Scale = "train") -> None:
        super().__init__()
        self.rate = rate
        self.scale = scale

    def setup(self, input_shape: Shape, rng: Stream) -> Shape:
        """Make the counter."""
        self.add_state("counter", 0, "int64")
        self._key = rng.child("mask").key
        return input_shape

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return x, thinned out in training."""
        self.check(x)
        if train:
            kept = 1 / (1 - self.rate) if self.scale == "train" else 1.0
            y, mask = ops.dropout.dropout(
                x, self.state["counter"], key=self._key, rate=self.rate, scale=kept
            )
            self.keep(mask)
            return y
        return x if self.scale == "train" else x * (1 - self.rate)

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return dx."""
        mask = self.take()
        return ops.dropout.dropout_backward(dy, mask) if need_dx else None

    def flops(self) -> int:
        """One for each number."""
        return math.prod(self.input_shape)

    def cache_bytes(self) -> int:
        """Count the mask."""
        return math.prod(self.input_shape) * itemsize(self.dtype)
