"""Zip archives, unpacked within bounds: NumPy's and Excel's files are such."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from xpnet.arrays import HostArray
from xpnet.files import UnreadableError, contents, listed, most_unpacked, reading

__all__ = ["MAX_MEMBERS", "Archive", "npy_array", "npy_header", "npz_arrays", "npz_names"]

MAX_MEMBERS = 2**12
"""The most members that an archive may have: each takes some 500 bytes, however short it is."""

_ENTRY = b"PK\1\2"
_CHUNK = 2**16
_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others are unpacked without a bound
_NPY_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Archive:
    """The members of a zip archive, which together hold no more than its size allows.

    Parameters
    ----------
    file : bytes or binary file
        The whole file, or one that is open.

    Raises
    ------
    Exception
        Here and below, whatever zipfile raises for damaged bytes; and ValueError beyond a bound.
    """

    def __init__(self, file: bytes | IO[bytes]) -> None:
        stream = io.BytesIO(file) if isinstance(file, bytes) else file
        size = _check_entries(stream)
        self._zip = zipfile.ZipFile(stream)
        self._room = most_unpacked(size)

    def __contains__(self, name: str) -> bool:
        return name in self._zip.NameToInfo

    @property
    def names(self) -> list[str]:
        """The members, in order."""
        return self._zip.namelist()

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a member, some at a time."""
        member = self._zip.getinfo(name)
        if member.compress_type not in _KINDS:
            raise ValueError(f"{name} is packed in an unusual way")
        self._room -= member.file_size
        if self._room < 0:
            raise ValueError(f"{name} is too large for the size of the file")
        with self._zip.open(member) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk

    def read(self, name: str) -> bytes:
        """Return the bytes of a member."""
        return b"".join(self.chunks(name))


def _check_entries(stream: IO[bytes]) -> int:
    """Return the size of an archive, once it is known to have not too many members."""
    size = entries = 0
    tail = b""
    while chunk := stream.read(2**20):
        size, window = size + len(chunk), tail + chunk
        entries += window.count(_ENTRY)
        tail = window[1 - len(_ENTRY) :]
        if entries > MAX_MEMBERS:
            raise ValueError(f"more than {MAX_MEMBERS} members")
    return size


def npz_arrays(path: Path, names: Sequence[str], cure: str = "") -> list[HostArray]:
    """Return some arrays of a NumPy archive; ``cure`` ends the sentence about a missing one.

    Raises
    ------
    ValueError
        One is missing, or the file is damaged; the sentence begins with the path.
    OSError
        The file is missing or cannot be read.
    """
    archive, found = _npz(path)
    for name in names:
        if name not in found:
            raise UnreadableError(
                f"{path}: expected an array {name!r}, got only {listed(found)}{cure}"
            )
    with reading(path, f"{' or '.join(names)} cannot be read"):
        return [_array(archive.read(f"{name}.npy")) for name in names]


def npz_names(path: Path) -> list[str]:
    """Return what the arrays of a NumPy archive are called; raises as :func:`npz_arrays` does."""
    return _npz(path)[1]


def _npz(path: Path) -> tuple[Archive, list[str]]:
    raw = contents(path)
    with reading(path, "no NumPy archive, or a damaged one"):
        archive = Archive(raw)
        return archive, [name.removesuffix(".npy") for name in archive.names]


def npy_array(path: Path) -> HostArray:
    """Return the array of a ``.npy`` file; nothing in it is ever executed.

    Raises
    ------
    ValueError
        The file is damaged; the sentence begins with the path.
    OSError
        The file is missing or cannot be read.
    """
    raw = contents(path)
    with reading(path, "no array of NumPy, or a damaged one"):
        return _array(raw)


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether columns come first, and dtype, with which a ``.npy`` file begins."""
    version = npy.read_magic(file)
    if version not in _NPY_HEADERS:
        raise ValueError(f"version {version} of the format is not known")
    return _NPY_HEADERS[version](file)


def _array(raw: bytes) -> HostArray:
    """Return the array in the bytes of a ``.npy`` file, if they are as many as it says."""
    file = io.BytesIO(raw)
    shape, fortran, dtype = npy_header(file)
    start = file.tell()
    if dtype.hasobject:
        raise ValueError("holds objects")
    if math.prod(shape) * dtype.itemsize != len(raw) - start:
        raise ValueError(f"not the bytes of a {dtype} array of shape {str(shape)[:100]}")
    flat = np.frombuffer(raw, dtype, offset=start)
    return flat.reshape(shape, order="F" if fortran else "C")
