"""What an optimizer is: a rule, its slots, and how both meet a network's parameters.

An optimizer works on two mappings with the same keys: a network's ``params`` and ``grads``, or
plain dicts of arrays or of numbers.  What it remembers between steps (its slots) has the same
keys.  A network's parameters lie in one buffer, so its update is a handful of operations
whatever the number of layers.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping
from numbers import Number
from typing import Any, ClassVar

from xpnet.arrays import Array, dtype_kind, dtype_name, namespace, real_dtype, to_numpy
from xpnet.checks import Hyperparameter, not_negative, positive
from xpnet.config import Configurable
from xpnet.devices import CPU, device_of
from xpnet.ops.dispatch import Op
from xpnet.ops.update import DeviceScalars, Scalars

__all__ = ["FLUSH_EVERY", "Optimizer", "fused"]

FLUSH_EVERY = 64
"""Steps between two flushes of moments that have decayed towards denormal numbers.

From the size that is cut (the square root of the smallest normal number) a float32 moment of
factor .5 takes as many steps to become denormal.
"""

Rule = Callable[..., None]


def fused(op: Op[..., Any], *constants: str) -> Callable[[Rule], Rule]:
    """Return a decorator of a rule: an op makes the update in one pass where it can.

    The rule's own lines are the definition, and what is run elsewhere.

    Parameters
    ----------
    op : Op
        Takes what the rule takes, in order, and the constants.
    constants : str
        Attributes of the optimizer.
    """

    def decorate(rule: Rule) -> Rule:
        @functools.wraps(rule)
        def update(
            self: Optimizer, p: Array, g: Array, *slots: Array, scalars: Any, decay: float
        ) -> None:
            values = (getattr(self, name) for name in constants)
            if op(p, g, *slots, scalars, decay, *values) is NotImplemented:
                rule(self, p, g, *slots, scalars=scalars, decay=decay)

        return update

    return decorate


class Optimizer(Configurable, ABC):
    """An update rule with what it remembers.

    A subclass defines ``rule``, names its slots, and where more than the rate changes from step
    to step, ``scalars``.

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
    slot_names : tuple of str
        What is remembered for each parameter, in its shape, zeros at first.
    real_slots : frozenset of str
        Those that are real where parameters are complex: sums or means of squares.
    """

    slot_names: ClassVar[tuple[str, ...]] = ()
    real_slots: ClassVar[frozenset[str]] = frozenset()

    lr = Hyperparameter(positive)
    weight_decay = Hyperparameter(not_negative)

    def __init__(self, lr: float, weight_decay: float = 0.0) -> None:
        self.lr = lr
        self.weight_decay = weight_decay
        self.lr_factor = 1.0
        self.steps = 0
        self._slots: dict[str, dict[str, Array]] = {}
        self._flat: Array | None = None
        self._layout: object = None
        self._flat_slots: list[Array] = []

    def __getattr__(self, name: str) -> Any:
        kind = type(self).__name__
        if name in ("steps", "_slots", "_flat"):
            raise AttributeError(f"{kind}.__init__ must call super().__init__(lr) first")
        raise AttributeError(f"{kind!r} object has no attribute {name!r}")

    @abstractmethod
    def rule(self, p: Array, g: Array, *slots: Any, **step: Any) -> None:
        """Change ``p`` and the slots in place by the gradient ``g``; never write ``g``.

        A subclass names its slots: ``rule(self, p, g, m, v, *, scalars, decay)``.

        Parameters
        ----------
        p, g : array
            Of one shape and dtype, as are the slots, in the order of their names.
        scalars : Scalars
            What :meth:`scalars` returned for this step, by name: numbers, or where a step is
            recorded and replayed, 0-d arrays of the parameters' real dtype.
        decay : float
            The weight decay to apply to ``p``.
        """

    def scalars(self, step: int) -> dict[str, float]:
        """Return the numbers that change from step to step, for an update counted from 1."""
        return {"lr": self.rate, "flush": step % FLUSH_EVERY == 0}

    @property
    def rate(self) -> float:
        """The learning rate in force: ``lr`` times the schedule's factor."""
        return self.lr * self.lr_factor

    def update(self, params: MutableMapping[str, Any] | Any, grads: Mapping[str, Any]) -> None:
        """Move every parameter by its gradient.

        Parameters
        ----------
        params : a network's ``params``, or a dict of arrays or plain numbers
            Arrays change in place; numbers are replaced in the dict.
        grads : mapping with the same keys

        Raises
        ------
        ValueError, TypeError
            These are no mappings with the same keys, or an array does not fit; nothing has changed
            then.
        """
        self.bind(params, grads)
        self.steps += 1
        self.apply(params, grads, Scalars(**self.scalars(self.steps)))

    def bind(self, params: MutableMapping[str, Any] | Any, grads: Mapping[str, Any]) -> None:
        """Make ready for updates of these parameters: :meth:`update` does.

        Raises
        ------
        ValueError
            The keys or shapes differ, or another network's moments are remembered.
        """
        flat = getattr(params, "flat", None)
        if flat is None or getattr(grads, "flat", None) is None:
            self._check(params, grads)
            self._flat = None
        elif flat is not self._flat:
            self.check_config()  # now, not once a checkpoint is written
            self._check(params, grads)
            self._bind(params, flat)

    def apply(
        self,
        params: MutableMapping[str, Any] | Any,
        grads: Mapping[str, Any],
        scalars: Scalars | DeviceScalars,
    ) -> None:
        """Make an update with given scalars, and count no step; :meth:`bind` comes before."""
        if self._flat is None:
            self._apply_each(params, grads, scalars)
        else:
            self._apply_flat(params, grads, scalars)

    def _check(self, params: Mapping[str, Any], grads: Mapping[str, Any]) -> None:
        for name, given in (("params", params), ("grads", grads)):
            if not isinstance(given, Mapping):
                raise TypeError(
                    f"{name}: expected those of a network, net.{name}, or a dict of arrays or "
                    f"numbers, got {type(given).__name__}"
                )
        if params.keys() != grads.keys():
            raise ValueError(
                f"update: expected the same keys, got params {sorted(params)} and "
                f"grads {sorted(grads)}"
            )
        for key, value in params.items():
            _check_pair(key, value, grads[key])

    def _apply_flat(self, params: Any, grads: Any, scalars: Scalars | DeviceScalars) -> None:
        flat, slopes, decay = params.flat, grads.flat, self.weight_decay
        split = params.decayed if decay else 0
        with device_of(flat).work():
            for start, stop in params.learning:
                for a, b, d in ((start, min(stop, split), decay), (max(start, split), stop, 0.0)):
                    if a < b:
                        slots = (slot[a:b] for slot in self._flat_slots)
                        self.rule(flat[a:b], slopes[a:b], *slots, scalars=scalars, decay=d)

    def _bind(self, params: Any, flat: Array) -> None:
        """Give a network flat slots, views of which stand under the keys of its parameters."""
        if self._slots and self._layout is not None and self._layout is not params.layout:
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
        self._flat, self._layout = flat, params.layout

    def _apply_each(
        self,
        params: MutableMapping[str, Any],
        grads: Mapping[str, Any],
        scalars: Scalars | DeviceScalars,
    ) -> None:
        for key, value in params.items():
            number = isinstance(value, Number)
            dtype = "complex128" if isinstance(value, complex) else "float64"
            p = CPU.asarray([value], dtype) if number else value
            g = CPU.asarray([grads[key]], dtype) if number else grads[key]
            with device_of(p).work():
                slots = [self._slot(name, key, p) for name in self.slot_names]
                self.rule(p, g, *slots, scalars=scalars, decay=self.weight_decay)
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
            return real_dtype(dtype)
        return dtype

    @property
    def slots(self) -> dict[str, dict[str, Array]]:
        """What is remembered, by name of the slot and key of the parameter: live arrays."""
        return self._slots

    @property
    def buffers(self) -> list[Array]:
        """The flat arrays that a network's slots are views of, in the order of their names."""
        return self._flat_slots if self._flat is not None else []

    def state(self) -> dict[str, Array]:
        """Return what is remembered, as host arrays under ``"slot/key"``."""
        return {
            f"{name}/{key}": to_numpy(values).copy()
            for name, slots in self._slots.items()
            for key, values in slots.items()
        }

    def check_state(
        self, state: Mapping[str, Array], steps: int, params: Mapping[str, Array]
    ) -> None:
        """Raise unless this is what :meth:`state` returns after ``steps`` updates of params."""
        expected = {f"{name}/{key}": name for name in self.slot_names for key in params}
        wanted = expected.keys() if steps or state else set()
        for path in sorted(wanted ^ state.keys()):
            there = "lacks" if path in wanted else "has more slots than the optimizer:"
            raise ValueError(f"{there} {path!r}")
        for path, values in state.items():
            name, key = expected[path], path.partition("/")[2]
            shape, dtype = tuple(params[key].shape), self._slot_dtype(name, params[key])
            came = to_numpy(values)
            if came.shape != shape or came.dtype != dtype:
                raise ValueError(
                    f"{path!r}: expected {dtype} {shape}, got {came.dtype} {came.shape}"
                )
            if not (abs(came) < math.inf).all():
                raise ValueError(f"{path!r}: expected finite numbers, got NaN or infinity")
            if name in self.real_slots and (came < 0).any():
                raise ValueError(f"{path!r}: expected means or sums of squares, got {came.min()}")

    def load_state(self, state: Mapping[str, Array], steps: int) -> None:
        """Take up what :meth:`state` returned after ``steps`` updates."""
        self._slots = {name: {} for name in self.slot_names}
        for path, values in state.items():
            name, _, key = path.partition("/")
            if name not in self._slots:
                raise ValueError(f"{type(self).__name__} has no slot {name!r}")
            self._slots[name][key] = namespace(values).asarray(values, copy=True)
        self._flat, self._layout, self._flat_slots, self.steps = None, None, [], steps

    def __getstate__(self) -> dict[str, Any]:
        """Hold the slots on the host: a copy binds them to its network at the next update."""
        slots = {
            name: {key: to_numpy(values).copy() for key, values in slots.items()}
            for name, slots in self._slots.items()
        }
        unbound: dict[str, Any] = {"_flat": None, "_layout": None, "_flat_slots": []}
        return vars(self) | unbound | {"_slots": slots}


def _check_pair(key: str, p: Any, g: Any) -> None:
    """Raise unless a parameter can move by a gradient."""
    kind, slope = _kind("params", key, p), _kind("grads", key, g)
    shape, given = tuple(getattr(p, "shape", ())), tuple(getattr(g, "shape", ()))
    if kind == "exact":
        raise ValueError(
            f"params: expected floating-point numbers for {key!r}, got {dtype_name(p)}"
        )
    if not (isinstance(p, Number) or getattr(getattr(p, "flags", None), "writeable", True)):
        raise ValueError(f"params: {key!r} is read-only: give a copy that can be written")
    if given != shape:
        raise ValueError(f"update: expected a gradient of shape {shape} for {key!r}, got {given}")
    if kind == "real" and slope == "complex":
        raise ValueError(f"grads: expected real numbers for {key!r}, got complex ones")


def _kind(name: str, key: str, value: Any) -> str:
    """Return the kind of the numbers of a parameter or gradient."""
    if isinstance(value, Number):
        return "complex" if isinstance(value, complex) else "real"
    try:
        return dtype_kind(namespace(value), value.dtype)
    except (AttributeError, TypeError):
        raise TypeError(
            f"{name}: expected arrays or numbers, got {type(value).__name__} for {key!r}"
        ) from None
