"""The book's optimizers (``common/optimizer.py``), over dicts of arrays or of plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from xpnet import ops, optimizers
from xpnet.arrays import Array
from xpnet.ops.update import Pace, Timetable

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "np"]

EPS = 1e-7


class _Rule(optimizers.Optimizer):
    """An optimizer that, as the book's do, takes of the gradients those there are params for."""

    def update(
        self, params: Any, grads: Mapping[str, Any], timetable: Timetable | None = None
    ) -> None:
        """Move every parameter by its gradient: arrays in place, numbers in the dict."""
        super().update(params, {key: grads[key] for key in params}, timetable)

    def _remembered(self, slot: str) -> dict[str, Array] | None:
        """Return a slot by parameter, None before the first update."""
        return self._slots.get(slot)


class SGD(_Rule):
    """Stochastic gradient descent: ``p -= lr g``."""

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr)

    def rule(self, p: Array, g: Array, *slots: Array, decay: float) -> None:
        """Change ``p`` in place."""
        ops.update.sgd(p, g, self._pace, decay)


class Momentum(_Rule):
    """Momentum with the rate inside the velocity, the book's form: ``v = momentum v - lr g``.

    Then ``p += v``.

    Attributes
    ----------
    v : dict of str to array, or None
        The velocities, from the first update on.
    """

    slot_names = ("v",)

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        super().__init__(lr)
        self.momentum = momentum

    def rule(self, p: Array, g: Array, *slots: Array, decay: float) -> None:
        """Change ``p`` and v in place."""
        (v,) = slots
        v *= self.momentum
        v -= self.rate * g
        p += v

    @property
    def v(self) -> dict[str, Array] | None:
        """The velocities by parameter."""
        return self._remembered("v")


class Nesterov(Momentum):
    """The book's form of Nesterov's momentum: ``v = m v - lr g``, ``p += m^2 v - (1 + m) lr g``.

    In the paper (Bengio et al., 2012) the v that moves p is the one before its update, and
    :class:`xpnet.optimizers.Nesterov` computes that; the book's file updates v first.
    """

    def rule(self, p: Array, g: Array, *slots: Array, decay: float) -> None:
        """Change ``p`` and v in place."""
        (v,) = slots
        v *= self.momentum
        v -= self.rate * g
        p += self.momentum**2 * v
        p -= (1 + self.momentum) * self.rate * g


class AdaGrad(_Rule):
    """AdaGrad with an epsilon of 1e-7: ``h += g^2``, ``p -= lr g / (sqrt(h) + 1e-7)``.

    Attributes
    ----------
    h : dict of str to array, or None
        The sums of squares, from the first update on.
    """

    slot_names = ("h",)

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr)

    def rule(self, p: Array, g: Array, *slots: Array, decay: float) -> None:
        """Change ``p`` and h in place."""
        ops.update.adagrad(p, g, *slots, self._pace, EPS, decay)

    @property
    def h(self) -> dict[str, Array] | None:
        """The sums of squares by parameter."""
        return self._remembered("h")


class RMSprop(AdaGrad):
    """RMSprop with an epsilon of 1e-7: ``h = decay_rate h + (1 - decay_rate) g^2``."""

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        super().__init__(lr)
        self.decay_rate = decay_rate

    def rule(self, p: Array, g: Array, *slots: Array, decay: float) -> None:
        """Change ``p`` and h in place."""
        ops.update.rmsprop(p, g, *slots, self._pace, self.decay_rate, EPS, decay)


class Adam(_Rule):
    """Adam with the bias corrections in the rate, the book's form.

    ``p -= lr_t m / (sqrt(v) + 1e-7)``, ``lr_t = lr sqrt(1 - beta2^t) / (1 - beta1^t)``.

    Attributes
    ----------
    iter : int
        Updates made so far.
    m, v : dict of str to array, or None
        The moments, from the first update on.
    """

    slot_names = ("m", "v")

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        super().__init__(lr)
        self.beta1 = beta1
        self.beta2 = beta2

    def pace(self, step: int) -> Pace:
        """Return ``lr_t`` as the rate, with nothing left to correct."""
        pace = super().pace(step)
        correction = math.sqrt(1 - self.beta2**step) / (1 - self.beta1**step)
        return pace._replace(lr=pace.lr * correction)

    def rule(self, p: Array, g: Array, *slots: Array, decay: float) -> None:
        """Change ``p``, m and v in place."""
        ops.update.adam(p, g, *slots, self._pace, self.beta1, self.beta2, EPS, decay, False)

    @property
    def iter(self) -> int:
        """Updates made so far."""
        return self.steps

    @property
    def m(self) -> dict[str, Array] | None:
        """The means of the gradients by parameter."""
        return self._remembered("m")

    @property
    def v(self) -> dict[str, Array] | None:
        """The means of their squares by parameter."""
        return self._remembered("v")
