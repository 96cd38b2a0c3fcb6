"""What enters: numbers from anywhere become arrays, all else gets a sentence."""

from __future__ import annotations

import array
import decimal
import fractions
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import HAS_TORCH, Backend
from xpnet.arrays import dtype_name, to_numpy
from xpnet.convert import as_array, as_words, is_array
from xpnet.devices import device_of

ROWS = [[1, 3], [2, -4]]


class Frame:
    """What a frame of any library is: a table that turns into an array, with names of columns."""

    def __init__(self, rows, dtype=None, columns=("age", "size")) -> None:
        self._rows, self._dtype, self.columns = rows, dtype, list(columns)

    def to_numpy(self):
        return np.array(self._rows, self._dtype)


class Table:
    """What a table of Arrow is."""

    def __init__(self, rows) -> None:
        self._rows = rows

    def __array__(self, dtype=None, copy=None):
        return np.array(self._rows, dtype)


class Exchanged:
    """What is known by DLPack alone."""

    def __init__(self, rows) -> None:
        self._array = np.array(rows)

    def __dlpack__(self, **kwargs):
        return self._array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


@pytest.mark.parametrize(
    "value",
    [
        ROWS, tuple(map(tuple, ROWS)), [np.array(row) for row in ROWS], Frame(ROWS),
        Frame(ROWS, object), Frame(ROWS, np.float32), Table(ROWS), Exchanged(ROWS),
        memoryview(np.array(ROWS)), np.array(ROWS, object), np.ma.array(ROWS),
        np.array(ROWS, ">i4"), np.array(ROWS, ">f8"), np.array(ROWS, np.float16),
        np.array(ROWS, np.longdouble), np.array(ROWS).T.copy().T, np.array(ROWS)[::-1][::-1],
        [[decimal.Decimal(1), fractions.Fraction(3)], [2, -4]],
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_numbers_from_anywhere_become_a_plain_array(value):
    made = as_array("x", value)
    assert type(made) is np.ndarray
    assert made.dtype in (np.int64, np.int32, np.float32, np.float64)
    assert made.dtype.isnative
    np.testing.assert_array_equal(made, ROWS)


@pytest.mark.parametrize("value", [range(3), array.array("b", [0, 1, 2]), [0, 1, 2]], ids=repr)
def test_a_row_of_numbers_is_one_axis(value):
    assert as_array("t", value).tolist() == [0, 1, 2]


def test_frames_of_pandas_polars_and_arrow_are_taken():
    columns = {"age": [1, 2], "size": [3, -4]}
    for library, make in [
        ("pandas", lambda p: (p.DataFrame(columns), p.Series([1, 2]))),
        ("polars", lambda p: (p.DataFrame(columns), p.Series([1, 2]))),
        ("pyarrow", lambda p: (p.table(columns), p.array([1, 2]))),
    ]:
        try:
            module = __import__(library)
        except ImportError:
            continue
        frame, series = make(module)
        assert as_array("x", frame).tolist() == ROWS
        assert as_array("t", series).tolist() == [1, 2]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", "complex64"])
def test_an_array_of_any_library_is_returned_as_it_is(xp: Backend, dtype):
    given = xp.array(ROWS if dtype != "uint8" else np.abs(ROWS), dtype)
    assert as_array("x", given) is given
    assert is_array(given)


def test_truth_values_become_0_and_1_in_their_library(xp: Backend):
    made = as_array("x", xp.array([True, False]))
    assert (dtype_name(made), device_of(made)) == ("uint8", xp.device)
    assert to_numpy(made).tolist() == [1, 0]


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
def test_short_floats_of_torch_become_float32():
    import torch

    for dtype in (torch.float16, torch.bfloat16):
        assert as_array("x", torch.tensor(ROWS, dtype=dtype)).dtype == torch.float32


def test_a_memory_map_is_not_read(tmp_path):
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(5, 2))
    assert np.shares_memory(as_array("x", mapped), mapped)


def unreadable():
    class Closed:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("the file is closed\nand more")

    return Closed()


def test_a_list_or_array_may_hold_nan_which_a_check_finds():
    assert np.isnan(as_array("x", [1.0, np.nan])).tolist() == [False, True]
    assert np.isnan(as_array("x", np.array([1.0, np.nan]))).tolist() == [False, True]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (Frame([[1, "red"]], object), "got 'red' at [0, 1] (column 'size'): give each word"),
        (Frame([[1, None]], object), "but the one at [0, 1] (column 'size') is missing: fill it"),
        (Frame([[1, None]], object, (0, 1)), "the one at [0, 1] (column 1) is missing"),
        (Frame([[1, np.nan]]), "but the one at [0, 1] (column 'size') is missing"),
        (Table([1, np.nan]), "but the one at index 1 is missing"),
        (Frame([[1, np.nan]], object), "but the one at [0, 1] (column 'size') is missing"),
        (unreadable(), "Closed is no array of numbers: the file is closed"),
        ([[1, 2], [3]], "list is no array of numbers: its rows differ in length"),
        ([np.ma.array([1, 2], mask=[0, 1])], "got a masked array that hides the one at index 1"),
        ([[1, object]], "got the class object"),
    ],
)  # fmt: skip
def test_what_holds_no_numbers_is_told_where(value, sentence):
    with pytest.raises((TypeError, ValueError), match=f"^x: .*{re.escape(sentence)}"):
        as_array("x", value)


def test_masked_arrays_are_looked_for_without_importing_them():
    """An import that a fork finds under way is one that its child waits for for ever."""
    program = (
        "import sys, numpy as np; from xpnet.convert import as_array; as_array('x', np.ones(3)); "
        "print('numpy.ma' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    "value",
    [
        ["b", "a"], ("b", "a"), np.array(["b", "a"]), np.array(["b", "a"], object),
        np.array([["b"], ["a"]]), np.array(["b", "a"], np.dtypes.StringDType()),
        Frame(["b", "a"], object), Table(["b", "a"]), np.ma.array(["b", "a"]),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_labels_that_are_words_are_known_whatever_holds_them(value):
    words = as_words("t", value)
    assert words == ["b", "a"]
    assert {type(word) for word in words} <= {str, np.str_}


@pytest.mark.parametrize(
    "value", [[1, 0], (1.5, 2.0), np.arange(2), Frame([1, 2]), [[1, 0], [0, 1]]]
)
def test_labels_that_are_numbers_are_no_words(value):
    assert as_words("t", value) is None


def test_arrays_of_any_library_are_no_words(xp: Backend):
    assert as_words("t", xp.array([1, 0])) is None


def test_a_masked_word_is_refused():
    with pytest.raises(ValueError, match=r"^t: .* hides the one at index 1"):
        as_words("t", np.ma.array(["a", "b"], mask=[False, True]))
