"""What a fork waits for: work that a child process could not go on from.

A forked child has one thread, the one that forked, and every lock as it was.  A lock that another
thread held is held for ever then: those of BLAS during a product, of the compiler, of an import.
So a fork lets the other threads end what they are at, and begin nothing new until it is done.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - registered first, and so closed after working is
import contextlib
import os
import time
from collections.abc import Iterator
from threading import Lock, get_ident
from typing import Protocol

__all__ = ["hold", "working"]

PATIENCE = 60.0
"""Seconds that a fork waits for work: it may be waiting for the thread that forks."""


class Lockable(Protocol):
    """A lock."""

    def acquire(self) -> object:
        """Take it."""

    def release(self) -> None:
        """Give it back."""


class _Working:
    """The context of work that no other thread's fork interrupts; threads share it, and nest it."""

    def __init__(self) -> None:
        self._door = Lock()  # taken while a fork is on its way
        self._inside: dict[int, int] = {}  # contexts that are open, by thread

    def __enter__(self) -> None:
        me, inside = get_ident(), self._inside
        if me in inside:
            inside[me] += 1
        else:
            with self._door:
                self._inside[me] = 1

    def __exit__(self, *_: object) -> None:
        me, inside = get_ident(), self._inside
        if inside[me] == 1:
            del inside[me]
        else:
            inside[me] -= 1

    @contextlib.contextmanager
    def left(self) -> Iterator[None]:
        """Let forks go on within this context: for a thread that waits for another one's work."""
        me = get_ident()
        mine = self._inside.pop(me, 0)
        try:
            yield
        finally:
            if mine:
                with self._door:
                    self._inside[me] = mine

    def close(self) -> None:
        """Let no thread in, and wait for the others to leave."""
        me = get_ident()
        mine = self._inside.pop(me, 0)  # two threads that fork do not wait for one another
        self._door.acquire()
        end = time.monotonic() + PATIENCE
        while self._inside and time.monotonic() < end:
            time.sleep(0.0005)
        if mine:
            self._inside[me] = mine

    def open(self) -> None:
        """Let threads in again."""
        self._door.release()

    def open_in_child(self) -> None:
        """Let threads in again, where the others are no more."""
        me = get_ident()
        self._inside = {me: self._inside[me]} if me in self._inside else {}
        self._door.release()


working = _Working()
"""The context of work that a fork waits for."""

_locks: list[Lockable] = []


def hold(lock: Lockable) -> None:
    """Let forks wait for a lock too: one that is not kept while :data:`working` is waited for."""
    _locks.append(lock)


def _before() -> None:
    working.close()
    for lock in _locks:
        lock.acquire()


def _release() -> None:
    for lock in reversed(_locks):
        lock.release()


def _after_in_parent() -> None:
    _release()
    working.open()


def _after_in_child() -> None:
    _release()
    working.open_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
