"""Data sets in files that are mapped and not read: they may be larger than memory.

A file of NumPy (``.npy``), or an IDX file that is not packed, holds one array from a place in it
on, a row after the other.  So the system can lay it into the addresses of a process, and bring in
of it what is touched.  That counts as the process's memory until the system is told that it may go:
whenever it is more than :data:`MOST_TOUCHED`.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np

from xpnet.arrays import HostArray
from xpnet.checks import arguments, came, file_path
from xpnet.convert import is_array
from xpnet.data import idx
from xpnet.data.archives import npy_header
from xpnet.data.datasets import Dataset
from xpnet.data.stored import Rows, StoredArray
from xpnet.files import UnreadableError, reading, regular

__all__ = ["MappedFiles", "open_files"]

PathLike: TypeAlias = str | os.PathLike[str]
Given: TypeAlias = PathLike | Sequence[PathLike] | Rows

MOST_TOUCHED = 2**28
"""The bytes of maps that may be touched before the system is told that none is needed."""

PAGE = 2**21
"""The bytes that a system may bring in where one is touched: a large page."""

MOST_MAPS = 128
"""The maps that are there at a time: each keeps a file open."""

NPY = b"\x93NUMPY"
"""With which a ``.npy`` file begins."""


@dataclass(frozen=True)
class Shard:
    """A file, and where in it which array lies.

    Attributes
    ----------
    path : Path
    start : int
        The first byte of the array.
    shape : tuple of int
    dtype : dtype
        In the order of bytes that the file has.
    stamp : tuple of int
        The file's size in bytes, and the time in ns at which it was changed last.
    """

    path: Path
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stamp: tuple[int, int]

    @property
    def pages(self) -> int:
        """The large pages that it lies in."""
        return self.stamp[0] // PAGE + 1

    def map(self) -> Map:
        """Return a map of the file, if it is still as it was."""
        with self.path.open("rb") as file:
            if _stamp(os.fstat(file.fileno())) != self.stamp:
                raise UnreadableError(
                    f"{self.path}: changed since it was opened: open the data set anew"
                )
            return Map(self, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


class Map:
    """A map of a shard.

    Attributes
    ----------
    rows : ndarray, uint8, shape (n, bytes of a row)
        As bytes, which lie well at any place.
    """

    def __init__(self, shard: Shard, pages: mmap.mmap) -> None:
        self._pages = pages
        self.rows = np.frombuffer(pages, np.uint8, offset=shard.start).reshape(shard.shape[0], -1)

    def let_go(self) -> None:
        """Let the system take the pages back: who reads in them meanwhile brings them in again."""
        self._pages.madvise(mmap.MADV_DONTNEED)


class MappedFiles:
    """The rows of mapped files, one file after the other: :class:`xpnet.data.Rows`.

    Parameters
    ----------
    paths : sequence of path
        Of ``.npy`` and IDX files with rows of one shape and dtype.

    Raises
    ------
    ValueError, OSError
        As :func:`open_files` does.
    """

    def __init__(self, paths: Sequence[PathLike]) -> None:
        self._shards = [_shard(file_path(path)) for path in paths]
        self._first, *others = self._shards
        wanted = (self._first.shape[1:], self._first.dtype.name)
        for path, shard in zip(paths[1:], others, strict=True):
            came = (shard.shape[1:], shard.dtype.name)
            if came != wanted:
                raise UnreadableError(
                    f"{path}: expected samples of shape {wanted[0]} and dtype {wanted[1]}, as in "
                    f"{paths[0]}, got {came[0]} and {came[1]}"
                )
        self._ends = np.cumsum([shard.shape[0] for shard in self._shards])
        self._firsts = self._ends - [shard.shape[0] for shard in self._shards]  # rows
        self._starts = np.array([shard.start for shard in self._shards])  # bytes
        self._pages = np.cumsum([0, *(shard.pages for shard in self._shards)])
        self._seen = np.zeros(self._pages[-1], bool)
        self._size = math.prod(self._first.shape[1:]) * self._first.dtype.itemsize
        small = len(self) * self._size <= MOST_TOUCHED
        self._together = len(self) if small else max(1, MOST_TOUCHED // (self._size + PAGE))
        self._maps: dict[int, Map] = {}

    def __len__(self) -> int:
        return int(self._ends[-1])

    def gather(self, indices: HostArray) -> HostArray:
        """Return the rows at some indices, in their order."""
        found = np.empty((len(indices), self._size), np.uint8)
        for start in range(0, len(indices), self._together):
            part = slice(start, start + self._together)
            self._let_go()
            self._fill(found[part], indices[part])
        dtype = self._first.dtype.newbyteorder("=")
        return found.view(dtype).reshape(len(indices), *self._first.shape[1:])

    def _fill(self, found: HostArray, indices: HostArray) -> None:
        """Put the bytes of the rows at some indices into an array, shard by shard."""
        order = np.argsort(indices)  # which a disk likes, too
        ordered = indices[order]
        ends = np.searchsorted(ordered, self._ends)
        counts = np.diff(ends, prepend=0)
        which = np.repeat(np.arange(len(counts)), counts)
        own = ordered - self._firsts[which]
        self._seen[self._pages[which] + (self._starts[which] + own * self._size) // PAGE] = True
        rows = np.empty_like(found)
        touched = np.flatnonzero(counts)
        for number, count, end in zip(
            touched.tolist(), counts[touched].tolist(), ends[touched].tolist(), strict=True
        ):
            part = slice(end - count, end)
            self._map(number).rows.take(own[part], axis=0, out=rows[part], mode="clip")
            dtype = self._shards[number].dtype
            if not dtype.isnative:
                rows[part].view(dtype).byteswap(inplace=True)
        found[order] = rows

    def _map(self, number: int) -> Map:
        """Return the map of a shard."""
        found = self._maps.get(number)
        if found is None:
            others = self._maps if len(self._maps) < MOST_MAPS else {}
            found = self._shards[number].map()
            self._maps = {**others, number: found}
        return found

    @property
    def _touched(self) -> int:
        """The bytes that maps may have brought into memory, by a generous count."""
        return int(np.count_nonzero(self._seen)) * max(PAGE, self._size)

    def _let_go(self) -> None:
        """Keep what is touched within bounds; a thread that reads in a map that goes keeps it."""
        if self._touched > MOST_TOUCHED:
            self._seen[:] = False
            if not hasattr(mmap, "MADV_DONTNEED"):
                self._maps = {}
            for one in self._maps.values():
                one.let_go()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the maps: it is paths that go to other processes."""
        return vars(self) | {"_maps": {}}


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _shard(path: Path) -> Shard:
    """Return what a file says of itself, if its bytes are as many as it says."""
    stamp = _stamp(regular(path))
    with path.open("rb") as file:
        head = file.read(idx.LONGEST_HEADER)
        if head.startswith(NPY):
            file.seek(0)
            with reading(path, "no array of NumPy, or a damaged one"):
                shape, fortran, dtype = npy_header(file)
            start = file.tell()
        elif head.startswith(b"\0\0"):
            dtype, shape = idx.header(head, str(path))
            start, fortran = 4 + 4 * len(shape), False
        else:
            raise UnreadableError(f"{path}: {_no_array(head)}")
    if dtype.hasobject:
        raise UnreadableError(
            f"{path}: expected numbers, got objects of Python: write it again by "
            f"np.save(path, x.astype(float))"
        )
    if fortran:
        raise UnreadableError(
            f"{path}: expected rows one after the other, got columns (Fortran order): write it "
            f"again by np.save(path, np.ascontiguousarray(x))"
        )
    if not shape or not math.prod(shape[1:]):
        raise UnreadableError(
            f"{path}: expected an array of samples, each of a number at least, got shape {shape}"
        )
    expected = start + math.prod(shape) * dtype.itemsize
    if stamp[0] != expected:
        what = "it was cut off" if stamp[0] < expected else "there is something behind it"
        raise UnreadableError(
            f"{path}: expected {expected} bytes for a {dtype.name} array of shape {shape}, got "
            f"{stamp[0]}: {what}, write it again"
        )
    return Shard(path.absolute(), start, shape, dtype, stamp)


def _no_array(head: bytes) -> str:
    """Return what is wrong with a file that cannot be mapped, by its first bytes."""
    expected = "expected a .npy file, or an IDX file that is not packed"
    if head.startswith(idx.GZIP):
        return (
            f"{expected}, got one packed with gzip, which cannot be mapped: unpack it by "
            f"gunzip, or read it into memory by xpnet.data.idx.read(path)"
        )
    begins = f"one that begins with {head[:4].hex(' ')}" if head else "an empty one"
    return f"{expected}, got {begins}: np.save(path, x) writes .npy files"


@overload
def open_files(
    x: Given,
    t: None,
    *,
    name: str | None = None,
) -> StoredArray: ...
@overload
def open_files(
    x: Given,
    t: Any,
    *,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    weights: Any = None,
    name: str | None = None,
) -> Dataset: ...
@arguments('write xpnet.data.open("x.npy", "t.npy"), or of lists of files; t is None for none')
def open_files(
    x: Given,
    t: Any,
    *,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    weights: Any = None,
    name: str | None = None,
) -> Dataset | StoredArray:
    """Return the samples and targets in files, which are mapped: they may be larger than memory.

    It is called ``xpnet.data.open``.  What it returns is split, selected from, trained on and
    evaluated as any :class:`~xpnet.data.Dataset` is, to the same bits as of the same numbers in
    memory; its parts are views.  Batches are read, and brought to the network's dtype, one at a
    time by a thread that works ahead; nothing ever reads the whole.

    Parameters
    ----------
    x : path, list of path, or Rows
        A ``.npy`` file, an IDX file that is not packed, or several of them whose samples follow
        one another, such as ``sorted(glob("x-*.npy"))``; or an object of two methods that finds
        samples elsewhere: see :class:`~xpnet.data.Rows`.
    t : path, list of path, Rows or array, or None
        The targets: files need not be divided as those of the samples are; an array is one in
        memory, as that of a :class:`~xpnet.data.Dataset`, but a list of names is one of paths.
        None where there are samples alone.
    classes, class_names, weights, name
        As those of :class:`~xpnet.data.Dataset`; by default the name of a single file.

    Returns
    -------
    Dataset or StoredArray
        Where there are samples alone an array that ``net.predict`` reads some at a time.

    Raises
    ------
    ValueError
        A file is of another kind, packed, damaged, in Fortran order or of objects; files differ in
        the shape or the dtype of their samples; there are other numbers of samples and targets.
        The sentence begins with the path of the file that is wrong.
    OSError
        A file is missing or cannot be read.

    Notes
    -----
    Files must stay as they are while a data set is used: one that was changed is refused where its
    map is made anew, but to cut off a file that is mapped ends the process.

    From a disk that is slow at random places train by ``trainer.fit(..., shuffle="blocks")``: see
    :class:`~xpnet.data.Blocks`.  After a split blocks are of neighbours in the files, whatever the
    order of the part.

    An order takes 8 bytes of memory a sample, that of blocks hardly any; the indices of a part take
    4, and 16 while it is split off.  The draws of an augmented set are those of an epoch: some 24
    bytes a sample (``Elastic`` more, by its nodes), and some 200 while they are made.

    Examples
    --------
    Other formats are written into such files once, some thousands of samples at a time.

    WebDataset:

    >>> samples = webdataset.WebDataset(url, shardshuffle=False).decode("rgb8")
    >>> for k, (x, t) in enumerate(samples.to_tuple("png", "cls").batched(10_000)):
    ...     np.save(f"x-{k:05}.npy", np.moveaxis(np.stack(x), -1, 1))
    ...     np.save(f"t-{k:05}.npy", np.array(t))

    zarr, along its chunks:

    >>> for start in range(0, array.shape[0], array.chunks[0]):
    ...     np.save(f"x-{start:09}.npy", array[start : start + array.chunks[0]])

    Parquet, its columns of numbers as the features of a sample:

    >>> table = pyarrow.parquet.ParquetFile("table.parquet")
    >>> for k, rows in enumerate(table.iter_batches(100_000)):
    ...     frame = rows.to_pandas()
    ...     np.save(f"t-{k:05}.npy", frame.pop("label").to_numpy())
    ...     np.save(f"x-{k:05}.npy", np.ascontiguousarray(frame.to_numpy("float32")))

    Hugging Face, where the images have one shape:

    >>> dataset = dataset.with_format("numpy")
    >>> for k, rows in enumerate(dataset.iter(10_000)):
    ...     np.save(f"x-{k:05}.npy", np.stack(rows["image"]))
    ...     np.save(f"t-{k:05}.npy", rows["label"])
    """
    if name is None:
        name = str(x) if isinstance(x, (str, os.PathLike)) else "data"
    samples = _stored(f"{name}: x", x)
    if samples is None:
        raise TypeError(
            f"x: expected the path of a .npy or IDX file, a list of paths, or rows that have "
            f"__len__() and gather(indices), got {came(x)}: of arrays write Dataset(x, t)"
        )
    if t is None:
        return samples
    targets = _stored(f"{name}: t", t)
    return Dataset(
        samples, t if targets is None else targets, classes, name, class_names=class_names,
        weights=weights,
    )  # fmt: skip


def _stored(name: str, given: Any) -> StoredArray | None:
    """Return what lies in files, or in rows of one's own; None of what else is given."""
    if isinstance(given, StoredArray):
        return given
    if is_array(given) or hasattr(given, "to_numpy"):
        return None  # some have a gather, too
    if hasattr(given, "gather"):
        return StoredArray(name, given)
    paths = [given] if isinstance(given, (str, os.PathLike)) else given
    if hasattr(paths, "__next__"):
        raise TypeError(
            f"{name}: expected a list of paths, in an order, got {came(paths)}: "
            f"write sorted(...) around it"
        )
    if not isinstance(paths, (list, tuple)):
        return None
    if not paths:
        raise ValueError(f"{name}: expected the path of a file at least, got none")
    if not all(isinstance(path, (str, os.PathLike)) for path in paths):
        return None
    return StoredArray(name, MappedFiles(paths))
