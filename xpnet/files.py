"""Files that are whole or not there at all, and readers that trust no byte of them."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xpnet.checks import file_path, whole_number

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "MAX_UNPACKED",
    "MAX_VALUES",
    "UnreadableError",
    "check_values",
    "check_writable",
    "contents",
    "json_value",
    "listed",
    "most_unpacked",
    "reading",
    "regular",
    "replacing",
    "versions",
]

MAX_VALUES = 2**20
"""The most values that JSON text may hold: in memory a value takes up to some 200 bytes."""

MAX_UNPACKED = 2**30
"""The most bytes that a packed file may hold, however large it is: see :func:`most_unpacked`."""

_DOORS = ("/dev/fd/", "/dev/std", "/proc/")


# Writing


@contextmanager
def replacing(path: str | os.PathLike[str], keep: int = 1) -> Iterator[Path]:
    """Give a temporary file beside ``path``; what is written there appears as ``path``.

    It appears by a rename when the block ends, once it is on the disk, or is removed when the block
    raises.  Folders on the way are made, links are followed, and the mode of an earlier file is
    kept.  While the block runs the temporary file is locked: one that nobody locks was left by a
    writer that died, and the next one of the same path removes it.  A pipe or a character device,
    such as ``/dev/stdout``, is written into when the block ends.

    Parameters
    ----------
    path : path
    keep : int
        How many versions stay, this one among them: the one before is ``stem.1.suffix``, that
        before it ``stem.2.suffix``.  ``path`` itself is there at every instant.

    Raises
    ------
    OSError
        Of the system, in the block too: where it was about the temporary file it names ``path``.
    """
    path, keep = file_path(path), whole_number("keep", keep, 1)
    with _naming(path):
        if _is_stream(path):
            with _poured_into(path) as part:
                yield part
            return
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        mode = _mode(target)
        with _locked_part(target, mode) as part:
            yield part
            _to_disk(part, mode)
            if keep > 1 and mode is not None:
                _keep_version(target, part.with_suffix(".old"), keep)
            part.replace(target)
            _folder_to_disk(target.parent)


class _NothingWrittenError(Exception):
    """Ends the try of :func:`check_writable`."""


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise the OSError that :func:`replacing` would raise, and leave all as it is."""
    with suppress(_NothingWrittenError), replacing(path):
        raise _NothingWrittenError


def versions(path: str | os.PathLike[str]) -> list[Path]:
    """Return those files that are there of what :func:`replacing` kept, the newest first."""
    target = Path(os.path.realpath(path))
    earlier = re.compile(rf"{re.escape(target.stem)}\.([1-9]\d*){re.escape(target.suffix)}")
    found = [earlier.fullmatch(name) for name in _names(target.parent)]
    numbers = sorted(int(one[1]) for one in found if one)
    return [target] * target.exists() + [_version(target, number) for number in numbers]


def _version(target: Path, number: int) -> Path:
    return target.with_name(f"{target.stem}.{number}{target.suffix}")


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:  # not there, or may not be read
        return []


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let errors of the system name the path that the user gave, in place of a temporary one."""
    try:
        yield
    except OSError as error:
        temporary = error.filename is None or str(error.filename).endswith((".part", ".old"))
        if error.errno is not None and temporary:
            error.filename = str(path)
            if error.filename2 is not None:
                del error.filename2
        raise


def _is_stream(path: Path) -> bool:
    """Whether a path leads to what is written into; raise where it is nothing to write to."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{path}: expected the name of a file, got a folder")
    if stat.S_ISREG(mode):
        return str(path).startswith(_DOORS)  # standard output may be a file that others write to
    if not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        raise OSError(f"{path}: expected the name of a file, got a disk or a socket")
    return True


@contextmanager
def _poured_into(path: Path) -> Iterator[Path]:
    """Give a temporary file whose bytes go into a stream when the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, f"{path.name}.part")
        part.touch()
        yield part
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags)  # a pipe that nobody reads would be waited for for ever
        with part.open("rb") as source, open(descriptor, "wb") as stream:  # noqa: PTH123
            os.set_blocking(descriptor, True)
            shutil.copyfileobj(source, stream)


def _mode(target: Path) -> int | None:
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return None


@contextmanager
def _locked_part(target: Path, mode: int | None) -> Iterator[Path]:
    """Make a file beside the target, that nobody takes for a leftover while the block runs."""
    while True:
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        # as closed as the file it replaces, from the start; only the umask closes a new one
        access = 0o666 if mode is None else mode | 0o600
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, access)
        if _locked(descriptor, part):
            break
        os.close(descriptor)
    try:
        if fcntl is None:
            os.close(descriptor)  # Windows renames no open file
        yield part
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)  # still locked
        if fcntl is not None:
            os.close(descriptor)


def _locked(descriptor: int, part: Path) -> bool:
    """Lock a file; return False if another writer took it for a leftover before that."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), part.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError:
        return True  # a file system without locks, where nobody removes leftovers either


def _remove_leftovers(target: Path) -> None:
    """Remove what dead writers of a target left, as far as that may be."""
    left = re.compile(rf"(\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.)(part|old)")
    for stem in {found[1] for found in map(left.fullmatch, _names(target.parent)) if found}:
        part, spare = target.with_name(f"{stem}part"), target.with_name(f"{stem}old")
        with suppress(OSError):
            if part.exists():
                _unlink_unlocked(part)
            spare.unlink(missing_ok=True)


def _unlink_unlocked(part: Path) -> None:
    if fcntl is None:
        raise OSError("nothing says whether its writer lives")
    with part.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()


def _keep_version(target: Path, spare: Path, keep: int) -> None:
    """Give the target another name, the first of its versions, as no step of this takes one away.

    A run that was stopped in between may have done it already, or have left a gap.
    """
    first = _version(target, 1)
    with suppress(FileNotFoundError):
        if first.samefile(target):
            return
    gap = next((i for i in range(1, keep - 1) if not _version(target, i).exists()), keep - 1)
    for number in reversed(range(1, gap)):
        with suppress(FileNotFoundError):  # another writer moved it
            _version(target, number).replace(_version(target, number + 1))
    try:
        try:
            spare.hardlink_to(target)
        except (OSError, NotImplementedError):  # not every file system has links
            shutil.copy2(target, spare)
            _to_disk(spare, None)
        spare.replace(first)
    finally:
        spare.unlink(missing_ok=True)


def _to_disk(part: Path, mode: int | None) -> None:
    """Give a file its mode and let its bytes reach the disk."""
    with part.open("r+b") as file:
        if mode is not None:
            part.chmod(mode)
        os.fsync(file.fileno())


def _folder_to_disk(folder: Path) -> None:
    """Let a rename reach the disk, where the platform can and the folder may be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Reading


class UnreadableError(ValueError):
    """A file that is not what it should be: one sentence that begins with its path."""


@contextmanager
def reading(path: str | os.PathLike[str], otherwise: str) -> Iterator[None]:
    """Let whatever a damaged file makes a parser raise come out as one sentence.

    Parameters
    ----------
    path : path
    otherwise : str
        What is said of the file, before the parser's own words.

    Raises
    ------
    UnreadableError
        For every error but those of the system, which name the path.
    """
    try:
        yield
    except UnreadableError:
        raise
    except Exception as error:  # the bytes may have been made for harm
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = error.filename or str(path)
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableError(f"{path}: {otherwise} ({reason})") from error


def regular(path: Path) -> os.stat_result:
    """Return what the system says of a regular file; others may have no end.

    Raises
    ------
    ValueError
        The path leads to a device or a pipe.
    OSError
        It leads nowhere or to a folder.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError(
            f"{path}: expected a regular file, got a device or a pipe: copy it to a file"
        )
    return status


def contents(path: str | os.PathLike[str], most: int | None = None) -> bytes:
    """Return the bytes of a regular file.

    Raises
    ------
    ValueError
        There are more bytes than ``most``, or the path leads to a device or a pipe.
    OSError
        It leads nowhere or to a folder, or the file cannot be read.
    """
    path = file_path(path)
    size = regular(path).st_size
    if most is not None and size > most:
        raise UnreadableError(f"{path}: holds {size} bytes, more than the {most} allowed")
    with path.open("rb") as file:
        return file.read(size)


def listed(names: Iterable[str]) -> str:
    """Return names out of a file in one line that is not too long."""
    return " ".join(", ".join(names).split())[:200] or "none"


def most_unpacked(size: int) -> int:
    """Return the bytes that a packed file of a size may hold: 64 times its own, or 64 MiB.

    At most :data:`MAX_UNPACKED`.  Images and tables are packed to a fifth, or a thirtieth where
    they are nearly empty.
    """
    return min(MAX_UNPACKED, max(2**26, 64 * size))


def json_value(text: str) -> Any:
    """Return what JSON text says.

    Raises
    ------
    ValueError
        It is no JSON, holds more than :data:`MAX_VALUES` values or is nested too deeply.
    """
    check_values(text)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check_values(text: str) -> None:
    """Raise unless JSON text is sure to hold no more than :data:`MAX_VALUES` values."""
    if text.count(",") + text.count("[") + text.count("{") > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")
