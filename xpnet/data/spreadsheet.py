"""Images in spreadsheets: a row for each image, in two sheets without headers.

Sheet ``X`` holds the 400 pixels of each 20x20 image, column of pixels by column; sheet ``y`` holds
its label, 1 to 10, where 10 stands for the digit zero.  Files may be Excel workbooks, CSV or NumPy
archives.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np

from xpnet.arrays import HostArray, to_numpy
from xpnet.checks import file_path
from xpnet.data.archives import npz_arrays
from xpnet.data.datasets import Dataset
from xpnet.data.workbook import read_sheets
from xpnet.files import contents, reading, replacing

__all__ = ["load_spreadsheet", "save_spreadsheet"]

SIDE = 20
PIXELS = SIDE * SIDE
FORMATS = ".xlsx, .csv or .npz"


def load_spreadsheet(
    path: str | os.PathLike[str], labels: str | os.PathLike[str] | None = None
) -> Dataset:
    """Read 20x20 images of digits from an Excel workbook, a CSV file or a NumPy archive.

    Parameters
    ----------
    path : path
        An ``.xlsx`` with the sheets X and y; an ``.npz`` with the arrays X and y; or a ``.csv``,
        whose rows are the 400 pixels and then the label.
    labels : path, optional
        Another ``.csv``, of the labels: then the first one holds the pixels alone.

    Returns
    -------
    Dataset
        ``x`` of shape (n, 1, 20, 20), upright: uint8 where every pixel is a whole number of 0 to
        255, else float32; ``t`` int64 of shape (n,), 0 to 9.

    Raises
    ------
    ValueError
        The file is damaged, a sheet is missing, has another shape or holds something that is no
        number, or a label is out of range; the sentence begins with the path.
    OSError
        The file is missing or cannot be read.

    Notes
    -----
    Reading takes a few times the size of the file, unpacked: of which an ``.xlsx`` or ``.npz`` may
    have no more than :func:`xpnet.files.most_unpacked` tells.
    """
    path = file_path(path)
    suffix = _format(path)
    if labels is not None and suffix != ".csv":
        raise ValueError(f"{path}: labels of their own go with a .csv only; this file holds both")
    if suffix == ".xlsx":
        X, y = read_sheets(path, ["X", "y"])
    elif suffix == ".npz":
        X, y = npz_arrays(path, ("X", "y"))
    elif labels is not None:
        X, y = _read_csv(path), _read_csv(file_path(labels, "labels"))
    else:
        table = _read_csv(path)
        if table.ndim != 2 or table.shape[1] != PIXELS + 1:
            raise ValueError(
                f"{path}: expected rows of {PIXELS} pixels and a label, got {_shape(table)}; "
                f"labels in a file of their own are given as labels=..."
            )
        X, y = table[:, :PIXELS], table[:, PIXELS:]
    return Dataset(_images(X, path), _digits(y, len(X), path), classes=10, name=path.stem)


def save_spreadsheet(data: Dataset, path: str | os.PathLike[str]) -> None:
    """Write images of digits in the shape that :func:`load_spreadsheet` reads.

    Larger images are cropped to their middle 20x20: MNIST's digits lie within it.

    Parameters
    ----------
    data : Dataset
        ``x`` of shape (n, 1, h, w), h and w at least 20; ``t`` labels of 0 to 9.
    path : path
        Its suffix decides the format: .xlsx, .csv or .npz.

    Raises
    ------
    ValueError
        The data has another shape or other labels, or the suffix is none of these.
    ImportError
        An ``.xlsx`` is to be written and openpyxl is not installed.
    """
    path = file_path(path)
    suffix = _format(path)
    x, t = to_numpy(data.x), to_numpy(data.t)
    if x.ndim != 4 or x.shape[1] != 1 or min(x.shape[2:]) < SIDE:
        raise ValueError(
            f"{data.name}: expected images of shape (n, 1, h, w), h and w at least {SIDE}, "
            f"got {x.shape}"
        )
    if t.ndim != 1 or t.dtype.kind not in "iu" or t.min() < 0 or t.max() > 9:
        raise ValueError(f"{data.name}: expected labels of 0 to 9")
    top, left = (x.shape[2] - SIDE) // 2, (x.shape[3] - SIDE) // 2
    middle = x[:, 0, top : top + SIDE, left : left + SIDE]
    X = middle.transpose(0, 2, 1).reshape(len(x), PIXELS)
    y = np.where(t == 0, 10, t)[:, None]
    with replacing(path) as part:
        if suffix == ".xlsx":
            _write_workbook(part, X, y)
        elif suffix == ".npz":
            with part.open("wb") as file:
                np.savez_compressed(file, X=X, y=y)
        else:
            np.savetxt(part, np.hstack([X, y]), fmt="%.9g", delimiter=",")


def _format(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".xlsx", ".csv", ".npz"):
        raise ValueError(f"{path}: expected a file that ends in {FORMATS}")
    return suffix


def _read_csv(path: Path) -> HostArray:
    raw = contents(path)
    with reading(path, "expected rows of numbers between commas"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an empty file, whose shape says enough
        lines = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig")
        return np.loadtxt(lines, delimiter=",", ndmin=2)


def _images(X: HostArray, path: Path) -> HostArray:
    if X.ndim != 2 or X.shape[1] != PIXELS or len(X) == 0:
        raise ValueError(
            f"{path}: expected X of {PIXELS} pixels a row ({SIDE}x{SIDE}), got {_shape(X)}"
        )
    _refuse_text(X, "X", path)
    if not np.isfinite(X).all():
        row = int(np.isfinite(X).all(axis=1).argmin())
        raise ValueError(f"{path}: expected a number for every pixel, got none in row {row + 1}")
    whole = bool(((X >= 0) & (X <= 255) & (np.floor(X) == X)).all())
    # transposed back: what was written column by column is read row by row
    upright = X.reshape(-1, SIDE, SIDE).transpose(0, 2, 1)
    return np.ascontiguousarray(upright[:, None], dtype=np.uint8 if whole else np.float32)


def _digits(y: HostArray, n: int, path: Path) -> HostArray:
    if y.ndim > 2 or y.size != n or y.shape not in ((n,), (n, 1), (1, n)):
        raise ValueError(
            f"{path}: expected y of {n} labels, one for each row of X, got {_shape(y)}"
        )
    _refuse_text(y, "y", path)
    labels = y.reshape(n)
    fits = (labels >= 1) & (labels <= 10) & (labels == np.floor(labels))
    if not fits.all():
        row = int(fits.argmin())
        raise ValueError(
            f"{path}: expected labels of 1 to 10 (10 for zero), got {labels[row]:g} "
            f"in row {row + 1}"
        )
    return labels.astype(np.int64) % 10


def _refuse_text(values: HostArray, name: str, path: Path) -> None:
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{path}: expected numbers in {name}, got {values.dtype}")


def _shape(values: HostArray) -> str:
    return f"shape {values.shape}"


def _write_workbook(path: Path, X: HostArray, y: HostArray) -> None:
    try:
        from openpyxl import Workbook
    except ImportError:
        raise ImportError(
            "a workbook is written with openpyxl: run `pip install openpyxl`, or use .csv or .npz"
        ) from None
    book = Workbook(write_only=True)
    for name, values in (("X", X), ("y", y)):
        sheet = book.create_sheet(name)
        for row in values.tolist():
            sheet.append(row)
    book.save(path)
