"""How published data sets lie in their files, which are verified and read here.

A layout names its files and reads them to ``(x, t)`` of the training and of the test images: ``x``
uint8 of shape (n, c, h, w), upright, and ``t`` int64 of shape (n,), from 0.  Archives are read
member by member, in memory; nothing is unpacked to the disk.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Protocol, TypeAlias

import numpy as np

from xpnet.arrays import HostArray
from xpnet.data import idx
from xpnet.data.archives import Archive
from xpnet.files import UnreadableError, contents, listed, most_unpacked, reading

__all__ = [
    "ArchiveFile",
    "CifarArchive",
    "Digest",
    "EmnistArchive",
    "IdxFile",
    "IdxFiles",
    "Layout",
    "OneArchive",
    "Part",
    "SourceFile",
]

Part: TypeAlias = tuple[HostArray, HostArray]


@dataclass(frozen=True)
class Digest:
    """How a file is recognised.

    Attributes
    ----------
    algorithm : str
        A name that hashlib knows.
    of : {"payload", "gzip", "archive"}
        Whether the decompressed bytes are hashed or the file as it is published.
    hexdigest : str
    """

    algorithm: str
    of: Literal["payload", "gzip", "archive"]
    hexdigest: str

    def check(self, data: bytes | bytearray | IO[bytes], called: str) -> None:
        """Raise a ValueError unless data, or all of an open file, have this digest."""
        found = hashlib.new(self.algorithm, usedforsecurity=False)
        if isinstance(data, (bytes, bytearray)):
            found.update(data)
        else:
            while chunk := data.read(2**20):
                found.update(chunk)
        if found.hexdigest() != self.hexdigest:
            raise ValueError(
                f"{called}: the {self.algorithm} digest of its {self.of} is not that of the "
                f"published file"
            )


@dataclass(frozen=True)
class SourceFile(ABC):
    """One file of a data set.

    Attributes
    ----------
    name : str
        As published.
    """

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """What the file may be called on this machine."""
        return (self.name,)

    @property
    @abstractmethod
    def max_download_bytes(self) -> int:
        """The size cap of a download."""

    @abstractmethod
    def verify(self, path: Path, called: str) -> None:
        """Raise a ValueError unless a file that was downloaded is the published one."""

    def too_large(self, size: int | None) -> str:
        """Return the words about a file of more than the most bytes."""
        found = "more" if size is None else f"{size}"
        return f"expected at most {self.max_download_bytes} bytes, got {found}"

    def check_size(self, path: Path) -> None:
        """Raise a ValueError where a file is larger than the published one may be."""
        size = path.stat().st_size
        if size > self.max_download_bytes:
            raise ValueError(f"{path}: {self.too_large(size)}")


@contextmanager
def _replaceable() -> Iterator[None]:
    """Let errors about a file of a data set end with the cure."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error}; delete the file to download it again") from None


# A file for each array, in the IDX format


@dataclass(frozen=True)
class IdxFile(SourceFile):
    """A uint8 array in the IDX format, packed with gzip.

    Attributes
    ----------
    name : str
        As published, with ``.gz``.
    shape : tuple of int
    digest : Digest
    """

    shape: tuple[int, ...]
    digest: Digest

    @property
    def names(self) -> tuple[str, ...]:
        """What the file may be called on this machine: unpacked, it has no ``.gz``."""
        return self.name, self.name.removesuffix(".gz")

    @property
    def payload_bytes(self) -> int:
        """The size of the decompressed file: the IDX header and one byte an item."""
        return 4 + 4 * len(self.shape) + math.prod(self.shape)

    @property
    def max_download_bytes(self) -> int:
        """The size cap of a download: gzip makes nothing larger than this."""
        return self.payload_bytes + 2**16

    def verify(self, path: Path, called: str) -> None:
        """Raise a ValueError unless a file that was downloaded is the published one."""
        self._array(path.read_bytes(), called, published=True)

    def read(self, path: Path) -> HostArray:
        """Read a file that lies on this machine, and verify it.

        A digest of the published gzip says nothing about a file that was packed anew or unpacked;
        then only its shape is checked.

        Returns
        -------
        ndarray of uint8
            Of ``shape``.

        Raises
        ------
        ValueError
            The file is damaged; the message names it and says what is wrong.
        """
        with _replaceable():
            self.check_size(path)
            return self._array(contents(path), str(path), published=False)

    def _array(self, raw: bytes, called: str, *, published: bool) -> HostArray:
        payload = idx.unpack(raw, called, max_bytes=self.payload_bytes)
        array = idx.parse(payload, called)
        if array.shape != self.shape or array.dtype != np.uint8:
            raise ValueError(
                f"{called}: expected a uint8 array of shape {self.shape}, "
                f"got {array.dtype} of shape {array.shape}"
            )
        if self.digest.of == "payload":
            self.digest.check(payload, called)
        elif published:
            self.digest.check(raw, called)
        return array


class Layout(Protocol):
    """How a data set lies in its files."""

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """The files, in order."""

    def read(self, paths: Mapping[str, Path]) -> tuple[Part, Part]:
        """Read the files, whose paths are given by name; raise a ValueError for a damaged one."""


@dataclass(frozen=True)
class IdxFiles:
    """Train images (n, h, w), train labels (n,), test images, test labels: a file for each."""

    files: tuple[IdxFile, ...]

    def read(self, paths: Mapping[str, Path]) -> tuple[Part, Part]:
        """Read the four files: images of one channel."""
        arrays = [file.read(paths[file.name]) for file in self.files]
        return _grey(*arrays[:2]), _grey(*arrays[2:])


def _grey(images: HostArray, labels: HostArray) -> Part:
    return images[:, None], labels.astype(np.int64)


# All in one archive


@dataclass(frozen=True)
class ArchiveFile(SourceFile):
    """An archive, which is what was published as long as its digest says so.

    Attributes
    ----------
    name : str
    max_bytes : int
    digest : Digest
    """

    max_bytes: int
    digest: Digest

    @property
    def max_download_bytes(self) -> int:
        """The size cap of a download."""
        return self.max_bytes

    def verify(self, path: Path, called: str) -> None:
        """Raise a ValueError unless a file is the published one."""
        with path.open("rb") as file:
            self.digest.check(file, called)


@dataclass(frozen=True)
class OneArchive(ABC):
    """A data set that lies in one archive.

    Attributes
    ----------
    file : ArchiveFile
    """

    file: ArchiveFile

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """The archive alone."""
        return (self.file,)

    def read(self, paths: Mapping[str, Path]) -> tuple[Part, Part]:
        """Verify the archive, and read what of it is wanted."""
        path = paths[self.file.name]
        with _replaceable():
            self.file.check_size(path)
            self.file.verify(path, str(path))
            return self.parts(path)

    @abstractmethod
    def parts(self, path: Path) -> tuple[Part, Part]:
        """Read an archive, within bounds that hold for whatever it is."""


@dataclass(frozen=True)
class EmnistArchive(OneArchive):
    """EMNIST: a zip of files in the IDX format, four for each way to split it.

    The images are published column by column.

    Attributes
    ----------
    file : ArchiveFile
    split : str
        Such as ``"letters"``.
    first_label : int
        The label of the first class.
    """

    split: str
    first_label: int = 0

    def parts(self, path: Path) -> tuple[Part, Part]:
        """Read an archive, within bounds that hold for whatever it is."""
        with path.open("rb") as stream:
            with reading(path, "no zip archive, or a damaged one"):
                archive = Archive(stream)
            return self._part(archive, path, "train"), self._part(archive, path, "test")

    def _part(self, archive: Archive, path: Path, part: str) -> Part:
        prefix = f"gzip/emnist-{self.split}-{part}"
        images = self._array(archive, path, f"{prefix}-images-idx3-ubyte.gz")
        labels = self._array(archive, path, f"{prefix}-labels-idx1-ubyte.gz")
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise UnreadableError(
                f"{path}: expected images and as many labels, got shapes {images.shape} and "
                f"{labels.shape}"
            )
        upright = np.ascontiguousarray(images.transpose(0, 2, 1))
        return _grey(upright, labels.astype(np.int64) - self.first_label)

    def _array(self, archive: Archive, path: Path, member: str) -> HostArray:
        if member not in archive:
            raise UnreadableError(
                f"{path}: expected a member {member!r}, got only {listed(archive.names)}"
            )
        with reading(path, f"{member} is damaged"):
            raw = archive.read(member)
        called = f"{path}, {member}"
        array = idx.parse(idx.unpack(raw, called, max_bytes=most_unpacked(len(raw))), called)
        if array.dtype != np.uint8:
            raise UnreadableError(f"{called}: expected a uint8 array, got {array.dtype}")
        return array


@dataclass(frozen=True)
class CifarArchive(OneArchive):
    """CIFAR-10 in its binary form: six batches of rows in a ``.tar.gz``.

    A row is a byte, the label, and then the red, the green and the blue bytes of a 32x32 image.

    Attributes
    ----------
    file : ArchiveFile
    rows : int
        In each batch.
    """

    rows: int = 10_000

    FOLDER = "cifar-10-batches-bin"
    TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
    TEST = "test_batch.bin"
    SHAPE = (3, 32, 32)
    MAX_MEMBERS = 64

    def parts(self, path: Path) -> tuple[Part, Part]:
        """Read an archive, within bounds that hold for whatever it is."""
        with path.open("rb") as packed, reading(path, "no .tar.gz archive, or a damaged one"):
            batches = self._batches(packed)
        missing = [name for name in (*self.TRAIN, self.TEST) if name not in batches]
        if missing:
            raise UnreadableError(
                f"{path}: expected members {listed(missing)} in {self.FOLDER}, but they are missing"
            )
        x, t = zip(*(batches[name] for name in self.TRAIN), strict=True)
        return (np.concatenate(x), np.concatenate(t)), batches[self.TEST]

    def _batches(self, packed: IO[bytes]) -> dict[str, Part]:
        """Return the batches that a packed archive holds, by their names."""
        row = 1 + math.prod(self.SHAPE)
        known = {f"{self.FOLDER}/{name}": name for name in (*self.TRAIN, self.TEST)}
        room = len(known) * self.rows * row + 2**20
        found = {}
        unpacked: Any = _Bounded(gzip.GzipFile(fileobj=packed), room)
        with tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for count, member in enumerate(archive):
                if count == self.MAX_MEMBERS:
                    raise ValueError(f"more than {self.MAX_MEMBERS} members")
                if member.name not in known:
                    continue
                stream = archive.extractfile(member)
                if stream is None or member.size != self.rows * row:
                    raise ValueError(f"{member.name} is not {self.rows} rows of {row} bytes")
                rows = np.frombuffer(stream.read(), np.uint8).reshape(self.rows, row)
                images = rows[:, 1:].reshape(self.rows, *self.SHAPE)
                found[known[member.name]] = images, rows[:, 0].astype(np.int64)
        return found


class _Bounded:
    """A stream that gives no more than so many bytes."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, room: int) -> None:
        self._stream, self._room = stream, room

    def read(self, size: int) -> bytes:
        chunk = self._stream.read(size)
        self._room -= len(chunk)
        if self._room < 0:
            raise ValueError("it unpacks to more than was published")
        return chunk
