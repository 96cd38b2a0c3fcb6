"""Networks to and from safetensors files.

A file holds the arrays by path (``"params/1.W"``, ``"state/3.mean"``) and, under the one
metadata key ``"xpnet"``, sorted JSON with the architecture.  Nothing in it is ever executed.
One key, because several come out in random order and the same network must give the same bytes.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as tensor_bytes

import xpnet.layers
from xpnet.arrays import Array, to_numpy
from xpnet.devices import Device
from xpnet.files import replacing
from xpnet.layers import Layer, Sequential

__all__ = [
    "check_arrays",
    "described",
    "load",
    "read_arrays",
    "restore",
    "save",
    "write_arrays",
]

KEY = "xpnet"
FORMAT = 1
_COMPLEX = {"complex64": "float32", "complex128": "float64"}
_PAIRS = "complex pairs: "


def save(net: Layer, path: str | Path) -> None:
    """Write a network's parameters, state and architecture to one file.

    Parameters
    ----------
    net : Sequential
        With an input shape.
    path : path
        Replaced whole or not at all.
    """
    if not isinstance(net, Sequential) or not net._built or net._has_parent:
        raise ValueError(f"save: expected a network, a Sequential with an input_shape, got {net}")
    arrays = {f"params/{name}": array for name, array in net.params.items()}
    arrays |= {f"state/{name}": array for name, array in net.state.items()}
    write_arrays(path, arrays, {"architecture": described(net)})


def load(
    path: str | Path,
    device: str | Device = "cpu",
    layers: Mapping[str, type[Layer]] | None = None,
) -> Sequential:
    """Rebuild a network from its file.

    Parameters
    ----------
    path : path
    device : str or Device
        Where the network shall be.
    layers : mapping of str to class, optional
        Layers of one's own, by the names of their classes.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        The file is no network of xpnet, holds a layer that is not known, or its arrays do not
        fit its architecture; the message names the path, shape or dtype that differs.
    """
    arrays, about = read_arrays(path)
    if "architecture" not in about:
        raise ValueError(f"{path}: holds arrays but no network")
    known = {name: getattr(xpnet.layers, name) for name in xpnet.layers.__all__}
    net = _rebuilt(about["architecture"], known | dict(layers or {}), str(path))
    if not isinstance(net, Sequential):
        raise ValueError(f"{path}: expected a Sequential, got {type(net).__name__}")
    restore(net, arrays, str(path))
    return net.to(device)


def restore(net: Layer, arrays: Mapping[str, Array], source: str) -> None:
    """Copy parameters and state from a file's arrays into a network that they fit exactly.

    Nothing is copied unless everything fits.
    """
    for name in check_arrays(net, arrays, source):
        kind, _, key = name.partition("/")
        target = net.params if kind == "params" else net.state
        target[key] = arrays[name]


def check_arrays(net: Layer, arrays: Mapping[str, Array], source: str) -> list[str]:
    """Raise unless a file's arrays fit a network; return the names of its parameters and state."""
    own = {f"params/{name}": array for name, array in net.params.items()}
    own |= {f"state/{name}": array for name, array in net.state.items()}
    given = {name: a for name, a in arrays.items() if name.startswith(("params/", "state/"))}
    for name in sorted(own.keys() ^ given.keys()):
        there = "the file lacks" if name in own else "the network has no"
        raise ValueError(f"{source}: {there} {name!r}")
    for name, array in own.items():
        expected, came = to_numpy(array), given[name]
        if expected.shape != came.shape or expected.dtype != came.dtype:
            raise ValueError(
                f"{source}: {name!r}: expected {expected.dtype} {expected.shape}, "
                f"got {came.dtype} {came.shape}"
            )
    return list(own)


def write_arrays(path: str | Path, arrays: Mapping[str, Array], about: Mapping[str, Any]) -> None:
    """Write arrays and a JSON-able description to one safetensors file, whole or not at all.

    Equal arrays and descriptions give equal bytes.  Complex numbers are stored as pairs of
    floats, which the format can hold.
    """
    host: dict[str, np.ndarray[Any, np.dtype[Any]]] = {}
    for name in sorted(arrays):
        # Contiguous, because the format's writer takes the memory of others as it lies.
        array = to_numpy(arrays[name])
        shape, pairs = array.shape, _COMPLEX.get(array.dtype.name)
        array = np.ascontiguousarray(array)  # a 0-d array becomes 1-d, which can be viewed as pairs
        if pairs:
            name, array, shape = _PAIRS + name, array.view(pairs), (*shape, 2)
        host[name] = array.reshape(shape)
    text = json.dumps({"format": FORMAT, **about}, sort_keys=True)
    with replacing(Path(path)) as part:
        part.write_bytes(tensor_bytes(host, metadata={KEY: text}))


def read_arrays(path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return what :func:`write_arrays` wrote: the arrays, on the host, and the description.

    Raises
    ------
    ValueError
        The file is not a safetensors file, was not written by xpnet, or by a later version.
    """
    raw = Path(path).read_bytes()
    try:
        tensors = read_tensors(raw)
        length = int.from_bytes(raw[:8], "little")
        metadata = json.loads(raw[8 : 8 + length]).get("__metadata__", {})
        about = json.loads(metadata[KEY])
        version = about["format"]
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from None
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: a safetensors file, but not one of xpnet") from None
    if version != FORMAT:
        raise ValueError(f"{path}: expected format {FORMAT}, got {version!r}: update xpnet")
    arrays: dict[str, Array] = {}
    for name, array in tensors.items():
        if name.startswith(_PAIRS):
            wide = {"float32": "complex64", "float64": "complex128"}[array.dtype.name]
            arrays[name.removeprefix(_PAIRS)] = array.view(wide).reshape(array.shape[:-1])
        else:
            arrays[name] = array
    return arrays, about


def described(value: Any) -> Any:
    """Return a layer's class and arguments, and those of the layers among them, for JSON."""
    if isinstance(value, Layer):
        about = {name: described(argument) for name, argument in value.config().items()}
        return {"layer": type(value).__name__, **about}
    if isinstance(value, (list, tuple)):
        return [described(one) for one in value]
    return value


def _rebuilt(value: Any, known: Mapping[str, type[Layer]], source: str) -> Any:
    if isinstance(value, list):
        return [_rebuilt(one, known, source) for one in value]
    if not isinstance(value, dict) or "layer" not in value:
        return value
    name = value["layer"]
    kind: Any = known.get(name)
    if kind is None or not issubclass(kind, Layer) or inspect.isabstract(kind):
        raise ValueError(
            f"{source}: holds a layer {name!r} that is not known: "
            f"pass its class, load(path, layers={{{name!r}: {name}}})"
        )
    arguments = {
        key: _rebuilt(argument, known, source) for key, argument in value.items() if key != "layer"
    }
    if "input_shape" in arguments:
        arguments["input_shape"] = _tuples(arguments["input_shape"])
    try:
        inspect.signature(kind).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{source}: layer {name!r} does not take its arguments: {error}") from None
    return kind(**arguments)


def _tuples(shape: Any) -> Any:
    return tuple(_tuples(one) for one in shape) if isinstance(shape, list) else shape
