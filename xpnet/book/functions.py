"""The book's functions (``common/functions.py``)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnet import functions
from xpnet.arrays import Array, dtype_kind, namespace
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


def as_array(x: Any) -> Array:
    """Return plain numbers as a NumPy array, anything else as it is."""
    return np.asarray(x) if isinstance(x, (bool, int, float, list, tuple)) else x


def as_floating(x: Any) -> Array:
    """Return an array of floating-point numbers: integers become float64."""
    x = as_array(x)
    xp = namespace(x)
    return xp.astype(x, xp.float64) if dtype_kind(xp, x.dtype) == "exact" else x


def as_targets(t: Any, y: Array) -> Array:
    """Return targets on the device of y: as they are if one-hot, else the labels in a row."""
    t = device_of(y).asarray(t)
    if math.prod(t.shape) == math.prod(y.shape):
        return namespace(t).reshape(t, y.shape)
    samples = y.shape[0] if y.ndim > 1 else 1
    if math.prod(t.shape) != samples:
        raise ValueError(
            f"t: expected {samples} labels or targets of shape {tuple(y.shape)}, "
            f"got shape {tuple(t.shape)}"
        )
    xp = namespace(t)
    return xp.astype(xp.reshape(t, (samples,)), xp.int64, copy=False)


def identity_function(x: Array) -> Array:
    """Return ``x`` itself."""
    return functions.identity(x)


def step_function(x: Array) -> Array:
    """Return 1 where ``x > 0`` and 0 elsewhere, as integers (the book's definition)."""
    x = as_array(x)
    xp = namespace(x)
    return xp.astype(x > 0, xp.int64)


def sigmoid(x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))``."""
    return functions.sigmoid(as_floating(x))


def sigmoid_grad(x: Array) -> Array:
    """Return the derivative of the sigmoid at ``x``."""
    y = sigmoid(x)
    return (1.0 - y) * y


def relu(x: Array) -> Array:
    """Return ``max(x, 0)``, of integers as integers."""
    x = as_array(x)
    return namespace(x).astype(functions.relu(as_floating(x)), x.dtype, copy=False)


def relu_grad(x: Array) -> Array:
    """Return 1 where ``x >= 0`` and 0 elsewhere (the book's definition: 1 at zero)."""
    x = as_array(x)
    return namespace(x).astype(x >= 0, x.dtype)


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
    xp = namespace(y)
    t = as_targets(t, y)
    if t.shape == y.shape:
        t = xp.argmax(xp.reshape(t, (-1, y.shape[-1])), axis=1)
    p = xp.take_along_axis(xp.reshape(y, (-1, y.shape[-1])), t[:, None], axis=1)
    return -xp.sum(xp.log(p + 1e-7)) / p.shape[0]


def softmax_loss(X: Array, t: Array) -> Array:
    """Return the cross-entropy error of ``softmax(X)``."""
    return cross_entropy_error(softmax(X), t)
