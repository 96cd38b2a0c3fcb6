"""Parameters in files: written as safetensors, read as that or as the book's pickles.

A pickle is a program.  The one that is run here can call nothing but the four functions below
that stand in for NumPy's own: they record numbers, and what they recorded is checked before an
array is made of it.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from xpnet.arrayfiles import read_arrays
from xpnet.book._globals import HostArray

__all__ = ["read_params"]

_NUMERIC = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248]|c8|c16)")


def read_params(path: str | Path) -> dict[str, HostArray]:
    """Return the named arrays in a file of ``save_params``, xpnet's or the book's.

    Raises
    ------
    ValueError
        The file is neither, or holds anything but numeric arrays in a dict.
    """
    raw = Path(path).read_bytes()
    if raw[8:9] == b"{":  # a safetensors file: the size of its header, then JSON
        return read_arrays(path)[0]
    try:
        values = _Unpickler(io.BytesIO(raw), encoding="latin1").load()
        if type(values) is not dict or not all(type(key) is str for key in values):
            raise ValueError("holds no dict of names")
        return {key: _finished(key, value) for key, value in values.items()}
    except Exception as error:  # a pickle made for harm may raise anything
        raise ValueError(
            f"{path}: expected a file of save_params, safetensors or a pickled dict of numeric "
            f"arrays ({error})"
        ) from None


class _Dtype:
    """A dtype as a pickle describes it: a code such as ``f8`` and a byte order."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.code = f"{state[1]}{self.code}"

    def checked(self) -> np.dtype[Any]:
        """Return the dtype, if it is one of numbers."""
        if not _NUMERIC.fullmatch(self.code):
            raise ValueError(f"holds numbers of dtype {self.code!r}")
        return np.dtype(self.code)


class _Values:
    """An array as a pickle describes it: its shape, dtype, order and bytes."""

    def __init__(self, *state: Any) -> None:
        self.state = state

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.state = shape, dtype, "F" if fortran else "C", data

    def array(self) -> HostArray:
        """Return the array, if everything about it fits."""
        shape, dtype, order, data = self.state
        if not isinstance(dtype, _Dtype) or order not in ("C", "F"):
            raise ValueError("holds an array that is not described as NumPy does")
        found = dtype.checked()
        data = data.encode("latin1") if isinstance(data, str) else bytes(memoryview(data))
        if math.prod(shape) * found.itemsize != len(data):
            raise ValueError("holds an array of another size than it says")
        flat = np.frombuffer(data, found).astype(found.newbyteorder("="))
        return flat.reshape(shape, order=order)


def _reconstruct(*_: Any) -> _Values:
    """Stand in for NumPy's empty array, that a state is then given to."""
    return _Values()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Values:
    """Stand in for the function that protocol 5 makes an array with."""
    return _Values(shape, dtype, order, data)


def _scalar(dtype: Any, data: Any) -> _Values:
    return _Values((), dtype, "C", data)


def _encode(text: str, encoding: str) -> bytes:
    """Stand in for the way that protocol 2 writes bytes."""
    return str(text).encode("latin1" if encoding == "latin1" else "ascii")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): None,  # an argument that _reconstruct does not look at
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}
for _core in ("numpy.core", "numpy._core"):
    _ADMITTED |= {
        (f"{_core}.multiarray", "_reconstruct"): _reconstruct,
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _frombuffer,
    }


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows the names of :data:`_ADMITTED` and no other."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands in for a name."""
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"names {module}.{name}")
        return _ADMITTED[module, name]


def _finished(key: str, value: Any) -> HostArray:
    if not isinstance(value, _Values):
        raise ValueError(f"holds {type(value).__name__} under {key!r}")
    return value.array()
