"""Where machine code is kept for the next process, as Numba's own cache does with more trust.

Here a folder that cannot be written is a warning and no error, a damaged file is compiled anew,
and processes that compile at the same time do not mix up their code.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from numba import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

__all__ = ["MachineCode"]

# Numba notices when the file of a function changes, but not when one does that it calls
SOURCES = hashlib.blake2b(
    b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))),
    digest_size=8,
).hexdigest()


def find_folder() -> Path:
    """Return the first folder that can be written, else the first that is there to be read."""
    if config.CACHE_DIR:
        places = [Path(config.CACHE_DIR)]
    else:
        user = AppDirs(appname="numba", appauthor=False).user_cache_dir
        places = [Path(__file__).parent / "__pycache__", Path(user)]
    folders = [place / f"xpnet-{SOURCES}" for place in places]
    there = [folder for folder in folders if os.path.isdir(folder)]  # noqa: PTH112 - never raises
    return next(filter(_can_be_written, folders), (there or folders)[0])


def _can_be_written(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


FOLDER = find_folder()


class _Folder(_CacheLocator):
    """The folder of all functions here."""

    def __init__(self, line: int) -> None:
        self._line = line

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _Folder:
        return cls(py_func.__code__.co_firstlineno)

    def get_cache_path(self) -> str:
        return str(FOLDER)

    def get_source_stamp(self) -> str:
        return SOURCES

    def get_disambiguator(self) -> str:
        return str(self._line)


class _Checked(CompileResultCacheImpl):
    """Machine code with a digest: damaged code would end the process, or compute wrongly."""

    _locator_classes = (_Folder,)

    def reduce(self, cres: Any) -> tuple[bytes, bytes]:
        code = dumps(super().reduce(cres))
        return hashlib.blake2b(code).digest(), code

    def rebuild(self, target_context: Any, payload: tuple[bytes, bytes]) -> Any:
        digest, code = payload
        if hashlib.blake2b(code).digest() != digest:
            raise ValueError("damaged")
        return super().rebuild(target_context, pickle.loads(code))


class MachineCode(FunctionCache):
    """The machine code of one function, by the types of its arguments."""

    _impl_class = _Checked
    can_be_kept = True  # of the class, for all functions: until one could not be

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what was kept; None where that is nothing, or damaged."""
        try:
            return super().load_overload(sig, target_context)
        except OSError:
            return None
        except Exception:  # whatever reading a damaged pickle comes to
            if MachineCode.can_be_kept:
                with _kept_if_possible():
                    self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled, or warn once that nothing can be kept."""
        if MachineCode.can_be_kept:
            # Of two processes that save at once one may lose its entry, but not to the other's code
            self._cache_file._data_name_pattern = f"{self._impl.filename_base}.{uuid4().hex}.nbc"
            with _kept_if_possible():
                super().save_overload(sig, data)


@contextlib.contextmanager
def _kept_if_possible() -> Iterator[None]:
    """Warn where nothing can be written, and write nothing more."""
    try:
        yield
    except OSError as error:
        MachineCode.can_be_kept = False
        warnings.warn(
            f"compiled loops cannot be kept in {FOLDER} ({error}): each process compiles them "
            f"anew, for seconds; set NUMBA_CACHE_DIR to a folder that can be written, or "
            f"XPNET_NUMBA=0 to do without them",
            RuntimeWarning,
            stacklevel=2,
        )
