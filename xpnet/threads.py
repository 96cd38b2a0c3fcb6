"""How many threads the work on the processor's cores is cut into.

Two thread pools on a few cores slow each other down: a pool that waits for work keeps its core
busy for a while.  There are two here, that of NumPy's BLAS and xpnet's own.  :func:`threads`
sets both for as long as it is open; the trainer and ``net.predict`` open it themselves.  Outside
it xpnet works on the caller's thread alone and leaves BLAS as it finds it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import ContextVar
from threading import Lock
from typing import Any, TypeVar

__all__ = ["available", "shares", "split", "threads"]

T = TypeVar("T")

NARROW = {"Haswell", "Zen", "Excavator", "Steamroller", "Piledriver", "Bulldozer", "Sandybridge"}
"""What OpenBLAS calls its kernels of at most 32 bytes; it takes those of Haswell on processors
newer than itself."""

_size: ContextVar[int] = ContextVar("threads", default=1)
"""How many threads the caller's work is cut into, its own among them."""


@contextlib.contextmanager
def threads(n: int | None = None, *, blas: int | None = None) -> Iterator[int]:
    """Let xpnet cut its work into n threads, and limit BLAS, within this context.

    Parameters
    ----------
    n : int, optional
        Threads of xpnet's convolutions and of its passes over large arrays; by default those
        of the context around this one, else as many as BLAS has (which environment variables
        such as ``OMP_NUM_THREADS`` set).
    blas : int, optional
        Threads of each matrix product, by default n.  Networks of convolutions do best with 1.

    Yields
    ------
    int
        n.

    Notes
    -----
    The limit on BLAS holds for the process: of several at a time the lowest one counts, and
    when the last has ended BLAS is as it was before the first.

    Examples
    --------
    >>> with xpnet.threads(2, blas=1):
    ...     y = net.forward(x)
    """
    for name, value in (("n", n), ("blas", blas)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"threads: expected {name} >= 1, got {value!r}")
    count = n or (_size.get() if _blas.limited else 0) or _blas.threads()
    token = _size.set(count)
    try:
        with _blas.limit(blas or count):
            yield count
    finally:
        _size.reset(token)


def available() -> int:
    """Return how many threads this caller's work may be cut into."""
    return _size.get()


def blas_vector_bytes() -> int:
    """Return the width of the vectors that BLAS computes with; 64 where it does not say."""
    return _blas.vector_bytes


def shares(size: int, parts: int) -> list[tuple[int, int]]:
    """Return the (start, stop) of at most ``parts`` nearly equal shares of ``range(size)``."""
    parts = max(1, min(parts, size))
    bounds = [size * i // parts for i in range(parts + 1)]
    return list(itertools.pairwise(bounds))


def split(task: Callable[[int, int], T], size: int, parts: int) -> list[T]:
    """Run ``task(start, stop)`` for each share of ``range(size)``, at the same time.

    Returns
    -------
    list
        Their results, in order, when all have ended.
    """
    first, *rest = shares(size, parts)
    if not rest:
        return [task(*first)]
    pool = _pool(len(rest))
    others = [pool.submit(task, *share) for share in rest]
    try:
        mine = task(*first)
    finally:
        wait(others)
    return [mine, *(other.result() for other in others)]


class _Blas:
    """The number of threads of the process's BLAS libraries: its only owner here."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._libraries: list[Any] | None = None
        self._before: list[int] = []
        self._limits: list[int] = []

    @property
    def limited(self) -> bool:
        return bool(self._limits)

    def threads(self) -> int:
        """Return how many threads BLAS has where nothing here limits it."""
        with self._lock:
            self._look()
            return max(self._before, default=_cores())

    @functools.cached_property
    def vector_bytes(self) -> int:
        with self._lock:
            self._look()
        return min(
            (32 if getattr(library, "architecture", None) in NARROW else 64)
            for library in self._libraries or (None,)
        )

    def _look(self) -> None:
        if self._libraries is None:
            from threadpoolctl import ThreadpoolController

            self._libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        if not self._limits:
            self._before = [library.num_threads for library in self._libraries]

    @contextlib.contextmanager
    def limit(self, n: int) -> Iterator[None]:
        with self._lock:
            self._look()
            self._limits.append(n)
            self._apply()
        try:
            yield
        finally:
            with self._lock:
                self._limits.remove(n)
                self._apply()

    def _apply(self) -> None:
        for library, before in zip(self._libraries or (), self._before, strict=True):
            library.set_num_threads(min([before, *self._limits]))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_blas = _Blas()
_pools: dict[int, ThreadPoolExecutor] = {}
_pools_lock = Lock()


def _pool(workers: int) -> ThreadPoolExecutor:
    with _pools_lock:
        if workers not in _pools:
            _pools[workers] = ThreadPoolExecutor(workers, "xpnet")
        return _pools[workers]


if hasattr(os, "register_at_fork"):  # a forked child has none of its parent's threads
    os.register_at_fork(after_in_child=_pools.clear)
