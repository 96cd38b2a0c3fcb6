"""The update rules of the optimizers: each changes a parameter ``p`` in place by its gradient.

The rules are PyTorch's, to the place of epsilon.  ``p``, ``g`` and the slots have one shape;
``g`` is never written.  ``decay`` is the weight decay: it adds ``decay * p`` to the gradient.
For complex parameters the second moment is that of the gradient's absolute value.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from xpnet.device import Array, is_complex, namespace
from xpnet.ops.loss import smallest_kept
from xpnet.ops.op import op

__all__ = ["adagrad", "adam", "momentum", "rmsprop", "sgd", "smallest_square"]

FLUSH_EVERY = 64
"""Steps between two flushes of moments that have decayed towards denormal numbers.

From the size that is cut (the square root of the smallest normal number) a float32 moment of
factor .5 takes as many steps to become denormal.
"""


def _square(g: Array) -> Array:
    xp = namespace(g)
    return xp.real(g * xp.conj(g)) if is_complex(g) else g * g


def _decayed(p: Array, g: Array, decay: float) -> Array:
    return g + decay * p if decay else g


def _flush(m: Array, step: int) -> None:
    if step % FLUSH_EVERY == 0:
        xp = namespace(m)
        m[...] = xp.where(xp.abs(m) < smallest_kept(xp, m.dtype), 0.0, m)


@functools.cache
def smallest_square(xp: Any, dtype: Any) -> float:
    """Return the size below which moments of squares are cut to zero.

    So far down that the root is lost beside an eps of 1e-8; and a float32 moment of factor .8 or
    more does not become denormal before the next flush.
    """
    return float(xp.finfo(dtype).smallest_normal) * 2**24


def _flush_squares(v: Array, step: int) -> None:
    if step % FLUSH_EVERY == 0:
        xp = namespace(v)
        v[...] = xp.where(v < smallest_square(xp, v.dtype), 0.0, v)


@op
def sgd(p: Array, g: Array, lr: float, decay: float) -> None:
    """Stochastic gradient descent: ``p -= lr g``."""
    p -= lr * _decayed(p, g, decay)


@op
def momentum(
    p: Array, g: Array, v: Array, step: int, lr: float, mu: float, decay: float, nesterov: bool
) -> None:
    """Momentum: ``v = mu v + g``, ``p -= lr v``; Nesterov's form: ``p -= lr (g + mu v)``."""
    g = _decayed(p, g, decay)
    v *= mu
    v += g
    _flush(v, step)
    p -= lr * (g + mu * v if nesterov else v)


@op
def adagrad(p: Array, g: Array, h: Array, lr: float, eps: float, decay: float) -> None:
    """AdaGrad: ``h += g^2``, ``p -= lr g / (sqrt(h) + eps)``."""
    g = _decayed(p, g, decay)
    h += _square(g)
    p -= lr * g / (namespace(p).sqrt(h) + eps)


@op
def rmsprop(
    p: Array, g: Array, h: Array, step: int, lr: float, alpha: float, eps: float, decay: float
) -> None:
    """RMSprop: ``h = alpha h + (1 - alpha) g^2``, ``p -= lr g / (sqrt(h) + eps)``."""
    g = _decayed(p, g, decay)
    h *= alpha
    h += (1 - alpha) * _square(g)
    _flush_squares(h, step)
    p -= lr * g / (namespace(p).sqrt(h) + eps)


@op
def adam(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float,
    decoupled: bool,
) -> None:
    """Adam: ``m = beta1 m + (1 - beta1) g``, ``v = beta2 v + (1 - beta2) g^2``.

    ``p -= lr m_hat / (sqrt(v_hat) + eps)``, where the hats divide by ``1 - beta^step``.
    Decoupled decay (AdamW) shrinks p by ``lr decay`` first and leaves g alone.
    """
    if decoupled and decay:
        p *= 1 - lr * decay
    else:
        g = _decayed(p, g, decay)
    m *= beta1
    m += (1 - beta1) * g
    _flush(m, step)
    v *= beta2
    v += (1 - beta2) * _square(g)
    _flush_squares(v, step)
    spread = namespace(p).sqrt(v) * (1 / math.sqrt(1 - beta2**step)) + eps
    p -= (lr / (1 - beta1**step)) * m / spread
