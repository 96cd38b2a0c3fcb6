"""What data sets exist, where they come from and how they are verified.

:func:`fetch` finds a data set's files on this machine or downloads them; :func:`read` reads one
and verifies it.  Nothing enters the data folder before it is verified, and a file that already
lies there is verified each time it is read.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from xpnet.checks import one_of
from xpnet.data import idx
from xpnet.files import contents, replacing

__all__ = [
    "SOURCES",
    "Digest",
    "DownloadError",
    "Source",
    "SourceFile",
    "data_folder",
    "fetch",
    "read",
]

_CONNECT_SECONDS, _READ_SECONDS = 10, 30


class DownloadError(OSError):
    """Files that no mirror gave: the message says which, why, and where to put them by hand."""


@dataclass(frozen=True)
class Digest:
    """How a file is recognised.

    Attributes
    ----------
    algorithm : str
        A name that hashlib knows.
    of : {"payload", "gzip"}
        Whether the decompressed bytes are hashed or the file as it is published.
    hexdigest : str
    """

    algorithm: str
    of: Literal["payload", "gzip"]
    hexdigest: str

    def matches(self, data: bytes | bytearray) -> bool:
        """Whether ``data`` has this digest."""
        found = hashlib.new(self.algorithm, data, usedforsecurity=False)
        return found.hexdigest() == self.hexdigest


@dataclass(frozen=True)
class SourceFile:
    """One file of a data set: a uint8 array in the IDX format.

    Attributes
    ----------
    name : str
        As published, with ``.gz``.
    shape : tuple of int
    digest : Digest
    """

    name: str
    shape: tuple[int, ...]
    digest: Digest

    @property
    def payload_bytes(self) -> int:
        """The size of the decompressed file: the IDX header and one byte an item."""
        return 4 + 4 * len(self.shape) + math.prod(self.shape)

    @property
    def max_download_bytes(self) -> int:
        """The size cap of a download: gzip makes nothing larger than this."""
        return self.payload_bytes + 2**16


@dataclass(frozen=True)
class Source:
    """A data set: its files and where they are found.

    Attributes
    ----------
    name : str
        Also the folder, inside the data folder, that downloads go into.
    files : tuple of SourceFile
        Train images, train labels, test images, test labels.
    mirrors : tuple of str
        URLs that a file's name is appended to, in the order in which they are tried.
    folder : str
        Where, inside the data folder, torchvision keeps the same files.
    """

    name: str
    files: tuple[SourceFile, ...]
    mirrors: tuple[str, ...]
    folder: str


def _files(
    algorithm: str, of: Literal["payload", "gzip"], hexdigests: Sequence[str]
) -> tuple[SourceFile, ...]:
    """Return the four files that MNIST and the sets made after it consist of."""
    shapes = {
        "train-images-idx3-ubyte.gz": (60_000, 28, 28),
        "train-labels-idx1-ubyte.gz": (60_000,),
        "t10k-images-idx3-ubyte.gz": (10_000, 28, 28),
        "t10k-labels-idx1-ubyte.gz": (10_000,),
    }
    return tuple(
        SourceFile(name, shape, Digest(algorithm, of, hexdigest))
        for (name, shape), hexdigest in zip(shapes.items(), hexdigests, strict=True)
    )


# The digest is of the payload where one is known, for honest mirrors differ in their gzip.
SOURCES = {
    source.name: source
    for source in (
        Source(
            "mnist",
            _files(
                "sha256",
                "payload",
                (
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                ),
            ),
            mirrors=(
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
                "https://raw.githubusercontent.com/fgnt/mnist/master/",
            ),
            folder="MNIST/raw",
        ),
        Source(
            "fashion-mnist",
            _files(
                "md5",
                "payload",
                (
                    "f4a8712d7a061bf5bd6d2ca38dc4d50a",
                    "9018921c3c673c538a1fc5bad174d6f9",
                    "8181f5470baa50b63fa0f6fddb340f0a",
                    "15d484375f8d13e6eb1aabb0c3f46965",
                ),
            ),
            mirrors=(
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            ),
            folder="FashionMNIST/raw",
        ),
        Source(
            "kmnist",
            _files(
                "md5",
                "gzip",
                (
                    "bdb82020997e1d708af4cf47b453dcf7",
                    "e144d726b3acfaa3e44228e80efcd344",
                    "5c965bf0a639b31b8f53240b1b52f4d7",
                    "7320c461ea6c1c855c0b718fb2a4b134",
                ),
            ),
            mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
            folder="KMNIST/raw",
        ),
    )
}
"""The data sets that can be downloaded, by name."""


def fetch(
    name: str | Source,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    progress: bool | None = None,
) -> dict[str, Path]:
    """Find a data set's files on this machine, or download them.

    A file is taken as it lies, with or without ``.gz``, from ``<data_dir>/<name>`` or from
    torchvision's folder, such as ``<data_dir>/MNIST/raw``.  What is missing is downloaded into
    ``<data_dir>/<name>`` from the first mirror whose file proves right.

    Parameters
    ----------
    name : str or Source
    data_dir : path, optional
        By default the environment variable ``XPNET_DATA``, else the user's cache folder.
    progress : bool, optional
        Whether to show a progress bar; by default where standard error is a terminal.

    Returns
    -------
    dict of str to Path
        The path of each file, by its published name and in the order of ``Source.files``.
        Files that already lay there are not verified yet: :func:`read` does it.

    Raises
    ------
    ValueError
        No data set has this name.
    DownloadError
        No mirror gave a file that is missing, or the folder cannot be written.
    """
    source = name if isinstance(name, Source) else _source(name)
    root = data_folder(data_dir)
    found = _find(source, root)
    if len(found) < len(source.files):
        _download(source, root, progress)
        found = _find(source, root)
    return found


def read(file: SourceFile, path: Path) -> np.ndarray[Any, np.dtype[Any]]:
    """Read a file that :func:`fetch` found, and verify it.

    A digest of the published gzip says nothing about a file that was packed anew or unpacked;
    then only its shape is checked.

    Returns
    -------
    ndarray of uint8
        Of ``file.shape``.

    Raises
    ------
    ValueError
        The file is damaged; the message names it and says what is wrong.
    """
    try:
        if path.stat().st_size > file.max_download_bytes:
            raise ValueError(f"{path}: {_too_large(file, path.stat().st_size)}")
        return _verified(file, contents(path), str(path), published=False)
    except ValueError as error:
        raise ValueError(f"{error}; delete the file to download it again") from None


def _verified(
    file: SourceFile, raw: bytes, name: str, *, published: bool
) -> np.ndarray[Any, np.dtype[Any]]:
    payload = idx.unpack(raw, name, max_bytes=file.payload_bytes)
    array = idx.parse(payload, name)
    if array.shape != file.shape or array.dtype != np.uint8:
        raise ValueError(
            f"{name}: expected a uint8 array of shape {file.shape}, "
            f"got {array.dtype} of shape {array.shape}"
        )
    of_payload = file.digest.of == "payload"
    if (of_payload or published) and not file.digest.matches(payload if of_payload else raw):
        raise ValueError(
            f"{name}: the {file.digest.algorithm} digest of its {file.digest.of} is not that of "
            f"the published file"
        )
    return array


def _too_large(file: SourceFile, size: int | None) -> str:
    found = "more" if size is None else f"{size}"
    return f"expected at most {file.max_download_bytes} bytes, got {found}"


def _source(name: str) -> Source:
    return SOURCES[one_of("data set", name, SOURCES)]


def data_folder(data_dir: str | os.PathLike[str] | None) -> Path:
    """Return where data sets lie: the folder given, else ``XPNET_DATA``, else the user's cache."""
    chosen = data_dir or os.environ.get("XPNET_DATA")
    if chosen:
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("xpnet"))


def _find(source: Source, root: Path) -> dict[str, Path]:
    found = {}
    for file in source.files:
        places = (
            root / folder / name
            for folder in (source.name, source.folder)
            for name in (file.name, file.name.removesuffix(".gz"))
        )
        path = next(filter(Path.is_file, places), None)
        if path is not None:
            found[file.name] = path
    return found


def _download(source: Source, root: Path, progress: bool | None) -> None:
    """Download the missing files, or raise a DownloadError."""
    import filelock

    folder = root / source.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock").acquire()
    except OSError as error:
        reason = f"{folder} cannot be written ({error.strerror})"
        raise DownloadError(_instructions(source, root, [reason])) from None
    with lock:
        found = _find(source, root)  # again: another process may have downloaded them meanwhile
        for file in source.files:
            if file.name not in found:
                _download_file(source, file, root, progress)


def _download_file(source: Source, file: SourceFile, root: Path, progress: bool | None) -> None:
    failures = []
    for mirror in source.mirrors:
        try:
            with replacing(root / source.name / file.name) as part:
                with part.open("wb") as stream:
                    _get(mirror + file.name, file, stream, progress)
                _verified(file, part.read_bytes(), file.name, published=True)
        except (OSError, ValueError) as error:
            failures.append(f"{mirror}{file.name}: {_reason(error)}")
        else:
            return
    raise DownloadError(_instructions(source, root, failures))


def _get(url: str, file: SourceFile, stream: IO[bytes], progress: bool | None) -> None:
    """Download a URL into a stream, no longer than the file may be."""
    import pooch
    from tqdm import tqdm

    # None leaves it to tqdm: shown where standard error is a terminal
    disable = None if progress is None else not progress
    with ExitStack() as stack:
        bar = stack.enter_context(
            tqdm(desc=file.name, unit="B", unit_scale=True, leave=False, disable=disable)
        )

        def opened(response: Any, **_: Any) -> None:
            stack.enter_context(closing(response))  # pooch leaves a broken one open
            length = int(response.headers.get("Content-Length", 0))
            if response.ok and length > file.max_download_bytes:
                raise ValueError(f"{file.name}: {_too_large(file, length)}")
            bar.total = length or None

        pooch.HTTPDownloader(
            chunk_size=2**16,
            timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            headers={"Accept-Encoding": "identity"},  # the gzip is the file, not its transport
            hooks={"response": opened},
        )(url, _CappedWriter(stream, file, bar), None)


class _CappedWriter:
    """A stream for pooch to write to, which refuses to grow beyond a file's size cap."""

    def __init__(self, stream: IO[bytes], file: SourceFile, bar: Any) -> None:
        self._stream, self._file, self._bar = stream, file, bar
        self._room = file.max_download_bytes

    def write(self, chunk: bytes) -> None:
        self._room -= len(chunk)
        if self._room < 0:
            raise ValueError(f"{self._file.name}: {_too_large(self._file, None)}")
        self._stream.write(chunk)
        self._bar.update(len(chunk))

    def flush(self) -> None:
        pass  # pooch flushes after every chunk


def _reason(error: BaseException) -> str:
    """Return in a few words why a download failed, from the depths of what requests raised."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code} {response.reason}"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TimeoutError):
            return "timed out"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error)


def _instructions(source: Source, root: Path, failures: Sequence[str]) -> str:
    found = _find(source, root)
    missing = [file.name for file in source.files if file.name not in found]
    return "\n  ".join(
        [
            f"{source.name}: could not download {', '.join(missing)}:",
            *failures,
            f"Put these files into {root / source.name}, or name a folder that holds them as "
            f"{source.name}/ or {source.folder}/ with --data-dir or the environment variable "
            f"XPNET_DATA.",
        ]
    )
