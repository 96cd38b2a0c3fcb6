"""A disk that fails, or a process that dies, at the k-th write, fsync, rename or link."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock


class Faults:
    """Counts what a file system is asked for, and does something at the k-th.

    Attributes
    ----------
    done : list of str
        What was asked for: "write", "fsync", "rename", "link".
    """

    def __init__(self, k: int, happens: Callable[[], Any]) -> None:
        self.k, self.happens = k, happens
        self.done: list[str] = []

    def count(self, what: str) -> None:
        self.done.append(what)
        if len(self.done) == self.k:
            self.happens()

    def before(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.count(what)
            return function(*arguments, **options)

        return counted

    def opened(self, *arguments: Any, **options: Any) -> Any:
        file = _open(*arguments, **options)
        return _Counted(file, self) if hasattr(file, "write") and file.writable() else file


class _Counted:
    """A file whose writes are counted; the one at which it happens writes a half."""

    def __init__(self, file: Any, faults: Faults) -> None:
        self._file, self._faults = file, faults

    def write(self, data: Any) -> Any:
        if len(self._faults.done) + 1 == self._faults.k:
            self._file.write(data[: len(data) // 2])
            self._file.flush()
        self._faults.count("write")
        return self._file.write(data)

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


_open = io.open


@contextmanager
def faults(k: int, happens: Callable[[], Any]) -> Iterator[Faults]:
    """Let something happen at the k-th call that changes the disk."""
    found = Faults(k, happens)
    with (
        mock.patch.object(os, "fsync", found.before("fsync", os.fsync)),
        mock.patch.object(os, "rename", found.before("rename", os.rename)),
        mock.patch.object(os, "replace", found.before("rename", os.replace)),
        mock.patch.object(os, "link", found.before("link", os.link)),
        mock.patch.object(io, "open", found.opened),
    ):
        yield found


def full() -> None:
    """Fail as a full disk does."""
    raise OSError(28, "No space left on device")
