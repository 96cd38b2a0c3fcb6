"""The fully connected layer."""

from __future__ import annotations

import math

from xpnet import ops
from xpnet.arrays import Array, namespace
from xpnet.checks import Hyperparameter, flag, whole_number
from xpnet.initializers import Init, bias_initializer, weight_initializer
from xpnet.layers.base import Layer, Shape
from xpnet.layers.buffers import itemsize
from xpnet.layers.fit import SIZES
from xpnet.random import Stream

__all__ = ["Linear"]


class Linear(Layer):
    """A weighted sum of all inputs for each unit.

    Forward: ``y = x W + b``.  Backward: ``dW = x^H dy``, ``db = sum dy``, ``dx = dy W^H``; H is
    the conjugate transpose, for real numbers the transpose.

    Parameters
    ----------
    units : int
        Outputs per sample.
    bias : bool
        Whether there is a b.
    init : str, float or function
        The initial W: see :mod:`xpnet.initializers`.
    bias_init : float or function
        The initial b: a value for all, or a rule.

    Notes
    -----
    Input (n, ...), flattened past the batch axis to d numbers; output (n, units).  Parameters
    W (d, units), which weight decay acts on, and b (units,).  A real x may meet a complex W and
    the other way round.  Kept for backward: x, that is d numbers a sample (shared with the
    previous layer's output, not copied).
    """

    accepts = ("real", "complex")

    units = Hyperparameter(whole_number, 1)
    bias = Hyperparameter(flag, SIZES)
    init = Hyperparameter(weight_initializer)
    bias_init = Hyperparameter(bias_initializer)

    def __init__(
        self, units: int, bias: bool = True, init: Init = "he", bias_init: Init = 0.0
    ) -> None:
        super().__init__()
        self.units = units
        self.bias = bias
        self.init = init
        self.bias_init = bias_init

    def setup(self, input_shape: Shape, rng: Stream) -> Shape:
        """Make W and b."""
        d = math.prod(input_shape)
        shape = (d, self.units)
        self.add_param("W", self.init(rng.child("W"), shape, d, self.units), decay=True)
        if self.bias:
            self.add_param("b", self.bias_init(rng.child("b"), (self.units,), d, self.units))
        return (self.units,)

    def rows(self, x: Array) -> Array:
        """Return x flattened past the batch axis."""
        return x if x.ndim == 2 else namespace(x).reshape(x, (x.shape[0], math.prod(x.shape[1:])))

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return ``x W + b``."""
        self.check(x)
        W, b = self.own.operands["W"], self.params.get("b")
        y, kept = ops.linear.linear(self.rows(x), W, b, precision=self.own.precision)
        if train:
            self.keep((kept, x.shape))
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill dW and db; return dx."""
        kept, shape = self.take()
        grads, W = self.grads, self.own.operands["W"]
        dx = ops.linear.linear_backward(
            dy, kept, W, grads["W"], grads.get("b"), need_dx=need_dx, precision=self.own.precision
        )
        return dx if dx is None or len(shape) == 2 else namespace(dx).reshape(dx, shape)

    def flops(self) -> int:
        """Two for each weight."""
        return 2 * math.prod(self.input_shape) * self.units

    def cache_bytes(self) -> int:
        """Count the input."""
        return math.prod(self.input_shape) * itemsize(self.dtype)
