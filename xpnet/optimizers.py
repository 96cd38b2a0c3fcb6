"""Optimizers: rules that move parameters against their gradients.

An optimizer works on two mappings with the same keys: a network's ``params`` and ``grads``, or
plain dicts of arrays or of numbers.  What it remembers between steps (its slots) has the same
keys.  A network's parameters lie in one buffer, so its update is a handful of operations
whatever the number of layers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableMapping
from numbers import Number
from typing import Any, ClassVar

from xpnet import ops
from xpnet.arrays import Array, dtype_name, namespace, to_numpy
from xpnet.checks import Hyperparameter, fraction, not_negative, positive
from xpnet.config import Configurable
from xpnet.devices import CPU, device_of
from xpnet.ops.update import FLUSH_EVERY, Pace, Timetable

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSprop",
]


class Optimizer(Configurable, ABC):
    """An update rule with what it remembers.

    Attributes
    ----------
    lr : float
        The learning rate.
    lr_factor : float
        What a schedule multiplies the learning rate by; 1 unless a trainer sets it.
    weight_decay : float
        L2 decay: adds ``weight_decay * p`` to the gradient, of a network's weight matrices alone
        (not of biases and BatchNorm's parameters), of a plain dict's every entry.
    steps : int
        Updates made so far.
    replayable : bool
        As that of :class:`xpnet.layers.Layer`: of rates and steps the rule sees only what
        :meth:`pace` gives.
    """

    replayable: ClassVar[bool] = False
    slot_names: ClassVar[tuple[str, ...]] = ()
    real_slots: ClassVar[frozenset[str]] = frozenset()

    lr = Hyperparameter(positive)
    weight_decay = Hyperparameter(not_negative)

    def __init__(self, lr: float, weight_decay: float = 0.0) -> None:
        self.lr = lr
        self.weight_decay = weight_decay
        self.lr_factor = 1.0
        self.steps = 0
        self._pace: Pace | Timetable = Pace(self.lr)
        self._slots: dict[str, dict[str, Array]] = {}
        self._flat: Array | None = None
        self._owner: object = None
        self._flat_slots: list[Array] = []

    @abstractmethod
    def rule(self, p: Array, g: Array, *slots: Array, decay: float) -> None:
        """Change ``p`` and the slots in place by the gradient ``g``; never write ``g``."""

    def pace(self, step: int) -> Pace:
        """Return what of the rule is particular to an update, counted from 1."""
        return Pace(self.rate, step % FLUSH_EVERY == 0)

    @property
    def rate(self) -> float:
        """The learning rate in force: ``lr`` times the schedule's factor."""
        return self.lr * self.lr_factor

    def update(
        self,
        params: MutableMapping[str, Any] | Any,
        grads: Mapping[str, Any],
        timetable: Timetable | None = None,
    ) -> None:
        """Move every parameter by its gradient.

        Parameters
        ----------
        params : a network's ``params``, or a dict of arrays or plain numbers
            Arrays change in place; numbers are replaced in the dict.
        grads : mapping with the same keys
        timetable : Timetable, optional
            Where the device itself looks up the rate and what else changes from step to step; by
            default they are ``lr`` times ``lr_factor`` and what follows from ``steps``.

        Raises
        ------
        ValueError
            The keys or shapes differ; nothing has changed then.
        """
        flat = getattr(params, "flat", None)
        if flat is None or getattr(grads, "flat", None) is None:
            self._update_each(params, grads, timetable)
        else:
            self._update_flat(params, grads, flat, timetable)

    def _check(self, params: Mapping[str, Any], grads: Mapping[str, Any]) -> None:
        if params.keys() != grads.keys():
            raise ValueError(
                f"update: expected the same keys, got params {sorted(params)} and "
                f"grads {sorted(grads)}"
            )
        for key, value in params.items():
            shape, given = getattr(value, "shape", ()), getattr(grads[key], "shape", ())
            if tuple(shape) != tuple(given):
                raise ValueError(
                    f"update: expected a gradient of shape {tuple(shape)} for {key!r}, "
                    f"got {tuple(given)}"
                )

    def _update_flat(
        self, params: Any, grads: Any, flat: Array, timetable: Timetable | None
    ) -> None:
        if flat is not self._flat:
            self._check(params, grads)
            self._bind(params, flat)
        self._step(timetable)
        slopes = grads.flat
        end = params.decayed if self.weight_decay else 0
        with device_of(flat).scope():
            if end:
                slots = (slot[:end] for slot in self._flat_slots)
                self.rule(flat[:end], slopes[:end], *slots, decay=self.weight_decay)
            if end < flat.shape[0]:
                slots = (slot[end:] for slot in self._flat_slots)
                self.rule(flat[end:], slopes[end:], *slots, decay=0.0)

    def _step(self, timetable: Timetable | None) -> None:
        self.steps += 1
        self._pace = timetable or self.pace(self.steps)

    def _bind(self, params: Any, flat: Array) -> None:
        """Give a network flat slots, views of which stand under the keys of its parameters."""
        if self._slots and self._owner not in (None, params.owner):
            raise ValueError(
                f"{type(self).__name__}: has trained another network and remembers its moments: "
                f"make a new optimizer for this one"
            )
        place, old = device_of(flat), self._slots
        for name, slots in old.items():
            for key, values in slots.items():
                if key not in params or tuple(values.shape) != tuple(params[key].shape):
                    raise ValueError(
                        f"{type(self).__name__}: remembers {name} of {key!r} {tuple(values.shape)},"
                        f" which this network does not have: make a new optimizer for it"
                    )
        self._slots, self._flat_slots = {}, []
        for name in self.slot_names:
            whole = place.zeros(flat.shape[0], self._slot_dtype(name, flat))
            views = self._slots[name] = params.views_of(whole)
            for key, values in old.get(name, {}).items():
                with place.scope():
                    views[key][...] = place.asarray(values)
            self._flat_slots.append(whole)
        self._flat, self._owner = flat, params.owner

    def _update_each(
        self,
        params: MutableMapping[str, Any],
        grads: Mapping[str, Any],
        timetable: Timetable | None,
    ) -> None:
        self._check(params, grads)
        self._step(timetable)
        self._flat = None
        for key, value in params.items():
            number = isinstance(value, Number)
            dtype = "complex128" if isinstance(value, complex) else "float64"
            p = CPU.asarray([value], dtype) if number else value
            g = CPU.asarray([grads[key]], dtype) if number else grads[key]
            with device_of(p).scope():
                slots = [self._slot(name, key, p) for name in self.slot_names]
                self.rule(p, g, *slots, decay=self.weight_decay)
            if number:
                params[key] = p[0].item()

    def _slot(self, name: str, key: str, p: Array) -> Array:
        slots = self._slots.setdefault(name, {})
        place = device_of(p)
        if key not in slots or device_of(slots[key]) != place:
            fresh = place.zeros(tuple(p.shape), self._slot_dtype(name, p))
            if key in slots:
                fresh[...] = place.asarray(slots[key])
            slots[key] = fresh
        return slots[key]

    def _slot_dtype(self, name: str, p: Array) -> str:
        dtype = dtype_name(p)
        if name in self.real_slots:
            return {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)
        return dtype

    def state(self) -> dict[str, Array]:
        """Return what is remembered, as host arrays under ``"slot/key"``."""
        return {
            f"{name}/{key}": to_numpy(values).copy()
            for name, slots in self._slots.items()
            for key, values in slots.items()
        }

    def load_state(self, state: Mapping[str, Array], steps: int) -> None:
        """Take up what :meth:`state` returned after ``steps`` updates."""
        self._slots = {name: {} for name in self.slot_names}
        for path, values in state.items():
            name, _, key = path.partition("/")
            if name not in self._slots:
                raise ValueError(f"{type(self).__name__} has no slot {name!r}")
            self._slots[name][key] = namespace(values).asarray(values, copy=True)
        self._flat, self._owner, self.steps = None, None, steps


class SGD(Optimizer):
    """Stochastic gradient descent: ``p -= lr g``.

    Parameters
    ----------
    lr : float
    weight_decay : float
    """

    replayable = True

    def __init__(self, lr: float = 0.01, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)

    def rule(self, p: Array, g: Array, *slots: Array, decay: float) -> None:
        """Change ``p`` in place."""
        ops.update.sgd(p, g, self._pace, decay)


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

    replayable = True
    slot_names = ("v",)
    nesterov: ClassVar[bool] = False

    momentum = Hyperparameter(fraction)

    def __init__(self, lr: float = 0.01, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.momentum = momentum

    def rule(self, p: Array, g: Array, *slots: Array, decay: float) -> None:
        """Change ``p`` and v in place."""
        ops.update.momentum(p, g, *slots, self._pace, self.momentum, decay, self.nesterov)


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

    replayable = True
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

    replayable = True
    slot_names = ("h",)
    real_slots = frozenset({"h"})

    eps = Hyperparameter(positive)

    def __init__(self, lr: float = 0.01, eps: float = 1e-10, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.eps = eps

    def rule(self, p: Array, g: Array, *slots: Array, decay: float) -> None:
        """Change ``p`` and h in place."""
        ops.update.adagrad(p, g, *slots, self._pace, self.eps, decay)


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

    replayable = True
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

    def rule(self, p: Array, g: Array, *slots: Array, decay: float) -> None:
        """Change ``p`` and h in place."""
        ops.update.rmsprop(p, g, *slots, self._pace, self.alpha, self.eps, decay)


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

    replayable = True
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

    def pace(self, step: int) -> Pace:
        """Return the rate and how far the two means have got."""
        flush = step % FLUSH_EVERY == 0
        return Pace(self.rate, flush, 1 - self.beta1**step, 1 - self.beta2**step)

    def rule(self, p: Array, g: Array, *slots: Array, decay: float) -> None:
        """Change ``p``, m and v in place."""
        ops.update.adam(
            p, g, *slots, self._pace, self.beta1, self.beta2, self.eps, decay, self.decoupled
        )


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

    replayable = True
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
