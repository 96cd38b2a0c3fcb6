"""Arrays and a description of them in one safetensors file, whole or not there at all.

Under the one metadata key ``"xpnet"`` lies sorted JSON.  Nothing in it is ever executed.  One
key, because several come out in random order and the same arrays must give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as tensor_bytes

from xpnet.arrays import Array, to_numpy
from xpnet.files import replacing

__all__ = ["read_arrays", "write_arrays"]

KEY = "xpnet"
FORMAT = 1
_COMPLEX = {"complex64": "float32", "complex128": "float64"}
_PAIRS = "complex pairs: "


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
