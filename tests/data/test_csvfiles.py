"""Tables of numbers in CSV files."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import xpnet
from xpnet.data import csvfiles, from_csv
from xpnet.files import UnreadableError


@pytest.fixture
def table(tmp_path):
    """Return a function that writes text to a file and returns its path."""

    def write(text: str | bytes) -> Path:
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture(params=[None, 40], ids=["one block", "many blocks"])
def blocks(request, monkeypatch):
    """Run a test with blocks of some lines each, too."""
    if request.param:
        monkeypatch.setattr(csvfiles, "_BLOCK", request.param)


def digits(path: Path, images: np.ndarray, labels: np.ndarray | None) -> Path:
    """Write images as Kaggle's digits lie, by the standard library alone."""
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        names = [f"pixel{k}" for k in range(images[0].size)]
        out.writerow(names if labels is None else ["label", *names])
        for k, image in enumerate(images):
            out.writerow(image.ravel().tolist() if labels is None else [labels[k], *image.ravel()])
    return path


# What is read


def test_kaggles_digits_are_three_lines_from_file_to_submission(tmp_path):
    source, others = (part.take(60) for part in xpnet.data.load("digits"))
    digits(tmp_path / "train.csv", source.x, source.t)
    digits(tmp_path / "test.csv", others.x, None)

    train = from_csv(tmp_path / "train.csv", target="label", classes=10, shape=(1, 28, 28))
    test = from_csv(tmp_path / "test.csv", target=None, shape=(1, 28, 28))
    np.testing.assert_array_equal(train.x, source.x, strict=True)
    np.testing.assert_array_equal(train.t, source.t, strict=True)
    np.testing.assert_array_equal(test, others.x, strict=True)
    assert train.classes == 10

    net = xpnet.models.mlp((8,), input_shape=train.x.shape[1:], classes=train.classes)
    xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.Adam()).fit(train, 1)
    rows = np.column_stack([np.arange(1, len(test) + 1), net.predict(test).argmax(axis=1)])
    np.savetxt(tmp_path / "submission.csv", rows, "%d", ",", header="ImageId,Label", comments="")
    first, second, *_ = (tmp_path / "submission.csv").read_text().splitlines()
    assert (first, second.split(",")[0]) == ("ImageId,Label", "1")


@pytest.mark.usefixtures("blocks")
def test_numbers_that_are_no_bytes_are_float64(table):
    x = np.random.default_rng(0).normal(size=(50, 3)).round(6)
    lines = [f"{row[0]!r},{k % 3},{row[1]!r},{row[2]!r}" for k, row in enumerate(x.tolist())]
    data = from_csv(table("\n".join(["a,kind,b,c", *lines])), target="kind")
    np.testing.assert_array_equal(data.x, x, strict=True)
    np.testing.assert_array_equal(data.t, np.arange(50) % 3, strict=True)


@pytest.mark.usefixtures("blocks")
def test_a_single_number_that_is_no_byte_makes_all_float64(table):
    rows = ["1,2"] * 30
    for odd in ("256,2", "-1,2", "1.5,2", "1e300,2"):
        data = from_csv(table("\n".join(["a,t", *rows, odd, *rows])), target="t")
        assert data.x.dtype == np.float64
        assert data.x[30, 0] == float(odd[:-2])
        assert (np.delete(data.x, 30) == 1).all()


@pytest.mark.usefixtures("blocks")
def test_words_become_classes_in_the_order_of_the_alphabet(table):
    words = ["dog", "cat", "cow", "dog", "ant"] * 9
    data = from_csv(table("\n".join(["x,kind", *(f"{k},{w}" for k, w in enumerate(words))])),
                    target="kind")  # fmt: skip
    assert data.class_names == ("ant", "cat", "cow", "dog")
    assert [data.class_names[label] for label in data.t] == words
    assert (data.t.dtype, data.classes) == (np.int64, 4)


def test_a_second_file_takes_its_classes_from_the_first(table):
    path = table("x,kind\n1,dog\n2,cat\n")
    assert from_csv(path, target="kind").t.tolist() == [1, 0]
    assert from_csv(path, target="kind", class_names=["cat", "cow", "dog"]).t.tolist() == [2, 0]


def test_names_of_classes_may_belong_to_labels_that_are_numbers(table):
    path = table("x,kind\n1,1\n2,0\n")
    data = from_csv(path, target="kind", class_names=["shirt", "bag"])
    assert (data.t.tolist(), data.class_names) == ([1, 0], ("shirt", "bag"))
    assert from_csv(path, target="kind", class_names=["1", "0"]).t.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("kind,a,b\n1,2,3\n0,4,5\n", {"target": "kind"}),
        ("\ufeffkind,a,b\r\n1,2,3\r\n0,4,5", {"target": "kind"}),
        ("\nkind,a,b\n\n1,2,3\n  \n0,4,5\n\n", {"target": "kind"}),
        ('"kind","a","b"\n"1","2","3"\n"0","4","5"\n', {"target": "kind"}),
        (" kind , a , b \n 1 , 2 , 3 \n 0 , 4 , 5 \n", {"target": "kind"}),
        ("a,b,kind\n2,3,1\n4,5,0\n", {"target": -1}),
        ("1,2,3\n0,4,5\n", {"target": 0}),
        ("1;2;3\n0;4;5\n", {"target": 0, "delimiter": ";"}),
        ("1\t2\t3\n0\t4\t5\n", {"target": 0, "delimiter": "\t"}),
        ("0,1,2\n1,2,3\n0,4,5\n", {"target": "0", "header": True}),
        ('id,kind,a,b\nx,1,2,3\n"y,\nz",0,4,5\n', {"target": "kind", "drop": "id"}),
        (",kind,a,b,c\n0,1,2,3,\n1,0,4,5,?\n", {"target": "kind", "drop": [0, "c"]}),
    ],
    ids=repr,
)  # fmt: skip
def test_the_same_table_in_many_forms(table, text, options):
    data = from_csv(table(text), **options)
    np.testing.assert_array_equal(data.x, np.array([[2, 3], [4, 5]], np.uint8), strict=True)
    np.testing.assert_array_equal(data.t, np.array([1, 0]), strict=True)


@pytest.mark.parametrize(
    "fields",
    [
        ["1", "2", "3", "4"],
        ["007", "0", "255", "256"],
        ["9007199254740993", "1", "2", "3"],
        ["99999999999999999999999", "1", "2", "3"],
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", " ", "|", "5"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_rows_of_digits_are_the_numbers_that_python_reads(table, fields, delimiter, end):
    fields = [field.replace(delimiter, "6") for field in fields]
    rows = [fields[:2], fields[2:], fields[:2]]
    path = table("".join(delimiter.join(row) + end for row in rows))
    x = from_csv(path, target=None, header=False, delimiter=delimiter)
    assert x.tolist() == [[float(field) for field in row] for row in rows]
    assert x.flags.c_contiguous


def test_a_first_row_of_words_and_numbers_is_what_it_is_said_to_be(table):
    path = table("5.1,3.5,setosa\n4.9,3.0,virginica\n")
    data = from_csv(path, target=-1, header=False)
    assert data.x.tolist() == [[5.1, 3.5], [4.9, 3.0]]
    assert data.class_names == ("setosa", "virginica")
    assert from_csv(table("kind,0,1\n1,2,3\n"), target="kind").x.tolist() == [[2, 3]]
    assert from_csv(table("0,1,2\n1,2,3\n"), target="0").x.tolist() == [[2, 3]]


def test_a_first_row_that_counts_may_be_a_sample(table):
    data = from_csv(table("0,1,2\n1,4,5\n"), target=0, header=False)
    assert data.x.tolist() == [[1, 2], [4, 5]]


def test_targets_that_are_no_whole_numbers_stay_numbers(table):
    data = from_csv(table("x,y\n1,.5\n2,3\n"), target="y")
    np.testing.assert_array_equal(data.t, [0.5, 3.0], strict=True)
    assert data.classes is None
    large = from_csv(table("x,y\n1,1e300\n2,inf\n"), target="y")
    np.testing.assert_array_equal(large.t, [1e300, np.inf], strict=True)


# What is refused

TABLE = "kind,age,town\n1,31,5\n0,45,6\n"
REFUSED = {
    "an empty field": (
        "kind,age,town\n1,31,5\n0,,6\n", {},
        "row 3, column 'age': expected a number, but it is missing: leave the column out, "
        "drop='age', or mend it in a frame, see from_frame",
    ),
    "a field that says so": (
        "kind,age\n1,NA\n", {}, "row 2, column 'age': expected a number, but it is missing: ",
    ),
    "NaN": ("kind,age\n1,3\n1,nan\n", {}, "row 3, column 'age': expected a number, but it is miss"),
    "NaN with a sign": ("kind,age\n1,-nan\n", {}, "row 2, column 'age': expected a number, but it"),
    "a word": (
        "kind,age,town\n1,31,Rome\n", {},
        "row 2, column 'town': expected a number, got 'Rome': leave the column out, drop='town'",
    ),
    "a decimal comma": (
        "kind;age\n1;3,5\n", {"delimiter": ";"}, "row 2, column 'age': expected a number, got '3,5",
    ),
    "a number as Python writes it": (
        "kind,age\n1,1_000\n", {}, "row 2, column 'age': expected a number, got '1_000': ",
    ),
    "a word after blank lines and quoted ones": (
        'kind,age,town\n\n1,2,"a\nb"\n0,x,c\n', {"drop": "town"},
        "row 5, column 'age': expected a number, got 'x'",
    ),
    "a word after very many blank lines": (
        "kind,age\n" + "\n" * 300 + "1,x\n", {}, "row 302, column 'age': expected a number, got",
    ),
    "a word below a name of two lines": (
        'kind,"age\nin years"\n1,x\n', {},
        "row 3, column 'age\\nin years': expected a number, got 'x': leave the column out",
    ),
    "a word without a header": (
        "1,2\n0,x\n", {"target": 0}, "row 2, column 1: expected a number, got 'x': leave the "
        "column out, drop=1, or",
    ),
    "a missing target": (
        "kind,age\n1,2\n,3\n", {},
        "row 3, column 'kind': expected a number, but it is missing: drop the row, or name the "
        "classes, class_names=[...]",
    ),
    "words after numbers": (
        "kind,age\n1,2\nA,3\n", {}, "row 3, column 'kind': expected a number, got 'A': drop the r",
    ),
    "a missing word": (
        "kind,age\ncat,2\n,3\n", {},
        "row 3, column 'kind': expected a class's name, but it is missing: drop the row",
    ),
    "a word that names no class": (
        "kind,age\ncat,2\ndgo,3\n", {"class_names": ["cat", "dog"]},
        "row 3, column 'kind': expected one of the class_names, cat, dog, got 'dgo': did you mean "
        "'dog'?",
    ),
    "a field too few": (
        "kind,age,town\n1,31,5\n0,45\n", {},
        "row 3: expected 3 fields, as in the first row, got 2",
    ),
    "a field too many": ("kind,age\n1,31\n0,45,6\n", {}, "row 3: expected 2 fields, as in the f"),
    "fields too many and too few": (
        "kind,age,town\n1,2,3,4\n1,2\n", {"drop": "town"}, "row 2: expected 3 fields, as in the",
    ),
    "a quote without an end": (
        'kind,age\n1,"2\n' + "3,4\n" * 50, {}, "a quoted field has no end",
    ),
    "an unknown target": (
        TABLE, {"target": "Kind"},
        "target: expected a column 'Kind', got only kind, age, town: did you mean 'kind'?",
    ),
    "an unknown column to drop": (
        TABLE, {"drop": ["id"]}, "drop: expected a column 'id', got only kind, age, town",
    ),
    "a column past the last": (
        TABLE, {"target": 3}, "target: expected a whole number from -3 to 2, got 3",
    ),
    "a name without a header": (
        "1,2\n0,3\n", {},
        "target: expected a column 'kind': no row names the columns: give a number, such as "
        "target=0",
    ),
    "a name that two columns have": (
        "kind,kind,a\n1,2,3\n", {},
        "target: expected a column 'kind': several are called so: give the number of one",
    ),
    "a first row that counts": (
        "0,1,2\n1,2,3\n", {"target": 0},
        "its first row counts the columns: say header=False if it is a sample, or header=True if",
    ),
    "a first row that is a sample with a word, or a header with a number": (
        "5.1,3.5,setosa\n4.9,3.0,setosa\n", {"target": -1},
        "its first row holds words and numbers: say header=False if it is a sample, or header=True",
    ),
    "the numbers of rows": (
        ",kind,age\n0,1,31\n1,0,45\n", {},
        "column 0 has no name, as the rows' numbers that pandas writes: leave it out, drop=0, or",
    ),
    "another delimiter": (
        "kind;age\n1;31\n", {},
        "target: expected a column 'kind', got only kind;age: say what stands between fields, "
        "delimiter=';'",
    ),
    "a target alone": ("kind\n1\n0\n", {}, "no column is left for the samples"),
    "a header alone": ("kind,age\n", {}, "expected rows of numbers, got none"),
    "nothing": ("", {}, "expected a table, but it is empty"),
    "blank lines": ("\n\n", {}, "expected a table, but it is empty"),
    "another encoding": ("größe,kind\n1,2\n".encode("latin1"), {}, "expected a table of text in"),
    "a packed file": (b"PK\3\4\xff\0\0", {}, "expected text, got a packed file: unpack it first"),
    "labels out of range": (
        "kind,age\n0,1\n2,3\n", {"classes": 2}, "expected labels of 0 to 1, got 2 at index 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_table_of_numbers_is_refused_by_row_and_column(table, monkeypatch, row):
    text, options, message = row
    monkeypatch.setattr(csvfiles, "_BLOCK", 100)
    path = table(text)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}") as caught:
        from_csv(path, **{"target": "kind", **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (1, 2)}, "shape: expected one of 3 numbers, got (1, 2)"),
        ({"shape": (1, 0)}, "shape: expected a whole number >= 1, got 0"),
        ({"shape": "all"}, "shape: expected a whole number >= 1, got 'all'"),
        ({"delimiter": ", "}, "delimiter: expected a single character, got ', '"),
        ({"header": "yes"}, "header: expected True or False, got 'yes'"),
        ({"class_names": "cat"}, "class_names: expected names, such as ['cat', 'dog'], got 'cat'"),
    ],
)
def test_arguments_are_checked(table, options, message):
    with pytest.raises(ValueError, match=f"{re.escape(message)}"):
        from_csv(table("t,a,b,c\n1,2,3,4\n"), target="t", **options)


def test_who_names_no_target_is_told_how(table):
    with pytest.raises(TypeError, match=r'from_csv\(path, target="label"\), or target=None'):
        from_csv(table(TABLE))


def test_columns_and_classes_have_a_limit(table, monkeypatch):
    monkeypatch.setattr(csvfiles, "MAX_COLUMNS", 4)
    from_csv(table("t,a,b,c\n1,2,3,4\n"), target="t")
    with pytest.raises(UnreadableError, match=r"holds more than 4 columns$"):
        from_csv(table("t,a,b,c,d\n1,2,3,4,5\n"), target="t")
    monkeypatch.setattr(csvfiles, "MAX_CLASSES", 2)
    from_csv(table("t,a\nx,1\ny,2\nx,3\n"), target="t")
    with pytest.raises(UnreadableError, match="column 't' holds more than 2 words: expected a tar"):
        from_csv(table("t,a\nx,1\ny,2\nz,3\n"), target="t")


def test_a_missing_file_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.csv"):
        from_csv(tmp_path / "no.csv", target="label")


@pytest.mark.slow
@pytest.mark.mnist
def test_forty_two_thousand_digits_take_less_than_400_megabytes(tmp_path):
    """In the layout and size of Kaggle's train.csv, in a process of its own."""
    if not os.environ.get("XPNET_DATA"):
        pytest.skip("XPNET_DATA names no folder")
    train = xpnet.data.load("mnist")[0].take(42_000)
    path = digits(tmp_path / "train.csv", train.x, train.t)
    program = (
        "import resource, sys, time, xpnet, zlib; began = time.perf_counter(); "
        "data = xpnet.data.from_csv(sys.argv[1], target='label', shape=(1, 28, 28)); "
        "print(f'read in {time.perf_counter() - began:.2f} s', file=sys.stderr); "
        "print(zlib.crc32(data.x), zlib.crc32(data.t), "
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    done = subprocess.check_output([sys.executable, "-c", program, path], text=True)
    x, t, megabytes = map(int, done.split())
    assert (x, t) == (zlib.crc32(train.x), zlib.crc32(train.t))
    assert megabytes < 400
