"""Logarithm and exponential as layers, of real or complex numbers.

Between them a weighted sum becomes a product of powers: ``exp(sum_i w_i log x_i)`` is
``prod_i x_i^{w_i}``.
"""

from __future__ import annotations

from typing import Any

from xpnet.arrays import Array, namespace
from xpnet.layers.activation import _Activation

__all__ = ["Exp", "Log", "LogSquare"]


class Log(_Activation):
    """The natural logarithm, of real or complex numbers.

    Forward: ``y = log x``.  Backward: ``dx = dy conj(1 / x)``.

    Notes
    -----
    Input and output of one shape.  Of complex numbers it is the principal branch, whose imaginary
    part lies in (-pi, pi]; real numbers are taken as they are, so that those below zero give NaN.
    At zero y is -inf and the derivative infinite.  Kept for backward: x (not copied).
    """

    accepts = ("real", "complex")

    def apply(self, x: Array) -> tuple[Array, Any]:
        """Return the logarithms, and x."""
        return namespace(x).log(x), x

    def derivative(self, kept: Any) -> Array:
        """Return ``1 / x``."""
        return 1.0 / kept


class LogSquare(_Activation):
    """The natural logarithm of the square of real numbers of either sign.

    Forward: ``y = log(x^2)``, computed as ``2 log |x|``.  Backward: ``dx = dy 2 / x``.

    Notes
    -----
    Input and output of one shape.  At zero y is -inf and the derivative infinite.  Kept for
    backward: x (not copied).
    """

    def apply(self, x: Array) -> tuple[Array, Any]:
        """Return the logarithms of the squares, and x."""
        xp = namespace(x)
        return 2.0 * xp.log(xp.abs(x)), x

    def derivative(self, kept: Any) -> Array:
        """Return ``2 / x``."""
        return 2.0 / kept


class Exp(_Activation):
    """The exponential, of real or complex numbers.

    Forward: ``y = exp x``.  Backward: ``dx = dy conj(y)``.

    Notes
    -----
    Input and output of one shape.  It overflows where the real part is above 709 (88 for
    float32).  Kept for backward: y (not copied).
    """

    accepts = ("real", "complex")

    def apply(self, x: Array) -> tuple[Array, Any]:
        """Return the exponentials, twice."""
        y = namespace(x).exp(x)
        return y, y

    def derivative(self, kept: Any) -> Array:
        """Return ``y``."""
        return kept
