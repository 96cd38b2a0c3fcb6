"""Networks from their files, and arrays that must fit them.

A file holds the arrays by path (``"params/1.W"``, ``"state/3.mean"``) and the architecture, as
``net.save`` writes them: see :mod:`xpnet.arrayfiles`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xpnet.layers
from xpnet.arrayfiles import read_arrays
from xpnet.arrays import Array, to_numpy
from xpnet.devices import Device
from xpnet.layers import Layer, Network

__all__ = ["check_arrays", "load", "restore"]


def load(
    path: str | Path,
    device: str | Device = "cpu",
    layers: Mapping[str, type[Layer]] | None = None,
) -> Network:
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
    Network

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
    if not (isinstance(net, Network) and net.is_root):
        raise ValueError(f"{path}: expected a network, got {type(net).__name__}")
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
