"""Arrays and a description of them in one safetensors file, whole or not there at all.

Under the one metadata key ``"xpnet"`` lies JSON: the digest, then all else, sorted.  Nothing in it
is ever executed.  One key, because several come out in random order and the same arrays must give
the same bytes.  The digest is the SHA-256 of the file in which its own 64 characters are zeros.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as tensor_bytes

from xpnet.arrays import Array, HostArray, to_numpy
from xpnet.checks import came, plain
from xpnet.files import UnreadableError, check_values, contents, json_value, reading, replacing

__all__ = ["read_arrays", "write_arrays"]

KEY = "xpnet"
FORMAT = 2
"""What the description means.  1 had no digest; more keys in it make no other format."""

_NO_DIGEST = "0" * 64
_COMPLEX = {"complex64": "float32", "complex128": "float64"}
_PAIRS = "complex pairs: "


def _plain(value: Any) -> Any:
    """Return a number of an array library as Python's own, for JSON, which has no others."""
    result = plain(value)
    if result is value:
        raise TypeError(f"{came(value)} is no number, text, or list or dict of them")
    return result


def write_arrays(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Array],
    about: Mapping[str, Any],
    keep: int = 1,
) -> None:
    """Write arrays and a JSON-able description to one safetensors file, whole or not at all.

    Equal arrays and descriptions give equal bytes.  Complex numbers are stored as pairs of
    floats, which the format can hold.

    Parameters
    ----------
    path : path
    arrays : mapping of str to array
        Of any library.
    about : mapping
        The description; its keys ``"digest"`` and ``"format"`` are the format's own.
    keep : int
        How many versions stay: see :func:`xpnet.files.replacing`.

    Raises
    ------
    ValueError
        The description is none that JSON has, or holds more values than a reader takes.
    """
    host: dict[str, HostArray] = {}
    for name in sorted(arrays):
        # Contiguous, because the format's writer takes the memory of others as it lies.
        array = to_numpy(arrays[name])
        shape, pairs = array.shape, _COMPLEX.get(array.dtype.name)
        array = np.ascontiguousarray(array)  # a 0-d array becomes 1-d, which can be viewed as pairs
        if pairs:
            name, array, shape = _PAIRS + name, array.view(pairs), (*shape, 2)
        host[name] = array.reshape(shape)
    try:
        rest = json.dumps({**about, "format": FORMAT}, sort_keys=True, default=_plain)
        # first in the text and so in the file, where no text of others comes before it
        raw = tensor_bytes(host, metadata={KEY: f'{{"digest": "{_NO_DIGEST}", {rest[1:]}'})
        check_values(_header(raw))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: the description cannot be written ({error})") from None
    start = raw.index(_NO_DIGEST.encode())
    digest = hashlib.sha256(raw).hexdigest().encode()
    view = memoryview(raw)
    with replacing(path, keep) as part, part.open("wb") as file:
        for piece in (view[:start], digest, view[start + len(digest) :]):
            file.write(piece)


def read_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return what :func:`write_arrays` wrote: the arrays, on the host, and the description.

    Reading takes some three times the memory of the file, and for the description up to
    :data:`xpnet.files.MAX_VALUES` values.

    Raises
    ------
    ValueError
        The file is not a safetensors file, was not written by xpnet or by a later version, or has
        changed since; the sentence begins with the path.
    OSError
        It cannot be read.
    """
    raw = contents(path)
    about = _description(path, raw)
    with reading(path, "not a whole safetensors file"):
        tensors = read_tensors(raw)
    arrays: dict[str, Array] = {}
    with reading(path, "a safetensors file, but not one of xpnet"):
        for name, array in tensors.items():
            if name.startswith(_PAIRS):
                wide = {"float32": "complex64", "float64": "complex128"}[array.dtype.name]
                arrays[name.removeprefix(_PAIRS)] = array.view(wide).reshape(array.shape[:-1])
            else:
                arrays[name] = array
    return arrays, about


def _description(path: str | os.PathLike[str], raw: bytes) -> dict[str, Any]:
    """Return what a file says of its arrays, once its bytes are found to be those written."""
    with reading(path, "not a whole safetensors file"):
        header = json_value(_header(raw))
    with reading(path, "a safetensors file, but not one of xpnet"):
        about = json_value(header["__metadata__"][KEY])
        version, digest = about.pop("format"), about.pop("digest", None)
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise UnreadableError(
            f"{path}: expected a format of 1 to {FORMAT}, got {repr(version)[:50]}: update xpnet"
        )
    if digest is None and version > 1:
        raise UnreadableError(f"{path}: lacks the digest of its contents; take another copy")
    if digest is not None and digest != _digest(raw, digest):
        raise UnreadableError(
            f"{path}: not a whole safetensors file, or changed since: its digest is another; "
            f"take another copy"
        )
    return about  # type: ignore[no-any-return]


def _header(raw: bytes) -> str:
    """Return the JSON text with which a file begins, after its length."""
    length = int.from_bytes(raw[:8], "little")
    if not 0 < length <= len(raw) - 8:
        raise ValueError("its header is not there")
    return raw[8 : 8 + length].decode()


def _digest(raw: bytes, digest: Any) -> str | None:
    """Return the digest of a file in the place of whose digest there are zeros."""
    if type(digest) is not str or not re.fullmatch("[0-9a-f]{64}", digest):
        return None
    view, start = memoryview(raw), raw.index(digest.encode())
    found = hashlib.sha256(view[:start])
    found.update(_NO_DIGEST.encode())
    found.update(view[start + len(_NO_DIGEST) :])
    return found.hexdigest()
