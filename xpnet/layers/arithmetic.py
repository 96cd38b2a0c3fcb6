"""Sums and products of several inputs: the nodes of a computational graph."""

from __future__ import annotations

import math
from typing import Any

from xpnet.arrays import Array, is_complex, library, namespace
from xpnet.layers.base import Layer, Shape
from xpnet.layers.buffers import itemsize
from xpnet.layers.fit import check_built, check_dtype, with_batch
from xpnet.random import Stream

__all__ = ["Add", "Multiply"]


class _OfSeveral(Layer):
    """A layer whose input is a tuple of arrays of one shape."""

    accepts = ("real", "complex")

    def setup(self, input_shape: Any, rng: Stream) -> Shape:
        """Check that the shapes are equal; return the one."""
        if (
            len(input_shape) < 2
            or len(set(input_shape)) > 1
            or not isinstance(input_shape[0], tuple)
        ):
            raise ValueError(
                f"{self.label}: expected a tuple of two or more equal shapes, got {input_shape}"
            )
        self._one: Shape = input_shape[0]
        return self._one

    def check(self, x: Any) -> None:
        """Raise one clear sentence unless x is a tuple of arrays that fit."""
        check_built(self)
        if not isinstance(x, tuple) or len(x) != len(self.input_shape):
            raise TypeError(
                f"{self.label}: expected a tuple of {len(self.input_shape)} arrays, "
                f"got {f'{len(x)}' if isinstance(x, tuple) else type(x).__name__}"
            )
        for one in x:
            if not hasattr(one, "shape"):
                raise TypeError(
                    f"{self.label}: expected a tuple of {len(x)} arrays, "
                    f"got {type(one).__name__} in it"
                )
            mine, theirs = library(x[0]), library(one)
            if theirs is not mine:
                raise TypeError(
                    f"{self.label}: expected arrays of one library, got {mine.name} and "
                    f"{theirs.name}: convert one of them"
                )
            if tuple(one.shape) != tuple(x[0].shape) or tuple(one.shape[1:]) != self._one:
                raise ValueError(
                    f"{self.label}: expected arrays of one shape {with_batch(self._one)}, "
                    f"got {', '.join(str(tuple(a.shape)) for a in x)}"
                )
            check_dtype(self, one)

    def flops(self) -> int:
        """One for each number but the first."""
        return (len(self.input_shape) - 1) * math.prod(self._one)


class Add(_OfSeveral):
    """The sum of several arrays.

    Forward: ``y = x_1 + x_2 + ...``.  Backward: each ``dx_i = dy``, its real part for a real x_i.

    Notes
    -----
    Input: a tuple of arrays of one shape; built for a tuple of shapes.  Nothing is kept for
    backward.
    """

    def forward(self, x: tuple[Array, ...], *, train: bool = False) -> Array:
        """Return the sum."""
        self.check(x)
        if train:
            self.keep([is_complex(one) for one in x])
        total = x[0] + x[1]
        for one in x[2:]:
            total = total + one
        return total

    def backward(self, dy: Array, *, need_dx: bool = True) -> tuple[Array, ...] | None:
        """Return one gradient for each input."""
        kinds = self.take()
        return tuple(_real_unless(kind, dy) for kind in kinds) if need_dx else None


class Multiply(_OfSeveral):
    """The product of several arrays.

    Forward: ``y = x_1 x_2 ...``.  Backward: ``dx_i = dy`` times the conjugate of the product of
    the others, its real part for a real x_i.

    Notes
    -----
    Input: a tuple of arrays of one shape; built for a tuple of shapes.  Kept for backward: the
    inputs (not copied).
    """

    def forward(self, x: tuple[Array, ...], *, train: bool = False) -> Array:
        """Return the product."""
        self.check(x)
        if train:
            self.keep(x)
        return _product(x)

    def backward(self, dy: Array, *, need_dx: bool = True) -> tuple[Array, ...] | None:
        """Return one gradient for each input."""
        x = self.take()
        if not need_dx:
            return None
        others = (_product(x[:i] + x[i + 1 :]) for i in range(len(x)))
        slopes = (dy * (namespace(o).conj(o) if is_complex(o) else o) for o in others)
        return tuple(_real_unless(is_complex(own), s) for own, s in zip(x, slopes, strict=True))

    def cache_bytes(self) -> int:
        """Count the inputs."""
        return len(self.input_shape) * math.prod(self._one) * itemsize(self.dtype)


def _real_unless(owner_is_complex: bool, gradient: Array) -> Array:
    """Return the gradient as its owner can take it: the real part for a real owner."""
    if is_complex(gradient) and not owner_is_complex:
        return namespace(gradient).real(gradient)
    return gradient


def _product(arrays: tuple[Array, ...]) -> Array:
    total = arrays[0]
    for one in arrays[1:]:
        total = total * one
    return total
