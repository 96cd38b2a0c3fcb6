"""Arrays: which library one belongs to, that library's namespace, and what its numbers are.

Everything in xpnet starts from the namespace of the arrays it is given (:func:`namespace`).  What
is peculiar to a library's arrays is told by its file in ``devices``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import array_api_compat
import array_api_compat.numpy as compat_numpy
import numpy as np

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
    "to_numpy",
]

Array: TypeAlias = Any
"""An array of any library that follows the array API standard."""

HostArray: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""A NumPy array."""


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


_NUMPY = Library("numpy", compat_numpy)
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
    return str(x.dtype).rpartition(".")[2]
