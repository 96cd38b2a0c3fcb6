"""Arrays by name, and the one flat buffer that a network's arrays are views of."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping, MutableMapping
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn, Self

from xpnet.arrays import Array, dtype_name, namespace, to_numpy
from xpnet.devices import Device, device_of

__all__ = [
    "ArrayMap",
    "Buffers",
    "Layout",
    "OwnArrays",
    "Shape",
    "itemsize",
    "packed",
]

Shape = tuple[int, ...]

ALIGNMENT = 256
"""Bytes on whose multiples every parameter starts within the flat buffers."""

ITEMSIZE = {"float32": 4, "float64": 8, "complex64": 8, "complex128": 16}
"""Bytes of one number, by the dtypes that parameters have."""


class Layout(NamedTuple):
    """Where each array lies in a flat buffer."""

    spans: dict[str, tuple[int, Shape]]  # offset and shape, in the order of the mapping
    size: int
    decayed: int

    @classmethod
    def of(cls, shapes: Mapping[str, Shape], decayed: Iterable[str], dtype: str) -> Layout:
        """Place arrays one after the other, the decayed ones first, each aligned."""
        unit, first = ALIGNMENT // ITEMSIZE[dtype], set(decayed)
        starts: dict[str, int] = {}
        end = split = 0
        for wanted in (True, False):
            for key, shape in shapes.items():
                if (key in first) is wanted:
                    starts[key] = end
                    end += -(-math.prod(shape) // unit) * unit
            split = end if wanted else split
        return cls({key: (starts[key], shape) for key, shape in shapes.items()}, end, split)

    def stretches(self, keys: Container[str]) -> list[tuple[int, int]]:
        """Return where in the buffer some arrays lie: from, to; neighbours as one stretch."""
        placed = sorted((start, key) for key, (start, _) in self.spans.items())
        found: list[tuple[int, int]] = []
        for (start, key), (stop, _) in pairwise([*placed, (self.size, "")]):
            if key in keys:
                joined = bool(found) and found[-1][1] == start
                found.append((found.pop()[0] if joined else start, stop))
        return found

    def views_of(self, buffer: Array) -> dict[str, Array]:
        """Return the arrays as views of a buffer."""
        xp = namespace(buffer)
        return {
            key: xp.reshape(buffer[start : start + math.prod(shape)], shape, copy=False)
            for key, (start, shape) in self.spans.items()
        }


class ArrayMap(dict[str, Array]):
    """Arrays by name: assigning copies into the array that is there, and never rebinds it.

    Attributes
    ----------
    flat : array, 1-d, or None
        The one buffer that all arrays are views of, where there is one.
    layout : Layout or None
        Where in it they lie: the same object for as long as the network is the same, wherever it
        moves.
    learning : list of (int, int)
        The stretches of ``flat``, from and to, that an optimizer changes: all of it, unless
        layers are frozen.
    """

    def __init__(
        self,
        arrays: Mapping[str, Array] | None = None,
        flat: Array | None = None,
        layout: Layout | None = None,
    ) -> None:
        super().__init__(arrays or {})
        self.flat = flat
        self.layout = layout
        self.learning = [(0, layout.size)] if layout else []

    @property
    def decayed(self) -> int:
        """How many numbers at the start of ``flat`` are of parameters that weight decay acts on."""
        return self.layout.decayed if self.layout else 0

    def views_of(self, buffer: Array) -> dict[str, Array]:
        """Return views of a buffer of the size of ``flat``, laid out as this mapping is."""
        return self.layout.views_of(buffer) if self.layout else {}

    def bind(self, name: str, array: Array) -> None:
        """Put another array in the place of a name: for the owner of the arrays."""
        super().__setitem__(name, array)

    def __missing__(self, name: str) -> NoReturn:
        raise KeyError(f"no array {name!r}; there are {', '.join(self) or 'none'}")

    def __setitem__(self, name: str, value: Any) -> None:
        own = self[name]
        if value is own:
            return
        place, wanted = device_of(own), f"shape {tuple(own.shape)} and dtype {dtype_name(own)}"
        try:
            value = place.asarray(value, None if hasattr(value, "dtype") else dtype_name(own))
        except (TypeError, ValueError):  # a word, or lists of several lengths
            raise ValueError(f"{name}: expected numbers of {wanted}, got {value!r}") from None
        if tuple(value.shape) != tuple(own.shape) or value.dtype != own.dtype:
            came = f"{tuple(value.shape)} and {dtype_name(value)}"
            raise ValueError(f"{name}: expected {wanted}, got {came}")
        with place.scope():
            own[...] = value

    update = MutableMapping.update

    def __ior__(self, other: Any) -> Self:  # type: ignore[override, misc]
        self.update(other)
        return self

    def _refuse(self, *_: Any) -> NoReturn:
        raise TypeError("arrays are neither added nor removed: assign to the names that are there")

    __delitem__ = pop = popitem = clear = setdefault = _refuse

    def __reduce__(self) -> tuple[Callable[..., ArrayMap], tuple[dict[str, Array]]]:
        """Copy the arrays to the host: whoever owns them moves them."""
        return type(self), ({name: to_numpy(array).copy() for name, array in self.items()},)

    def __repr__(self) -> str:
        rows = (f"{name}: {dtype_name(a)} {tuple(a.shape)}" for name, a in self.items())
        return f"{{{', '.join(rows)}}}"


class OwnArrays:
    """The arrays of one layer by itself, on the host until a network takes them over.

    Attributes
    ----------
    params, grads, state : ArrayMap
    decayed : frozenset of str
        The names of the parameters that weight decay acts on.
    precision : str
        Of matrix products with the parameters.
    operands : mapping of str to array
        The parameters as products take them: themselves, or narrower copies.
    seen : object
        The kind of input that was last found to fit them; None once they have moved.
    """

    def __init__(self) -> None:
        self.params, self.grads, self.state = ArrayMap(), ArrayMap(), ArrayMap()
        self.decayed: frozenset[str] = frozenset()
        self.compute_in("float32")

    def compute_in(self, precision: str, narrow: dict[str, Array] | None = None) -> None:
        """Compute products in a precision, of narrow copies of the parameters where there are."""
        self.precision = precision
        self.operands: dict[str, Array] = self.params if narrow is None else narrow
        self.seen: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out narrow copies: whoever owns the arrays makes them."""
        return vars(self) | {"operands": self.params, "seen": None}


class Buffers(NamedTuple):
    """Where a network's arrays lie: all parameters in one buffer, all gradients in another.

    An update, a clip by norm, an average, a sum over processes are then each one operation on one
    array.
    """

    device: Device
    params: ArrayMap
    grads: ArrayMap


def packed(
    owners: Mapping[str, tuple[ArrayMap, str]], layout: Layout, place: Device, dtype: str
) -> ArrayMap:
    """Copy arrays into one new buffer on a device, and put views of it in their places.

    Parameters
    ----------
    owners : mapping of str to (ArrayMap, str)
        For each key of the layout, where its array is found, and put.
    layout : Layout
    place : Device
    dtype : str

    Returns
    -------
    ArrayMap
    """
    flat = place.zeros(layout.size, dtype)
    views = layout.views_of(flat)
    for key, (arrays, name) in owners.items():
        with place.scope():
            views[key][...] = place.asarray(arrays[name])
        arrays.bind(name, views[key])
    return ArrayMap(views, flat, layout)


def itemsize(dtype: str) -> int:
    """Return the bytes of one number."""
    return ITEMSIZE[dtype]
