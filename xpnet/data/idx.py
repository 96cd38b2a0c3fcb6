"""The IDX format, in which MNIST and its relatives are published.

A file holds one array: two zero bytes, one byte for the dtype, one for the number of
dimensions, each dimension as a big-endian uint32, then the items, big-endian, in C order.
Files are usually packed with gzip; whether one is, its first bytes decide and not its name.
Y. LeCun, C. Cortes and C. J. C. Burges described the format where they published MNIST.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from xpnet.checks import file_path
from xpnet.files import MAX_UNPACKED, contents, most_unpacked, replacing

__all__ = ["GZIP", "LONGEST_HEADER", "MAX_BYTES", "header", "parse", "read", "unpack", "write"]

MAX_BYTES = MAX_UNPACKED
"""The most bytes that a file may hold, decompressed, unless a reader is told otherwise."""

_DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CODES = {dtype.newbyteorder("="): code for code, dtype in _DTYPES.items()}
GZIP = b"\x1f\x8b"
"""With which what gzip packed begins."""

_CHUNK = 2**14

LONGEST_HEADER = 4 + 4 * 255
"""The bytes of the header of an array of the most dimensions."""


def read(
    path: str | os.PathLike[str], *, max_bytes: int | None = None
) -> np.ndarray[Any, np.dtype[Any]]:
    """Read an IDX file, packed with gzip or not.

    Parameters
    ----------
    path : str or path
    max_bytes : int, optional
        The most bytes that the file may hold, decompressed; by default :data:`MAX_BYTES`, and for
        a packed file no more than :func:`xpnet.files.most_unpacked` of its size.

    Returns
    -------
    ndarray
        In native byte order, C-contiguous, owning its memory.

    Raises
    ------
    ValueError
        The file is damaged, too large or no IDX file; the message names it and says what is
        wrong.
    OSError
        The file cannot be read.
    """
    raw = contents(path, MAX_BYTES if max_bytes is None else max_bytes)
    if max_bytes is None:
        max_bytes = most_unpacked(len(raw)) if raw.startswith(GZIP) else MAX_BYTES
    return parse(unpack(raw, str(path), max_bytes=max_bytes), str(path))


def unpack(raw: bytes, name: str, *, max_bytes: int = MAX_BYTES) -> bytes | bytearray:
    """Return the decompressed bytes of a file: gunzipped where they are gzip, else as they are.

    Parameters
    ----------
    raw : bytes
        The file's bytes.
    name : str
        The name by which errors call the file.
    max_bytes : int
        Decompression stops as soon as it has made more bytes than this.

    Raises
    ------
    ValueError
        The gzip data is truncated or damaged, or the bytes are more than ``max_bytes``.
    """
    if not raw.startswith(GZIP):
        _check_size(len(raw), name, max_bytes)
        return raw
    payload = bytearray()
    start = 0
    while start < len(raw):  # a gzip file may be several members one after another
        member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        while start < len(raw) and not member.eof:
            chunk = raw[start : start + _CHUNK]
            try:
                payload += member.decompress(chunk, max_bytes + 1 - len(payload))
            except zlib.error as error:
                reason = str(error).rpartition(": ")[2]
                raise ValueError(f"{name}: the gzip data is damaged ({reason})") from None
            if len(payload) > max_bytes:
                raise ValueError(f"{name}: decompresses to more than the {max_bytes} bytes allowed")
            start += len(chunk) - len(member.unused_data)
        if not member.eof:
            raise ValueError(
                f"{name}: the gzip data is truncated: it breaks off after {len(payload)} "
                f"decompressed bytes"
            )
    return payload


def parse(payload: bytes | bytearray, name: str) -> np.ndarray[Any, np.dtype[Any]]:
    """Return the array that decompressed IDX bytes hold.

    Parameters
    ----------
    payload : bytes
    name : str
        The name by which errors call the file.

    Returns
    -------
    ndarray
        In native byte order, C-contiguous, owning its memory.

    Raises
    ------
    ValueError
        The bytes are not exactly one IDX array; the message names the file and says why.
    """
    dtype, shape = header(payload, name)
    start = 4 + 4 * len(shape)
    expected = start + math.prod(shape) * dtype.itemsize
    if len(payload) != expected:
        raise ValueError(
            f"{name}: expected {expected} bytes for a {dtype.name} array of shape {shape}, "
            f"got {len(payload)}"
        )
    flat = np.frombuffer(payload, dtype, offset=start)
    try:
        shaped = flat.reshape(shape)
    except ValueError:
        raise ValueError(f"{name}: NumPy cannot hold an array of shape {shape}") from None
    return shaped.astype(dtype.newbyteorder("="))


def header(payload: bytes | bytearray, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the dtype and the shape with which IDX bytes begin; raises as :func:`parse` does."""
    if not payload:
        raise ValueError(f"{name}: expected an IDX file, but it is empty")
    if payload[:64].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        raise ValueError(
            f"{name}: expected an IDX file, but it looks like an HTML page "
            f"(probably the error page of a download)"
        )
    if payload[:2] != b"\0\0":
        raise ValueError(
            f"{name}: expected an IDX file, which starts with the bytes 00 00, "
            f"got {payload[:2].hex(' ')}"
        )
    if len(payload) < 4:
        raise ValueError(
            f"{name}: the IDX header is truncated: expected at least 4 bytes, got {len(payload)}"
        )
    code, rank = payload[2:4]
    if code not in _DTYPES:
        known = ", ".join(f"{code:02x} ({dtype.name})" for code, dtype in _DTYPES.items())
        raise ValueError(f"{name}: expected an IDX dtype code of {known}, got {code:02x}")
    if len(payload) < 4 + 4 * rank:
        raise ValueError(
            f"{name}: the IDX header is truncated: expected {4 + 4 * rank} bytes for "
            f"{rank} dimensions, got {len(payload)}"
        )
    return _DTYPES[code], struct.unpack_from(f">{rank}I", payload, 4)


def _check_size(size: int, name: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise ValueError(f"{name}: holds {size} bytes, more than the {max_bytes} allowed")


def write(path: str | os.PathLike[str], array: ArrayLike) -> None:
    """Write an array as an IDX file, which appears whole or not at all.

    Parameters
    ----------
    path : str or path
        A name that ends in ``.gz`` is packed with gzip; equal arrays give equal bytes.
    array : array_like
        Of dtype uint8, int8, int16, int32, float32 or float64.

    Raises
    ------
    ValueError
        IDX has no such dtype.
    """
    path = file_path(path)
    array = np.asarray(array)
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(dtype.name for dtype in _DTYPES.values())
        raise ValueError(f"{path}: IDX holds arrays of {known}; got {array.dtype}")
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    payload = header + array.astype(_DTYPES[code]).tobytes()
    with replacing(path) as part, part.open("wb") as file:
        if path.suffix == ".gz":
            # no name and no time in the header, which would differ from run to run
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                packed.write(payload)
        else:
            file.write(payload)
