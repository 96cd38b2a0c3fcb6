"""Activation functions as layers: they act on each number by itself."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

from xpnet import functions, ops
from xpnet.arrays import Array, is_complex, namespace
from xpnet.checks import Hyperparameter, finite
from xpnet.layers.base import Layer
from xpnet.layers.buffers import itemsize

__all__ = ["LeakyReLU", "ReLU", "Sigmoid", "Swish", "Tanh"]


class _Activation(Layer):
    """A function of each number: ``dx = dy`` times its derivative (conjugated if complex)."""

    @abstractmethod
    def apply(self, x: Array) -> tuple[Array, Any]:
        """Return the function's values and what its derivative needs."""

    @abstractmethod
    def derivative(self, kept: Any) -> Array:
        """Return the derivative at the last x."""

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the function's values."""
        self.check(x)
        y, kept = self.apply(x)
        if train:
            self.keep(kept)
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return dx."""
        kept = self.take()
        if not need_dx:
            return None
        slope = self.derivative(kept)
        return dy * (namespace(slope).conj(slope) if is_complex(slope) else slope)

    def flops(self) -> int:
        """One for each number."""
        return math.prod(self.input_shape)

    def cache_bytes(self) -> int:
        """As many numbers as the input has."""
        return math.prod(self.input_shape) * itemsize(self.dtype)


class ReLU(Layer):
    """The rectified linear unit.

    Forward: ``y = max(x, 0)``.  Backward: ``dx = dy`` where y > 0, else 0.

    Notes
    -----
    Input and output of one shape.  Kept for backward: y (not copied).
    Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.
    """

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return ``max(x, 0)``."""
        self.check(x)
        y = ops.elementwise.relu(x)
        if train:
            self.keep(y)
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return dx."""
        y = self.take()
        return ops.elementwise.relu_backward(dy, y) if need_dx else None

    def flops(self) -> int:
        """One for each number."""
        return math.prod(self.input_shape)

    def cache_bytes(self) -> int:
        """Count the output."""
        return math.prod(self.input_shape) * itemsize(self.dtype)


class LeakyReLU(_Activation):
    """ReLU with a small slope below zero.

    Forward: ``y = x`` where x > 0, else ``slope x``.  Backward: dy times 1 or the slope.

    Parameters
    ----------
    slope : float

    Notes
    -----
    Input and output of one shape.  Kept for backward: x (not copied).
    Maas et al., "Rectifier nonlinearities improve neural network acoustic models", 2013.
    """

    slope = Hyperparameter(finite)

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__()
        self.slope = slope

    def apply(self, x: Array) -> tuple[Array, Any]:
        """Return the function's values, and x."""
        return namespace(x).where(x > 0, x, x * self.slope), x

    def derivative(self, kept: Any) -> Array:
        """Return 1 where x > 0, else the slope."""
        xp = namespace(kept)
        return xp.where(kept > 0, xp.ones_like(kept), self.slope)


class Sigmoid(_Activation):
    """The logistic function, of real or complex numbers.

    Forward: ``y = 1 / (1 + exp(-x))``.  Backward: ``dx = dy conj(y (1 - y))``.

    Notes
    -----
    Input and output of one shape.  Kept for backward: y (not copied).
    """

    accepts = ("real", "complex")

    def apply(self, x: Array) -> tuple[Array, Any]:
        """Return the function's values, twice."""
        y = functions.sigmoid(x)
        return y, y

    def derivative(self, kept: Any) -> Array:
        """Return ``y (1 - y)``."""
        return kept * (1.0 - kept)


class Tanh(_Activation):
    """The hyperbolic tangent, of real or complex numbers.

    Forward: ``y = tanh(x)``.  Backward: ``dx = dy conj(1 - y^2)``.

    Notes
    -----
    Input and output of one shape.  Kept for backward: y (not copied).
    """

    accepts = ("real", "complex")

    def apply(self, x: Array) -> tuple[Array, Any]:
        """Return the function's values, twice."""
        y = functions.tanh(x)
        return y, y

    def derivative(self, kept: Any) -> Array:
        """Return ``1 - y^2``."""
        return 1.0 - kept * kept


class Swish(_Activation):
    """A smooth relative of ReLU, also called SiLU.

    Forward: ``y = x s``, ``s = sigmoid(x)``.  Backward: ``dx = dy (s + y (1 - s))``.

    Notes
    -----
    Input and output of one shape.  Kept for backward: s and y (y not copied).
    Ramachandran et al., "Searching for activation functions", 2017.
    """

    def apply(self, x: Array) -> tuple[Array, Any]:
        """Return the function's values, and what the derivative is made of."""
        s = functions.sigmoid(x)
        y = x * s
        return y, (s, y)

    def derivative(self, kept: Any) -> Array:
        """Return ``s + y (1 - s)``."""
        s, y = kept
        return s + y * (1.0 - s)

    def cache_bytes(self) -> int:
        """Twice as many numbers as the input has."""
        return 2 * super().cache_bytes()
