"""The book's optimizers (``common/optimizer.py``), over dicts of arrays or of plain numbers.

Arrays change in place, numbers are replaced in the dict.  What an optimizer remembers (``v``,
``h``, ``m``) is a dict like that of the parameters, of zeros at first; None before the first
update.  Of the gradients those are taken that there are parameters for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping
from contextlib import nullcontext
from typing import Any, TypeAlias

import numpy as np

from xpnet.arrays import Array, namespace
from xpnet.devices import device_of
from xpnet.ops import update
from xpnet.ops.update import Scalars

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "np"]

Params: TypeAlias = MutableMapping[str, Any]
Grads: TypeAlias = Mapping[str, Any]
Memory: TypeAlias = dict[str, Any]

EPS = 1e-7
NUMBER: tuple[type[Any], ...] = (float, int, complex, np.generic)

_HERE = nullcontext()


def _zeros(params: Params) -> Memory:
    # 0-d arrays for numbers: they are NumPy's from the first update on, as the book's are
    return {
        name: np.zeros_like(1.0 * p) if isinstance(p, NUMBER) else namespace(p).zeros_like(p)
        for name, p in params.items()
    }


class SGD:
    """Stochastic gradient descent: ``p -= lr g``.

    Parameters
    ----------
    lr : float
    """

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    def update(self, params: Params, grads: Grads) -> None:
        """Move every parameter by its gradient."""
        lr = self.lr
        for name in params:
            p = params[name]
            if type(p) is float or isinstance(p, NUMBER):  # the first is the quicker question
                params[name] = p - lr * grads[name]
            else:
                with device_of(p).scope():
                    p -= lr * grads[name]


class Momentum:
    """Momentum with the rate inside the velocity: ``v = momentum v - lr g``, ``p += v``.

    Parameters
    ----------
    lr, momentum : float

    Attributes
    ----------
    v : dict of str to array or number, or None
        The velocities.
    """

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: Memory | None = None

    def update(self, params: Params, grads: Grads) -> None:
        """Move every parameter by its gradient."""
        velocity = self.v = _zeros(params) if self.v is None else self.v
        lr, momentum = self.lr, self.momentum
        for name, p in params.items():
            if isinstance(p, NUMBER):
                velocity[name] = v = momentum * velocity[name] - lr * grads[name]
                params[name] = p + v
            else:
                with device_of(p).scope():
                    v = velocity[name]
                    v *= momentum
                    v -= lr * grads[name]
                    p += v


class Nesterov:
    """Nesterov's momentum in Bengio's form: ``p += m^2 v - (1 + m) lr g``, ``v = m v - lr g``.

    The v that moves p is the one before its own update (Bengio et al., 2012).

    Parameters
    ----------
    lr, momentum : float

    Attributes
    ----------
    v : dict of str to array or number, or None
        The velocities.
    """

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: Memory | None = None

    def update(self, params: Params, grads: Grads) -> None:
        """Move every parameter by its gradient."""
        velocity = self.v = _zeros(params) if self.v is None else self.v
        lr, momentum = self.lr, self.momentum
        for name, p in params.items():
            number = isinstance(p, NUMBER)
            with _HERE if number else device_of(p).scope():
                step, v = lr * grads[name], velocity[name]
                v *= momentum
                v -= step
                # of the new v: m v - lr g is m^2 v - (1 + m) lr g of the old one
                p += momentum * v - step
            if number:
                params[name] = p


class AdaGrad:
    """AdaGrad with an epsilon of 1e-7: ``h += g^2``, ``p -= lr g / (sqrt(h) + 1e-7)``.

    Parameters
    ----------
    lr : float

    Attributes
    ----------
    h : dict of str to array or number, or None
        The sums of squares.
    """

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr
        self.h: Memory | None = None

    def update(self, params: Params, grads: Grads) -> None:
        """Move every parameter by its gradient."""
        squares = self.h = _zeros(params) if self.h is None else self.h
        lr = self.lr
        scalars = Scalars(lr=lr, flush=False)
        for name, p in params.items():
            g, h = grads[name], squares[name]
            if isinstance(p, NUMBER):
                h += g * g
                params[name] = p - lr * g / (np.sqrt(h) + EPS)
            elif update.adagrad(p, g, h, scalars, 0.0, EPS) is NotImplemented:
                with device_of(p).scope():
                    h += g * g
                    p -= _scaled(lr, g, h)


class RMSprop:
    """RMSprop with an epsilon of 1e-7: ``h = r h + (1 - r) g^2``, and the step of AdaGrad.

    Parameters
    ----------
    lr : float
    decay_rate : float
        The share r of h that stays.

    Attributes
    ----------
    h : dict of str to array or number, or None
        The means of squares.
    """

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        self.lr = lr
        self.decay_rate = decay_rate
        self.h: Memory | None = None

    def update(self, params: Params, grads: Grads) -> None:
        """Move every parameter by its gradient."""
        squares = self.h = _zeros(params) if self.h is None else self.h
        lr, stays, comes = self.lr, self.decay_rate, 1 - self.decay_rate
        scalars = Scalars(lr=lr, flush=True)
        for name, p in params.items():
            g, h = grads[name], squares[name]
            if isinstance(p, NUMBER):
                h *= stays
                h += comes * g * g
                params[name] = p - lr * g / (np.sqrt(h) + EPS)
            elif update.rmsprop(p, g, h, scalars, 0.0, stays, EPS) is NotImplemented:
                with device_of(p).scope():
                    h *= stays
                    h += comes * g * g
                    p -= _scaled(lr, g, h)


class Adam:
    """Adam with the bias corrections in the rate, and an epsilon of 1e-7.

    ``p -= lr_t m / (sqrt(v) + 1e-7)``, ``lr_t = lr sqrt(1 - beta2^t) / (1 - beta1^t)``.

    Parameters
    ----------
    lr, beta1, beta2 : float

    Attributes
    ----------
    iter : int
        Updates made so far.
    m, v : dict of str to array or number, or None
        The means of the gradients and of their squares.
    """

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr = lr
        self.beta1 = beta1
        self.beta2 = beta2
        self.iter = 0
        self.m: Memory | None = None
        self.v: Memory | None = None

    def update(self, params: Params, grads: Grads) -> None:
        """Move every parameter by its gradient."""
        if self.m is None or self.v is None:
            self.m, self.v = _zeros(params), _zeros(params)
        means, squares = self.m, self.v
        self.iter += 1
        rate = self.lr * math.sqrt(1 - self.beta2**self.iter) / (1 - self.beta1**self.iter)
        comes1, comes2 = 1 - self.beta1, 1 - self.beta2
        scalars = Scalars(lr=self.lr, flush=True, step_size=rate, root_scale=1.0)
        rest = scalars, 0.0, self.beta1, self.beta2, EPS, False
        for name, p in params.items():
            g, m, v = grads[name], means[name], squares[name]
            if isinstance(p, NUMBER):
                m += comes1 * (g - m)
                v += comes2 * (g * g - v)
                params[name] = p - rate * m / (np.sqrt(v) + EPS)
            elif update.adam(p, g, m, v, *rest) is NotImplemented:
                with device_of(p).scope():
                    m += comes1 * (g - m)
                    v += comes2 * (g * g - v)
                    p -= _scaled(rate, m, v)


def _scaled(lr: float, g: Array, squares: Array) -> Array:
    """Return ``lr g / (sqrt(squares) + 1e-7)``."""
    root = namespace(squares).sqrt(squares)
    root += EPS
    step = lr * g
    step /= root
    return step
