"""Frames, tables, dicts and NumPy archives as data sets."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import xpnet
from xpnet.data import from_arrays, from_frame

COLUMNS = {
    "age": [31, 45, 20, 64],
    "size": [1.5, 1.25, 2.0, 1.0],
    "member": [True, False, False, True],
    "town": ["Rome", "Bonn", "Rome", "Oslo"],
}
NUMBERS = [[31, 1.5, 1], [45, 1.25, 0], [20, 2, 0], [64, 1, 1]]


class Series:
    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def to_numpy(self) -> np.ndarray:
        words = any(isinstance(value, str) or value is None for value in self._values)
        return np.array(self._values, object if words else None)


class Frame:
    """What pandas and polars have: columns by name."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name: str) -> Series:
        return Series(self._columns[name])


class Table:
    """What Arrow has: arrays in ``columns``, their names elsewhere."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self._columns = columns
        self.column_names = list(columns)
        self.columns = list(map(Series, columns.values()))

    def __getitem__(self, name: str) -> Series:
        return Series(self._columns[name])


def polars(columns):
    return pytest.importorskip("polars").DataFrame(columns, strict=False)


MADE_BY = {
    "a frame": Frame,
    "a table": Table,
    "pandas": lambda columns: pytest.importorskip("pandas").DataFrame(columns),
    "polars": polars,
    "Arrow": lambda columns: pytest.importorskip("pyarrow").table(columns),
}


@pytest.fixture(params=MADE_BY.values(), ids=MADE_BY.keys())
def frame(request):
    """Return what makes a frame of columns."""
    return request.param


# Frames


def test_columns_of_numbers_are_samples_and_words_are_classes(frame):
    data = from_frame(frame(COLUMNS), target="town")
    np.testing.assert_array_equal(data.x, np.array(NUMBERS, float), strict=True)
    assert data.t.tolist() == [2, 0, 2, 1]
    assert data.class_names == ("Bonn", "Oslo", "Rome")


def test_the_target_may_be_numbers(frame):
    columns = {name: COLUMNS[name] for name in ("age", "member", "size")}
    data = from_frame(frame(columns), target="size", name="people")
    assert data.x.tolist() == [[31, 1], [45, 0], [20, 0], [64, 1]]
    np.testing.assert_array_equal(data.t, COLUMNS["size"], strict=True)
    assert (data.classes, data.name) == (None, "people")
    labelled = from_frame(frame(columns), target="member", classes=2)
    assert (labelled.t.tolist(), labelled.classes) == ([1, 0, 0, 1], 2)


def test_a_second_frame_takes_its_classes_from_the_first(frame):
    names = from_frame(frame(COLUMNS), target="town").class_names
    others = {name: values[2:] for name, values in COLUMNS.items()}
    assert from_frame(frame(others), target="town").t.tolist() == [1, 0]
    assert from_frame(frame(others), target="town", class_names=names).t.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("changed", "target", "error", "message"),
    [
        (
            {"age": [31, None, 20, 64]}, "town", ValueError,
            "frame: column 'age': expected numbers everywhere, but the one at index 1 is missing: "
            "fill it, as by frame.fillna(0), or drop its sample",
        ),
        (
            {"town": ["Rome", None, "Rome", "Oslo"]}, "town", ValueError,
            "frame: column 'town': expected a word for each sample, got ",
        ),
        (
            {}, "age", TypeError,
            "frame: column 'town': expected numbers, got 'Rome' at index 0: give each word a "
            "column of its own, or write .astype(float) of numbers",
        ),
        (
            {}, "twon", ValueError,
            "target: expected a column of the frame, 'age', 'size', 'member', 'town', got 'twon': "
            "did you mean 'town'?",
        ),
        ({}, ["age", "town"], ValueError, "target: expected a column of the frame, 'age', 'size'"),
    ],
)  # fmt: skip
def test_what_holds_no_numbers_is_refused_by_column(frame, changed, target, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        from_frame(frame({**COLUMNS, **changed}), target=target)


def test_a_target_alone_leaves_no_samples(frame):
    with pytest.raises(ValueError, match=r"^frame: no column is left for the samples beside 'ag"):
        from_frame(frame({"age": [1, 2]}), target="age")


def test_a_column_that_two_share_is_refused():
    pandas = pytest.importorskip("pandas")
    doubled = pandas.DataFrame([[1, 2, 3]], columns=["a", "a", "b"])
    with pytest.raises(ValueError, match=r"^frame: expected a single column 'a', got several$"):
        from_frame(doubled, target="a")
    with pytest.raises(ValueError, match=r"^frame: column 'a': expected one number a sample"):
        from_frame(doubled, target="b")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.eye(2), "got ndarray of shape (2, 2): of arrays write Dataset(x, t)"),
        ([[1, 2]], "got [[1, 2]]: of arrays write Dataset(x, t)"),
        ("iris.csv", "got 'iris.csv'"),
    ],
)
def test_what_has_no_columns_by_name_is_no_frame(value, message):
    with pytest.raises(TypeError, match=f"^frame: expected a frame or .*{re.escape(message)}"):
        from_frame(value, target="a")


def test_a_frame_that_is_not_in_memory_is_to_be_collected():
    class LazyFrame(Frame):
        def collect(self):
            raise AssertionError("collected")

    with pytest.raises(TypeError, match=r"got a LazyFrame: write x\.collect\(\)$"):
        from_frame(LazyFrame(COLUMNS), target="age")


def test_who_names_no_target_is_told_how(frame):
    with pytest.raises(TypeError, match=r'from_frame\(frame, target="species"\)$'):
        from_frame(frame(COLUMNS))


def test_words_and_missing_values_among_samples_are_mended_by_scikit_learn():
    pandas = pytest.importorskip("pandas")
    compose = pytest.importorskip("sklearn.compose")
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pandas.DataFrame({**COLUMNS, "age": [31, None, 20, 64], "ill": ["no", "yes"] * 2})
    columns = compose.make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["age", "size"]),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["town"]),
    )
    x = columns.fit_transform(frame)
    data = xpnet.data.Dataset(x, frame["ill"], class_names=["no", "yes"])
    assert data.x.shape == (4, 5)
    assert data.t.tolist() == [0, 1, 0, 1]


# Dicts and archives

ARRAYS = {"x": np.arange(6.0).reshape(3, 2), "t": np.array([0, 1, 1]), "other": np.zeros(7)}


def test_arrays_of_a_dict_and_of_a_file_are_found_by_name(tmp_path):
    np.savez(tmp_path / "plain.npz", **ARRAYS)
    np.savez_compressed(tmp_path / "packed.npz", **ARRAYS)
    loaded = np.load(tmp_path / "plain.npz")
    for arrays in (ARRAYS, loaded, tmp_path / "plain.npz", str(tmp_path / "packed.npz")):
        data = from_arrays(arrays, classes=2)
        np.testing.assert_array_equal(data.x, ARRAYS["x"], strict=True)
        np.testing.assert_array_equal(data.t, ARRAYS["t"], strict=True)
        assert data.classes == 2
    loaded.close()


def test_names_may_be_others(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=ARRAYS["x"], y_train=["b", "a", "b"])
    data = from_arrays(tmp_path / "a.npz", x="x_train", t="y_train", class_names=["a", "b"])
    assert (data.t.tolist(), data.name) == ([1, 0, 1], str(tmp_path / "a.npz"))


def test_a_name_that_is_missing_is_told_with_those_that_are_there(tmp_path):
    np.savez(tmp_path / "a.npz", x=ARRAYS["x"], labels=ARRAYS["t"])
    message = "expected an array 't', got only x, labels: say which, x=..., t=..."
    with pytest.raises(ValueError, match=f"^arrays: {re.escape(message)}$"):
        from_arrays({"x": ARRAYS["x"], "labels": ARRAYS["t"]})
    path = tmp_path / "a.npz"
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}$"):
        from_arrays(path)


def test_a_damaged_archive_and_one_of_objects_are_refused_by_path(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"PK\3\4")
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: no NumPy archive, or a damage"):
        from_arrays(path)
    np.savez(path, x=np.array([{}, {}]), t=np.zeros(2))
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: x or t cannot be read .*objec"):
        from_arrays(path)


def test_what_has_no_names_is_no_dict_of_arrays():
    with pytest.raises(TypeError, match=r"^arrays: expected a dict of arrays or a path, got 3$"):
        from_arrays(3)
