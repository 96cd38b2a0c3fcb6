"""The update rules: each equation once in words, once in code.

The rules are PyTorch's, to the place of epsilon.  For complex parameters the second moment is
that of the gradient's absolute value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

from xpnet.arrays import Array, is_complex, namespace
from xpnet.checks import Hyperparameter, fraction, positive
from xpnet.ops import update
from xpnet.ops.loss import smallest_kept
from xpnet.ops.update import smallest_square
from xpnet.optimizers.base import Optimizer, fused

__all__ = ["SGD", "AdaGrad", "Adam", "AdamW", "Momentum", "Nesterov", "RMSprop"]


class SGD(Optimizer):
    """Stochastic gradient descent: ``p -= lr g``.

    Parameters
    ----------
    lr : float
    weight_decay : float
    """

    def __init__(self, lr: float = 0.01, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)

    @fused(update.sgd)
    def rule(self, p: Array, g: Array, *, scalars: Any, decay: float) -> None:
        """Change ``p`` in place."""
        p -= scalars.lr * _decayed(p, g, decay)


class Momentum(Optimizer):
    """A ball that rolls downhill: ``v = momentum v + g``, ``p -= lr v``.

    Parameters
    ----------
    lr : float
    momentum : float
        0 <= momentum < 1.
    weight_decay : float

    Notes
    -----
    One slot, v.  Polyak, 1964; the rule as PyTorch computes it.
    """

    slot_names = ("v",)
    nesterov: ClassVar[bool] = False

    momentum = Hyperparameter(fraction)

    def __init__(self, lr: float = 0.01, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.momentum = momentum

    @fused(update.momentum, "momentum", "nesterov")
    def rule(self, p: Array, g: Array, v: Array, *, scalars: Any, decay: float) -> None:
        """Change ``p`` and v in place."""
        g = _decayed(p, g, decay)
        v *= self.momentum
        v += g
        _flush(v, scalars, smallest_kept)
        p -= scalars.lr * (g + self.momentum * v if self.nesterov else v)


class Nesterov(Momentum):
    """Momentum that looks ahead: ``v = momentum v + g``, ``p -= lr (g + momentum v)``.

    Parameters
    ----------
    lr : float
    momentum : float
        0 <= momentum < 1.
    weight_decay : float

    Notes
    -----
    One slot, v.  Sutskever et al., "On the importance of initialization and momentum", 2013.
    """

    nesterov = True


class AdaGrad(Optimizer):
    """A rate of its own for each number: ``h += g^2``, ``p -= lr g / (sqrt(h) + eps)``.

    Parameters
    ----------
    lr : float
    eps : float
    weight_decay : float

    Notes
    -----
    One slot, h, real.  Duchi et al., "Adaptive subgradient methods", 2011.
    """

    slot_names = ("h",)
    real_slots = frozenset({"h"})

    eps = Hyperparameter(positive)

    def __init__(self, lr: float = 0.01, eps: float = 1e-10, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.eps = eps

    @fused(update.adagrad, "eps")
    def rule(self, p: Array, g: Array, h: Array, *, scalars: Any, decay: float) -> None:
        """Change ``p`` and h in place."""
        g = _decayed(p, g, decay)
        h += _squared(g)
        p -= scalars.lr * g / (namespace(p).sqrt(h) + self.eps)


class RMSprop(Optimizer):
    """AdaGrad that forgets: ``h = alpha h + (1 - alpha) g^2``, ``p -= lr g / (sqrt(h) + eps)``.

    Parameters
    ----------
    lr : float
    alpha : float
        0 <= alpha < 1.
    eps : float
    weight_decay : float

    Notes
    -----
    One slot, h, real.  Hinton, lecture 6e of "Neural networks for machine learning", 2012.
    """

    slot_names = ("h",)
    real_slots = frozenset({"h"})

    alpha = Hyperparameter(fraction)
    eps = Hyperparameter(positive)

    def __init__(
        self, lr: float = 0.01, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        super().__init__(lr, weight_decay)
        self.alpha = alpha
        self.eps = eps

    @fused(update.rmsprop, "alpha", "eps")
    def rule(self, p: Array, g: Array, h: Array, *, scalars: Any, decay: float) -> None:
        """Change ``p`` and h in place."""
        g = _decayed(p, g, decay)
        h *= self.alpha
        h += (1 - self.alpha) * _squared(g)
        _flush(h, scalars, smallest_square)
        p -= scalars.lr * g / (namespace(p).sqrt(h) + self.eps)


class Adam(Optimizer):
    """Momentum with a rate of its own for each number.

    ``m = beta1 m + (1 - beta1) g``, ``v = beta2 v + (1 - beta2) g^2``,
    ``p -= lr m_hat / (sqrt(v_hat) + eps)``; the hats divide by ``1 - beta^step``.

    Parameters
    ----------
    lr : float
    beta1, beta2 : float
        0 <= beta < 1.
    eps : float
    weight_decay : float
        Added to the gradient; see :class:`AdamW` for the decoupled form.

    Notes
    -----
    Two slots, m and v, v real.  Kingma and Ba, "Adam", 2015.
    """

    slot_names = ("m", "v")
    real_slots = frozenset({"v"})
    decoupled: ClassVar[bool] = False

    beta1 = Hyperparameter(fraction)
    beta2 = Hyperparameter(fraction)
    eps = Hyperparameter(positive)

    def __init__(
        self,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.beta1 = beta1
        self.beta2 = beta2
        self.eps = eps

    def scalars(self, step: int) -> dict[str, float]:
        """Return the rate, and what makes up for how far the two means have got."""
        scalars = super().scalars(step)
        scalars["step_size"] = scalars["lr"] / (1 - self.beta1**step)
        scalars["root_scale"] = 1 / math.sqrt(1 - self.beta2**step)
        return scalars

    @fused(update.adam, "beta1", "beta2", "eps", "decoupled")
    def rule(self, p: Array, g: Array, m: Array, v: Array, *, scalars: Any, decay: float) -> None:
        """Change ``p``, m and v in place."""
        if self.decoupled and decay:
            p *= 1 - scalars.lr * decay
        else:
            g = _decayed(p, g, decay)
        m *= self.beta1
        m += (1 - self.beta1) * g
        _flush(m, scalars, smallest_kept)
        v *= self.beta2
        v += (1 - self.beta2) * _squared(g)
        _flush(v, scalars, smallest_square)
        p -= scalars.step_size * m / (namespace(p).sqrt(v) * scalars.root_scale + self.eps)


class AdamW(Adam):
    """Adam with decoupled weight decay: ``p *= 1 - lr weight_decay`` before Adam's step.

    Parameters
    ----------
    lr : float
    beta1, beta2 : float
        0 <= beta < 1.
    eps : float
    weight_decay : float

    Notes
    -----
    Two slots, m and v.  Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """

    decoupled = True

    def __init__(
        self,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(lr, beta1, beta2, eps, weight_decay)


def _decayed(p: Array, g: Array, decay: float) -> Array:
    return g + decay * p if decay else g


def _squared(g: Array) -> Array:
    """Return the square of the absolute value."""
    xp = namespace(g)
    return xp.real(g * xp.conj(g)) if is_complex(g) else g * g


def _flush(moment: Array, scalars: Any, smallest: Callable[[Any, Any], float]) -> None:
    """Cut a moment's numbers to zero, at the steps that do, where they are next to nothing."""
    if scalars.flush is False:
        return
    xp = namespace(moment)
    cut = xp.abs(moment) < smallest(xp, moment.dtype)
    if scalars.flush is not True:  # a number on the device
        cut = cut & (scalars.flush > 0)
    moment[...] = xp.where(cut, 0.0, moment)
