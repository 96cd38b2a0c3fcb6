"""Sums and products of several inputs: the nodes of a computational graph."""

from __future__ import annotations

import math
from typing import Any

from xpnet.device import Array, is_complex, namespace
from xpnet.layers.base import Layer, Shape, itemsize
from xpnet.random import Stream

__all__ = ["Add", "Multiply"]


class _OfSeveral(Layer):
    """A layer whose input is a tuple of arrays of one shape."""

    accepts_complex = True

    def setup(self, input_shape: Any, rng: Stream) -> Shape:
        """Check that the shapes are equal; return the one."""
        shapes = [tuple(s) if isinstance(s, (tuple, list)) else s for s in input_shape]
        if len(shapes) < 2 or shapes[0] != shapes[-1] or len(set(shapes)) != 1:
            raise ValueError(
                f"{self.label}: expected two or more input shapes, all equal, got {input_shape}"
            )
        if not isinstance(shapes[0], tuple):
            raise ValueError(f"{self.label}: expected a tuple of shapes, got {input_shape}")
        self._one = shapes[0]
        return self._one

    def check(self, x: Any) -> None:
        """Raise one clear sentence unless x is a tuple of arrays that fit."""
        if not isinstance(x, tuple) or len(x) != len(self.input_shape):
            raise TypeError(
                f"{self.label}: expected a tuple of {len(self.input_shape)} arrays, "
                f"got {f'{len(x)}' if isinstance(x, tuple) else type(x).__name__}"
            )
        for one in x:
            if tuple(one.shape) != tuple(x[0].shape) or tuple(one.shape[1:]) != self._one:
                raise ValueError(
                    f"{self.label}: expected arrays of one shape (n, {str(self._one)[1:-1]}), "
                    f"got {', '.join(str(tuple(a.shape)) for a in x)}"
                )

    def flops(self) -> int:
        """One for each number but the first."""
        return (len(self.input_shape) - 1) * math.prod(self._one)


class Add(_OfSeveral):
    """The sum of several arrays.

    Forward: ``y = x_1 + x_2 + ...``.  Backward: each ``dx_i = dy``.

    Notes
    -----
    Input: a tuple of arrays of one shape; built for a tuple of shapes.  Nothing is kept for
    backward.
    """

    def forward(self, x: tuple[Array, ...], *, train: bool = False) -> Array:
        """Return the sum."""
        self.check(x)
        if train:
            self._cache = len(x)
        total = x[0] + x[1]
        for one in x[2:]:
            total = total + one
        return total

    def backward(self, dy: Array, *, need_dx: bool = True) -> tuple[Array, ...] | None:
        """Return one gradient for each input."""
        count = self.take()
        return (dy,) * count if need_dx else None


class Multiply(_OfSeveral):
    """The product of several arrays.

    Forward: ``y = x_1 x_2 ...``.  Backward: ``dx_i = dy`` times the conjugate of the product of
    the others.

    Notes
    -----
    Input: a tuple of arrays of one shape; built for a tuple of shapes.  Kept for backward: the
    inputs (not copied).
    """

    def forward(self, x: tuple[Array, ...], *, train: bool = False) -> Array:
        """Return the product."""
        self.check(x)
        if train:
            self._cache = x
        return _product(x)

    def backward(self, dy: Array, *, need_dx: bool = True) -> tuple[Array, ...] | None:
        """Return one gradient for each input."""
        x = self.take()
        if not need_dx:
            return None
        others = (_product(x[:i] + x[i + 1 :]) for i in range(len(x)))
        return tuple(dy * (namespace(o).conj(o) if is_complex(o) else o) for o in others)

    def cache_bytes(self) -> int:
        """The inputs."""
        return len(self.input_shape) * math.prod(self._one) * itemsize(self.dtype)


def _product(arrays: tuple[Array, ...]) -> Array:
    total = arrays[0]
    for one in arrays[1:]:
        total = total * one
    return total
