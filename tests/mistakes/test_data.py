"""Mistakes with data: what is given as samples, targets, batches and names."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

import xpnet
from tests.conftest import Backend
from tests.mistakes import mistake
from xpnet.data import Batches, Dataset
from xpnet.layers import Conv2d, Flatten, Linear, ReLU, Rescale, Sequential
from xpnet.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from xpnet.optimizers import SGD
from xpnet.training import Trainer

X, T = np.eye(4, 3, dtype=np.float32), [0, 1, 2, 0]


def fit(x, t, outputs=3, loss=SoftmaxCrossEntropy, inputs=(3,), **of_data):
    """Train a network on data; its device is that of the samples."""
    data = Dataset(x, t, name="d", **of_data)
    net = Sequential([Linear(outputs)], input_shape=inputs)
    return Trainer(net.to(xpnet.devices.device_of(data.x)), loss(), SGD()).fit(data, 1)


def predict(x, *layers, inputs=(3,), place="cpu"):
    net = Sequential([*(layers or [Linear(2)])], input_shape=inputs)
    return net.to(place).predict(x)


class Frame:
    """A frame, as pandas and others have it."""

    def __init__(self, values, columns=("age", "town")):
        self.values, self.columns = values, columns

    def to_numpy(self):
        return np.array(self.values, object)

    def __getitem__(self, column):
        return self.to_numpy()[:, self.columns.index(column)]


class Sparse:
    """A sparse matrix, as SciPy has it."""

    def toarray(self):
        raise AssertionError("asked for all zeros")


class Arrow:
    """An Arrow array with missing values: it refuses in words of its own."""

    def __array__(self, dtype=None, copy=None):
        raise OverflowError("Needed to copy 1 chunks with 1 nulls,\nbut zero_copy_only was True")


# Mistakes on any library: of an array x of the library and targets

ON_EVERY_LIBRARY = {
    "labels of one class too many": (
        lambda xp: fit(xp.array(X), xp.array([0, 1, 3, 0])), ValueError,
        r"^d: expected labels of 0 to 2, one of the network's 3 outputs, got 3 at index 2$",
    ),
    "labels that begin at one": (
        lambda xp: fit(xp.array(X), xp.array([1, 2, 3, 1])), ValueError,
        r"got 3 at index 2: labels begin at 0, subtract 1$",
    ),
    "labels that begin at one, of so many classes": (
        lambda xp: Dataset(xp.array(X), xp.array([3, 2, 1, 1]), classes=3, name="d"), ValueError,
        r"^d: expected labels of 0 to 2, got 3 at index 0: labels begin at 0, subtract 1$",
    ),
    "labels of -1 and 1": (
        lambda xp: fit(xp.array(X), xp.array([-1, 1, 1, -1])), ValueError,
        r"^d: expected labels of 0 to 2, .* got -1 at index 0$",
    ),
    "labels with a half": (
        lambda xp: fit(xp.array(X), xp.array([0, 1, 0.5, 2])), ValueError,
        r"^d: expected labels of 0 to 2, .* got 0\.5 at index 2$",
    ),
    "labels with NaN": (
        lambda xp: fit(xp.array(X), xp.array([0, np.nan, 1, 2])), ValueError,
        r"^d: expected labels of 0 to 2, .* got nan at index 1$",
    ),
    "labels of NaN, of so many classes": (
        lambda xp: Dataset(xp.array(X), xp.array([0, np.nan, 1, 2]), classes=3), ValueError,
        r"^data: expected labels of 0 to 2, got nan at index 1$",
    ),
    "one-hot rows of another number of classes": (
        lambda xp: fit(xp.array(X), xp.array(np.eye(4))), ValueError,
        r"^d: expected targets of shape \(3,\), the network's output, got \(4,\)$",
    ),
    "rows of weights that are not one a class": (
        lambda xp: Dataset(xp.array(X), xp.array(np.eye(4)), classes=3), ValueError,
        r"^data: expected labels of shape \(n,\) or targets of shape \(n, 3\), got float64 of",
    ),
    "several numbers for one output": (
        lambda xp: fit(xp.array(X), xp.array(np.eye(4, 2)), 1, SquaredError), ValueError,
        r"^d: expected targets of shape \(1,\), the network's output, got \(2,\)$",
    ),
    "one target too few": (
        lambda xp: Dataset(xp.array(X), xp.array([0, 1, 2])), ValueError,
        r"^data: expected as many targets as samples, got 3 targets for 4 samples$",
    ),
    "no samples": (
        lambda xp: Dataset(xp.array(X[:0]), xp.array(np.zeros(0, int))), ValueError,
        r"^data: expected at least one sample, got none$",
    ),
    "a single number as samples": (
        lambda xp: Dataset(xp.array(3.0), xp.array(T)), ValueError,
        r"^data: expected x with samples on its first axis, got a scalar$",
    ),
    "samples of another width": (
        lambda xp: fit(xp.array(X[:, :2]), xp.array(T)), ValueError,
        r"^d: expected samples of shape \(3,\), got \(2,\)$",
    ),
    "images for a network of rows": (
        lambda xp: fit(xp.array(X[:, None, :]), xp.array(T)), ValueError,
        r"^d: expected samples of shape \(3,\), got \(1, 3\): write x\.reshape\(-1, 3\)$",
    ),
    "images without their channel": (
        lambda xp: fit(xp.array(np.zeros((4, 5, 6))), xp.array(T), inputs=(1, 5, 6)), ValueError,
        r"expected samples of shape \(1, 5, 6\), got \(5, 6\): write x\.reshape\(-1, 1, 5, 6\)$",
    ),
    "channels last": (
        lambda xp: fit(xp.array(np.zeros((4, 5, 6, 3))), xp.array(T), inputs=(3, 5, 6)),
        ValueError, r"got \(5, 6, 3\): channels come first, np\.moveaxis\(x, -1, 1\)$",
    ),
    "a time in seconds, in float32": (
        lambda xp: fit(xp.array(X.astype(int) * 1_700_000_000), xp.array(T)), ValueError,
        r"^d: x: expected whole numbers of at most 16777216, .*, got 1700000000: subtract an",
    ),
    "complex samples for real layers": (
        lambda xp: predict(xp.array(X * 1j, "complex64"), ReLU(), place=xp.device), ValueError,
        r'^ReLU "0": expected real x, got complex64$',
    ),
    "labels of -1 and 1 for a yes or no": (
        lambda xp: fit(xp.array(X), xp.array([-1, 1, 1, -1]), 1, SigmoidCrossEntropy), ValueError,
        r"^d: expected targets of 0 to 1, which SigmoidCrossEntropy takes, got -1 of sample 0: "
        r"write \(t \+ 1\) / 2$",
    ),
    "a third answer to yes or no": (
        lambda xp: fit(xp.array(X), xp.array([0, 1, 2, 0]), 1, SigmoidCrossEntropy), ValueError,
        r"^d: expected targets of 0 to 1, .* got 2 of sample 2$",
    ),
    "percent in place of shares": (
        lambda xp: fit(xp.array(X), xp.array(40 * np.eye(4, 3)), 3, SigmoidCrossEntropy),
        ValueError, r"^d: expected targets of 0 to 1, .* got 40\.0 of sample 0$",
    ),
    "a class of negative weight": (
        lambda xp: fit(xp.array(X), xp.array(-np.eye(4, 3))), ValueError,
        r"^d: expected targets >= 0, which SoftmaxCrossEntropy takes, got -1\.0 of sample 0$",
    ),
    "complex numbers to come near to": (
        lambda xp: fit(xp.array(X), xp.array([0, 1j, 2, 0], "complex64"), 1, SquaredError),
        ValueError, r"^SquaredError: expected real targets, got complex64$",
    ),
    "one output for classes": (
        lambda xp: fit(xp.array(X), xp.array(T), 1), ValueError,
        r"expected scores \(n, k\) of two classes or more, got \(4, 1\): .* SigmoidCrossEntropy$",
    ),
    "numbers past float32's range": (
        lambda xp: predict(xp.array(np.eye(4, 3) * 1e300, "float64"), place=xp.device), ValueError,
        r'^x: expected numbers of at most 3\.4e38, .* got 1e\+300: scale them, or build',
    ),
    "targets past float32's range": (
        lambda xp: fit(xp.array(X), xp.array(np.eye(4, 1) * -1e39, "float64"), 1, SquaredError),
        ValueError, r"^d: t: expected numbers of at most 3\.4e38, .* got 1e\+39: scale them",
    ),
    "NaN among the samples": (
        lambda xp: Dataset(xp.array(X * [1, np.nan, 1]), xp.array(T), name="d").check(),
        ValueError, r"^d: expected finite numbers, got nan in x of sample 0, at \[1\]$",
    ),
    "an infinity among the targets": (
        lambda xp: Dataset(xp.array(X), xp.array([0, 1, -np.inf, 0])).check(),
        ValueError, r"^data: expected finite numbers, got -inf in t of sample 2$",
    ),
    "one sample without an axis for samples": (
        lambda xp: predict(xp.array(X[0]), place=xp.device),
        ValueError, r"expected x of shape \(n, 3\), got \(3,\): one sample is a batch of one, x\[",
    ),
    "indices past the end": (
        lambda xp: Dataset(xp.array(X), xp.array(T)).select([0, 4]), ValueError,
        r"^select: expected indices of 0 to 3, got 4$",
    ),
    "a mask in place of indices": (
        lambda xp: Dataset(xp.array(X), xp.array(T)).select(xp.array([True, False, True, True])),
        ValueError, r"^select: expected integer indices of shape \(m,\) .* got bool",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ON_EVERY_LIBRARY.values(), ids=ON_EVERY_LIBRARY.keys())
def test_a_mistake_gets_its_sentence_on_every_library(xp: Backend, row):
    call, error, match = row
    mistake(lambda: call(xp), error, match)


# Mistakes that are made before there is an array of a library

MASKED = np.ma.array(X, mask=X > 0)
DATES = np.array(["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"], "datetime64[D]")
RECORDS = np.zeros(4, [("age", "f4"), ("size", "f4")])

ROWS = {
    "words as labels": (
        lambda: Dataset(X, ["cat", "dog", "cat", "cow"]), TypeError,
        r"^data: t: expected numbers, got 'cat' at index 0: number them: names, t = np\.unique\("
        r"labels, return_inverse=True\)$",
    ),
    "words as labels, in an array": (
        lambda: Dataset(X, np.array(["cat", "dog", "cat", "cow"])), TypeError,
        r"^data: t: expected numbers, got 'cat' at index 0: number them: names, t = np\.unique",
    ),
    "words as labels, in a series": (
        lambda: Dataset(X, Frame(["cat", "dog", "cat", "cow"])), TypeError,
        r"^data: t: .* got 'cat' at index 0: number them: .*return_inverse=True",
    ),
    "bytes as labels": (
        lambda: Dataset(X, np.array([b"a", b"b", b"a", b"a"])), TypeError,
        r"^data: t: .* at index 0: number them",
    ),
    "digits in quotes as labels": (
        lambda: Dataset(X, list("0120"), classes=3), TypeError,
        r"^data: t: expected numbers, got '0' at index 0: number them",
    ),
    "a word among samples": (
        lambda: Dataset([[1, "red"]], [0]), TypeError,
        r"^data: x: expected numbers, got '1' at \[0, 0\]: give each word a column of its own, or "
        r"write \.astype\(float\) of numbers$",
    ),
    "a column of words in a frame": (
        lambda: Dataset(Frame([[31, "Rome"]]), [0]), TypeError,
        r"^data: x: expected numbers, got 'Rome' at \[0, 1\] \(column 'town'\): give each word",
    ),
    "a missing value in a frame": (
        lambda: predict(Frame([[31, 1], [None, 2]])), ValueError,
        r"^x: expected numbers everywhere, but the one at \[1, 0\] \(column 'age'\) is missing:",
    ),
    "NaN in a column of whole numbers": (
        lambda: Dataset(Frame([[31, 1], [np.nan, 2]]), [0, 1]), ValueError,
        r"^data: x: .* \[1, 0\] \(column 'age'\) is missing: fill it, as by frame\.fillna\(0\), or",
    ),
    "None among labels": (
        lambda: Dataset(X, [0, None, 1, 2]), ValueError,
        r"^data: t: .* but the one at index 1 is missing",
    ),
    "an Arrow array with nulls": (
        lambda: Dataset(X, Arrow()), ValueError,
        r"^data: t: Arrow is no array of numbers: Needed to copy 1 chunks with 1 nulls,$",
    ),
    "a masked array": (
        lambda: Dataset(MASKED, T), ValueError,
        r"^data: x: .* got a masked array that hides the one at \[0, 0\]: fill it, x\.filled\(0\)",
    ),
    "masked labels": (
        lambda: Dataset(X, np.ma.array(T, mask=[0, 0, 1, 0])), ValueError,
        r"^data: t: .* hides the one at index 2: fill it",
    ),
    "a list of masked rows": (
        lambda: predict(list(MASKED)), ValueError, r"^x: .* hides the one at index 0",
    ),
    "dates": (
        lambda: Dataset(DATES[:, None], T), TypeError,
        r"^data: x: expected numbers, got datetime64\[D\]: take them from an origin, in a unit:",
    ),
    "a column of dates in a frame": (
        lambda: Dataset(Frame([[31, date(2026, 1, 2)]]), [0]), TypeError,
        r"^data: x: expected numbers, got datetime\.date\(2026, 1, 2\) at \[0, 1\] \(column 't.*: "
        r"take them from an origin",
    ),
    "times between dates": (
        lambda: Dataset(X, DATES - DATES[0]), TypeError,
        r"^data: t: expected numbers, got timedelta64\[D\]",
    ),
    "an array of records": (
        lambda: predict(RECORDS), TypeError,
        r"^x: expected numbers, got an array of records .*: write np\.lib\.recfunctions\.",
    ),
    "rows of different lengths": (
        lambda: Dataset([[1, 2], [3]], [0, 1]), ValueError,
        r"^data: x: list is no array of numbers: its rows differ in length: bring them to one",
    ),
    "images of different sizes": (
        lambda: predict(np.array([np.zeros((2, 2)), np.zeros((3, 3))], object)), ValueError,
        r"^x: expected samples of one shape, got a ndarray of 2 at index 0: np\.stack",
    ),
    "a sparse matrix": (
        lambda: Dataset(Sparse(), T), TypeError,
        r"^data: x: expected dense numbers, got a Sparse: write x\.toarray\(\)$",
    ),
    "a generator": (
        lambda: Dataset((row for row in X), T), TypeError,
        r"^data: x: expected numbers in an order, got a generator: write list\(\.\.\.\) around it$",
    ),
    "a map": (
        lambda: Dataset(X, map(int, "0120")), TypeError,
        r"^data: t: expected numbers in an order, got a map: write list",
    ),
    "a set": (
        lambda: Dataset(X, {0, 1, 2}), TypeError,
        r"^data: t: expected numbers in an order, got a set: write sorted\(\.\.\.\) around it$",
    ),
    "a dict of columns": (
        lambda: predict({"a": [1, 2], "b": [3, 4]}), TypeError,
        r"^x: expected numbers in an order, got a dict: write d\[name\] of one array in it, or",
    ),
    "nothing": (
        lambda: Dataset(X, None), TypeError, r"^data: t: expected numbers, got None$",
    ),
    "the name of a file": (
        lambda: predict("samples.csv"), TypeError, r"^x: expected numbers, got 'samples\.csv'",
    ),
    "a data set as samples": (
        lambda: predict(Dataset(X, T)), TypeError,
        r"^x: expected an array, .*, got Dataset.*: its samples are its x$",
    ),
    "a network as samples": (
        lambda: Dataset(Sequential([Linear(2)], input_shape=(3,)), T), TypeError,
        r"^data: x: expected an array, nested lists",
    ),
    "one number to predict": (
        lambda: predict(3.0), TypeError, r"^x: expected an array, nested lists, .* got 3\.0$",
    ),
    "one sample in a list to predict": (
        lambda: predict([1, 2, 3]), ValueError,
        r'^Linear "0": expected x of shape \(n, 3\), got \(3,\): one sample is a batch of one',
    ),
    "one image to predict": (
        lambda: predict(np.zeros((1, 5, 5)), Conv2d(2, 3), Flatten(), inputs=(1, 5, 5)),
        ValueError, r"expected x of shape \(n, 1, 5, 5\), got \(1, 5, 5\): one sample is a batch",
    ),
    "no batch to predict by": (
        lambda: Sequential([Linear(2)], input_shape=(3,)).predict(X, batch_size=0), ValueError,
        r"^batch_size: expected a whole number >= 1, got 0$",
    ),
    "classes by name": (
        lambda: Dataset(X, T, classes=["cat", "dog", "cow"]), ValueError,
        r"^data: classes: expected a whole number >= 1, got \['cat', 'dog', 'cow'\]$",
    ),
    "a word that is no class": (
        lambda: Dataset(X, ["cat", "dog", "cow", "cat"], class_names=["cat", "dog"]), ValueError,
        r"^data: t: expected one of the class_names, cat, dog, got 'cow' at index 2$",
    ),
    "more names than classes": (
        lambda: Dataset(X, T, 2, class_names=["cat", "dog", "cow"]), ValueError,
        r"^data: expected as many class_names as classes, got 3 names for 2 classes$",
    ),
    "a stratified split of numbers": (
        lambda: Dataset(X, X).split(0.5, stratify=True), ValueError,
        r"^stratify: expected data to have labels, got targets float32 \(4, 3\)$",
    ),
    "an array in place of a frame": (
        lambda: xpnet.data.from_frame(X, target=0), TypeError,
        r"^frame: expected a frame or table with columns by name, got ndarray of shape \(4, 3\)",
    ),
    "a column that is not there": (
        lambda: xpnet.data.from_frame(Frame([[31, "Rome"]]), target="twon"), ValueError,
        r"^target: expected a column of the frame, 'age', 'town', got 'twon': did you mean 'town'",
    ),
    "a dict without targets": (
        lambda: xpnet.data.from_arrays({"x": X, "y": T}), ValueError,
        r"^arrays: expected an array 't', got only x, y: say which, x=\.\.\., t=\.\.\.$",
    ),
    "no targets": (
        lambda: Dataset(X), TypeError,
        r"^Dataset: missing a required argument: 't': write Dataset\(x, t, classes=10\)$",
    ),
    "y for t": (
        lambda: Dataset(X, y=T), TypeError, r"^Dataset: takes no argument 'y', but x, t, classes,",
    ),
    "batches of an array": (
        lambda: Batches(X, 2), TypeError, r"^data: expected a Dataset, such as Dataset\(x, t\), g",
    ),
    "a quarter in percent": (
        lambda: Dataset(X, T).split(25), ValueError,
        r"^split: expected a fraction between 0 and 1 .* got 25$",
    ),
    "more than there is": (
        lambda: Dataset(X, T).take(5), ValueError, r"^take: expected a whole number from 1 to 4",
    ),
    "an unknown data set": (
        lambda: xpnet.data.load("fashion_mnist"), ValueError,
        r"^data set: expected .* got 'fashion_mnist': did you mean 'fashion-mnist'\?$",
    ),
    "a misspelt class of data": (
        lambda: xpnet.data.DataSet, AttributeError,
        r"^module 'xpnet\.data' has no 'DataSet': did you mean 'Dataset'\?$",
    ),
    "a shuffle that is no flag": (
        lambda: Batches(Dataset(X, T), 2, shuffle="no"), ValueError,
        r"^shuffle: expected True, False, 'blocks' or Blocks\(size, window\), got 'no'$",
    ),
    "a seed of words": (
        lambda: Batches(Dataset(X, T), 2, seed="lucky"), ValueError,
        r"^seed: expected a whole number >= 0, got 'lucky'$",
    ),
    "words and numbers for yes-or-no answers": (
        lambda: fit(X, ["yes", "no", "no", "yes"], 1, SigmoidCrossEntropy), TypeError,
        r"^d: t: expected numbers, got 'yes' at index 0: number them",
    ),
    "dtype of another library": (
        lambda: Dataset(X, T).astype("double precision"), ValueError,
        r"^dtype: expected .*, got 'double precision'",
    ),
    "bytes to a network by hand": (
        lambda: Sequential([Linear(2)], input_shape=(3,)).forward(X.astype(np.uint8)), ValueError,
        r'^Linear "0": expected floating-point x, got uint8: begin the network with Rescale',
    ),
    "a Rescale with strings": (
        lambda: Rescale("1/255"), ValueError, r"^scale: expected a finite number, got '1/255'$",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_a_mistake_gets_its_sentence(row):
    mistake(*row)


def test_each_row_is_another_mistake():
    assert not set(ROWS) & set(ON_EVERY_LIBRARY)
    assert len(ROWS) + len(ON_EVERY_LIBRARY) >= 60
