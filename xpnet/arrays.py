"""Arrays: which library one belongs to, that library's namespace, and what its numbers are.

Everything in xpnet starts from the namespace of the arrays it is given (:func:`namespace`).  What
is peculiar to a library's arrays is told by its file in ``devices``.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import array_api_compat
import numpy as np

from xpnet.forks import working

__all__ = [
    "Array",
    "HostArray",
    "Library",
    "declare",
    "dtype_kind",
    "dtype_name",
    "is_complex",
    "library",
    "namespace",
    "pieces",
    "real_dtype",
    "to_numpy",
]

Array: TypeAlias = Any
"""An array of any library that follows the array API standard."""

HostArray: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""A NumPy array."""

PIECE = 2**22
"""The bytes of a large array that are looked at in one go."""


@dataclass(eq=False, slots=True)
class Library:
    """An array library, and what is peculiar to its arrays.

    Attributes
    ----------
    name : str
        The key of op bodies: ``"numpy"``, ``"cupy"``, ``"torch"`` ...
    xp : namespace
        Its array API namespace.
    to_numpy : callable
        How the values of one of its arrays come to the host.
    is_current : callable, optional
        Whether an array lies on the device on which the library works as things are; None where
        the library works wherever its arguments lie.
    """

    name: str
    xp: Any
    to_numpy: Callable[[Array], HostArray] = np.from_dlpack
    is_current: Callable[[Array], bool] | None = None


_STANDARD_IN_NUMPY = {
    "all", "any", "arange", "argmax", "argmin", "asarray", "broadcast_to", "concat", "empty",
    "empty_like", "expand_dims", "flip", "full", "full_like", "isdtype", "matrix_transpose", "max",
    "mean", "min", "moveaxis", "ones", "ones_like", "permute_dims", "prod", "reshape",
    "result_type", "stack", "std", "sum", "take", "tensordot", "var", "where", "zeros",
    "zeros_like",
}  # fmt: skip
"""Functions that do in NumPy what the standard says, with the arguments it gives them."""

if not hasattr(np, "unstack"):  # before NumPy 2.1 some of them lack an argument
    _STANDARD_IN_NUMPY.clear()


class _NumPyNamespace:
    """NumPy's array API namespace.

    NumPy's own dtypes, numbers, universal functions and what else does what the standard says.
    array-api-compat's for the rest, imported when the first of them is asked for: that takes as
    long as importing NumPy.
    """

    __name__ = "numpy"

    @staticmethod
    def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: object = None) -> Any:
        """Return an array, or a NumPy scalar, in another dtype."""
        return x.astype(dtype, copy=copy)

    @staticmethod
    def finfo(type: Any, /) -> Any:
        """Return the limits of a floating dtype, or of that of an array."""
        return np.finfo(type.dtype if isinstance(type, np.ndarray) else type)

    def __getattr__(self, name: str) -> Any:
        own = getattr(np, name, None)
        is_dtype = isinstance(own, type) and issubclass(own, np.generic)
        standard = is_dtype or isinstance(own, np.ufunc | float) or name in _STANDARD_IN_NUMPY
        if not standard:
            with working:
                own = getattr(importlib.import_module("array_api_compat.numpy"), name)
        setattr(self, name, own)  # found once
        return own

    def __repr__(self) -> str:
        return "<the array API namespace of NumPy>"


_NUMPY = Library("numpy", _NumPyNamespace())
_libraries: dict[str, Library] = {"numpy": _NUMPY}
_library_of_type: dict[type, Library] = {np.ndarray: _NUMPY}
_peculiar: dict[str, dict[str, Any]] = {}


def declare(
    name: str,
    to_numpy: Callable[[Array], HostArray],
    is_current: Callable[[Array], bool] | None = None,
) -> None:
    """Say what is peculiar to the arrays of a library, by its name: see :class:`Library`."""
    _peculiar[name] = {"to_numpy": to_numpy, "is_current": is_current}
    if name in _libraries:
        for attribute, value in _peculiar[name].items():
            setattr(_libraries[name], attribute, value)


def library(x: Array) -> Library:
    """Return the library that an array belongs to (looked up once per array type)."""
    try:
        return _library_of_type[type(x)]
    except KeyError:
        return _find_library(x)


def _find_library(x: object) -> Library:
    if array_api_compat.is_numpy_array(x):
        return _library_of_type.setdefault(type(x), _NUMPY)
    if array_api_compat.is_jax_array(x):
        raise TypeError(
            "xpnet writes into views of its arrays, which JAX arrays do not allow: "
            "use NumPy, CuPy or PyTorch arrays"
        )
    try:
        xp = array_api_compat.array_namespace(x)
    except TypeError:
        raise TypeError(
            f"expected an array of an array API library (NumPy, CuPy, PyTorch ...), "
            f"got {type(x).__name__}"
        ) from None
    name = xp.__name__.removeprefix("array_api_compat.")
    if name not in _libraries:
        _libraries[name] = Library(name, xp, **_peculiar.get(name, {}))
    return _library_of_type.setdefault(type(x), _libraries[name])


def namespace(x: Array) -> Any:
    """Return the array API namespace of an array."""
    return library(x).xp


def to_numpy(x: Array) -> HostArray:
    """Return an array's values as a NumPy array on the host.

    A NumPy array is returned as it is; memory may be shared with other CPU arrays.
    """
    if isinstance(x, (np.ndarray, np.generic, int, float, complex, list, tuple)):
        return np.asarray(x)
    return library(x).to_numpy(x)


def pieces(x: Array, step: int = 1) -> Iterator[tuple[int, Array]]:
    """Yield the rows of an array, or every so many-th, some at a time: what is read may be large.

    Parameters
    ----------
    x : array, shape (n, ...)
    step : int
        From one row to the next.

    Yields
    ------
    first : int
        The number of a piece's first row.
    piece : array, shape (m, ...)
        As many rows as :data:`PIECE` bytes hold, at least one.  To look a row up takes some, too.
    """
    n, row = x.shape[0], getattr(x.dtype, "itemsize", 8) * math.prod(x.shape[1:])
    span = step * max(1, PIECE // max(64, row))
    for first in range(0, n, span):
        yield first, x[first : min(first + span, n) : step, ...]


@functools.cache
def dtype_kind(xp: Any, dtype: Any) -> str:
    """Return ``"real"`` or ``"complex"`` for floating dtypes, ``"exact"`` for all others."""
    if xp.isdtype(dtype, "real floating"):
        return "real"
    return "complex" if xp.isdtype(dtype, "complex floating") else "exact"


def is_complex(x: Array) -> bool:
    """Return whether an array holds complex numbers."""
    return dtype_kind(namespace(x), x.dtype) == "complex"


def dtype_name(x: Array) -> str:
    """Return the standard name of an array's dtype, such as ``"float32"``."""
    return _name(x.dtype)


@functools.lru_cache(maxsize=None, typed=True)  # NumPy makes the name anew, which takes a while
def _name(dtype: Any) -> str:
    return str(dtype).rpartition(".")[2]


def real_dtype(dtype: str) -> str:
    """Return the name of the dtype of a complex number's parts; a real dtype's own."""
    return {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)
