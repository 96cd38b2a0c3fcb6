"""Spreadsheets of digits: round trips, the order of pixels, and what is refused."""

from __future__ import annotations

import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.data.workbooks import workbook
from xpnet.data import Dataset, archives, load_spreadsheet, save_spreadsheet


def digits(n: int = 12, side: int = 28) -> Dataset:
    """Return images of which no two pixels in a row or column are equal."""
    x = (np.arange(n * side * side) * 7 % 256).astype(np.uint8).reshape(n, 1, side, side)
    return Dataset(x, np.arange(n) % 10, classes=10, name="digits")


def tables(n: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return valid sheets X and y."""
    return np.arange(n * 400.0).reshape(n, 400) % 256, np.arange(1.0, n + 1)[:, None]


@pytest.mark.parametrize("suffix", ["xlsx", "csv", "npz"])
@pytest.mark.parametrize(("side", "first"), [(28, 4), (20, 0), (21, 0)])
def test_round_trip_of_the_middle(tmp_path, suffix, side, first):
    if suffix == "xlsx":
        pytest.importorskip("openpyxl")
    data = digits(side=side)
    path = tmp_path / f"digits.{suffix}"
    save_spreadsheet(data, path)
    back = load_spreadsheet(path)
    assert back.x.dtype == np.uint8
    assert back.t.dtype == np.int64
    assert back.classes == 10
    assert back.name == "digits"
    last = first + 20
    np.testing.assert_array_equal(back.x, data.x[:, :, first:last, first:last])
    np.testing.assert_array_equal(back.t, data.t)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_workbook_has_two_sheets_column_by_column_with_ten_for_zero(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    data = digits(2, side=20)
    save_spreadsheet(data, tmp_path / "d.xlsx")
    book = openpyxl.load_workbook(tmp_path / "d.xlsx")
    assert book.sheetnames == ["X", "y"]
    assert (book["X"].max_row, book["X"].max_column) == (2, 400)
    assert [book["y"].cell(row, 1).value for row in (1, 2)] == [10, 1]
    assert book["X"].cell(1, 2).value == data.x[0, 0, 1, 0]  # below the first pixel, not beside


def test_pixels_that_are_no_bytes_stay_floats(tmp_path):
    X, y = tables()
    np.savez(tmp_path / "d.npz", X=X / 255 - 0.1, y=y)
    data = load_spreadsheet(tmp_path / "d.npz")
    assert data.x.dtype == np.float32
    np.testing.assert_allclose(data.x[1, 0, 2, 5], X[1, 5 * 20 + 2] / 255 - 0.1, rtol=1e-6)


def test_labels_in_a_csv_of_their_own(tmp_path):
    X, y = tables()
    np.savetxt(tmp_path / "X.csv", X, delimiter=",")
    np.savetxt(tmp_path / "y.csv", y)
    data = load_spreadsheet(tmp_path / "X.csv", labels=tmp_path / "y.csv")
    assert data.t.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match=r"expected rows of 400 pixels and a label, got shape"):
        load_spreadsheet(tmp_path / "X.csv")
    with pytest.raises(ValueError, match=r"labels of their own go with a \.csv only"):
        load_spreadsheet(tmp_path / "X.npz", labels=tmp_path / "y.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X[:, :399], y), r"expected X of 400 pixels a row \(20x20\), got shape"),
        (lambda X, y: (X[:0], y[:0]), r"expected X of 400 pixels a row \(20x20\), got shape"),
        (lambda X, y: (X, y[:2]), r"expected y of 3 labels, one for each row of X, got shape"),
        (lambda X, y: (X, y - 1), r"expected labels of 1 to 10 \(10 for zero\), got 0 in row 1"),
        (lambda X, y: (X, y + 8), r"expected labels of 1 to 10 \(10 for zero\), got 11 in row 3"),
        (lambda X, y: (X, y + 0.5), r"got 1\.5 in row 1"),
        (
            lambda X, y: (np.where(X == 401 % 256, np.nan, X), y),
            r"expected a number for every pixel, got none in row 1",
        ),
        (lambda X, y: (X.astype(str), y), r"expected numbers in X, got <U"),
    ],
)
def test_sheets_that_do_not_fit(tmp_path, change, message):
    X, y = change(*tables())
    np.savez(tmp_path / "d.npz", X=X, y=y)
    with pytest.raises(ValueError, match=message):
        load_spreadsheet(tmp_path / "d.npz")


def test_a_workbook_without_its_sheet(tmp_path):
    workbook(tmp_path / "d.xlsx", X=tables()[0].tolist(), labels=[[1]])
    with pytest.raises(ValueError, match="expected a sheet 'y', got only X, labels"):
        load_spreadsheet(tmp_path / "d.xlsx")


def test_a_workbook_with_words_or_holes(tmp_path):
    X, y = (one.tolist() for one in tables())
    workbook(tmp_path / "words.xlsx", X=X, y=[["label"], *y])
    with pytest.raises(ValueError, match="sheet 'y': expected numbers, got 'label' in row 1"):
        load_spreadsheet(tmp_path / "words.xlsx")
    workbook(tmp_path / "hole.xlsx", X=[X[0], [*X[1][:7], None, *X[1][8:]], X[2]], y=y)
    with pytest.raises(ValueError, match="expected a number for every pixel, got none in row 2"):
        load_spreadsheet(tmp_path / "hole.xlsx")


def test_an_archive_of_objects_or_without_its_array(tmp_path):
    np.savez(tmp_path / "o.npz", X=np.array([object()]), y=tables()[1])
    with pytest.raises(ValueError, match="X or y cannot be read"):
        load_spreadsheet(tmp_path / "o.npz")
    np.savez(tmp_path / "d.npz", **{"X\n\x85y": tables()[0]})
    with pytest.raises(ValueError, match=r"expected an array 'X', got only X y$"):
        load_spreadsheet(tmp_path / "d.npz")
    np.savez(tmp_path / "d.npz", X=tables()[0])
    with pytest.raises(ValueError, match="expected an array 'y', got only X"):
        load_spreadsheet(tmp_path / "d.npz")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("d.xlsx", "no Excel workbook, or a damaged one"),
        ("d.npz", "no NumPy archive, or a damaged one"),
        ("d.csv", "expected rows of numbers between commas"),
        ("d.xls", r"expected a file that ends in \.xlsx, \.csv or \.npz"),
    ],
)
def test_files_that_are_something_else(tmp_path, name, message):
    if name == "d.xlsx":
        pytest.importorskip("openpyxl")
    (tmp_path / name).write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=message):
        load_spreadsheet(tmp_path / name)


def npy(header: str, data: bytes = b"") -> bytes:
    """Return the bytes of a member of an archive, whatever they say."""
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + data


def described(shape: object, descr: str = "<f8") -> str:
    return repr({"descr": descr, "fortran_order": False, "shape": shape})


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (npy(described((10**6, 400))), "not the bytes of a float64 array of shape"),
        (npy(described((10**30,))), "not the bytes of a float64 array of shape"),
        (npy(described((-2, -3)), bytes(48)), "X or y cannot be read"),
        (npy(described((10**9,), "V0")), "X or y cannot be read"),
        (npy(described((3,)) + "(" * 60), "X or y cannot be read"),
        (npy("{}"), "X or y cannot be read"),
        (b"\x93NUMPY\x09\0" + bytes(20), "X or y cannot be read"),
        (b"", "X or y cannot be read"),
        (npy(described((2**26,), "|u1"), bytes(2**26)), "too large for the size of the file"),
    ],
    ids=["gigabytes", "endless", "negative", "empty items", "brackets", "no header", "version",
         "nothing", "zeros"],
)  # fmt: skip
def test_an_archive_that_lies_is_refused_before_it_takes_memory(tmp_path, member, message):
    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", member)
        archive.writestr("y.npy", b"")
    assert_refused(tmp_path / "d.npz", message)


def test_an_archive_of_many_members_or_packed_unusually_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "many.npz", "w") as archive:
        for number in range(5000):
            archive.writestr(str(number), b"")
    assert_refused(tmp_path / "many.npz", "more than 4096 members")
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("X.npy", b"")
        archive.writestr("y.npy", b"")
    assert_refused(tmp_path / "x.npz", "packed in an unusual way")


def assert_refused(path: Path, message: str) -> None:
    """Hold that a file is refused by one sentence, and takes little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"^{path}[^\n]*{message}[^\n]*$"):
            load_spreadsheet(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24 + 8 * path.stat().st_size
    finally:
        tracemalloc.stop()


def test_an_empty_csv(tmp_path):
    (tmp_path / "d.csv").write_text("")
    with pytest.raises(ValueError, match="expected rows of 400 pixels and a label, got shape"):
        load_spreadsheet(tmp_path / "d.csv")


def test_a_missing_file(tmp_path):
    for suffix in ("csv", "npz"):
        with pytest.raises(FileNotFoundError):
            load_spreadsheet(tmp_path / f"none.{suffix}")


def test_images_that_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"h and w at least 20, got \(12, 1, 19, 19\)"):
        save_spreadsheet(digits(side=19), tmp_path / "d.npz")
    letters = Dataset(digits(12).x, np.arange(12), classes=12, name="letters")
    with pytest.raises(ValueError, match="letters: expected labels of 0 to 9"):
        save_spreadsheet(letters, tmp_path / "d.npz")
    assert not list(tmp_path.iterdir())


def test_without_openpyxl_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ImportError, match=r"openpyxl: run `pip install openpyxl`"):
        save_spreadsheet(digits(), tmp_path / "d.xlsx")
    assert not list(tmp_path.iterdir())


def test_members_of_an_archive_are_counted_where_they_lie_across_two_reads(monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 0)
    for before in range(2**20 - 4, 2**20 + 1):
        with pytest.raises(ValueError, match=r"^more than 0 members$"):
            archives.Archive(bytes(before) + b"PK\1\2")
