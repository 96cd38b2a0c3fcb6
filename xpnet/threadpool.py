"""How many threads the work on the processor's cores is cut into.

Two thread pools on a few cores slow each other down: a pool that waits for work keeps its core
busy for a while.  There are two here, that of NumPy's BLAS and xpnet's own.  :func:`threads`
sets both for as long as it is open; the trainer and ``net.predict`` open it themselves.  Outside
it xpnet works on the caller's thread alone and leaves BLAS as it finds it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import ContextVar
from threading import Lock, get_ident
from typing import Any, NamedTuple, TypeAlias, TypeVar

from xpnet import forks
from xpnet.checks import whole_number

__all__ = ["Counts", "blas_vector_bytes", "counted", "counts", "split", "threads", "worth"]

T = TypeVar("T")

LEAST_WORK = 4e7
"""Floating-point operations worth a thread of their own: some 200 us."""

LEAST_RECORDED = 1e5
"""The same, where no thread has to be called for it: some microseconds."""

NARROW = {"Haswell", "Zen", "Excavator", "Steamroller", "Piledriver", "Bulldozer", "Sandybridge"}
"""What OpenBLAS calls its kernels of at most 32 bytes; it takes those of Haswell on processors
newer than itself."""

_size: ContextVar[int] = ContextVar("threads", default=0)
"""How many threads the caller's work is cut into; 0 where nobody has said."""


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
    The limit on BLAS holds for the process, and until the context ends; meanwhile another thread
    that opens one cuts its own work as it says, and leaves BLAS as it is.

    Examples
    --------
    >>> with xpnet.threads(2, blas=1):
    ...     y = net.forward(x)
    """
    count = _size.get() or _blas.threads() if n is None else whole_number("n", n, 1)
    products = count if blas is None else whole_number("blas", blas, 1)
    token = _size.set(count)
    try:
        with _blas.limit(products):
            yield count
    finally:
        _size.reset(token)


class Counts(NamedTuple):
    """How many threads a caller's work is cut into.

    Attributes
    ----------
    own : int
        Of xpnet; 0 where nobody has said.
    products : int
        Of BLAS as it is.
    most : int
        Of BLAS where nothing here limits it.
    """

    own: int
    products: int
    most: int


def counts() -> Counts:
    """Return the caller's, with which another process computes the same bits."""
    return Counts(_size.get(), *_blas.counts())


Split: TypeAlias = "Callable[[Callable[[int, int], Any], list[tuple[int, int]]], list[Any]]"
"""What does the shares of a task, given from and to which number, and returns their results."""

_in_turn: ContextVar[Split | None] = ContextVar("in_turn", default=None)
"""What does shares of work in turn that would be done at the same time."""


@contextlib.contextmanager
def in_turn(split: Split) -> Iterator[None]:
    """Let a function do the shares of work that is split within this context."""
    token = _in_turn.set(split)
    try:
        yield
    finally:
        _in_turn.reset(token)


@contextlib.contextmanager
def counted(given: Counts) -> Iterator[None]:
    """Let this process have the threads of another one within this context.

    BLAS gets as many as it has there, more than its environment variables say if need be.
    """
    token = _size.set(given.own)
    try:
        with _blas.limit(given.most, given.most), _blas.limit(given.products):
            yield
    finally:
        _size.reset(token)


def worth(work: float, *, summed: bool = False) -> int:
    """Return how many of this caller's threads some floating-point operations are worth.

    Parameters
    ----------
    work : float
    summed : bool
        Whether sums over the shares are taken, whose bits depend on how many there are: they are
        as many then whether the work is being recorded or not.
    """
    most = _size.get()
    if most <= 1:
        return 1
    least = LEAST_WORK if summed or _in_turn.get() is None else LEAST_RECORDED
    return max(1, min(most, int(work / least)))


def blas_vector_bytes() -> int:
    """Return the width of the vectors that BLAS computes with; 64 where it does not say."""
    return _blas.vector_bytes()


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
    if parts <= 1 or size <= 1:
        return [task(0, size)]
    first, *rest = every = shares(size, parts)
    together = _in_turn.get()
    if together is not None:
        return together(task, every)
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
        self._controller: Any = None
        self._threads = 0
        self._vector_bytes: int | None = None
        self._owner: int | None = None  # the thread whose limit holds
        self._limits: list[tuple[int, contextlib.ExitStack]] = []  # its limits, the outermost first
        forks.hold(self._lock)

    def _look(self) -> None:
        if self._controller is None:
            from threadpoolctl import ThreadpoolController

            self._controller = ThreadpoolController().select(user_api="blas")
        if self._owner is None:
            self._threads = self._now()

    def _now(self) -> int:
        found = (library.num_threads for library in self._controller.lib_controllers)
        return max(found, default=_cores())

    def threads(self) -> int:
        """Return how many threads BLAS has where nothing here limits it."""
        with self._lock:
            self._look()
            return self._threads

    def counts(self) -> tuple[int, int]:
        """Return how many threads BLAS has now, and where nothing here limits it."""
        with self._lock:
            self._look()
            return self._now(), self._threads

    def vector_bytes(self) -> int:
        if self._vector_bytes is None:
            with self._lock:
                self._look()
            libraries = self._controller.lib_controllers
            narrow = [getattr(library, "architecture", None) in NARROW for library in libraries]
            self._vector_bytes = 32 if any(narrow) else 64
        return self._vector_bytes

    @contextlib.contextmanager
    def limit(self, n: int, most: int | None = None) -> Iterator[None]:
        """Limit BLAS; ``most`` is what it shall count as having where nothing limits it."""
        me = get_ident()
        with self._lock:
            self._look()
            if most is not None and self._owner in (None, me):
                self._threads = most
            products = min(n, self._threads)
            holds = self._owner == me and self._limits[-1][0] == products
            mine = self._owner in (None, me) and not holds
            if mine:
                self._owner, held = me, contextlib.ExitStack()
                held.enter_context(self._controller.limit(limits=products))
                self._limits.append((products, held))
        try:
            yield
        finally:
            if mine:
                with self._lock:
                    self._limits.pop()[1].close()
                    if not self._limits:
                        self._owner = None

    def after_in_child(self) -> None:
        """Lift the limit of a thread that a forked child does not have."""
        if self._owner not in (None, get_ident()):
            self._limits[0][1].close()
            self._owner, self._limits = None, []


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_blas = _Blas()
_pools: dict[int, ThreadPoolExecutor] = {}


def _pool(workers: int) -> ThreadPoolExecutor:
    if workers not in _pools:
        _pools.setdefault(workers, ThreadPoolExecutor(workers, "xpnet"))  # has no threads yet
    return _pools[workers]


def _after_in_child() -> None:
    _pools.clear()  # a forked child has none of its parent's threads
    _blas.after_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
