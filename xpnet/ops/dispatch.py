"""The dispatcher of hot operations.

An op is a generic function, written against the array API standard: it is the definition and
the test oracle.  An array library may have a faster body for it; the type of the first argument
chooses, and a body that returns ``NotImplemented`` declines in favour of the next.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from xpnet.arrays import Library, library
from xpnet.devices import device_of

__all__ = ["Op", "generic_only", "not_narrow", "not_recordable", "op"]

BODIES: dict[str, tuple[str, ...]] = {"numpy": ("numba", "numpy"), "cupy": ("cupy",)}
"""The folders ``ops/<name>`` whose bodies serve each array library, the first choice first."""

_UNMET = object()
_met: dict[type, Library | None] = {}
"""The library of each type that arguments of ops have had; None for what is no array."""

_generic_only: ContextVar[bool] = ContextVar("generic_only", default=False)


@contextlib.contextmanager
def generic_only() -> Iterator[None]:
    """Run every op by its generic body within this context: for tests and comparisons."""
    token = _generic_only.set(True)
    try:
        yield
    finally:
        _generic_only.reset(token)


def not_recordable(library: str) -> str | None:
    """Return why the ops of an array library cannot be recorded; None if they can."""
    if library != "cupy":
        return f"{library} has no recordings of work to replay, CuPy ('gpu') has"
    return _no_products(library)


def not_narrow(library: str) -> str | None:
    """Return why products of an array library cannot be narrowed; None if they can."""
    return _no_products(library) if library == "cupy" else None


def _no_products(library: str) -> str | None:
    _load(library)
    reason: str | None = importlib.import_module(f"xpnet.ops.{library}.products").no_products()
    return reason


@functools.cache
def _load(name: str) -> bool:
    """Import every module with bodies of a name, and say whether they can be used."""
    if name == "numba" and os.environ.get("XPNET_NUMBA") == "0":
        return False
    missing = name not in sys.modules and importlib.util.find_spec(name) is None
    if name in ("numba", "cupy") and missing:
        return False
    try:
        folder = importlib.import_module(f"xpnet.ops.{name}")
        for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
            importlib.import_module(module.name)
    except (ImportError, SystemError) as error:
        if name != "numba":
            raise
        warnings.warn(
            f"numba is installed but cannot be used, NumPy computes without it: {error} "
            f"(set XPNET_NUMBA=0 to do without it in silence)",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


class Op:
    """A function of arrays with a generic body and, for some libraries, faster ones.

    The first argument is an array.  All array arguments must come from one library.
    """

    __name__: str

    def __init__(self, generic: Callable[..., Any]) -> None:
        functools.update_wrapper(self, generic)
        self.generic = generic
        self.bodies: dict[str, Callable[..., Any]] = {}
        self._chosen: dict[Library, tuple[Callable[..., Any], ...]] = {}

    def register(self, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator that adds a body.

        Parameters
        ----------
        name : str
            The array library, ``"numpy"``, ``"cupy"``, ``"torch"`` ..., or one of ``BODIES``.
        """

        def add(body: Callable[..., Any]) -> Callable[..., Any]:
            self.bodies[name] = body
            self._chosen.clear()
            return body

        return add

    def __call__(self, x: Any, *args: Any) -> Any:
        """Run the first body for the library of x that does not decline."""
        mine = library(x)
        for other in args:
            theirs = _met.get(type(other), _UNMET)
            if theirs is not mine and theirs is not None:
                self._require(mine, other)
        if mine.is_current is not None and not mine.is_current(x):
            with device_of(x).scope():
                return self(x, *args)
        if not _generic_only.get():
            bodies = self._chosen.get(mine)
            for body in self._choose(mine) if bodies is None else bodies:
                result = body(x, *args)
                if result is not NotImplemented:
                    return result
        return self.generic(x, *args)

    def _require(self, mine: Library, other: Any) -> None:
        """Raise unless an argument is no array or an array of the library of the first."""
        kind = type(other)
        if kind not in _met:
            _met[kind] = library(other) if hasattr(other, "dtype") else None
        theirs = _met[kind]
        if theirs is not None and theirs is not mine:
            raise TypeError(
                f"{self.__name__}: expected arrays of one library, got {mine.name} and "
                f"{theirs.name}: move the network with net.to(...) or convert the array"
            )

    def _choose(self, mine: Library) -> tuple[Callable[..., Any], ...]:
        there = tuple(name for name in BODIES.get(mine.name, ()) if _load(name))
        names = there if mine.name in BODIES else (mine.name,)
        bodies = tuple(self.bodies[name] for name in names if name in self.bodies)
        self._chosen[mine] = bodies
        return bodies

    def __repr__(self) -> str:
        return f"<op {self.__name__}: {', '.join([*self.bodies, 'generic'])}>"


def op(generic: Callable[..., Any]) -> Op:
    """Make an op of its generic body."""
    return Op(generic)
