"""Data sets of what is in memory or in a NumPy archive under names: frames, tables, dicts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xpnet.arrays import Array
from xpnet.checks import arguments, came, file_path, nearest
from xpnet.convert import as_array, as_words
from xpnet.data.archives import npz_arrays
from xpnet.data.datasets import Dataset
from xpnet.files import listed

__all__ = ["from_arrays", "from_frame"]


@arguments('write from_frame(frame, target="species")')
def from_frame(
    frame: Any,
    *,
    target: Any,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    name: str = "frame",
) -> Dataset:
    """Return the samples and targets of a frame or table, a row a sample, a column a number.

    Parameters
    ----------
    frame
        A frame of pandas or polars, a table of Arrow, or what has columns by name as these do.
    target
        The name of the column of the targets: numbers, or words that name classes.
    classes : int, optional
        The number of classes, where the targets are labels as numbers: see :class:`Dataset`.
    class_names : sequence of str, optional
        What the classes are called, in order.  By default the words of the target, sorted; of a
        second frame give those of the first, ``class_names=train.class_names``, or a class that it
        lacks would move the others.
    name : str
        What the data is called in messages and records.

    Returns
    -------
    Dataset
        ``x`` of shape (n, columns), in the one dtype that holds all columns.

    Raises
    ------
    TypeError
        This is no frame, or a column for the samples holds no numbers.
    ValueError
        There is no such column, or a value is missing.

    Notes
    -----
    Missing values, categories and scales are scikit-learn's to mend, as it mends test data by what
    it found in training data: see the examples.

    Examples
    --------
    >>> from sklearn.compose import make_column_selector, make_column_transformer
    >>> from sklearn.impute import SimpleImputer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import OneHotEncoder, StandardScaler
    >>> numbers = make_column_selector(dtype_include="number")
    >>> words = make_column_selector(dtype_exclude="number")
    >>> columns = make_column_transformer(
    ...     (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
    ...     (OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
    ... ).set_output(transform="pandas")
    >>> x = columns.fit_transform(frame.drop(columns="species"))
    >>> data = from_frame(x.assign(species=frame["species"]), target="species")
    """
    names = _column_names(frame)
    if not _is_one_of(target, names):
        raise ValueError(
            f"target: expected a column of the frame, {listed(map(repr, names))}, got "
            f"{came(target)}{nearest(target, filter(_is_text, names))}"
        )
    features = [column for column in names if column != target]
    if len(features) != len(names) - 1:
        raise ValueError(f"{name}: expected a single column {target!r}, got several")
    if not features:
        raise ValueError(f"{name}: no column is left for the samples beside {target!r}")
    x = np.stack([_numbers(name, frame, column) for column in features], axis=1)
    t = frame[target]
    words = as_words(f"{name}: column {target!r}", t)
    if words is not None and class_names is None:
        class_names = sorted(set(words))
    return Dataset(x, t if words is None else words, classes, name, class_names=class_names)


def _column_names(frame: Any) -> list[Any]:
    if hasattr(frame, "collect"):
        raise TypeError(
            f"frame: expected a frame in memory, got a {type(frame).__name__}: write x.collect()"
        )
    # a table of Arrow has columns, too, but they are arrays
    owner = "column_names" if hasattr(frame, "column_names") else "columns"
    names = getattr(frame, owner, None)
    if names is None or not hasattr(frame, "__getitem__"):
        raise TypeError(
            f"frame: expected a frame or table with columns by name, got {came(frame)}: of arrays "
            f"write Dataset(x, t)"
        )
    return list(names)


def _is_one_of(target: Any, names: list[Any]) -> bool:
    try:
        return target in set(names)
    except TypeError:  # a series, or a list of names
        return False


def _is_text(name: Any) -> bool:
    return isinstance(name, str)


def _numbers(name: str, frame: Any, column: Any) -> Array:
    where = f"{name}: column {column!r}"
    numbers = as_array(where, frame[column])
    if numbers.ndim != 1:
        raise ValueError(f"{where}: expected one number a sample, got shape {numbers.shape}")
    return numbers


@arguments('write from_arrays({"x": x, "t": t}), or from_arrays("data.npz", x="x_train")')
def from_arrays(
    arrays: Mapping[str, Any] | str | os.PathLike[str],
    *,
    x: str = "x",
    t: str = "t",
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
) -> Dataset:
    """Return the samples and targets that lie under two names in a dict or a ``.npz`` file.

    Parameters
    ----------
    arrays : mapping of str to array, or path
        A dict, what ``np.load`` returns, or the path of a NumPy archive.
    x, t : str
        The names of the samples and of the targets.
    classes, class_names, name
        As those of :class:`Dataset`; by default a file's name.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        A name is missing, or the file is damaged; the sentence then begins with its path.
    OSError
        The file is missing or cannot be read.

    Notes
    -----
    Nothing in a file is ever executed, and no more is unpacked of it than
    :func:`xpnet.files.most_unpacked` tells.
    """
    cure = ": say which, x=..., t=..."
    if isinstance(arrays, Mapping):
        missing = next((key for key in (x, t) if key not in arrays), None)
        if missing is not None:
            raise ValueError(
                f"arrays: expected an array {missing!r}, got only {listed(map(str, arrays))}{cure}"
            )
        samples, targets = arrays[x], arrays[t]
    elif isinstance(arrays, (str, os.PathLike)):
        samples, targets = npz_arrays(file_path(arrays, "arrays"), (x, t), cure)
        name = str(arrays) if name is None else name
    else:
        raise TypeError(f"arrays: expected a dict of arrays or a path, got {came(arrays)}")
    name = "data" if name is None else name
    return Dataset(samples, targets, classes, name, class_names=class_names)
