"""Elementary functions of neural networks: arrays in, arrays out, on any array library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xpnet.arrays import Array, is_complex, namespace
from xpnet.checks import names_in
from xpnet.ops import elementwise

__all__ = [
    "identity",
    "log_softmax",
    "one_hot",
    "relu",
    "sigmoid",
    "softmax",
    "step",
    "swish",
    "tanh",
]


def identity(x: Array) -> Array:
    """Return ``x`` itself."""
    return x


def step(x: Array) -> Array:
    """Return 1 where ``x > 0`` and 0 elsewhere, in the dtype of x: a perceptron's output."""
    return namespace(x).astype(x > 0, x.dtype)


def sigmoid(x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))``, without overflow for real x of any size."""
    xp = namespace(x)
    if is_complex(x):
        return 1.0 / (1.0 + xp.exp(-x))
    small = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0, small) / (1.0 + small)


def tanh(x: Array) -> Array:
    """Return the hyperbolic tangent of ``x``."""
    return namespace(x).tanh(x)


def relu(x: Array) -> Array:
    """Return ``max(x, 0)``; NaN stays NaN."""
    return elementwise.relu(x)


def swish(x: Array) -> Array:
    """Return ``x sigmoid(x)`` (Ramachandran et al., 2017), also called SiLU."""
    return x * sigmoid(x)


def softmax(x: Array, axis: int = -1) -> Array:
    """Return ``exp(x) / sum exp(x)`` along an axis, safe from overflow."""
    xp = namespace(x)
    e = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return e / xp.sum(e, axis=axis, keepdims=True)


def log_softmax(x: Array, axis: int = -1) -> Array:
    """Return ``log softmax(x)`` along an axis, safe from overflow and from log(0)."""
    xp = namespace(x)
    shifted = x - xp.max(x, axis=axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))


def one_hot(labels: Array, classes: int, dtype: str = "float32") -> Array:
    """Return a row of zeros with a one at the label, for each label.

    Parameters
    ----------
    labels : array of integers, shape (n,)
        From 0 to ``classes - 1``; any other label gives a row of zeros.
    classes : int
    dtype : str
        The standard name of the result's dtype.

    Returns
    -------
    array, shape (n, classes)
    """
    xp = namespace(labels)
    columns = xp.arange(classes, dtype=xp.int64, device=labels.device)
    hit = xp.astype(labels, xp.int64)[:, None] == columns[None, :]
    return xp.astype(hit, getattr(xp, dtype))


if not TYPE_CHECKING:  # which knows the names, and would know all with this
    __getattr__ = names_in(__name__, __all__)
