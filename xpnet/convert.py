"""What enters: numbers from anywhere as an array, or one sentence with the cure.

Lists, frames, series and tables are known by what they can do, never by their library.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import date, timedelta
from numbers import Number
from typing import Any, NoReturn

import numpy as np

from xpnet.arrays import Array, HostArray, dtype_name, library, namespace
from xpnet.checks import came

__all__ = ["WORDS_AS_LABELS", "WORDS_AS_SAMPLES", "as_array", "as_words", "is_array"]

WORDS_AS_SAMPLES = "give each word a column of its own, or write .astype(float) of numbers"
DATES = "take them from an origin, in a unit: (dates - dates.min()) / np.timedelta64(1, 'D')"
WORDS_AS_LABELS = "number them: names, t = np.unique(labels, return_inverse=True)"

_WIDER = {
    "bool": "uint8",
    "float16": "float32", "bfloat16": "float32", "float128": "float64", "float96": "float64",
    "longdouble": "float64", "complex256": "complex128", "complex192": "complex128",
    "clongdouble": "complex128", "complex32": "complex64",
}  # fmt: skip
"""The dtypes that layers do not compute with, and what holds their numbers (or nearly)."""


def as_array(name: str, value: Any, words: str = WORDS_AS_SAMPLES) -> Array:
    """Return numbers from anywhere as an array that layers, losses and devices take.

    Parameters
    ----------
    name : str
        What the numbers are, for messages.
    value
        An array of any library, nested lists or tuples, or what turns into an array by
        ``__array__`` or ``to_numpy``: a frame, a series, a table, an image.
    words : str
        The cure to name where words came instead of numbers.

    Returns
    -------
    array
        Of the library of ``value``, where that is an array, else NumPy's.  Truth values are uint8,
        0 and 1; numbers of another width than float32 and float64 are brought to one of these.

    Raises
    ------
    TypeError
        These are no numbers, or not in an order.
    ValueError
        A value is missing (NaN in a frame) or masked, or samples differ in shape.
    """
    if not is_array(value):
        value = _on_host(name, value, words)
    elif isinstance(value, np.ndarray | np.generic):
        value = _numbers(name, value, words)
    elif getattr(value, "is_sparse", False):
        raise TypeError(f"{name}: expected dense numbers, got a sparse array: write x.to_dense()")
    wider = _WIDER.get(dtype_name(value))
    if wider is None:
        return value
    xp = namespace(value)
    return xp.astype(value, getattr(xp, wider))


def as_words(name: str, value: Any) -> list[str] | None:
    """Return labels that are words, one a sample; None where these are no words.

    Parameters
    ----------
    name : str
        What the labels are, for messages.
    value
        What :func:`as_array` takes, with words in the place of numbers.

    Raises
    ------
    TypeError, ValueError
        A word is missing or masked, or these are neither words nor numbers in an order.
    """
    if is_array(value) and not isinstance(value, np.ndarray):
        return None
    _check_unmasked(name, value)
    if isinstance(value, (list, tuple)):  # which an array would make words of all
        words = list(value)
    else:
        host = value if isinstance(value, np.ndarray) else _as_given(name, value, WORDS_AS_LABELS)
        if host.dtype.kind not in "OUT":
            return None
        words = (host[:, 0] if host.ndim == 2 and host.shape[1] == 1 else host).tolist()
    if not any(isinstance(word, str) for word in words):
        return None
    for k, word in enumerate(words):
        if not isinstance(word, str):
            raise ValueError(
                f"{name}: expected a word for each sample, got {came(word)} at {_place((k,))}: "
                f"fill it, or drop its sample"
            )
    return words


def is_array(value: Any) -> bool:
    """Return whether a value is an array of a library that xpnet computes with."""
    try:
        library(value)
    except TypeError:
        return False
    return True


def _as_given(name: str, value: Any, words: str) -> HostArray:
    """Return what something that is no array of any library turns into, whatever it holds."""
    if value is None or isinstance(value, (str, bytes)):
        cure = f": {words}" if value is not None else ""
        raise TypeError(f"{name}: expected numbers, got {came(value)}{cure}")
    if isinstance(value, Mapping):
        raise TypeError(
            f"{name}: expected numbers in an order, got a {type(value).__name__}: write d[name] of "
            f"one array in it, or np.column_stack(list(d.values())) of columns"
        )
    if isinstance(value, Set) or hasattr(value, "__next__"):
        cure = "sorted" if isinstance(value, Set) else "list"
        raise TypeError(
            f"{name}: expected numbers in an order, got a {type(value).__name__}: "
            f"write {cure}(...) around it"
        )
    if hasattr(value, "toarray"):
        raise TypeError(
            f"{name}: expected dense numbers, got a {type(value).__name__}: write x.toarray()"
        )
    return _as_host_array(name, value)


def _on_host(name: str, value: Any, words: str) -> HostArray:
    host = _numbers(name, _as_given(name, value, words), words, value)
    if not isinstance(value, (list, tuple)) and host.dtype.kind in "fc":
        missing = np.isnan(host)  # what a frame has for whole numbers that are not there
        if missing.any():
            _refuse_entry(name, host, int(missing.argmax()), words, value)
    return host


def _as_host_array(name: str, value: Any) -> HostArray:
    listed = isinstance(value, (list, tuple, range))
    if listed:
        for one in value:
            _check_unmasked(name, one)
    try:
        if listed or hasattr(value, "__array__") or _has_buffer(value):
            return np.asarray(value)
        if hasattr(value, "to_numpy"):
            return np.asarray(value.to_numpy())
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
    except Exception as error:  # whatever a foreign library raises
        why = str(error).partition("\n")[0].rstrip(".")
        if listed and "inhomogeneous" in why:
            why = "its rows differ in length: bring them to one shape"
        raise ValueError(f"{name}: {type(value).__name__} is no array of numbers: {why}") from None
    cure = ": its samples are its x" if hasattr(value, "x") and hasattr(value, "t") else ""
    if hasattr(value, "collect"):
        cure = ": write x.collect()"
    raise TypeError(
        f"{name}: expected an array, nested lists, or what has to_numpy(), got {came(value)}{cure}"
    )


def _has_buffer(value: Any) -> bool:
    try:
        memoryview(value).release()
    except TypeError:
        return hasattr(value, "__array_interface__")
    return True


def _numbers(name: str, value: Any, words: str, frame: Any = None) -> HostArray:
    """Return a NumPy array that holds numbers, as an array of NumPy's plain kind."""
    _check_unmasked(name, value)
    host = np.asarray(value)
    if host.dtype.kind == "O":
        host = _unboxed(name, host, words, frame)
    if host.size and (host.dtype.kind in "US" or host.dtype.char == "T"):
        _refuse_entry(name, host, 0, words, frame)
    if host.dtype.kind in "mM":
        raise TypeError(f"{name}: expected numbers, got {host.dtype}: {DATES}")
    if host.dtype.kind not in "biufc":
        raise TypeError(
            f"{name}: expected numbers, got an array of records ({host.dtype}): write "
            f"np.lib.recfunctions.structured_to_unstructured(x)"
        )
    return host if host.dtype.isnative else host.astype(host.dtype.newbyteorder("="))


def _check_unmasked(name: str, value: Any) -> None:
    # np.ma is imported when it is first named, which a fork must not find under way
    special = isinstance(value, np.ndarray) and type(value) is not np.ndarray
    if special and np.ma.is_masked(value):
        first = tuple(int(i) for i in np.argwhere(np.ma.getmaskarray(value))[0])
        raise ValueError(
            f"{name}: expected numbers everywhere, got a masked array that hides the one at "
            f"{_place(first)}: fill it, x.filled(0), or drop its sample"
        )


def _unboxed(name: str, host: HostArray, words: str, frame: Any) -> HostArray:
    """Return what an array of Python's objects holds, if that is numbers."""
    for k, one in enumerate(host.flat):
        if not isinstance(one, Number) or _is_nan(one):
            _refuse_entry(name, host, k, words, frame)
    plain = np.array(host.tolist())
    try:  # fractions, decimals and whole numbers without end stay objects
        return plain if plain.dtype.kind != "O" else plain.astype(np.float64)
    except (TypeError, OverflowError):
        raise TypeError(f"{name}: expected numbers that a float64 holds, got others") from None


def _is_nan(one: Any) -> bool:
    return isinstance(one, (float, np.inexact)) and bool(one != one)


def _refuse_entry(name: str, host: HostArray, k: int, words: str, frame: Any) -> NoReturn:
    """Say which entry is no number: the one at a place of the flattened array."""
    index = tuple(int(i) for i in np.unravel_index(k, host.shape))
    one, where = host[index], f"at {_place(index)}"
    columns = next((n for n in ("column_names", "columns") if hasattr(frame, n)), None)
    if columns is not None and len(index) == 2:
        where += f" (column {list(getattr(frame, columns))[index[1]]!r})"
    if isinstance(one, (str, bytes)):
        raise TypeError(f"{name}: expected numbers, got {str(one)!r} {where}: {words}")
    if one is None or _is_nan(one) or type(one).__name__ in ("NAType", "NaTType"):
        raise ValueError(
            f"{name}: expected numbers everywhere, but the one {where} is missing: fill it, as by "
            f"frame.fillna(0), or drop its sample"
        )
    if hasattr(one, "__len__"):
        raise ValueError(
            f"{name}: expected samples of one shape, got a {type(one).__name__} of {len(one)} "
            f"{where}: np.stack(...) joins arrays of one shape"
        )
    cure = f": {DATES}" if isinstance(one, (date, timedelta)) else ""
    raise TypeError(f"{name}: expected numbers, got {came(one)} {where}{cure}")


def _place(index: tuple[int, ...]) -> str:
    return f"index {index[0]}" if len(index) == 1 else str(list(index))
