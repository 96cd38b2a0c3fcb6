"""The precision of matrix products: float32 operands brought to fewer digits, sums in float32.

Parameters, activations and gradients stay float32, whatever the precision: the operands of a
product alone are narrowed.  ``"tf32"`` keeps 11 significant bits, ``"bf16"`` 8, and ``"fp16"`` 11
over a narrow range, from 6e-8 to 65504.  A GPU computes such products several times faster; on
other devices the rounding is the same and the speed is not.
"""

from __future__ import annotations

import math

from xpnet.arrays import Array, namespace
from xpnet.checks import one_of
from xpnet.ops.dispatch import op

__all__ = ["PRECISIONS", "as_operand", "check", "narrow_into", "narrowed", "rounded"]

_BITS = {"tf32": 11, "bf16": 8, "fp16": 11}

PRECISIONS = ("float32", *_BITS)
"""The precisions of products; ``"float32"`` leaves operands of any dtype as they are."""


def as_operand(a: Array, precision: str) -> Array:
    """Return a matrix as a product of a precision sees it."""
    return a if precision == "float32" else rounded(a, precision)


@op
def rounded(a: Array, precision: str) -> Array:
    """Return float32 numbers rounded to the nearest of a precision (not ``"float32"``).

    Parameters
    ----------
    a : array, float32, or as :func:`narrowed` returns it
    precision : str

    Returns
    -------
    array, float32
    """
    xp, bits = namespace(a), _BITS[precision]
    # the sum loses just the digits that are to go (Veltkamp, 1968); past 2^100 it would overflow
    small = xp.where(xp.abs(a) < 2.0**100, a, 0.0)
    large = small * (2.0 ** (24 - bits) + 1)
    close = large - (large - small)
    if precision == "fp16":
        # below 2^-14 the steps stay those of 2^-24: adding 3/4 leaves float32 no finer ones
        close = xp.where(xp.abs(small) < 2.0**-14, (small + 0.75) - 0.75, close)
        far = xp.where(a > 0, math.inf, xp.where(a < 0, -math.inf, a))
        return xp.where(xp.abs(a) < 65520, close, far)
    return xp.where(xp.abs(a) < 2.0**100, close, a)


@op
def narrowed(a: Array, precision: str) -> Array:
    """Return float32 numbers in the form in which products of a precision take them fastest.

    Here that is float32 numbers, rounded; a library that knows shorter ones returns those.
    """
    return rounded(a, precision)


@op
def narrow_into(a: Array, out: Array, precision: str) -> None:
    """Write into ``out`` what :func:`narrowed` would return."""
    out[...] = rounded(a, precision)


def check(precision: str, dtype: str, what: str) -> None:
    """Raise unless products of a dtype can have a precision."""
    one_of("precision", precision, PRECISIONS)
    if precision != "float32" and dtype != "float32":
        raise ValueError(
            f"precision {precision!r} is of float32 numbers, {what} is of {dtype}: build it with "
            f"dtype='float32'"
        )
