"""Calls of one function in the workers of an executor, with the bits that they have here.

What travels is pickled here and not by the executor: all executors take the same then, and what
cannot travel is told before anything begins.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
import secrets
import traceback
from collections.abc import Callable, Generator
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, Protocol, TypeVar

from xpnet import threadpool
from xpnet.checks import came

__all__ = ["Calls", "Submits", "calls"]

FUNCTION = "make_trainer, space, metric and data"
"""What the function that is called holds."""

CURES = {
    "pickle": "define it at the top of a module, or install cloudpickle (loky needs it, too), "
    "which takes closures",
    "cloudpickle": "make it within the function that uses it",
}
"""What to do about what cannot be pickled, by what pickles."""

K = TypeVar("K")
R = TypeVar("R")

Calls = Callable[[dict[K, tuple[Any, ...]]], Generator[tuple[K, R]]]
"""Takes the arguments of each call out of a dict, and yields the results as the calls end."""


class Submits(Protocol):
    """An executor: a concurrent.futures.Executor, or what is used as one."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        """Return a future, with ``result()`` and ``cancel()``, of a function's call."""


def calls(function: Callable[..., R], executor: Submits | None) -> Calls[Any, R]:
    """Return what calls a function here, or in an executor's workers if there is one.

    Threads of this process are given nothing, and the calls are made here: BLAS has one number of
    threads a process, and results shall not depend on which call set it last.

    Raises
    ------
    TypeError
        It is no executor, or the function cannot be pickled.
    """
    if executor is None:
        return partial(_here, function)
    if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
        raise TypeError(
            f"executor: expected one such as concurrent.futures.ProcessPoolExecutor(4), got "
            f"{came(executor)}"
        )
    if executor.submit(_process).result() == _process():
        return partial(_here, function)
    # takes closures too, and what a script or a notebook defines
    pickler = "pickle" if importlib.util.find_spec("cloudpickle") is None else "cloudpickle"
    call = _Call(_pickled(function, FUNCTION, pickler), pickler, threadpool.counts())
    return partial(_elsewhere, call, executor)


def _here(function: Callable[..., R], tasks: dict[K, tuple[Any, ...]]) -> Generator[tuple[K, R]]:
    for key in list(tasks):
        yield key, function(*tasks.pop(key))


def _elsewhere(
    call: _Call, executor: Submits, tasks: dict[K, tuple[Any, ...]]
) -> Generator[tuple[K, Any]]:
    waiting: dict[Any, K] = {}
    try:
        for key in list(tasks):
            arguments = _pickled(tasks.pop(key), "trainers", call.pickler)
            waiting[executor.submit(call, arguments)] = key
        comparable = all(isinstance(future, Future) for future in waiting)
        for future in as_completed(waiting) if comparable else list(waiting):
            key, outcome = waiting.pop(future), pickle.loads(future.result())
            if isinstance(outcome, _Failed):
                raise outcome.error
            yield key, outcome
    finally:
        for future in reversed(waiting):  # the last first, or one would begin meanwhile
            future.cancel()


def _pickled(thing: Any, what: str, pickler: str, cure: str | None = None) -> bytes:
    try:
        return bytes(importlib.import_module(pickler).dumps(thing))
    except Exception as error:  # an object's own pickling may raise anything
        raise TypeError(
            f"executor: expected {what} that can be pickled, for workers are other processes, got "
            f"what cannot be ({error}): {cure or CURES[pickler]}"
        ) from error


# In a worker

_PROCESS = secrets.token_hex(8)
_turns: dict[int, Lock] = {}
"""By process: a forked one finds the lock of its parent as it was."""


def _process() -> tuple[str, int]:
    """Return what tells this process from others, those of other machines too."""
    return _PROCESS, os.getpid()


@dataclass(frozen=True)
class _Failed:
    """What is sent back of a call that raised: executors would lose some errors on the way."""

    error: Exception


@dataclass(frozen=True)
class _Call:
    """A function to be called in workers, whose threads take turns: BLAS is the process's."""

    function: bytes
    pickler: str
    counts: threadpool.Counts

    def __call__(self, arguments: bytes) -> bytes:
        with _turns.setdefault(os.getpid(), Lock()), threadpool.counted(self.counts):
            try:
                result = self._load()(*pickle.loads(arguments))
                cure = "give folder=, in which they stay"
                return _pickled(result, "networks and trainers", self.pickler, cure)
            except Exception as error:
                error.add_note(f"In a worker:\n{traceback.format_exc()}")
                return _pickled(_Failed(self._portable(error)), "errors", self.pickler)

    def _load(self) -> Callable[..., Any]:
        try:
            return pickle.loads(self.function)  # type: ignore[no-any-return]
        except Exception as error:
            raise TypeError(
                f"executor: expected {FUNCTION} that workers can import, got what they cannot "
                f"({error}): install its module there, or install cloudpickle on both sides, "
                f"which takes what a script or a notebook defines"
            ) from error

    def _portable(self, error: Exception) -> Exception:
        """Return an error, or what says the same where it cannot be pickled."""
        try:
            pickle.loads(_pickled(error, "errors", self.pickler))
        except Exception:
            return RuntimeError(f"{type(error).__name__}: {error}")
        return error
