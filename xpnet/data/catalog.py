"""What data sets exist and where they come from.

:func:`fetch` finds a data set's files on this machine or downloads them; :func:`read` reads and
verifies them.  Nothing enters the data folder before it is verified, and a file that already lies
there is verified each time it is read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits
from typing import IO, Any, Literal

from xpnet.checks import one_of
from xpnet.data.layouts import (
    ArchiveFile,
    CifarArchive,
    Digest,
    EmnistArchive,
    IdxFile,
    IdxFiles,
    Layout,
    Part,
    SourceFile,
)
from xpnet.files import replacing

__all__ = ["SOURCES", "DownloadError", "Source", "data_folder", "fetch", "found_files", "read"]

_CONNECT_SECONDS, _READ_SECONDS = 10, 30


class DownloadError(OSError):
    """Files that no mirror gave: the message says which, why, and where to put them by hand."""


@dataclass(frozen=True)
class Source:
    """A data set of images: what it holds, and where its files are found.

    Attributes
    ----------
    name : str
    layout : Layout
        Which files there are, and how they are read.
    mirrors : tuple of str
        URLs that a file's name is appended to, in the order in which they are tried.
    folders : tuple of str
        Where, inside the data folder, the files may lie: downloads go into the first, torchvision
        keeps the same files in the second.
    classes : int
    class_names : tuple of str, optional
        Where they say more than the number.
    shape : (int, int, int)
        Channels, height and width of an image.
    """

    name: str
    layout: Layout
    mirrors: tuple[str, ...]
    folders: tuple[str, ...]
    classes: int = 10
    class_names: tuple[str, ...] | None = None
    shape: tuple[int, ...] = (1, 28, 28)

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """The files, as published."""
        return self.layout.files


def _like_mnist(
    algorithm: str, of: Literal["payload", "gzip"], hexdigests: Sequence[str]
) -> IdxFiles:
    """Return the four files that MNIST and the sets made after it consist of."""
    shapes = {
        "train-images-idx3-ubyte.gz": (60_000, 28, 28),
        "train-labels-idx1-ubyte.gz": (60_000,),
        "t10k-images-idx3-ubyte.gz": (10_000, 28, 28),
        "t10k-labels-idx1-ubyte.gz": (10_000,),
    }
    return IdxFiles(
        tuple(
            IdxFile(name, shape, Digest(algorithm, of, hexdigest))
            for (name, shape), hexdigest in zip(shapes.items(), hexdigests, strict=True)
        )
    )


_EMNIST = ArchiveFile(
    "gzip.zip", 600_000_000, Digest("md5", "archive", "58c8d27c78d21e728a6bc7b3cc06412e")
)


def _emnist(split: str, names: str | None, first_label: int = 0) -> Source:
    """Return a way to split EMNIST, whose classes are called by one letter each."""
    return Source(
        f"emnist-{split}",
        EmnistArchive(_EMNIST, split, first_label),
        mirrors=("https://biometrics.nist.gov/cs_links/EMNIST/",),
        folders=("emnist", "EMNIST/raw"),
        classes=len(names or digits),
        class_names=None if names is None else tuple(names),
    )


# The digest is of the payload where one is known, for honest mirrors differ in their gzip.
SOURCES = {
    source.name: source
    for source in (
        Source(
            "mnist",
            _like_mnist(
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
            folders=("mnist", "MNIST/raw"),
        ),
        Source(
            "fashion-mnist",
            _like_mnist(
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
            folders=("fashion-mnist", "FashionMNIST/raw"),
            class_names=(
                "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker",
                "Bag", "Ankle boot",
            ),
        ),
        Source(
            "kmnist",
            _like_mnist(
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
            folders=("kmnist", "KMNIST/raw"),
            class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        ),
        _emnist("byclass", digits + ascii_uppercase + ascii_lowercase),
        _emnist("bymerge", digits + ascii_uppercase + "abdefghnqrt"),
        _emnist("balanced", digits + ascii_uppercase + "abdefghnqrt"),
        _emnist("letters", ascii_uppercase, first_label=1),
        _emnist("digits", None),
        _emnist("mnist", None),
        Source(
            "cifar-10",
            CifarArchive(
                ArchiveFile(
                    "cifar-10-binary.tar.gz",
                    170_052_171,
                    Digest(
                        "sha256",
                        "archive",
                        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                    ),
                )
            ),
            mirrors=("https://www.cs.toronto.edu/~kriz/",),
            folders=("cifar-10",),
            class_names=(
                "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
                "truck",
            ),
            shape=(3, 32, 32),
        ),
    )
}  # fmt: skip
"""The data sets that can be downloaded, by name."""


def fetch(
    name: str | Source,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    progress: bool | None = None,
) -> dict[str, Path]:
    """Find a data set's files on this machine, or download them.

    A file is taken as it lies, with or without ``.gz``, from the first of ``Source.folders`` or
    from torchvision's folder, such as ``<data_dir>/MNIST/raw``.  What is missing is downloaded into
    the first folder, from the first mirror whose file proves right.

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
    found = found_files(source, root)
    if len(found) < len(source.files):
        _download(source, root, progress)
        found = found_files(source, root)
    return found


def read(source: Source, paths: Mapping[str, Path]) -> tuple[Part, Part]:
    """Read the files that :func:`fetch` found, and verify them.

    Returns
    -------
    train, test : (x, t)
        ``x`` uint8 of shape (n, *source.shape); ``t`` int64 of shape (n,).

    Raises
    ------
    ValueError
        A file is damaged; the message names it and says what is wrong.
    """
    train, test = source.layout.read(paths)
    for x, _ in (train, test):
        if x.shape[1:] != source.shape:
            raise ValueError(
                f"{source.name}: expected images of shape {source.shape}, got {x.shape[1:]}"
            )
    return train, test


def _source(name: str) -> Source:
    return SOURCES[one_of("data set", name, SOURCES)]


def data_folder(data_dir: str | os.PathLike[str] | None) -> Path:
    """Return where data sets lie: the folder given, else ``XPNET_DATA``, else the user's cache."""
    chosen = data_dir or os.environ.get("XPNET_DATA")
    if chosen:
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("xpnet"))


def found_files(source: Source, root: Path) -> dict[str, Path]:
    """Return the paths of those files of a data set that lie in a folder, by their names."""
    found = {}
    for file in source.files:
        places = (root / folder / name for folder in source.folders for name in file.names)
        path = next(filter(Path.is_file, places), None)
        if path is not None:
            found[file.name] = path
    return found


def _download(source: Source, root: Path, progress: bool | None) -> None:
    """Download the missing files, or raise a DownloadError."""
    import filelock

    folder = root / source.folders[0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock").acquire()
    except OSError as error:
        reason = f"{folder} cannot be written ({error.strerror})"
        raise DownloadError(_instructions(source, root, [reason])) from None
    with lock:
        found = found_files(source, root)  # another process may have downloaded them
        for file in source.files:
            if file.name not in found:
                _download_file(source, file, root, progress)


def _download_file(source: Source, file: SourceFile, root: Path, progress: bool | None) -> None:
    failures = []
    for mirror in source.mirrors:
        try:
            with replacing(root / source.folders[0] / file.name) as part:
                with part.open("wb") as stream:
                    _get(mirror + file.name, file, stream, progress)
                file.verify(part, file.name)
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
                raise ValueError(f"{file.name}: {file.too_large(length)}")
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
            raise ValueError(f"{self._file.name}: {self._file.too_large(None)}")
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
    found = found_files(source, root)
    missing = [file.name for file in source.files if file.name not in found]
    known = " or ".join(f"{folder}/" for folder in source.folders)
    return "\n  ".join(
        [
            f"{source.name}: could not download {', '.join(missing)}:",
            *failures,
            f"Put these files into {root / source.folders[0]}, or name a folder that holds them as "
            f"{known} with --data-dir or the environment variable XPNET_DATA.",
        ]
    )
