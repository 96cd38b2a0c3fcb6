"""The book's optimizers (``common/optimizer.py``), over dicts of arrays or of plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from xpnet import optimizers
from xpnet.arrays import Array

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "np"]

EPS = 1e-7


class _Rule(optimizers.Optimizer):
    """An optimizer that, as the book's do, takes of the gradients those there are params for."""

    def update(self, params: Any, grads: Mapping[str, Any]) -> None:
        """Move every parameter by its gradient: arrays in place, numbers in the dict."""
        super().update(params, {key: grads[key] for key in params})

    def _remembered(self, slot: str) -> dict[str, Array] | None:
        """Return a slot by parameter, None before the first update."""
        return self.slots.get(slot)


class SGD(_Rule, optimizers.SGD):
    """Stochastic gradient descent: ``p -= lr g``."""

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr)


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

    def rule(self, p: Array, g: Array, v: Array, *, scalars: Any, decay: float) -> None:
        """Change ``p`` and v in place."""
        v *= self.momentum
        v -= scalars.lr * g
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

    def rule(self, p: Array, g: Array, v: Array, *, scalars: Any, decay: float) -> None:
        """Change ``p`` and v in place."""
        v *= self.momentum
        v -= scalars.lr * g
        p += self.momentum**2 * v
        p -= (1 + self.momentum) * scalars.lr * g


class AdaGrad(_Rule, optimizers.AdaGrad):
    """AdaGrad with an epsilon of 1e-7: ``h += g^2``, ``p -= lr g / (sqrt(h) + 1e-7)``.

    Attributes
    ----------
    h : dict of str to array, or None
        The sums of squares, from the first update on.
    """

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr, eps=EPS)

    @property
    def h(self) -> dict[str, Array] | None:
        """The sums of squares by parameter."""
        return self._remembered("h")


class RMSprop(_Rule, optimizers.RMSprop):
    """RMSprop with an epsilon of 1e-7: ``h = decay_rate h + (1 - decay_rate) g^2``.

    Attributes
    ----------
    h : dict of str to array, or None
        The means of squares, from the first update on.
    """

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        super().__init__(lr, alpha=decay_rate, eps=EPS)

    @property
    def decay_rate(self) -> float:
        """The share of h that stays."""
        return self.alpha

    @decay_rate.setter
    def decay_rate(self, value: float) -> None:
        self.alpha = value

    @property
    def h(self) -> dict[str, Array] | None:
        """The means of squares by parameter."""
        return self._remembered("h")


class Adam(_Rule, optimizers.Adam):
    """Adam with the bias corrections in the rate, the book's form.

    ``p -= lr_t m / (sqrt(v) + 1e-7)``, ``lr_t = lr sqrt(1 - beta2^t) / (1 - beta1^t)``.

    Attributes
    ----------
    iter : int
        Updates made so far.
    m, v : dict of str to array, or None
        The moments, from the first update on.
    """

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        super().__init__(lr, beta1, beta2, EPS)

    def scalars(self, step: int) -> dict[str, float]:
        """Return ``lr_t``, with nothing left to correct."""
        correction = math.sqrt(1 - self.beta2**step) / (1 - self.beta1**step)
        return super().scalars(step) | {"step_size": self.rate * correction, "root_scale": 1.0}

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
