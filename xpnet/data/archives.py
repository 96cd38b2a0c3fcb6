"""Zip archives, unpacked within bounds: NumPy's and Excel's files are such."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

from xpnet.files import most_unpacked

__all__ = ["MAX_MEMBERS", "Archive"]

MAX_MEMBERS = 2**12
"""The most members that an archive may have: each takes some 500 bytes, however short it is."""

_ENTRY = b"PK\1\2"
_CHUNK = 2**16
_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others are unpacked without a bound


class Archive:
    """The members of a zip archive, which together hold no more than its size allows.

    Parameters
    ----------
    raw : bytes
        The whole file.

    Raises
    ------
    Exception
        Here and below, whatever zipfile raises for damaged bytes; and ValueError beyond a bound.
    """

    def __init__(self, raw: bytes) -> None:
        if raw.count(_ENTRY) > MAX_MEMBERS:
            raise ValueError(f"more than {MAX_MEMBERS} members")
        self._zip = zipfile.ZipFile(io.BytesIO(raw))
        self._room = most_unpacked(len(raw))

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
