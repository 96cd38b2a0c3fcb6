"""The update rules of the optimizers: each changes a parameter ``p`` in place by its gradient.

The rules are PyTorch's, to the place of epsilon.  ``p``, ``g`` and the slots have one shape;
``g`` is never written.  ``decay`` is the weight decay: it adds ``decay * p`` to the gradient.
For complex parameters the second moment is that of the gradient's absolute value.

``pace`` is what changes from step to step: a :class:`Pace`, or where a step is recorded once and
replayed, a :class:`Timetable` that lies on the device.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from xpnet.arrays import Array, is_complex, namespace, to_numpy
from xpnet.ops.dispatch import op
from xpnet.ops.loss import smallest_kept

__all__ = [
    "FLUSH_EVERY",
    "Pace",
    "Timetable",
    "adagrad",
    "adam",
    "momentum",
    "rmsprop",
    "sgd",
    "smallest_square",
]

FLUSH_EVERY = 64
"""Steps between two flushes of moments that have decayed towards denormal numbers.

From the size that is cut (the square root of the smallest normal number) a float32 moment of
factor .5 takes as many steps to become denormal.
"""


class Pace(NamedTuple):
    """What of an update rule changes from one step to the next.

    Attributes
    ----------
    lr : float
        The learning rate in force.
    flush : bool
        Whether moments that have decayed to almost nothing are cut to zero.
    first, second : float
        ``1 - beta^step`` of each moment: what a mean that began at zero has seen so far.
    """

    lr: float
    flush: bool = False
    first: float = 1.0
    second: float = 1.0

    @property
    def row(self) -> tuple[float, float, float, float]:
        """What kernels compute with: lr, flush (0 or 1), lr / first, 1 / sqrt(second)."""
        lr = float(self.lr)
        return lr, float(self.flush), float(lr / self.first), 1 / math.sqrt(self.second)


class Timetable(NamedTuple):
    """The paces of coming steps, on the device.

    Attributes
    ----------
    rows : array, float64, shape (steps, 4)
        :attr:`Pace.row` of each step.
    record : array, float64, shape (3,)
        Whose last number, the batches so far, is the number of the row that applies.
    """

    rows: Array
    record: Array

    @property
    def pace(self) -> Pace:
        """The pace that applies, read from the device (and so not while a step is recorded)."""
        lr, flush, hat, spread = map(float, to_numpy(self.rows)[int(self.record[2])])
        return Pace(lr, bool(flush), lr / hat if hat else 1.0, spread**-2)


def _square(g: Array) -> Array:
    xp = namespace(g)
    return xp.real(g * xp.conj(g)) if is_complex(g) else g * g


def _decayed(p: Array, g: Array, decay: float) -> Array:
    return g + decay * p if decay else g


def _flush(m: Array, pace: Pace) -> None:
    if pace.flush:
        xp = namespace(m)
        m[...] = xp.where(xp.abs(m) < smallest_kept(xp, m.dtype), 0.0, m)


@functools.cache
def smallest_square(xp: Any, dtype: Any) -> float:
    """Return the size below which moments of squares are cut to zero.

    So far down that the root is lost beside an eps of 1e-8; and a float32 moment of factor .8 or
    more does not become denormal before the next flush.
    """
    return float(xp.finfo(dtype).smallest_normal) * 2**24


def _flush_squares(v: Array, pace: Pace) -> None:
    if pace.flush:
        xp = namespace(v)
        v[...] = xp.where(v < smallest_square(xp, v.dtype), 0.0, v)


def _at(pace: Pace | Timetable) -> Pace:
    return pace if isinstance(pace, Pace) else pace.pace


@op
def sgd(p: Array, g: Array, pace: Pace | Timetable, decay: float) -> None:
    """Stochastic gradient descent: ``p -= lr g``."""
    p -= _at(pace).lr * _decayed(p, g, decay)


@op
def momentum(
    p: Array, g: Array, v: Array, pace: Pace | Timetable, mu: float, decay: float, nesterov: bool
) -> None:
    """Momentum: ``v = mu v + g``, ``p -= lr v``; Nesterov's form: ``p -= lr (g + mu v)``."""
    pace = _at(pace)
    g = _decayed(p, g, decay)
    v *= mu
    v += g
    _flush(v, pace)
    p -= pace.lr * (g + mu * v if nesterov else v)


@op
def adagrad(p: Array, g: Array, h: Array, pace: Pace | Timetable, eps: float, decay: float) -> None:
    """AdaGrad: ``h += g^2``, ``p -= lr g / (sqrt(h) + eps)``."""
    g = _decayed(p, g, decay)
    h += _square(g)
    p -= _at(pace).lr * g / (namespace(p).sqrt(h) + eps)


@op
def rmsprop(
    p: Array, g: Array, h: Array, pace: Pace | Timetable, alpha: float, eps: float, decay: float
) -> None:
    """RMSprop: ``h = alpha h + (1 - alpha) g^2``, ``p -= lr g / (sqrt(h) + eps)``."""
    pace = _at(pace)
    g = _decayed(p, g, decay)
    h *= alpha
    h += (1 - alpha) * _square(g)
    _flush_squares(h, pace)
    p -= pace.lr * g / (namespace(p).sqrt(h) + eps)


@op
def adam(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    pace: Pace | Timetable,
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
    pace = _at(pace)
    if decoupled and decay:
        p *= 1 - pace.lr * decay
    else:
        g = _decayed(p, g, decay)
    m *= beta1
    m += (1 - beta1) * g
    _flush(m, pace)
    v *= beta2
    v += (1 - beta2) * _square(g)
    _flush_squares(v, pace)
    spread = namespace(p).sqrt(v) * (1 / math.sqrt(pace.second)) + eps
    p -= (pace.lr / pace.first) * m / spread
