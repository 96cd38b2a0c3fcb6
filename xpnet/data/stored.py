"""Arrays that are not in memory: rows that lie somewhere else, read when they are looked at.

Where rows lie is known to what is called :class:`Rows` here, which has two methods.  Which of them
an array has, in what order, and what becomes of each piece that is read, is known to
:class:`StoredArray`, which passes for an array of NumPy wherever arrays are asked for their shape
and dtype or are read some rows at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from operator import methodcaller
from typing import Any, Protocol

import numpy as np

from xpnet.arrays import Array, HostArray, namespace, to_numpy
from xpnet.checks import came
from xpnet.convert import as_array
from xpnet.devices import CPU, Device

__all__ = ["Rows", "StoredArray", "brought", "mapped", "rows_at"]

Change = Callable[[Array], Array]


class Rows(Protocol):
    """Rows that lie somewhere, the same ones each time: what data larger than memory are read by.

    :func:`xpnet.data.open` takes such an object in the place of paths.  It is asked by one thread
    or another, by several at a time where several batches are read; it goes to other processes
    where it can be pickled.

    Examples
    --------
    A column of a Hugging Face data set, where each sample has one shape:

    >>> class Column:
    ...     def __init__(self, dataset, name):
    ...         self.rows, self.name = dataset.with_format("numpy", columns=[name]), name
    ...
    ...     def __len__(self):
    ...         return len(self.rows)
    ...
    ...     def gather(self, indices):
    ...         return np.stack(self.rows[indices.tolist()][self.name])
    >>> data = xpnet.data.open(Column(dataset, "image"), Column(dataset, "label"), classes=10)

    A column of lists of one length in an Arrow file, by its buffer, which is mapped:

    >>> class ArrowColumn:
    ...     def __init__(self, path, name):
    ...         table = pa.ipc.open_file(pa.memory_map(path)).read_all()
    ...         self.chunks = [
    ...             chunk.flatten().to_numpy().reshape(len(chunk), -1)
    ...             for chunk in table[name].chunks
    ...         ]
    ...         self.ends = np.cumsum([len(chunk) for chunk in self.chunks])
    ...
    ...     def __len__(self):
    ...         return int(self.ends[-1])
    ...
    ...     def gather(self, indices):
    ...         which = np.searchsorted(self.ends, indices, side="right")
    ...         return np.stack([self.chunks[k][i - self.ends[k]] for k, i in zip(which, indices)])
    """

    def __len__(self) -> int:
        """Return how many there are."""

    def gather(self, indices: HostArray) -> Array:
        """Return some of them.

        Parameters
        ----------
        indices : ndarray, int64, shape (m,)
            From 0 to n - 1, in any order, m at least 1.

        Returns
        -------
        array, shape (m, ...)
            In the order of the indices, all of one shape and dtype; numbers of any kind that
            :class:`~xpnet.data.Dataset` takes.
        """


class StoredArray:
    """An array whose rows are read when they are looked at.

    To index it is to read: ``x[:100]``, ``x[7]`` and ``x[[3, 1]]`` are NumPy arrays, and
    ``numpy.asarray(x)`` is all of it in memory.

    Parameters
    ----------
    name : str
        What the numbers are, for messages.
    rows : Rows
        Where they lie.

    Attributes
    ----------
    indices : range or ndarray
        The numbers of its rows among those, in order.
    """

    def __init__(self, name: str, rows: Rows) -> None:
        if not (hasattr(rows, "__len__") and callable(getattr(rows, "gather", None))):
            raise TypeError(
                f"{name}: expected rows that have __len__() and gather(indices), got {came(rows)}"
            )
        if not len(rows):
            raise ValueError(f"{name}: expected at least one sample, got none")
        self._name, self._rows = name, rows
        first = self._numbers_of(np.zeros(1, np.int64))
        self._given: HostArray = np.empty((0, *first.shape[1:]), first.dtype)
        self._piece: HostArray = self._given  # of what is read, where none was
        self._changes: tuple[Change, ...] = ()
        self.indices: range | HostArray = range(len(rows))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, (n, ...)."""
        return (len(self.indices), *self._piece.shape[1:])

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._piece.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of what is read."""
        return self._piece.dtype

    @property
    def device(self) -> Any:
        """The device of what is read, as NumPy calls it."""
        return self._piece.device

    @property
    def where(self) -> str:
        """What the rows lie in, in a word."""
        return type(self._rows).__name__

    def view(self, which: int | HostArray) -> StoredArray:
        """Return the first so many rows, or those at indices, as an array that reads none yet."""
        made = copy.copy(self)
        if isinstance(which, int):
            made.indices = self.indices[:which]
        else:
            made.indices = which if isinstance(self.indices, range) else self.indices[which]
        return made

    def changed(self, change: Change) -> StoredArray:
        """Return an array of what a function makes of each piece that is read, row by row."""
        made = copy.copy(self)
        made._changes, made._piece = (*self._changes, change), change(self._piece)
        return made

    def astype(self, dtype: Any, copy: bool = True) -> StoredArray:
        """Return an array of the same numbers in another dtype."""
        return self.changed(methodcaller("astype", np.dtype(dtype), copy=False))

    def by_place(self) -> HostArray | None:
        """Return the rows' numbers in the order in which they lie; None where that is theirs."""
        return None if isinstance(self.indices, range) else np.argsort(self.indices, kind="stable")

    def take(self, indices: Any, axis: int | None = None, **options: Any) -> HostArray:
        """Read rows, by numbers of 0 to n - 1: what the namespace's ``take`` comes to."""
        if axis != 0:
            raise ValueError(f"{self._name}: expected axis=0, along which rows lie, got {axis}")
        which = np.asarray(indices)
        if not isinstance(self.indices, range):
            return self._read(self.indices[which])
        wrong = which[(which < 0) | (which >= len(self))]
        if len(wrong):
            raise IndexError(
                f"{self._name}: expected numbers of rows from 0 to {len(self) - 1}, got {wrong[0]}"
            )
        return self._read(which)

    def _read(self, numbers: HostArray) -> HostArray:
        if not len(numbers):
            return self._piece
        piece = self._numbers_of(numbers)
        if (piece.shape[1:], piece.dtype) != (self._given.shape[1:], self._given.dtype):
            raise ValueError(
                f"{self._name}: expected samples of {self._given.dtype} and shape "
                f"{self._given.shape[1:]}, as the first is, got {piece.dtype} and "
                f"{piece.shape[1:]}"
            )
        for change in self._changes:
            piece = change(piece)
        return piece

    def _numbers_of(self, numbers: HostArray) -> HostArray:
        rows = self._rows.gather(numbers.astype(np.int64, copy=False))
        found = to_numpy(as_array(self._name, rows))
        if found.shape[:1] != numbers.shape:
            raise ValueError(
                f"{self._name}: expected {len(numbers)} rows of {self.where}.gather, got an array "
                f"of shape {found.shape}"
            )
        return found

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: Any) -> Any:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, slice):
            some = self.indices[first]
            rows = np.arange(some.start, some.stop, some.step) if isinstance(some, range) else some
        elif isinstance(first, (int, np.integer)):
            return self._read(np.array([self.indices[first]]))[(0, *rest)]
        elif isinstance(first, (list, np.ndarray)):
            rows = np.asarray(self.indices)[first]
        else:
            raise TypeError(f"{self._name}: expected the numbers of rows first, got {came(first)}")
        return self._read(rows)[(slice(None), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> HostArray:
        whole: HostArray = self[:]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return namespace(self._piece)

    def __getattr__(self, name: str) -> Any:
        """Say how to come to an array, which has all else."""
        raise AttributeError(f"StoredArray has no {name!r}: read rows first, as x[:100] does")

    def __repr__(self) -> str:
        return f"StoredArray({self.dtype} {self.shape} in {self.where})"


def mapped(change: Change, x: Array) -> Array:
    """Return what a function makes of an array, row by row; of a stored one when it is read."""
    return x.changed(change) if isinstance(x, StoredArray) else change(x)


def rows_at(x: Array, which: int | Array) -> Array:
    """Return the first so many rows of an array, or those at indices; a stored one stays stored."""
    if isinstance(x, StoredArray):
        return x.view(which)
    return x[:which, ...] if isinstance(which, int) else namespace(x).take(x, which, axis=0)


def brought(x: Array, place: Device, dtype: str | None = None) -> Array:
    """Return an array on a device; a stored one is read whole for another than the host alone."""
    if isinstance(x, StoredArray) and place == CPU:
        return x if dtype is None else x.astype(dtype)
    return place.asarray(x, dtype)
