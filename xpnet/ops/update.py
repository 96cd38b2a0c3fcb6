"""Update rules in one pass: what the rules of ``optimizers`` do, where a library has a body for it.

Each changes a parameter ``p`` in place by its gradient ``g``, which is never written.  ``p``, ``g``
and the slots have one shape; ``decay`` is the weight decay: it adds ``decay * p`` to the gradient.
There are no generic bodies here: an op that no library has a body for declines, and the rule's own
lines, which define it, make the update.

:func:`clip_norm` is what may come before them.

What changes from step to step comes as :class:`Scalars`, or where a step is recorded once and
replayed as :class:`DeviceScalars`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

from xpnet.arrays import Array, namespace
from xpnet.ops.dispatch import op

__all__ = [
    "DeviceScalars",
    "Scalars",
    "adagrad",
    "adam",
    "clip_norm",
    "momentum",
    "rmsprop",
    "sgd",
    "smallest_square",
]

COLUMNS = ("lr", "flush", "step_size", "root_scale")
"""The scalars that the ops know, in the order of a row of :class:`DeviceScalars`."""
_NOTHING = dict.fromkeys(COLUMNS, 0.0)
_in_columns: Callable[[Mapping[str, float]], tuple[float, ...]] = itemgetter(*COLUMNS)


class Scalars(SimpleNamespace):
    """The numbers of an update that change from one step to the next, by name, on the host.

    Attributes
    ----------
    lr : float
        The learning rate in force.
    flush : bool
        Whether moments that have decayed to almost nothing are cut to zero.
    step_size, root_scale : float
        Adam's: ``lr / (1 - beta1^step)`` and ``1 / sqrt(1 - beta2^step)``.
    known : bool
        As that of :class:`DeviceScalars`.
    """

    known = True

    @property
    def row(self) -> tuple[float, ...]:
        """The numbers of ``COLUMNS``, with 0 for those that a rule does not have."""
        return tuple(map(float, _in_columns(_NOTHING | vars(self))))


class DeviceScalars:
    """The scalars of coming steps as a table on the device, which looks its row up by itself.

    An attribute is a 0-d array of the parameters' real dtype.

    Parameters
    ----------
    names : sequence of str
        Of the columns.
    rows : array, float64, shape (steps, columns)
        At least as many columns as ``COLUMNS``.
    record : array, float64, shape (3,)
        Whose last number, the batches so far, is the number of the row that applies.
    dtype : str
    """

    def __init__(self, names: tuple[str, ...], rows: Array, record: Array, dtype: str) -> None:
        self.names = names
        self.rows = rows
        self.record = record
        self._dtype = dtype

    def __getattr__(self, name: str) -> Array:
        if name.startswith("_") or name not in self.names:
            raise AttributeError(f"the step's scalars are {', '.join(self.names)}, not {name!r}")
        xp = namespace(self.rows)
        row = xp.take(self.rows, xp.astype(self.record[2:3], xp.int64), axis=0)
        return xp.astype(row[0, self.names.index(name)], getattr(xp, self._dtype))

    @property
    def known(self) -> bool:
        """Whether the columns are those that the ops know."""
        return self.names == COLUMNS[: len(self.names)] and self.rows.shape[1] == len(COLUMNS)


@functools.cache
def smallest_square(xp: Any, dtype: Any) -> float:
    """Return the size below which moments of squares are cut to zero.

    So far down that the root is lost beside an eps of 1e-8; and a float32 moment of factor .8 or
    more does not become denormal before the next flush.
    """
    return float(xp.finfo(dtype).smallest_normal) * 2**24


@op
def clip_norm(g: Array, *, max_norm: float) -> None:
    """Shorten gradients, as one vector, in place to an L2 norm where theirs is greater.

    The norm is that of the numbers divided by their largest, whose squares neither overflow nor
    vanish.  NaN and infinity leave nothing but NaN, so that they do not go unnoticed.
    """
    xp = namespace(g)
    largest = xp.max(xp.abs(g))
    scale = xp.where((largest > 0) & xp.isfinite(largest), largest, 1.0)
    norm = scale * xp.sqrt(xp.sum(xp.abs(g / scale) ** 2))
    factor = max_norm / xp.maximum(norm, max_norm)
    g *= xp.where(xp.isfinite(norm), factor, xp.nan)


@op
def sgd(p: Array, g: Array, scalars: Scalars | DeviceScalars, decay: float) -> Any:
    """As :class:`xpnet.optimizers.SGD`."""
    return NotImplemented


@op
def momentum(
    p: Array, g: Array, v: Array, scalars: Scalars | DeviceScalars, decay: float, mu: float,
    nesterov: bool,
) -> Any:  # fmt: skip
    """As :class:`xpnet.optimizers.Momentum` or Nesterov."""
    return NotImplemented


@op
def adagrad(
    p: Array, g: Array, h: Array, scalars: Scalars | DeviceScalars, decay: float, eps: float
) -> Any:
    """As :class:`xpnet.optimizers.AdaGrad`."""
    return NotImplemented


@op
def rmsprop(
    p: Array, g: Array, h: Array, scalars: Scalars | DeviceScalars, decay: float, alpha: float,
    eps: float,
) -> Any:  # fmt: skip
    """As :class:`xpnet.optimizers.RMSprop`."""
    return NotImplemented


@op
def adam(
    p: Array, g: Array, m: Array, v: Array, scalars: Scalars | DeviceScalars, decay: float,
    beta1: float, beta2: float, eps: float, decoupled: bool,
) -> Any:  # fmt: skip
    """As :class:`xpnet.optimizers.Adam` or AdamW."""
    return NotImplemented
