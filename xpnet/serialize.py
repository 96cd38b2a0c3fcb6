"""Networks from their files, and arrays that must fit them.

A file holds the arrays by path (``"params/1.W"``, ``"state/3.mean"``) and the architecture, as
``net.save`` or a checkpoint writes them: see :mod:`xpnet.arrayfiles`.  A file may say anything, so
a network is built from the arrays that are there: weights that the file lacks are not drawn.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import xpnet.layers
from xpnet.arrayfiles import read_arrays, write_arrays
from xpnet.arrays import Array, to_numpy
from xpnet.devices import Device
from xpnet.files import UnreadableError, reading
from xpnet.layers import Layer, Network
from xpnet.random import Stream

__all__ = [
    "MAX_DRAWN",
    "MAX_LAYERS",
    "check_arrays",
    "keep_notes",
    "load",
    "read_notes",
    "restore",
]

MAX_LAYERS = 10_000
"""The most layers of a network in a file: each takes some kilobytes, whatever it learns."""

MAX_DRAWN = 2**22
"""The most numbers drawn for a network in a file, beside those that the file holds."""


def load(
    path: str | os.PathLike[str],
    device: str | Device = "cpu",
    layers: Mapping[str, type[Layer]] | None = None,
) -> Network:
    """Rebuild a network from its file, or from a checkpoint of its training.

    Parameters
    ----------
    path : path
    device : str or Device
        Where the network shall be.
    layers : mapping of str to class, optional
        Layers of one's own, by the names of their classes.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        The file is damaged or no network of xpnet, holds a layer that is not known, or its arrays
        do not fit its architecture; the message names the file, and the path, shape or dtype that
        differs.
    OSError
        The file cannot be read.

    Notes
    -----
    Takes some six times the memory of the file, and for at most :data:`MAX_LAYERS` layers and
    :data:`MAX_DRAWN` drawn numbers, whatever the file says.
    """
    arrays, about = read_arrays(path)
    match about:
        case {"architecture": architecture} | {"checkpoint": {"network": architecture}}:
            pass
        case _:
            raise UnreadableError(f"{path}: holds arrays but no network")
    known = {name: getattr(xpnet.layers, name) for name in xpnet.layers.__all__}
    builder = _Builder(path, known | dict(layers or {}), _Contents(arrays))
    net = builder.network(architecture)
    restore(net, arrays, str(path))
    return net.to(device)


def keep_notes(path: str | os.PathLike[str], notes: Mapping[str, Any]) -> None:
    """Keep with a network, in its file, what else is known of it, as JSON can hold it.

    Such as what its classes are called: :func:`read_notes` returns it.
    """
    arrays, about = read_arrays(path)
    write_arrays(path, arrays, about | {"notes": dict(notes)})


def read_notes(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what :func:`keep_notes` has written in a network's file; nothing if it was not called.

    Raises
    ------
    ValueError
        The file is damaged, or holds something else; the sentence begins with the path.
    OSError
        It cannot be read.
    """
    with reading(path, "its notes are none"):
        return dict(read_arrays(path)[1].get("notes", {}))


def restore(net: Layer, arrays: Mapping[str, Array], source: str) -> None:
    """Copy parameters and state from a file's arrays into a network that they fit exactly.

    Nothing is copied unless everything fits.
    """
    assign(net, {name: arrays[name] for name in check_arrays(net, arrays, source)})


def assign(net: Layer, arrays: Mapping[str, Array]) -> None:
    """Copy arrays into a network's, named ``params/...`` and ``state/...``."""
    for name, values in arrays.items():
        kind, _, key = name.partition("/")
        target = net.params if kind == "params" else net.state
        target[key] = values


def check_arrays(net: Layer, arrays: Mapping[str, Array], source: str) -> list[str]:
    """Raise unless a file's arrays fit a network; return the names of its parameters and state."""
    own = {f"params/{name}": array for name, array in net.params.items()}
    own |= {f"state/{name}": array for name, array in net.state.items()}
    given = {name: a for name, a in arrays.items() if name.startswith(("params/", "state/"))}
    for name in sorted(own.keys() ^ given.keys()):
        there = "the file lacks" if name in own else "the network has no"
        raise UnreadableError(f"{source}: {there} {name!r}")
    for name, array in own.items():
        expected, came = to_numpy(array), given[name]
        if expected.shape != came.shape or expected.dtype != came.dtype:
            raise UnreadableError(
                f"{source}: {name!r}: expected {expected.dtype} {expected.shape}, "
                f"got {came.dtype} {came.shape}"
            )
    return list(own)


class _Contents:
    """What a file has for a network's weights, and how many numbers it may draw beside."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays = arrays
        self.room = MAX_DRAWN + sum(array.size for array in arrays.values())

    def weights(self, path: str, shape: tuple[int, ...]) -> Any:
        """Return the parameter of a path as float64; None if the numbers shall be drawn."""
        array = self.arrays.get(f"params/{path}")
        shape = tuple(shape) if isinstance(shape, Iterable) else (shape,)  # as NumPy takes it
        if array is not None and array.shape == shape:
            return array.real.astype("float64")
        self.room -= math.prod(shape)
        if self.room < 0:
            raise ValueError(f"the file lacks numbers of the shape {shape}")
        return None


@dataclass(frozen=True)
class _StoredWeights(Stream):
    """A stream that gives the weights of a file instead of drawing them."""

    file: _Contents = field(kw_only=True, compare=False, repr=False)

    def normal(self, shape: tuple[int, ...], std: float = 1.0) -> Any:
        """Return the file's weights; normal numbers for what is no parameter."""
        weights = self.file.weights(self.path, shape)
        return super().normal(shape, std) if weights is None else weights

    def uniform(self, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Any:
        """Return the file's weights; evenly spread numbers for what is no parameter."""
        weights = self.file.weights(self.path, shape)
        return super().uniform(shape, low, high) if weights is None else weights


class _Builder:
    """Makes layers of what a file says of them."""

    def __init__(
        self, path: str | os.PathLike[str], known: Mapping[str, type[Layer]], file: _Contents
    ) -> None:
        self.path, self.known, self.file = path, known, file
        self.layers = 0

    def network(self, architecture: Any) -> Network:
        """Return the network of an architecture, its arrays as in the file where it can."""
        with reading(self.path, "its layers are nested too deeply"):
            net = self._made(architecture, root=True)
        if not (isinstance(net, Network) and net.is_root):
            raise UnreadableError(f"{self.path}: expected a network, got {type(net).__name__}")
        return net

    def _made(self, value: Any, *, root: bool = False) -> Any:
        if isinstance(value, list):
            return [self._made(one) for one in value]
        if not isinstance(value, dict) or "layer" not in value:
            return value
        arguments = {key: self._made(one) for key, one in value.items() if key != "layer"}
        if "input_shape" in arguments:
            if not root:
                raise UnreadableError(f"{self.path}: holds a network within a network")
            arguments["input_shape"] = _tuples(arguments["input_shape"])
        return self._layer(value["layer"], arguments, root)

    def _layer(self, name: Any, arguments: dict[str, Any], root: bool) -> Layer:
        self.layers += 1
        if self.layers > MAX_LAYERS:
            raise UnreadableError(f"{self.path}: holds more than {MAX_LAYERS} layers")
        if not (isinstance(name, str) and name.isidentifier()):
            raise UnreadableError(f"{self.path}: a layer has no name, but {repr(name)[:50]}")
        kind: Any = self.known.get(name)
        if kind is None or not issubclass(kind, Layer) or inspect.isabstract(kind):
            raise UnreadableError(
                f"{self.path}: holds a layer {name!r} that is not known: "
                f"pass its class, load(path, layers={{{name!r}: {name}}})"
            )
        try:
            inspect.signature(kind).bind(**arguments)
        except TypeError as error:
            raise UnreadableError(
                f"{self.path}: layer {name!r} does not take its arguments: {error}"
            ) from None
        with reading(self.path, f"layer {name!r} cannot be made"):
            if root and kind.__init__ is xpnet.layers.Sequential.__init__:
                arguments["seed"] = _StoredWeights(arguments.get("seed", 0), file=self.file)
            made: Layer = kind(**arguments)
        return made


def _tuples(shape: Any) -> Any:
    return tuple(_tuples(one) for one in shape) if isinstance(shape, list) else shape
