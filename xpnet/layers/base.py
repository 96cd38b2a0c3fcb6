"""What a layer is.

Layers compose because the shapes of forward and backward pair: ``forward`` maps x to y and
keeps what the way back needs, ``backward`` maps dL/dy to dL/dx and fills the gradients of the
layer's own parameters.  Layers are built once for an input shape; a network (``network.py``) then
moves all parameters into one flat buffer and all gradients into another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from xpnet.arrays import Array, to_numpy
from xpnet.checks import missing_attribute
from xpnet.config import Configurable
from xpnet.devices import CPU
from xpnet.layers.buffers import ArrayMap, OwnArrays, Shape
from xpnet.layers.fit import HOW_TO_BUILD, check_built, check_input, check_own_dtype, checked_shape
from xpnet.random import Stream

__all__ = ["ArrayMap", "Layer", "Shape"]

NEW_LAYER = "make a new layer for a new network"

MAX_DEPTH = 100
"""Layers that may stand within one another: past it Python's own calls would get too deep."""


_TRAINING = "write xpnet.Trainer(net, loss, optimizer).fit(Dataset(x, t), epochs=...)"
_TRAIN_MODE = "write net.forward(x, train=True): whether to train is an argument"
_FREEZING = 'write net.freeze("0") and net.unfreeze("0"), with the paths of layers'

ELSEWHERE = {
    "fit": _TRAINING,
    "compile": _TRAINING,
    "train": _TRAIN_MODE,
    "eval": _TRAIN_MODE,
    "evaluate": "write xpnet.Trainer(net, loss, optimizer).evaluate(Dataset(x, t))",
    "score": "write xpnet.Trainer(net, loss, optimizer).evaluate(Dataset(x, t)).accuracy",
    "cuda": 'write net.to("gpu")',
    "cpu": 'write net.to("cpu")',
    "parameters": "write net.params",
    "weights": "write net.params",
    "get_weights": "write net.params",
    "set_weights": "write net.params[path] = array",
    "state_dict": "write net.params and net.state, or net.save(path)",
    "load_state_dict": "write net.params[path] = array, or xpnet.load(path)",
    "zero_grad": "gradients are assigned, never added up",
    "trainable": _FREEZING,
    "requires_grad": _FREEZING,
    "requires_grad_": _FREEZING,
    "add": "Sequential([...]) takes all layers at once",
    "predict_proba": "write xpnet.functions.softmax(net.predict(x))",
}
"""What to write instead of names that networks of other libraries have."""


class Layer(Configurable, ABC):
    """One step of a network.

    A subclass defines ``forward`` and ``backward``; ``setup`` where it has parameters, state or
    another output shape.  A layer made of others keeps them as attributes, or in lists, and
    builds them in its ``setup``; their paths follow the attributes' names.

    Attributes
    ----------
    params, grads, state : ArrayMap
        The learned arrays by name, their gradients, and arrays that are saved but not learned;
        with those of the layers within by path.
    input_shape, output_shape : tuple of int
        Without the batch axis; known once built, as are ``path``, such as ``"4.body.0"``, and
        ``dtype``, that of the parameters and of real inputs, and ``learns``, whether there are
        parameters that are not frozen.
    is_frozen : bool
        Whether the layer's own parameters are: :meth:`~xpnet.layers.network.Network.freeze`.

    Notes
    -----
    For users: the attributes above; ``build``, ``forward`` (or a call) and ``backward``;
    ``forget``, ``flops``, ``cache_bytes``, ``config``, ``children`` and ``walk``.

    For authors: to define, ``setup``, ``forward``, ``backward``, ``flops``, ``cache_bytes``, and
    the class attributes ``accepts`` (the kinds of numbers x may be of: ``"real"``, ``"complex"``,
    which the parameters may then be too, ``"exact"``) and ``multithreaded`` (the layer cuts its
    work into threads, beside which BLAS does best with one); to use, ``add_param``,
    ``add_state``, ``check``, ``keep``, ``take``, and ``label`` in messages.  A layer of matrix
    products takes parameters from ``own.operands``, where a network puts narrower copies, and
    computes in ``own.precision``.  A layer with parameters whose state changes in training leaves
    it as it is while ``is_frozen``; BatchNorm shows how.
    """

    accepts: ClassVar[tuple[str, ...]] = ("real",)
    multithreaded: bool = False

    path: str
    dtype: str
    input_shape: Shape
    output_shape: Shape
    learns: bool
    is_frozen: bool = False

    def __init__(self) -> None:
        self.path = ""
        self.own = OwnArrays()
        self._built = False
        self._composite = False
        self._cache: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a class that replaces ``build``: its layers would never count as built."""
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            raise TypeError(
                f"{cls.__name__}: defines build: define setup(self, input_shape, rng), which build "
                f"calls, and return the output shape there"
            )

    def __getattr__(self, name: str) -> Any:
        """Say what is missing where a layer is used before it is built, or as a network."""
        kind = type(self).__name__
        if name in ("input_shape", "output_shape", "dtype", "learns"):
            raise AttributeError(f"{kind} has no {name} before it is built: {HOW_TO_BUILD}")
        if name == "_built":
            raise AttributeError(f"{kind}.__init__ must call super().__init__() first")
        if name in ("to", "predict", "save", "summary", "hook", "device", "freeze", "unfreeze"):
            raise AttributeError(f"{kind} has no {name!r}: a network has, such as a Sequential")
        raise missing_attribute(self, name, ELSEWHERE)

    # What a subclass defines

    def setup(self, input_shape: Shape, rng: Stream) -> Shape:
        """Make parameters and state for an input shape; return the output shape.

        The layer that changes nothing about the shape and has no parameters needs none.

        Parameters
        ----------
        input_shape : tuple of int
            Without the batch axis.
        rng : Stream
            Named by the layer's path; ``rng.child("W")`` draws W.
        """
        return input_shape

    @abstractmethod
    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the layer's output; with ``train`` keep what ``backward`` needs."""

    @abstractmethod
    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients and return dL/dx, or None where it is not needed."""

    def __call__(self, x: Array, *, train: bool = False) -> Array:
        """Return the layer's output: short for ``forward``."""
        return self.forward(x, train=train)

    def flops(self) -> int:
        """Return the floating-point operations of a forward pass, per sample."""
        return sum(child.flops() for _, child in self.children())

    def cache_bytes(self) -> int:
        """Return the bytes kept for the backward pass, per sample."""
        return sum(child.cache_bytes() for _, child in self.children())

    # What a subclass uses

    def add_param(self, name: str, values: Any, *, decay: bool = False) -> None:
        """Add a parameter with its initial values; ``decay``: weight decay acts on it."""
        self.own.params.bind(name, CPU.asarray(to_numpy(values).astype(self.dtype)))
        self.own.grads.bind(name, CPU.zeros(self.own.params[name].shape, self.dtype))
        if decay:
            self.own.decayed |= {name}

    def add_state(self, name: str, values: Any, dtype: str | None = None) -> None:
        """Add an array that is saved but not learned."""
        self.own.state.bind(name, CPU.asarray(to_numpy(values).astype(dtype or self.dtype)))

    def check(self, x: Array) -> None:
        """Raise one clear sentence unless x fits this layer; cheap for what was seen before."""
        try:
            kind = (type(x), x.dtype, x.shape[1:])
        except (AttributeError, TypeError):
            raise TypeError(f"{self.label}: expected an array x, got {type(x).__name__}") from None
        if kind != self.own.seen:
            check_built(self)
            check_input(self, x, self.own.params.values())
            self.own.seen = kind

    def keep(self, values: Any) -> None:
        """Keep what ``backward`` needs, until it is taken; None forgets it."""
        self._cache = values

    def take(self) -> Any:
        """Return what the last forward pass kept, and forget it."""
        cache, self._cache = self._cache, None
        if cache is None:
            raise RuntimeError(
                f"{self.label}: backward needs a forward(..., train=True) of its own before it"
            )
        return cache

    @property
    def label(self) -> str:
        """The layer's name in messages: its class and path."""
        return f'{type(self).__name__} "{self.path}"' if self.path else type(self).__name__

    def build(self, input_shape: Shape, rng: Stream, dtype: str = "float32") -> Shape:
        """Make the layer ready for inputs of a shape, once; return its output shape.

        Parameters
        ----------
        input_shape : tuple of int
            Without the batch axis.
        rng : Stream
            Whose path becomes the layer's path.
        dtype : str
            ``"float32"``, ``"float64"``, ``"complex64"`` or ``"complex128"``.

        Raises
        ------
        ValueError
            The layer is built already, the shape or dtype does not suit it, it stands within more
            than 100 others, or its parts are not all its own, found and built.
        TypeError
            It could not be saved: see :meth:`check_config`.
        """
        if self._built:
            raise ValueError(f"{self.label} is built already: {NEW_LAYER}")
        self.path, self.dtype = rng.path, dtype
        if rng.path.count(".") > MAX_DEPTH:
            raise ValueError(f"a layer stands within more than {MAX_DEPTH} others: nest them less")
        check_own_dtype(self)
        self.input_shape = checked_shape(self.label, input_shape)
        self.check_config()  # now, not once it has been trained
        self.output_shape = made = self.setup(self.input_shape, rng)
        if not isinstance(made, tuple) or any(length < 1 for length in made):
            raise TypeError(f"{self.label}: setup must return the output shape, got {made!r}")
        _check_parts(self)
        parts = [part for _, part in self.children()]
        self._composite = bool(parts)
        self.multithreaded = self.multithreaded or any(part.multithreaded for part in parts)
        self._note_learning()
        self._built = True
        return self.output_shape

    @property
    def params(self) -> ArrayMap:
        """The learned arrays by name, with those of the layers within by path."""
        return self._gather("params") if self._composite else self.own.params

    @property
    def grads(self) -> ArrayMap:
        """The gradients, under the keys of ``params``."""
        return self._gather("grads") if self._composite else self.own.grads

    @property
    def state(self) -> ArrayMap:
        """The arrays that are saved but not learned, such as running statistics."""
        return self._gather("state") if self._composite else self.own.state

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Yield (name, layer) for the layers this one is made of: those among its attributes."""
        for name, value in vars(self).items():
            if isinstance(value, Layer):
                yield name, value
            elif isinstance(value, (list, tuple)):
                for i, one in enumerate(value):
                    if isinstance(one, Layer):
                        yield f"{name}.{i}", one

    def walk(self, *, innermost: bool = True) -> Iterator[tuple[str, Layer]]:
        """Yield (path, layer) for this layer's innermost parts; for a plain layer, itself.

        Parameters
        ----------
        innermost : bool
            False: for every layer, this one (whose path here is ``""``) and all within.
        """
        waiting: list[tuple[str, Layer]] = [("", self)]
        while waiting:
            path, layer = waiting.pop()
            parts = [(f"{path}.{n}" if path else n, part) for n, part in layer.children()]
            if not (innermost and parts):
                yield path, layer
            waiting += reversed(parts)

    def _note_learning(self) -> None:
        """Note whether there is something to learn here, or in the parts, which know by now."""
        own = bool(self.own.params) and not self.is_frozen
        self.learns = own or any(part.learns for _, part in self.children())

    def _refuse_trainable(self, value: Any) -> None:
        raise missing_attribute(self, "trainable", ELSEWHERE)

    trainable = property(fset=_refuse_trainable)  # set elsewhere, it would be so in vain

    def forget(self) -> None:
        """Drop what a forward pass kept for a backward pass that will not come."""
        for _, layer in self.walk(innermost=False):
            layer.keep(None)

    def _gather(self, kind: str) -> ArrayMap:
        layers = self.walk(innermost=False)
        owners = ((path and f"{path}.", getattr(layer.own, kind)) for path, layer in layers)
        return ArrayMap({at + name: array for at, own in owners for name, array in own.items()})

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what a forward pass kept: copies begin without."""
        return vars(self) | {"_cache": None}

    def __repr__(self) -> str:
        text = super().__repr__()
        return f"{text}: {self.input_shape} -> {self.output_shape}" if self._built else text


def unbuilt(expected: str, layer: Any) -> Any:
    """Return a layer that no network has built yet, or raise; ``expected`` begins the sentence."""
    if isinstance(layer, type) and issubclass(layer, Layer):
        raise ValueError(f"{expected}, got the class {layer.__name__}: write {layer.__name__}(...)")
    if not isinstance(layer, Layer):
        raise ValueError(f"{expected}, got {layer!r}")
    if layer._built:
        raise ValueError(f"{layer.label} is built already: {NEW_LAYER}")
    return layer


def _check_parts(layer: Layer) -> None:
    """Raise unless a layer's parts are found, each under one name, and built."""
    names: dict[int, str] = {}
    for name, part in layer.children():
        if id(part) in names:
            raise ValueError(
                f'{layer.label}: "{names[id(part)]}" and "{name}" are the same layer: '
                f"keep it under one name, or make two"
            )
        names[id(part)] = name
        if not part._built:
            raise ValueError(
                f'{layer.label}: its setup leaves "{name}" unbuilt: call '
                f"self.{name}.build(shape, rng.child({name!r}), self.dtype) there"
            )
    for name, value in vars(layer).items():
        hidden = [part for part in _within(value) if id(part) not in names]
        if hidden:  # unless a part has them: walking is for these alone
            found = {id(part) for _, part in layer.walk(innermost=False)}
            hidden = [part for part in hidden if id(part) not in found]
        if hidden:
            raise ValueError(
                f'{layer.label}: a {type(value).__name__} in "{name}" hides {hidden[0].label}: '
                f"keep layers as attributes, or in plain lists"
            )


def _within(value: Any) -> Iterator[Layer]:
    """Yield the layers in nested containers."""
    if isinstance(value, Layer):
        yield value
    elif isinstance(value, (list, tuple, set, frozenset, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _within(one)
