"""The book's functions (``common/functions.py``)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnet import functions
from xpnet.arrays import Array, dtype_kind, dtype_name, namespace
from xpnet.devices import device_of

__all__ = [
    "cross_entropy_error",
    "identity_function",
    "mean_squared_error",
    "np",
    "relu",
    "relu_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_loss",
    "step_function",
    "sum_squared_error",
]


EPS = 1e-7
"""What the book adds to a probability, against a logarithm of zero."""


def as_array(x: Any) -> Array:
    """Return plain numbers as a NumPy array, anything else as it is."""
    return np.asarray(x) if isinstance(x, (bool, int, float, list, tuple)) else x


def as_floating(x: Any) -> Array:
    """Return an array of floating-point numbers: integers become float64."""
    x = as_array(x)
    xp = namespace(x)
    return xp.astype(x, xp.float64) if dtype_kind(xp, x.dtype) == "exact" else x


def right_classes(t: Any, y: Array) -> Array:
    """Return the number of the right class of each row of y, shape (n,).

    Parameters
    ----------
    t : array
        One-hot rows, as many numbers as y has, of which only the largest counts; or n labels.
    y : array, shape (n, k)

    Raises
    ------
    ValueError
        They are neither, or a label is no class.
    """
    t = device_of(y).asarray(t)
    xp = namespace(t)
    if t.shape == y.shape:
        return xp.argmax(t, axis=1)
    (n, k), size = y.shape, math.prod(t.shape)
    if size == n * k:
        return xp.argmax(xp.reshape(t, (n, k)), axis=1)
    if size != n or not xp.isdtype(t.dtype, "integral"):
        raise ValueError(
            f"t: expected {n} labels (whole numbers) or targets of shape {tuple(y.shape)}, "
            f"got {dtype_name(t)} of shape {tuple(t.shape)}"
        )
    labels = t if t.ndim == 1 else xp.reshape(t, (n,))
    least, most = int(xp.min(labels)), int(xp.max(labels))
    if least < 0 or most >= k:
        raise ValueError(
            f"t: expected labels from 0 to {k - 1}, the columns of the scores, got "
            f"{least if least < 0 else most}: give the network more outputs or number the classes "
            f"from 0"
        )
    return labels


def identity_function(x: Array) -> Array:
    """Return ``x`` itself."""
    return functions.identity(x)


def step_function(x: Array) -> Array:
    """Return 1 where ``x > 0`` and 0 elsewhere, as integers (the book's definition)."""
    x = as_array(x)
    xp = namespace(x)
    return xp.asarray(x > 0, dtype=xp.int64)


def sigmoid(x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))``; an overflow on the way, which gives 0, is not warned of."""
    x = as_floating(x)
    with np.errstate(over="ignore"):
        e = namespace(x).exp(-x)
    e += 1.0
    return 1.0 / e


def sigmoid_grad(x: Array) -> Array:
    """Return the derivative of the sigmoid at ``x``."""
    y = sigmoid(x)
    return (1.0 - y) * y


def relu(x: Array) -> Array:
    """Return ``max(x, 0)``, of integers as integers."""
    x = as_array(x)
    return namespace(x).maximum(x, namespace(x).zeros_like(x))


def relu_grad(x: Array) -> Array:
    """Return 1 where ``x >= 0`` and 0 elsewhere (the book's definition: 1 at zero)."""
    x = as_array(x)
    return namespace(x).asarray(x >= 0, dtype=x.dtype)


def softmax(x: Array) -> Array:
    """Return ``exp(x) / sum exp(x)`` over the last axis."""
    return functions.softmax(as_floating(x))


def sum_squared_error(y: Array, t: Array) -> Array:
    """Return half the sum of all squared differences (no mean over the batch: the book's)."""
    y = as_floating(y)
    xp, t = namespace(y), device_of(y).asarray(t)
    error = y - (xp.astype(t, y.dtype) if dtype_kind(xp, t.dtype) == "exact" else t)
    return 0.5 * xp.sum(error**2)


mean_squared_error = sum_squared_error
"""The name that early printings of the book gave :func:`sum_squared_error`."""


def cross_entropy_error(y: Array, t: Array) -> Array:
    """Return the mean over the batch of ``-log(y + 1e-7)`` at the right class.

    The 1e-7, against a logarithm of zero, is the book's definition.

    Parameters
    ----------
    y : array, shape (n, k) or (k,)
        Probabilities.
    t : array
        One-hot rows in the shape of y, of which only the largest number counts, or n labels.
    """
    y = as_floating(y)
    if y.ndim == 1:
        y = namespace(y).reshape(y, (1, -1))
    xp = namespace(y)
    classes = xp.astype(right_classes(t, y), xp.int64, copy=False)
    p = xp.take_along_axis(y, classes[:, None], axis=1)
    return -xp.sum(xp.log(p + EPS)) / y.shape[0]


def softmax_loss(X: Array, t: Array) -> Array:
    """Return the cross-entropy error of ``softmax(X)``."""
    return cross_entropy_error(softmax(X), t)
