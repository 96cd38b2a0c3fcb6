"""What a layer is.

Layers compose because the shapes of forward and backward pair: ``forward`` maps x to y and
keeps what the way back needs, ``backward`` maps dL/dy to dL/dx and fills the gradients of the
layer's own parameters.  Layers are built once for an input shape; a network (the outermost
layer) then moves all parameters into one flat buffer and all gradients into another.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from xpnet import ops
from xpnet.arrays import Array, dtype_kind, dtype_name, library, namespace, to_numpy
from xpnet.checks import whole_number
from xpnet.config import Configurable
from xpnet.devices import CPU, Device, device, device_of
from xpnet.random import Stream

__all__ = ["ArrayMap", "Layer", "Shape"]

Shape = tuple[int, ...]
L = TypeVar("L", bound="Layer")

ALIGNMENT = 256
"""Bytes on whose multiples every parameter starts within the flat buffers."""

SIZES = "layers take sizes of what they make, never of what they receive"
"""What to say to those who give a layer a size too many."""


class Owned(dict[str, Array]):
    """A layer's own arrays by name: assigning to a name that is there copies into its array."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self:
            self[name][...] = value
        else:
            self.rebind(name, value)

    def rebind(self, name: str, array: Array) -> None:
        """Put another array in the place of a name."""
        super().__setitem__(name, array)


class Layout(NamedTuple):
    """Where each array lies in a flat buffer."""

    spans: dict[str, tuple[int, Shape]]  # offset and shape, in the order of the mapping
    size: int
    decayed: int

    def views_of(self, buffer: Array) -> dict[str, Array]:
        """Return the arrays as views of a buffer."""
        xp = namespace(buffer)
        return {
            key: xp.reshape(buffer[start : start + math.prod(shape)], shape, copy=False)
            for key, (start, shape) in self.spans.items()
        }


class ArrayMap(Mapping[str, Array]):
    """A live mapping of names to arrays: assigning copies into the array, never rebinds it.

    Attributes
    ----------
    flat : array, 1-d, or None
        The one buffer that all arrays are views of, where there is one.
    owner : object
        The network whose buffer it is; it stays the same when the network moves.
    """

    def __init__(
        self,
        arrays: dict[str, Array],
        flat: Array | None = None,
        layout: Layout | None = None,
        owner: object = None,
    ) -> None:
        self._arrays = arrays
        self.flat = flat
        self.owner = owner
        self._layout = layout or Layout({}, 0, 0)

    @property
    def decayed(self) -> int:
        """How many numbers at the start of ``flat`` are of parameters that weight decay acts on."""
        return self._layout.decayed

    def views_of(self, buffer: Array) -> dict[str, Array]:
        """Return views of a buffer of the size of ``flat``, laid out as this mapping is."""
        return self._layout.views_of(buffer)

    def __getitem__(self, name: str) -> Array:
        if name not in self._arrays:
            raise KeyError(f"no array {name!r}; there are {', '.join(self._arrays) or 'none'}")
        return self._arrays[name]

    def __setitem__(self, name: str, value: Any) -> None:
        own = self[name]
        if value is own:
            return
        place = device_of(own)
        value = place.asarray(value, None if hasattr(value, "dtype") else dtype_name(own))
        if tuple(value.shape) != tuple(own.shape) or value.dtype != own.dtype:
            raise ValueError(
                f"{name}: expected shape {tuple(own.shape)} and dtype {dtype_name(own)}, "
                f"got {tuple(value.shape)} and {dtype_name(value)}"
            )
        with place.scope():
            own[...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        rows = (f"{name}: {dtype_name(a)} {tuple(a.shape)}" for name, a in self.items())
        return f"{{{', '.join(rows)}}}"


class Layer(Configurable, ABC):
    """One step of a network.

    A subclass defines ``forward`` and ``backward``; ``setup`` where it has parameters, state or
    another output shape.  Its constructor keeps each argument as an attribute of the same name.

    Attributes
    ----------
    path : str
        Where the layer stands in its network, such as ``"4.body.0"``.
    input_shape, output_shape : tuple of int
        Without the batch axis; known once built.
    dtype : str
        Of the parameters and of real inputs.
    precision : str
        Of the products of matrices: see :meth:`to`.
    accepts_complex : bool
        Whether x and the parameters may be complex.
    spreads : bool
        Whether the layer cuts its work into threads of its own, beside which BLAS does best
        with one: see :func:`xpnet.threads`.
    replayable : bool
        Whether a step through the layer can be recorded and replayed: nothing it does depends on
        values on the host that change from step to step, and it reads nothing back.  Not
        inherited: a class says so for itself.
    """

    accepts_complex: ClassVar[bool] = False
    spreads: ClassVar[bool] = False
    replayable: ClassVar[bool] = False

    path: str
    input_shape: Shape
    output_shape: Shape
    dtype: str

    def __init__(self) -> None:
        self.path = ""
        self._built = False
        self._params = Owned()
        self._grads = Owned()
        self._state = Owned()
        self._decayed: set[str] = set()
        self.precision = "float32"
        self._narrowed: dict[str, Array] = {}
        self._cache: Any = None
        self._seen: Any = None
        self._packed: tuple[Device, ArrayMap, ArrayMap] | None = None
        self._has_parent = False

    def __getattr__(self, name: str) -> Any:
        """Say what is missing where a layer is used before it is built."""
        if name in ("input_shape", "output_shape", "dtype"):
            raise AttributeError(
                f"{type(self).__name__} has no {name} before it is built: give the network's "
                f"Sequential an input_shape, or call build(input_shape, rng, dtype)"
            )
        if name == "_built":
            raise AttributeError(
                f"{type(self).__name__}.__init__ must call super().__init__() first"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

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

    def flops(self) -> int:
        """Return the floating-point operations of a forward pass, per sample."""
        return sum(child.flops() for _, child in self.children())

    def cache_bytes(self) -> int:
        """Return the bytes kept for the backward pass, per sample."""
        return sum(child.cache_bytes() for _, child in self.children())

    # What a subclass uses

    def add_param(self, name: str, values: Any, *, decay: bool = False) -> None:
        """Add a parameter with its initial values; ``decay``: weight decay acts on it."""
        self._params[name] = CPU.asarray(to_numpy(values).astype(self.dtype))
        self._grads[name] = CPU.zeros(self._params[name].shape, self.dtype)
        if decay:
            self._decayed.add(name)

    def add_state(self, name: str, values: Any, dtype: str | None = None) -> None:
        """Add an array that is saved but not learned."""
        self._state[name] = CPU.asarray(to_numpy(values).astype(dtype or self.dtype))

    def check(self, x: Array) -> None:
        """Raise one clear sentence unless x fits this layer; cheap for what was seen before."""
        try:
            kind = (type(x), x.dtype, x.shape[1:])
        except (AttributeError, TypeError):
            raise TypeError(f"{self.label}: expected an array x, got {type(x).__name__}") from None
        if kind != self._seen:
            self._inspect(x)
            self._seen = kind

    def _inspect(self, x: Array) -> None:
        if not self._built:
            raise ValueError(
                f"{type(self).__name__} is not built: give its Sequential an input_shape, "
                f"or call build(input_shape, rng, dtype)"
            )
        came, xp = library(x), namespace(x)
        for own in self._params.values():
            if library(own) is not came:
                raise TypeError(
                    f"{self.label}: the parameters are {library(own).name} arrays, x is a "
                    f"{came.name} array: move the network with net.to(...) or convert x"
                )
        if tuple(x.shape[1:]) != self.input_shape:
            raise ValueError(
                f"{self.label}: expected x of shape {with_batch(self.input_shape)}, "
                f"got {tuple(x.shape)}"
            )
        self._inspect_dtype(x, dtype_kind(xp, x.dtype))

    def _inspect_dtype(self, x: Array, kind: str) -> None:
        if kind == "exact":
            raise ValueError(
                f"{self.label}: expected floating-point x, got {dtype_name(x)}: "
                f"begin the network with Rescale, or convert x"
            )
        if kind == "complex" and not self.accepts_complex:
            raise ValueError(f"{self.label}: expected real x, got {dtype_name(x)}")
        if kind == "real" and dtype_name(x) != self.dtype and self.dtype.startswith("float"):
            raise ValueError(
                f"{self.label}: expected {self.dtype} x, got {dtype_name(x)}: convert x, or build "
                f"the network with dtype={dtype_name(x)!r}"
            )

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

    # What every layer offers

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
            The layer is built already, or the shape or dtype does not suit it.
        """
        if self._built:
            raise ValueError(f"{self.label} is built already: make a new layer for a new network")
        self.path, self.dtype = rng.path, dtype
        if dtype not in ("float32", "float64", "complex64", "complex128"):
            raise ValueError(
                f"{self.label}: expected dtype 'float32', 'float64', 'complex64' or 'complex128', "
                f"got {dtype!r}"
            )
        if dtype.startswith("complex") and not self.accepts_complex:
            raise ValueError(f"{self.label}: works on real numbers only, got dtype {dtype!r}")
        self.input_shape = _checked_shape(self, input_shape)
        output_shape = self.setup(self.input_shape, rng)
        if not isinstance(output_shape, tuple):
            raise TypeError(
                f"{self.label}: setup must return the output shape, got {output_shape!r}"
            )
        self.output_shape = output_shape
        self._built = True
        return self.output_shape

    @property
    def params(self) -> ArrayMap:
        """The learned arrays by name, or by path for a network."""
        return self._packed[1] if self._packed else ArrayMap(self._gather("_params"))

    @property
    def grads(self) -> ArrayMap:
        """The gradients, under the keys of ``params``."""
        return self._packed[2] if self._packed else ArrayMap(self._gather("_grads"))

    @property
    def state(self) -> ArrayMap:
        """The arrays that are saved but not learned, such as running statistics."""
        return ArrayMap(self._gather("_state"))

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Yield (name, layer) for the layers this one is made of."""
        yield from ()

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """Yield (path, layer) for this layer's innermost parts; for a plain layer, itself."""
        parts = list(self.children())
        if not parts:
            yield prefix, self
        for name, part in parts:
            yield from part.walk(f"{prefix}.{name}" if prefix else name)

    def _gather(self, attribute: str) -> dict[str, Array]:
        return {
            f"{path}.{name}" if path else name: array
            for path, leaf in self.walk()
            for name, array in getattr(leaf, attribute).items()
        }

    @property
    def device(self) -> Device:
        """Where the layer's arrays lie."""
        if self._packed:
            return self._packed[0]
        arrays = [*self._gather("_params").values(), *self._gather("_state").values()]
        return device_of(arrays[0]) if arrays else CPU

    def operand(self, name: str) -> Array:
        """Return a parameter as matrix products take it: itself, or its narrow copy."""
        return self._narrowed[name] if self._narrowed else self._params[name]

    def to(self, where: str | Device, *, precision: str | None = None) -> Self:
        """Move parameters, gradients and state to a device; return the network itself.

        Parameters
        ----------
        where : str or Device
        precision : str, optional
            Of the products of a float32 network's matrices: ``"float32"``, or rounded to
            ``"tf32"``, ``"bf16"`` or ``"fp16"``, which GPUs compute faster; by default as it was.
            Parameters and all else stay float32; each forward pass begins with a narrow copy of
            all parameters.

        Raises
        ------
        ValueError
            The layer is part of a network, which owns its arrays; or it cannot have the precision.
        DeviceError
            The device cannot be used.
        """
        if self._has_parent:
            raise ValueError(f"{self.label} is part of a network: call to() of the network")
        place, precision = device(where), precision or self.precision
        ops.precision.check(precision, self.dtype, "the network")
        hindrance = ops.not_narrow(place.library) if precision != "float32" else None
        if hindrance:
            raise ValueError(f"precision {precision!r}: {hindrance}")
        if self._packed is None or self._packed[0] != place:
            self._pack(place)
        self._set_precision(precision)
        return self

    def _set_precision(self, precision: str) -> None:
        """Let this layer and those it is made of compute products in a precision."""
        for layer in [self, *self._below()]:
            layer.precision = precision

    def _below(self) -> Iterator[Layer]:
        """Yield the layers this one is made of, and those that they are made of."""
        for _, child in self.children():
            yield child
            yield from child._below()

    def _pack(self, place: Device) -> None:
        """Move every parameter into one flat buffer on a device and every gradient into another.

        Decayed parameters come first; each starts on a multiple of 256 bytes.
        """
        owners = {
            f"{path}.{name}" if path else name: (leaf, name)
            for path, leaf in self.walk()
            for name in leaf._params
        }
        layout = _lay_out(owners, self.dtype)
        maps = []
        for attribute in ("_params", "_grads"):
            flat = place.zeros(layout.size, self.dtype)
            views = layout.views_of(flat)
            for key, (leaf, name) in owners.items():
                arrays = getattr(leaf, attribute)
                with place.scope():
                    views[key][...] = place.asarray(arrays[name])
                arrays.rebind(name, views[key])
            maps.append(ArrayMap(views, flat, layout, self))
        for _, leaf in self.walk():
            leaf._seen = None
            for name, array in leaf._state.items():
                leaf._state.rebind(name, place.asarray(array))
        self._packed = (place, maps[0], maps[1])
        self.forget()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a network of its own, with buffers of its own."""
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        for name, value in vars(self).items():
            setattr(twin, name, None if name == "_packed" else copy.deepcopy(value, memo))
        if self._packed is not None:
            twin._pack(self._packed[0])
            twin._set_precision(self.precision)
        return twin

    def forget(self) -> None:
        """Drop what a forward pass kept for a backward pass that will not come."""
        self._cache = None
        for _, child in self.children():
            child.forget()

    def __repr__(self) -> str:
        shapes = f": {self.input_shape} -> {self.output_shape}" if self._built else ""
        return super().__repr__() + shapes


def _lay_out(owners: dict[str, tuple[Layer, str]], dtype: str) -> Layout:
    """Place the parameters one after the other, the decayed ones first."""
    starts: dict[str, tuple[int, Shape]] = {}
    end = decayed = 0
    for wanted in (True, False):
        for key, (leaf, name) in owners.items():
            if (name in leaf._decayed) is wanted:
                shape = tuple(leaf._params[name].shape)
                starts[key] = (end, shape)
                end += _aligned(math.prod(shape), dtype)
        decayed = end if wanted else decayed
    return Layout({key: starts[key] for key in owners}, end, decayed)


def adopt(child: L) -> L:
    """Mark a layer as part of another one, which then owns its arrays."""
    if child._built or child._has_parent:
        what = "built" if child._built else "part of a network"
        raise ValueError(f"{child.label} is {what} already: make a new layer for a new network")
    child._has_parent = True
    return child


def itemsize(dtype: str) -> int:
    """Return the bytes of one number."""
    return {"float32": 4, "float64": 8, "complex64": 8, "complex128": 16}[dtype]


def _aligned(size: int, dtype: str) -> int:
    """Return a count of numbers rounded up to whole alignment units."""
    unit = ALIGNMENT // itemsize(dtype)
    return -(-size // unit) * unit


def image_shape(layer: Layer, input_shape: Shape) -> tuple[int, int, int]:
    """Return an input shape as (c, h, w), or raise naming the layer."""
    if len(input_shape) != 3:
        raise ValueError(
            f"{layer.label}: expected images (n, c, h, w), got {with_batch(input_shape)}"
        )
    return input_shape[0], input_shape[1], input_shape[2]


def _checked_shape(layer: Layer, shape: Any) -> Any:
    """Return a shape, or a shape for each of several inputs, as tuples of whole numbers >= 1."""
    if not isinstance(shape, (tuple, list)):
        raise ValueError(
            f"{layer.label}: expected an input_shape such as (1, 28, 28), got {shape!r}"
        )
    return tuple(
        _checked_shape(layer, length)
        if isinstance(length, (tuple, list))
        else whole_number(f"{layer.label}: input_shape", length, 1)
        for length in shape
    )


def with_batch(shape: Any) -> str:
    return f"({', '.join(['n', *map(str, shape)])})"
