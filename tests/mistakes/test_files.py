"""Mistakes with files: a row for each, and the sentence that it gets."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import xpnet
from tests.data.workbooks import workbook
from tests.mistakes import mistake
from xpnet.arrayfiles import read_arrays, write_arrays
from xpnet.book._files import read_params
from xpnet.book.two_layer_net import TwoLayerNet
from xpnet.data import Dataset, idx, load_spreadsheet, save_spreadsheet
from xpnet.files import replacing
from xpnet.layers import Layer, Linear, Sequential
from xpnet.training.history import History


class Own(Layer):
    """A layer that no file knows."""

    def forward(self, x, *, train=False):
        return x

    def backward(self, dy, *, need_dx=True):
        return dy


def net(*layers: Layer) -> Sequential:
    return Sequential(layers or [Linear(2)], input_shape=(3,))


def trainer() -> xpnet.Trainer:
    return xpnet.Trainer(net(), xpnet.SoftmaxCrossEntropy(), xpnet.Adam())


def holding(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def saved(path: Path, *layers: Layer) -> Path:
    net(*layers).save(path)
    return path


def changed(path: Path, change: Callable[[dict, dict], object]) -> Path:
    arrays, about = read_arrays(saved(path))
    change(arrays, about)
    write_arrays(path, arrays, about)
    return path


def of_safetensors(path: Path, about: str | None) -> Path:
    safetensors.numpy.save_file({"W": np.zeros(3)}, path, about and {"xpnet": about})
    return path


def checkpoint(path: Path) -> Path:
    trainer().save(path)
    return path


def table(path: Path, columns: int = 401, value: object = 1) -> Path:
    return holding(path, (",".join([str(value)] * columns) + "\n") * 3)


def archive(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def zipped(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name, text in members.items():
            packed.writestr(name, text)
    return path


def flipped(path: Path) -> Path:
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 4
    return holding(path, bytes(raw))


def write(path: Path, **options: object) -> None:
    with replacing(path, **options) as part:
        part.write_text("new")


PIXELS, LABELS = np.ones((3, 400)), np.ones((3, 1))
DIGITS = Dataset(np.ones((2, 1, 20, 20), np.uint8), np.arange(2), classes=10)
PAGE = "<!DOCTYPE html><html>404</html>"

# What is done with a path in an empty folder, and what the sentence says after the path.
REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    # networks
    "an empty file": ("a", lambda p: xpnet.load(holding(p, "")), "not a whole safetensors file"),
    "the page of an error": (
        "a", lambda p: xpnet.load(holding(p, PAGE)), "not a whole safetensors file"
    ),
    "a pickled network": (
        "a", lambda p: xpnet.load(holding(p, pickle.dumps(net()))), "not a whole safetensors file"
    ),
    "a download that broke off": (
        "a", lambda p: xpnet.load(holding(p, saved(p).read_bytes()[:200])),
        "not a whole safetensors file",
    ),
    "a bad copy": (
        "a", lambda p: xpnet.load(flipped(saved(p))),
        "not a whole safetensors file, or changed since: its digest is another; take another copy",
    ),
    "another program's file": (
        "a", lambda p: xpnet.load(of_safetensors(p, None)),
        "a safetensors file, but not one of xpnet",
    ),
    "a later version's file": (
        "a", lambda p: xpnet.load(of_safetensors(p, '{"format": 7}')),
        "expected a format of 1 to 2, got 7: update xpnet",
    ),
    "a file by hand": (
        "a", lambda p: xpnet.load(of_safetensors(p, '{"format": 2}')),
        "lacks the digest of its contents; take another copy",
    ),
    "parameters alone": (
        "a", lambda p: (TwoLayerNet(2, 2, 2).save_params(p), xpnet.load(p)),
        "holds arrays but no network",
    ),
    "a layer of one's own without its class": (
        "a", lambda p: xpnet.load(saved(p, Own(), Linear(2))),
        "holds a layer 'Own' that is not known: pass its class, load(path, layers={'Own': Own})",
    ),
    "a class that is no layer": (
        "a", lambda p: xpnet.load(saved(p, Own(), Linear(2)), layers={"Own": dict}),
        "holds a layer 'Own' that is not known",
    ),
    "a description with a slip": (
        "a",
        lambda p: xpnet.load(
            changed(p, lambda _, about: about["architecture"]["layers"][0].update(unit=3))
        ),
        "layer 'Linear' does not take its arguments: got an unexpected keyword argument 'unit'",
    ),
    "a size that is none": (
        "a",
        lambda p: xpnet.load(
            changed(p, lambda _, about: about["architecture"]["layers"][0].update(units="2"))
        ),
        "layer 'Linear' cannot be made (units: expected a whole number >= 1, got '2')",
    ),
    "a weight left out": (
        "a", lambda p: xpnet.load(changed(p, lambda arrays, _: arrays.pop("params/0.b"))),
        "the file lacks 'params/0.b'",
    ),
    "a weight of another shape": (
        "a",
        lambda p: xpnet.load(
            changed(p, lambda arrays, _: arrays.update({"params/0.W": np.zeros((2, 3), "f4")}))
        ),
        "'params/0.W': expected float32 (3, 2), got float32 (2, 3)",
    ),
    "a weight of another dtype": (
        "a",
        lambda p: xpnet.load(
            changed(p, lambda arrays, _: arrays.update({"params/0.W": np.zeros((3, 2))}))
        ),
        "'params/0.W': expected float32 (3, 2), got float64 (3, 2)",
    ),
    "a description that is no JSON": (
        "a", lambda p: write_arrays(p, {}, {"when": {1, 2}}), "the description cannot be written"
    ),
    # checkpoints
    "a network in the place of a checkpoint": (
        "a", lambda p: trainer().restore(saved(p)), "holds no checkpoint"
    ),
    "a bad copy of a checkpoint": (
        "a", lambda p: trainer().restore(flipped(checkpoint(p))),
        "not a whole safetensors file, or changed since",
    ),
    "a checkpoint without a network": (
        "a", lambda p: (write_arrays(p, {}, {"checkpoint": {}}), xpnet.load(p)),
        "holds arrays but no network",
    ),
    # histories
    "a history that is none": (
        "a", lambda p: History.load(holding(p, "epoch,loss\n1,2\n")),
        "expected a row, a JSON object, in line 1 (",
    ),
    "a history that broke off": (
        "a", lambda p: History.load(holding(p, '{"epoch": 1}\n{"epoch"')),
        "expected a row, a JSON object, in line 2 (",
    ),
    "a list in the place of rows": (
        "a", lambda p: History.load(holding(p, json.dumps([{"epoch": 1}]))),
        "expected a row, a JSON object, in line 1 (got list)",
    ),
    "a picture in the place of a history": (
        "a", lambda p: History.load(holding(p, b"\x89PNG\xff")), "no history of xpnet ("
    ),
    # the book's parameters
    "a page in the place of parameters": (
        "p.pkl", lambda p: TwoLayerNet(2, 2, 2).load_params(holding(p, PAGE)),
        "expected a file of save_params, safetensors or a pickled dict of numeric arrays (",
    ),
    "a pickled list": (
        "p.pkl", lambda p: read_params(holding(p, pickle.dumps([PIXELS]))),
        "expected a file of save_params",
    ),
    "a pickle that calls": (
        "p.pkl", lambda p: read_params(holding(p, b"cos\nsystem\n(S'true'\ntR.")),
        "expected a file of save_params, safetensors or a pickled dict of numeric arrays "
        "(names 'os' and 'system')",
    ),
    "parameters of a wider network": (
        "p", lambda p: (TwoLayerNet(2, 5, 2).save_params(p), TwoLayerNet(2, 3, 2).load_params(p)),
        "'W1': expected shape (2, 3), got (2, 5)",
    ),
    # spreadsheets
    "an old workbook": (
        "d.xls", load_spreadsheet, "expected a file that ends in .xlsx, .csv or .npz"
    ),
    "an old workbook under the new name": (
        "d.xlsx", lambda p: load_spreadsheet(holding(p, b"\xd0\xcf\x11\xe0" * 9)),
        "no Excel workbook, or a damaged one (File is not a zip file)",
    ),
    "another archive under a workbook's name": (
        "d.xlsx", lambda p: load_spreadsheet(zipped(p, a="b")), "no Excel workbook"
    ),
    "sheets with other names": (
        "d.xlsx", lambda p: load_spreadsheet(workbook(p, x=[[1]], y=[[1]])),
        "expected a sheet 'X', got only x, y",
    ),
    "a sheet with a header": (
        "d.xlsx", lambda p: load_spreadsheet(workbook(p, X=[["pixel"], [1]], y=[[1]])),
        "sheet 'X': expected numbers, got 'pixel' in row 1",
    ),
    "a table with a header": (
        "d.csv", lambda p: load_spreadsheet(table(p, value="pixel")),
        "expected rows of numbers between commas (",
    ),
    "a table with semicolons": (
        "d.csv", lambda p: load_spreadsheet(holding(p, "1;2;3\n")),
        "expected rows of numbers between commas (",
    ),
    "a table without labels": (
        "d.csv", lambda p: load_spreadsheet(table(p, 400)),
        "expected rows of 400 pixels and a label, got shape (3, 400); labels in a file of their "
        "own are given as labels=...",
    ),
    "labels beside an archive": (
        "d.npz", lambda p: load_spreadsheet(p, labels="y.csv"),
        "labels of their own go with a .csv only; this file holds both",
    ),
    "an array under an archive's name": (
        "d.npz", lambda p: load_spreadsheet(holding(p, b"\x93NUMPY")), "no NumPy archive"
    ),
    "an archive of other names": (
        "d.npz", lambda p: load_spreadsheet(archive(p, x=PIXELS, y=LABELS)),
        "expected an array 'X', got only x, y",
    ),
    "an archive of objects": (
        "d.npz", lambda p: load_spreadsheet(archive(p, X=np.array([None]), y=LABELS)),
        "X or y cannot be read (holds objects)",
    ),
    "words as labels": (
        "d.npz", lambda p: load_spreadsheet(archive(p, X=PIXELS, y=LABELS.astype(str))),
        "expected numbers in y, got <U32",
    ),
    "labels from zero": (
        "d.npz", lambda p: load_spreadsheet(archive(p, X=PIXELS, y=0 * LABELS)),
        "expected labels of 1 to 10 (10 for zero), got 0 in row 1",
    ),
    "larger images": (
        "d.npz", lambda p: load_spreadsheet(archive(p, X=np.ones((3, 784)), y=LABELS)),
        "expected X of 400 pixels a row (20x20), got shape (3, 784)",
    ),
    "a suffix that is none of them": (
        "d.txt", lambda p: save_spreadsheet(DIGITS, p),
        "expected a file that ends in .xlsx, .csv or .npz",
    ),
    # IDX
    "a picture": (
        "a", lambda p: idx.read(holding(p, b"\x89PNG")),
        "expected an IDX file, which starts with the bytes 00 00, got 89 50",
    ),
    "a page in the place of MNIST": (
        "a.gz", lambda p: idx.read(holding(p, PAGE)),
        "expected an IDX file, but it looks like an HTML page (probably the error page of a "
        "download)",
    ),
    "labels that IDX lacks": (
        "a", lambda p: idx.write(p, np.arange(3)), "IDX holds arrays of uint8, int8, int16"
    ),
    "a folder to write to": (
        ".", lambda p: net().save(p), "expected the name of a file, got a folder"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_is_not_what_it_should_be(what, tmp_path):
    name, call, said = REFUSED[what]
    path = tmp_path / name
    match = f"^{re.escape(str(path))}[:,] {re.escape(said)}"
    error = IsADirectoryError if what == "a folder to write to" else ValueError
    mistake(lambda: call(path), error, match)


READERS = {
    "load": xpnet.load,
    "restore": lambda path: trainer().restore(path),
    "history": History.load,
    "parameters": read_params,
    "idx": idx.read,
    "csv": lambda path: load_spreadsheet(path, labels=path),
}
every_reader = pytest.mark.parametrize("reader", READERS)


@every_reader
def test_a_file_that_is_not_there(reader, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/nowhere.csv"):
        READERS[reader](tmp_path / "nowhere.csv")


@every_reader
def test_a_folder_in_the_place_of_a_file(reader, tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(IsADirectoryError, match=f"{tmp_path}/a.csv"):
        READERS[reader](tmp_path / "a.csv")


@every_reader
@pytest.mark.skipif(os.name != "posix", reason="of POSIX")
def test_a_device_in_the_place_of_a_file(reader, tmp_path):
    (tmp_path / "a.csv").symlink_to("/dev/zero")
    message = r"expected a regular file, got a device or a pipe: copy it to a file"
    mistake(
        lambda: READERS[reader](tmp_path / "a.csv"), ValueError, f"^{tmp_path}/a.csv: {message}$"
    )


WRITERS: dict[str, Callable[[Path], object]] = {
    "network": lambda path: net().save(path),
    "checkpoint": lambda path: trainer().save(path),
    "history": History([{"epoch": 1}]).save,
    "parameters": lambda path: TwoLayerNet(2, 2, 2).save_params(path),
    "idx": lambda path: idx.write(path, np.zeros(3, np.uint8)),
    "spreadsheet": lambda path: save_spreadsheet(DIGITS, path),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    ("name", "error"),
    [("a/b.csv", "Not a directory"), ("x" * 240 + ".csv", "File name too long")],
    ids=["in a file", "long name"],
)
def test_a_place_where_nothing_can_be_written(writer, name, error, tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(OSError, match=f"{error}: '{tmp_path}/{name}'$"):
        WRITERS[writer](tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("call", [*READERS.items(), *WRITERS.items()], ids=lambda row: row[0])
@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        (None, TypeError, "path: expected the path of a file, got None"),
        (b"a.csv", TypeError, "path: expected the path of a file, got b'a.csv'"),
        (io.BytesIO(), TypeError, "path: expected the path of a file, got <_io.BytesIO"),
        ("a\0.csv", ValueError, r"path: expected no null character in a path, got 'a\x00.csv'"),
    ],
    ids=["nothing", "bytes", "an open file", "a null character"],
)
def test_what_is_no_path(call, path, error, said):
    mistake(lambda: call[1](path), error, f"^{re.escape(said)}")


@pytest.mark.parametrize("keep", [0, -1, 2.5, "all", None])
def test_a_number_of_versions_that_is_none(keep, tmp_path):
    mistake(
        lambda: write(tmp_path / "a", keep=keep), ValueError, r"^keep: expected a whole number >= 1"
    )
    assert list(tmp_path.iterdir()) == []
