"""Products of a batch with a weight matrix, plain and followed by ReLU."""

from __future__ import annotations

from typing import Any

from xpnet.arrays import Array, is_complex, namespace
from xpnet.ops.dispatch import op
from xpnet.ops.precision import as_operand

__all__ = ["linear", "linear_backward", "linear_relu", "linear_relu_backward"]


@op
def linear(
    x: Array, W: Array, b: Array | None, *, precision: str = "float32"
) -> tuple[Array, Array]:
    """Return ``y = x @ W + b``.

    Parameters
    ----------
    x : array, shape (n, d)
    W : array, shape (d, units)
    b : array, shape (units,), or None
    precision : str
        That of the product: see :mod:`xpnet.ops.precision`.

    Returns
    -------
    y : array, shape (n, units)
    kept : what :func:`linear_backward` needs: x, or x as narrow as the precision
    """
    xp, kept = namespace(x), x
    if is_complex(x) and not is_complex(W):
        W = xp.astype(W, x.dtype)
    elif is_complex(W) and not is_complex(x):
        x = xp.astype(x, W.dtype)
    y = xp.matmul(as_operand(x, precision), as_operand(W, precision))
    return y if b is None else y + b, kept


@op
def linear_backward(
    dy: Array,
    kept: Array,
    W: Array,
    dW: Array,
    db: Array | None,
    *,
    need_dx: bool,
    precision: str = "float32",
) -> Array | None:
    """Write the gradients of ``x @ W + b`` into ``dW`` and ``db``; return that of x.

    ``dW = x^H dy``, ``db = sum of dy over the batch``, ``dx = dy W^H``, where H is the conjugate
    transpose.  A real parameter takes the real part of its gradient.

    Parameters
    ----------
    dy : array, shape (n, units)
    kept : array, shape (n, d)
        As :func:`linear` returned it.
    W, dW : array, shape (d, units)
    db : array, shape (units,), or None

    Returns
    -------
    array, shape (n, d), or None where ``need_dx`` is False
    """
    xp = namespace(dy)
    x_h, W_h = kept, W
    if is_complex(dy) or is_complex(kept):
        dtype = xp.result_type(kept.dtype, W.dtype, dy.dtype)
        x_h, W_h = xp.conj(xp.astype(kept, dtype)), xp.conj(xp.astype(W, dtype))
        dy = xp.astype(dy, dtype)
    if db is not None:
        db[...] = _real_for(db, xp.sum(dy, axis=0))
    x_h, W_h, dy = (as_operand(a, precision) for a in (x_h, W_h, dy))
    dW[...] = _real_for(dW, xp.matmul(x_h.T, dy))
    return _real_for(kept, xp.matmul(dy, W_h.T)) if need_dx else None


def _real_for(owner: Array, gradient: Array) -> Array:
    """Return the gradient as its owner can take it: the real part for a real owner."""
    if is_complex(gradient) and not is_complex(owner):
        return namespace(gradient).real(gradient)
    return gradient


@op
def linear_relu(
    x: Array, W: Array, b: Array | None, *, precision: str = "float32"
) -> tuple[Array, Any]:
    """Return ``y = max(x @ W + b, 0)``; arguments as those of :func:`linear`.

    Returns
    -------
    y : array, shape (n, units)
    kept : what :func:`linear_relu_backward` needs
    """
    y, kept = linear(x, W, b, precision=precision)
    y = namespace(y).where(y < 0, 0.0, y)
    return y, (kept, y)


@op
def linear_relu_backward(
    dy: Array,
    kept: Any,
    W: Array,
    dW: Array,
    db: Array | None,
    *,
    need_dx: bool,
    precision: str = "float32",
) -> Array | None:
    """Take ``dy`` through the ReLU (it passes where y > 0), then as :func:`linear_backward`."""
    x, y = kept
    dz = namespace(dy).where(y > 0, dy, 0.0)
    return linear_backward(dz, x, W, dW, db, need_dx=need_dx, precision=precision)
