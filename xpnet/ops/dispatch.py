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
from typing import Any, ParamSpec, Protocol, TypeVar, cast, runtime_checkable

from xpnet.arrays import Library, library
from xpnet.devices import device_of
from xpnet.forks import working

__all__ = ["Op", "generic_only", "not_narrow", "not_recordable", "op", "serving"]

BODIES: dict[str, tuple[str, ...]] = {"numpy": ("numba", "numpy"), "cupy": ("cupy",)}
"""The folders ``ops/<name>`` whose bodies serve each array library, the first choice first."""

P = ParamSpec("P")
R = TypeVar("R")

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
    if library == "numpy":
        return (
            None if load_bodies("numba") else "compiled loops are recorded, and numba is not there"
        )
    if library != "cupy":
        return f"{library} has no recordings of work to replay, CuPy ('gpu') has"
    return _no_products(library)


def not_narrow(library: str) -> str | None:
    """Return why products of an array library cannot be narrowed; None if they can."""
    return _no_products(library) if library == "cupy" else None


def _no_products(library: str) -> str | None:
    load_bodies(library)
    reason: str | None = importlib.import_module(f"xpnet.ops.{library}.products").no_products()
    return reason


def serving(library: str) -> dict[str, str]:
    """Return whose bodies serve an array library here, with their versions."""
    folders = () if _generic_only.get() else BODIES.get(library, ())
    loaded = (name for name in folders if load_bodies(name))
    return {name: str(getattr(sys.modules[name], "__version__", "")) for name in loaded}


@functools.cache
def load_bodies(name: str) -> bool:
    """Import every module with bodies of a name, and say whether they can be used."""
    if name == "numba" and os.environ.get("XPNET_NUMBA") == "0":
        return False
    try:
        with working:
            missing = name not in sys.modules and importlib.util.find_spec(name) is None
            if name in ("numba", "cupy") and missing:
                return False
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


@runtime_checkable
class Op(Protocol[P, R]):
    """A function of arrays with a generic body and, for some libraries, faster ones.

    Arrays are passed by position, the first argument is one, and all must come from one library;
    what is no array may be passed by name.

    Attributes
    ----------
    generic : function
        The body that defines it.
    bodies : dict of str to function
        The faster ones, by the name they were registered for.
    chosen : dict
        The bodies that serve each library met so far, with the precision that each is for.
    """

    __name__: str
    generic: Callable[P, R]
    bodies: dict[str, Callable[P, R]]
    chosen: dict[Library, tuple[tuple[Callable[P, R], str | None], ...]]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the first body for the library of the first argument that does not decline."""

    def register(
        self, name: str, *, precision: str | None = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator that adds a body, whose signature is the generic one's.

        Parameters
        ----------
        name : str
            The array library, ``"numpy"``, ``"cupy"``, ``"torch"`` ..., or one of ``BODIES``.
        precision : str, optional
            The only ``precision=`` that the body serves; by default it serves every one.
        """


def op(generic: Callable[P, R]) -> Op[P, R]:
    """Make an op of its generic body.

    It is a plain function with attributes: to call an object by keywords takes twice as long.
    """
    bodies: dict[str, Callable[P, R]] = {}
    precisions: dict[str, str | None] = {}
    chosen: dict[Library, tuple[tuple[Callable[P, R], str | None], ...]] = {}

    @functools.wraps(generic)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        first = args[0]
        mine, kind = library(first), type(first)
        for other in args:
            if type(other) is not kind:
                theirs = _met.get(type(other), _UNMET)
                if theirs is not mine and theirs is not None:
                    _require(generic.__name__, mine, other)
        if mine.is_current is not None and not mine.is_current(first):
            with device_of(first).scope():
                return run(*args, **kwargs)
        if not _generic_only.get():
            served = chosen.get(mine)
            for body, only in choose(mine) if served is None else served:
                if only is None or kwargs.get("precision", "float32") == only:
                    result = body(*args, **kwargs)
                    if result is not NotImplemented:
                        return result
        return generic(*args, **kwargs)

    def register(
        name: str, *, precision: str | None = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        def add(body: Callable[P, R]) -> Callable[P, R]:
            bodies[name], precisions[name] = body, precision
            chosen.clear()
            return body

        return add

    def choose(mine: Library) -> tuple[tuple[Callable[P, R], str | None], ...]:
        there = [name for name in BODIES.get(mine.name, ()) if load_bodies(name)]
        names = there if mine.name in BODIES else [mine.name]
        served = tuple((bodies[name], precisions[name]) for name in names if name in bodies)
        chosen[mine] = served
        return served

    vars(run).update(generic=generic, bodies=bodies, chosen=chosen, register=register)
    return cast(Op[P, R], run)


def _require(name: str, mine: Library, other: Any) -> None:
    """Raise unless an argument is no array or an array of the library of the first."""
    kind = type(other)
    if kind not in _met:
        _met[kind] = library(other) if hasattr(other, "dtype") else None
    theirs = _met[kind]
    if theirs is not None and theirs is not mine:
        raise TypeError(
            f"{name}: expected arrays of one library, got {mine.name} and "
            f"{theirs.name}: move the network with net.to(...) or convert the array"
        )
