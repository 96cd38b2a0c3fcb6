"""The book's gradients by differences (``common/gradient.py``)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from xpnet.arrays import Array, dtype_kind, dtype_name, namespace

__all__ = ["np", "numerical_gradient", "numerical_gradient_2d"]

H = 1e-4


def numerical_gradient(f: Callable[[Array], Any], x: Array) -> Array:
    """Return the gradient of f at x by central differences of step 1e-4.

    Unlike :func:`xpnet.gradients.numerical_gradient` this one changes x itself and restores it
    bit for bit, because the book's ``lambda W: loss(x, t)`` ignores its argument and sees the
    change through the network that x is a parameter of.

    Parameters
    ----------
    f : callable
        Takes x, returns one number.
    x : array of real floating-point numbers, any shape

    Returns
    -------
    array, shape, dtype and device of x
    """
    xp = namespace(x)
    if dtype_kind(xp, x.dtype) != "real":
        raise ValueError(
            f"numerical_gradient: expected real floating-point numbers, got {dtype_name(x)} "
            f"(a step of {H} is lost in whole numbers)"
        )
    gradient, around = xp.zeros_like(x), 2 * H
    for at in product(*map(range, x.shape)):
        kept = float(x[at])
        try:
            x[at] = kept + H
            above = float(f(x))
            x[at] = kept - H
            below = float(f(x))
        finally:
            x[at] = kept
        gradient[at] = (above - below) / around
    return gradient


def numerical_gradient_2d(f: Callable[[Array], Any], X: Array) -> Array:
    """Return the gradient of f at each row of X; f sees one row at a time.

    A one-dimensional X is a single row.
    """
    if X.ndim == 1:
        return numerical_gradient(f, X)
    gradient = namespace(X).zeros_like(X)
    for i in range(X.shape[0]):
        gradient[i, ...] = numerical_gradient(f, X[i, ...])
    return gradient
