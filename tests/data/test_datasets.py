"""Data sets in memory: what is checked, how they are divided, what load gives."""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import pickle
import re
from fractions import Fraction
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet.arrays import to_numpy
from xpnet.data import NAMES, Dataset, DownloadError, catalog, datasets, idx, load
from xpnet.devices import DeviceError, device, device_of
from xpnet.random import Stream


@pytest.fixture(
    params=["numpy", "array_api_strict", "torch", pytest.param("cupy", marks=pytest.mark.gpu)]
)
def library(request):
    """Return an array library's module."""
    if request.param == "cupy":
        try:
            device("gpu")
        except DeviceError as error:
            pytest.skip(str(error))
    return pytest.importorskip(request.param)


def numbered(n: int = 10, library=np) -> Dataset:
    """Return samples whose two values and label tell which they are."""
    x = np.stack([np.arange(n), np.arange(n) + 100], axis=1).astype(np.float32)
    return Dataset(library.asarray(x), library.asarray(np.arange(n)), classes=n, name="numbered")


def which(data: Dataset) -> list[int]:
    """Return which samples a part of ``numbered`` holds, after checking that x and t agree."""
    labels = to_numpy(data.t).tolist()
    assert to_numpy(data.x)[:, 0].tolist() == labels
    assert to_numpy(data.x)[:, 1].tolist() == [label + 100 for label in labels]
    return labels


# Construction


@pytest.mark.parametrize(
    ("x", "t", "classes", "message"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), 3, "d: expected at least one sample, got none"),
        (
            np.zeros((4, 2)),
            np.zeros(3, int),
            3,
            "d: expected as many targets as samples, got 3 targets for 4 samples",
        ),
        (
            np.zeros((3, 2)),
            np.array([0, 3, 4]),
            3,
            "d: expected labels of 0 to 2, got 3 at index 1",
        ),
        (
            np.zeros((3, 2)),
            np.array([0, 1, -1]),
            3,
            "d: expected labels of 0 to 2, got -1 at index 2",
        ),
        (
            np.zeros((3, 2)),
            np.array([[0.0], [1.0], [0.5]]),
            3,
            "d: expected labels of 0 to 2, got 0.5 at index 2",
        ),
        (
            np.zeros((3, 2)),
            np.array([3, 1, 2]),
            3,
            "d: expected labels of 0 to 2, got 3 at index 0: labels begin at 0, subtract 1",
        ),
        (
            np.zeros((2, 2)),
            np.zeros((2, 2), int),
            3,
            "d: expected labels of shape (n,) or targets of shape (n, 3), got int64 of shape "
            "(2, 2)",
        ),
        (
            np.zeros((2, 2)),
            np.zeros(2, complex),
            3,
            "d: expected labels of shape (n,) or targets of shape (n, 3), got complex128 of shape "
            "(2,)",
        ),
        (
            np.zeros((2, 2)),
            np.zeros(2, int),
            0,
            "d: classes: expected a whole number >= 1, got 0",
        ),
        (
            np.zeros((2, 2)),
            np.zeros(2, int),
            2.0,
            "d: classes: expected a whole number >= 1, got 2.0",
        ),
        (
            np.asarray(1.0),
            np.zeros(2, int),
            2,
            "d: expected x with samples on its first axis, got a scalar",
        ),
        (
            np.zeros((2, 2)),
            np.asarray(1),
            2,
            "d: expected t with samples on its first axis, got a scalar",
        ),
    ],
)
def test_wrong_data_is_refused_in_one_sentence(x, t, classes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Dataset(x, t, classes, "d")


def test_a_wrong_label_is_found_on_every_array_library(library):
    x, t = library.asarray(np.zeros((3, 1))), library.asarray(np.array([0, 1, 10]))
    with pytest.raises(ValueError, match=r"^data: expected labels of 0 to 9, got 10 at index 2$"):
        Dataset(x, t, classes=10)


def test_samples_and_targets_lie_on_one_device():
    torch = pytest.importorskip("torch")
    with pytest.raises(
        ValueError, match=r"^d: expected x and t on one device, got x on torch:cpu and t on cpu$"
    ):
        Dataset(torch.zeros(2, 3), np.zeros(2, int), 3, "d")


@pytest.mark.parametrize(
    ("t", "classes"),
    [
        (np.zeros(2, np.uint8), 1),
        (np.zeros(2, np.float32), None),
        (np.array([-3, 5]), None),
        (np.zeros((2, 3, 4)), None),
        (np.zeros((2, 3), int), None),
        (np.eye(2), 2),
        (np.zeros((2, 1), np.complex128), None),
    ],
)
def test_what_is_an_array_of_numbers_stays_that_array(t, classes):
    x = np.zeros((2, 5), np.uint8)
    data = Dataset(x, t, classes)
    assert data.x is x
    assert data.t is t


class TestWhatEnters:
    """Samples and targets of every kind become arrays of numbers."""

    @pytest.mark.parametrize(
        ("t", "dtype"),
        [
            ([0, 2, 1], "int64"), ((0.0, 2.0, 1.0), "float32"), ([[0], [2], [1]], "uint8"),
            ([[0.0], [2.0], [1.0]], "float64"),
        ],
        ids=repr,
    )  # fmt: skip
    def test_labels_of_any_whole_numbers_become_integers_in_a_row(self, xp: Backend, t, dtype):
        for given in (t, xp.array(t, dtype)):
            data = Dataset(xp.array(np.eye(3)), given, 3)
            assert to_numpy(data.t).tolist() == [0, 2, 1]
            assert data.has_labels
            assert device_of(data.t) == xp.device

    def test_truth_values_are_the_labels_0_and_1(self, xp: Backend):
        data = Dataset(xp.array(np.eye(3) > 0), xp.array([True, False, True]), 2)
        assert to_numpy(data.t).tolist() == [1, 0, 1]
        assert to_numpy(data.x).tolist() == np.eye(3).tolist()

    @pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
    def test_one_hot_rows_of_whole_numbers_are_weights_of_classes(self, xp: Backend, dtype):
        data = Dataset(xp.array(np.eye(3)), xp.array(np.eye(3), dtype), 3)
        np.testing.assert_array_equal(to_numpy(data.t), np.eye(3, dtype=np.float32), strict=True)
        assert not data.has_labels

    def test_lists_lie_beside_the_array_they_came_with(self, xp: Backend):
        x = xp.array(np.eye(2))
        assert device_of(Dataset(x, [0, 1]).t) == xp.device
        assert device_of(Dataset([[0.5], [1.5]], xp.array([1, 0])).x) == xp.device

    def test_a_list_of_samples_is_float64_and_integers_stay_integers(self):
        data = Dataset([[0.5, 1], [2, 3]], [[1, -2], [3, 4]])
        np.testing.assert_array_equal(data.x, np.array([[0.5, 1], [2, 3]]), strict=True)
        np.testing.assert_array_equal(data.t, np.array([[1, -2], [3, 4]]), strict=True)


class TestClassNames:
    """What the classes are called, with every part of the data."""

    def test_words_become_the_numbers_of_their_names(self, xp: Backend):
        x = xp.array(np.eye(4))
        for words in (["dog", "cat", "ant", "dog"], np.array(["dog", "cat", "ant", "dog"])):
            data = Dataset(x, words, class_names=["ant", "bee", "cat", "dog"])
            assert to_numpy(data.t).tolist() == [3, 2, 0, 3]
            assert (data.classes, data.class_names) == (4, ("ant", "bee", "cat", "dog"))
            assert device_of(data.t) == xp.device

    def test_labels_that_are_numbers_and_one_hot_rows_have_names_too(self, xp: Backend):
        assert (
            Dataset(xp.array(np.eye(2)), xp.array([1, 0]), class_names=("no", "yes")).classes == 2
        )
        rows = Dataset(xp.array(np.eye(2)), xp.array(np.eye(2)), class_names=("no", "yes"))
        assert not rows.has_labels

    def test_they_travel_with_every_part(self, library):
        data = dataclasses.replace(numbered(10, library), class_names=list("abcdefghij"))
        names = tuple("abcdefghij")
        parts = [*data.split(0.3), *data.split(0.5, stratify=False), data.take(2), data.select([3])]
        parts += [data.to("cpu"), data.astype("float64"), data.with_arrays(data.x, data.t)]
        parts += [pickle.loads(pickle.dumps(data.to("cpu"))), copy.deepcopy(data.to("cpu"))]
        assert [part.class_names for part in parts] == [names] * len(parts)

    def test_the_first_few_are_shown(self):
        names = ["ant", "bee", "cat", "dog", "eel", "fly", "gnu"]
        shown = repr(Dataset(np.eye(2), ["ant", "gnu"], class_names=names))
        assert "7 classes (ant, bee, cat, dog, eel and 2 more)" in shown
        assert "2 classes (no, yes)" in repr(Dataset(np.eye(2), [0, 1], class_names=["no", "yes"]))

    @pytest.mark.parametrize(
        ("t", "options", "message"),
        [
            (
                ["no", "yse"], {"class_names": ["no", "yes"]},
                "d: t: expected one of the class_names, no, yes, got 'yse' at index 1: did you "
                "mean 'yes'?",
            ),
            (
                ["no", None], {"class_names": ["no", "yes"]},
                "d: t: expected a word for each sample, got None at index 1: fill it, or drop its "
                "sample",
            ),
            (
                ["no", 1], {"class_names": ["no", "yes"]},
                "d: t: expected a word for each sample, got 1 at index 1: fill it, or drop its "
                "sample",
            ),
            (
                [0, 2], {"class_names": ["no", "yes"]},
                "d: expected labels of 0 to 1, got 2 at index 1",
            ),
            (
                [0, 1], {"class_names": ["no", "yes"], "classes": 3},
                "d: expected as many class_names as classes, got 2 names for 3 classes",
            ),
            (
                [0, 1], {"class_names": ["no", "no"]},
                "d: class_names: expected names that differ, got 'no' twice",
            ),
            (
                [0, 1], {"class_names": [0, 1]},
                "d: class_names: expected names, such as ['cat', 'dog'], got [0, 1]",
            ),
            (
                [0, 1], {"class_names": "no"},
                "d: class_names: expected names, such as ['cat', 'dog'], got 'no'",
            ),
        ],
    )  # fmt: skip
    def test_what_names_no_classes_is_refused(self, t, options, message):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            Dataset(np.eye(2), t, name="d", **options)


class TestStratify:
    """Splits that hold out the same share of each class."""

    @pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.77])
    def test_each_class_gives_its_share_to_within_a_sample(self, library, fraction):
        t = np.repeat([7, -1, 3, 0], [100, 40, 9, 1])
        data = Dataset(library.asarray(np.arange(150)), library.asarray(t))
        rest, held_out = data.split(fraction, seed=1, stratify=True)
        assert len(held_out) == round(150 * fraction)
        assert sorted(to_numpy(rest.x).tolist() + to_numpy(held_out.x).tolist()) == [*range(150)]
        for label, count in zip(*np.unique(t, return_counts=True), strict=True):
            share = (to_numpy(held_out.t) == label).sum()
            assert abs(share - count * len(held_out) / 150) < 1
        for part in (rest, held_out):
            np.testing.assert_array_equal(to_numpy(part.t), t[to_numpy(part.x)])

    def test_equal_seeds_give_equal_parts_on_every_library_and_others_others(self, library):
        def held_out(seed, library):
            t = library.asarray(np.arange(60) % 3)
            data = Dataset(library.asarray(np.arange(60)), t)
            return to_numpy(data.split(0.3, seed, stratify=True)[1].x).tolist()

        assert held_out(4, library) == held_out(4, np) != held_out(5, np)

    def test_the_parts_are_in_no_order_of_classes(self):
        data = Dataset(np.arange(100), np.repeat([0, 1], 50))
        for part in data.split(0.5, stratify=True):
            assert np.abs(np.diff(part.t)).sum() > 10

    def test_what_are_no_labels_is_refused(self):
        message = r"^stratify: expected d to have labels, got targets float64 \(4,\)$"
        with pytest.raises(ValueError, match=message):
            Dataset(np.eye(4), np.linspace(0, 1, 4), name="d").split(0.5, stratify=True)
        with pytest.raises(ValueError, match=r"^stratify: expected True or False, got 'yes'$"):
            numbered().split(0.5, stratify="yes")


class TestFolds:
    """Parts that are held out in turn."""

    @pytest.mark.parametrize("stratify", [False, True])
    @pytest.mark.parametrize("count", [2, 5, 7, 150])
    def test_each_sample_is_held_out_once_in_parts_of_one_size(self, library, count, stratify):
        t = np.repeat([7, -1, 3, 0], [100, 40, 9, 1])
        data = Dataset(library.asarray(np.arange(150)), library.asarray(t))
        seen: list[int] = []
        for rest, held_out in data.folds(count, seed=1, stratify=stratify):
            assert len(held_out) in (150 // count, -(-150 // count))
            left, held = to_numpy(rest.x).tolist(), to_numpy(held_out.x).tolist()
            assert sorted(left + held) == [*range(150)]
            np.testing.assert_array_equal(to_numpy(held_out.t), t[held])
            seen += held
        assert sorted(seen) == [*range(150)]

    def test_those_stratified_have_each_class_in_equal_numbers(self, library):
        t = np.repeat([7, -1, 3, 0], [100, 40, 9, 1])
        data = Dataset(library.asarray(np.arange(150)), library.asarray(t))
        held = [to_numpy(part.t) for _, part in data.folds(4, stratify=True)]
        for label in (7, -1, 3, 0):
            counts = [(labels == label).sum() for labels in held]
            assert max(counts) - min(counts) <= 1
        assert np.abs(np.diff(held[0])).sum() > 50  # and in no order of classes

    def test_equal_seeds_give_equal_parts_on_every_library_and_others_others(self, library):
        def held_out(seed, library):
            return [which(part) for _, part in numbered(10, library).folds(3, seed)]

        order = Stream(4, "folds").permutation(10).tolist()
        assert held_out(4, library) == [order[0::3], order[1::3], order[2::3]]
        assert held_out(4, library) == held_out(4, np) != held_out(5, np)

    @pytest.mark.parametrize("count", [1, 11, 2.5, True])
    def test_there_are_two_at_least_and_no_empty_ones(self, count):
        message = f"^folds: expected a whole number from 2 to 10, got {count}$"
        with pytest.raises(ValueError, match=message):
            numbered(10).folds(count)

    def test_what_are_no_labels_is_not_stratified(self):
        data = Dataset(np.eye(4), np.linspace(0, 1, 4), name="d")
        with pytest.raises(ValueError, match=r"^stratify: expected d to have labels"):
            data.folds(2, stratify=True)


class TestCheck:
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_it_names_the_first_number_that_is_not_finite(self, xp: Backend, value):
        x, t = np.zeros((2500, 2, 3), np.float32), np.zeros((2500, 4))
        x[2100, 1, 2] = x[2200] = value
        message = (
            f"^wells: expected finite numbers, got {value} in x of sample 2100, at \\[1, 2\\]$"
        )
        with pytest.raises(ValueError, match=message):
            Dataset(xp.array(x), xp.array(t), name="wells").check()
        t[7, 3] = value
        with pytest.raises(ValueError, match=f"got {value} in t of sample 7, at \\[3\\]$"):
            Dataset(xp.array(np.zeros(2500)), xp.array(t)).check()

    def test_numbers_that_are_finite_pass(self, xp: Backend):
        Dataset(xp.array(np.ones(3, np.uint8)), xp.array([0.5, 1e30, -1e30])).check()
        Dataset(xp.array(np.ones(3) * 1j), xp.array([1, 2, 3])).check()


def test_a_data_set_is_frozen_and_says_what_it_is(library):
    data = numbered(3, library)
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.x = data.t
    where = device_of(data.x).name
    assert repr(data) == (
        f"Dataset('numbered': 3 samples, x float32 (3, 2), t int64 (3,), 3 classes, on {where})"
    )
    assert repr(Dataset(np.zeros((2, 1)), np.zeros(2))) == (
        "Dataset('data': 2 samples, x float64 (2, 1), t float64 (2,), on cpu)"
    )


# Parts


@pytest.mark.parametrize(("fraction", "count"), [(0.1, 1), (0.3, 3), (0.25, 2), (0.94, 9)])
def test_split_holds_out_a_fraction_and_loses_and_doubles_nothing(library, fraction, count):
    rest, held_out = numbered(10, library).split(fraction)
    assert (len(rest), len(held_out)) == (10 - count, count)
    assert sorted(which(rest) + which(held_out)) == list(range(10))


def test_split_is_the_permutation_of_its_seed_on_every_array_library(library):
    order = Stream(7, "split").permutation(100).tolist()
    rest, held_out = numbered(100, library).split(0.2, seed=7)
    assert which(held_out) == order[:20]
    assert which(rest) == order[20:]
    assert type(held_out.x) is type(library.asarray(np.zeros(1)))
    assert (held_out.classes, held_out.name) == (100, "numbered")


def test_other_seeds_split_otherwise():
    splits = {tuple(which(numbered(50).split(0.5, seed)[0])) for seed in range(5)}
    assert len(splits) == 5


@pytest.mark.parametrize("fraction", [0, 1, 1.0, -0.5, 1.5, 0.01, 0.99, float("nan"), "0.5"])
def test_split_leaves_no_part_empty(fraction):
    message = (
        f"split: expected a fraction between 0 and 1 that leaves both parts of 10 samples at least "
        f"one, got {fraction!r}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        numbered(10).split(fraction)


def test_take_gives_the_first_samples(library):
    assert which(numbered(10, library).take(3)) == [0, 1, 2]
    assert which(numbered(10, library).take(10)) == list(range(10))


@pytest.mark.parametrize("n", [0, -1, 11, 2.0, True, "2"])
def test_take_gives_no_more_than_there_are(n):
    message = f"take: expected a whole number from 1 to 10, got {n!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        numbered(10).take(n)


def test_select_gives_the_samples_at_indices_in_their_order(library):
    data = numbered(10, library)
    for indices in ([7, 0, 7], (7, 0, 7), np.array([7, 0, 7], np.uint8)):
        assert which(data.select(indices)) == [7, 0, 7]
    assert which(data.select(library.asarray(np.array([9, 1])))) == [9, 1]


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0, 10], "select: expected indices of 0 to 9, got 10"),
        ([0, -1], "select: expected indices of 0 to 9, got -1"),
        (
            [],
            "select: expected integer indices of shape (m,) with m >= 1, got float64 of shape (0,)",
        ),
        (
            [[1]],
            "select: expected integer indices of shape (m,) with m >= 1, got int64 of shape (1, 1)",
        ),
        (
            np.ones(10, bool),
            "select: expected integer indices of shape (m,) with m >= 1, got bool of shape (10,): "
            "of a mask write np.flatnonzero(mask)",
        ),
        (
            3,
            "select: expected integer indices of shape (m,) with m >= 1, got int64 of shape ()",
        ),
    ],
)
def test_select_refuses_what_are_no_indices(indices, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        numbered(10).select(indices)


@pytest.mark.parametrize("name", ["cpu", "torch:cpu"])
def test_to_brings_both_arrays_to_a_device_and_labels_to_int64(name):
    if name.startswith("torch"):
        pytest.importorskip("torch")
    x = np.arange(6, dtype=np.uint8).reshape(3, 2)
    there = Dataset(x, np.array([0, 1, 2], np.uint8), 3, "d").to(name)
    xp = device(name).xp
    assert (there.x.dtype, there.t.dtype) == (xp.uint8, xp.int64)
    np.testing.assert_array_equal(to_numpy(there.x), x)
    assert to_numpy(there.t).tolist() == [0, 1, 2]
    assert (there.classes, there.name) == (3, "d")
    back = there.to(device("cpu"))
    np.testing.assert_array_equal(back.x, x, strict=True)


def test_to_keeps_the_dtype_of_floating_point_targets():
    data = Dataset(np.zeros((2, 1)), np.zeros((2, 3), np.float32)).to("cpu")
    assert data.t.dtype == np.float32


def test_labels_are_checked_once_and_not_for_every_part(monkeypatch):
    data = numbered(10)

    def again(*_):
        raise RuntimeError("labels checked again")

    monkeypatch.setattr(datasets, "as_labels", again)
    data.split(0.5)
    data.take(2)
    data.select([1])
    data.to("cpu")
    with pytest.raises(RuntimeError, match="checked again"):
        numbered(10)


# The embedded digits


@pytest.fixture(scope="module")
def original():
    """Return scikit-learn's copy of the digits, images uint8 and labels."""
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    return digits.images.astype(np.uint8), digits.target


def embedded(part: str) -> tuple[np.ndarray, np.ndarray]:
    folder = resources.files("xpnet.data") / "digits"
    with resources.as_file(folder) as path:
        return (
            idx.read(path / f"{part}-images-idx3-ubyte.gz"),
            idx.read(path / f"{part}-labels-idx1-ubyte.gz"),
        )


def test_the_embedded_files_are_the_original_digits_each_once(original):
    train, test = embedded("train"), embedded("t10k")
    images, labels = (np.concatenate(pair) for pair in zip(train, test, strict=True))
    expected, targets = original
    assert images.dtype == labels.dtype == np.uint8
    assert images.shape == expected.shape == (1797, 8, 8)
    found = sorted((image.tobytes(), int(t)) for image, t in zip(images, labels, strict=True))
    assert found == sorted((im.tobytes(), int(t)) for im, t in zip(expected, targets, strict=True))


def test_the_test_digits_are_those_that_the_attribution_documents(original):
    images, targets = original
    by_class = sorted(range(1797), key=lambda index: targets[index])  # a stable sort
    step = Fraction(1797, 360)
    chosen = {by_class[int((i + Fraction(1, 2)) * step)] for i in range(360)}
    for part, indices in (("t10k", sorted(chosen)), ("train", sorted({*range(1797)} - chosen))):
        found_images, found_labels = embedded(part)
        np.testing.assert_array_equal(found_images, images[indices])
        np.testing.assert_array_equal(found_labels, targets[indices])


def test_every_class_of_the_test_digits_is_within_one_of_its_share():
    train, test = load("digits")
    all_counts = np.bincount(train.t) + np.bincount(test.t)
    assert abs(np.bincount(test.t) - all_counts * 360 / 1797).max() < 1


def test_load_gives_the_digits_the_form_of_mnist():
    train, test = load()
    assert (len(train), len(test)) == (1437, 360)
    for data, part in ((train, "train"), (test, "t10k")):
        assert data.x.shape == (len(data), 1, 28, 28)
        assert (data.x.dtype, data.t.dtype) == (np.uint8, np.int64)
        assert (data.classes, data.name) == (10, "digits")
        small, labels = embedded(part)
        assert data.t.tolist() == labels.tolist()
        expected = np.zeros((len(data), 28, 28))
        expected[:, 2:26, 2:26] = np.kron(small, np.ones((1, 3, 3))) * 255 / 16
        assert abs(data.x[:, 0] - expected).max() <= 0.5
    assert (train.x.min(), train.x.max()) == (0, 255)


def test_the_digits_carry_their_source_and_licence():
    text = (resources.files("xpnet.data") / "digits/ATTRIBUTION.md").read_text(encoding="utf-8")
    for needed in ("Alpaydin", "Kaynak", "1998", "CC BY 4.0", "10.24432/C50P49"):
        assert needed in text


# load


def test_an_unknown_name_is_answered_with_the_known_ones():
    assert ("digits", *catalog.SOURCES) == NAMES
    with pytest.raises(
        ValueError,
        match=r"^data set: expected 'digits', 'mnist', .* or 'cifar-10', got 'minst': "
        r"did you mean 'mnist'\?$",
    ):
        load("minst")


def test_load_reads_what_fetch_finds(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, high, shape, np.uint8)
        for high, shape in ((256, (6, 28, 28)), (10, 6), (256, (4, 28, 28)), (10, 4))
    ]
    kmnist = catalog.SOURCES["kmnist"]  # its digests are of the gzip, so any files may lie there
    files = tuple(
        dataclasses.replace(f, shape=a.shape) for f, a in zip(kmnist.files, arrays, strict=True)
    )
    layout = dataclasses.replace(kmnist.layout, files=files)
    monkeypatch.setitem(catalog.SOURCES, "kmnist", dataclasses.replace(kmnist, layout=layout))
    (tmp_path / "kmnist").mkdir()
    for file, array in zip(files, arrays, strict=True):
        idx.write(tmp_path / "kmnist" / file.name, array)
    train, test = load("kmnist", tmp_path)
    np.testing.assert_array_equal(train.x, arrays[0].reshape(6, 1, 28, 28), strict=True)
    np.testing.assert_array_equal(train.t, arrays[1].astype(np.int64), strict=True)
    np.testing.assert_array_equal(test.x, arrays[2].reshape(4, 1, 28, 28), strict=True)
    np.testing.assert_array_equal(test.t, arrays[3].astype(np.int64), strict=True)
    assert train.name == test.name == "kmnist"
    assert train.class_names == test.class_names == kmnist.class_names

    (tmp_path / "kmnist" / files[1].name).write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte\.gz: .* HTML page .*; delete"):
        load("kmnist", tmp_path)


def test_a_set_that_no_mirror_gives_is_a_download_error(tmp_path, monkeypatch):
    offline = dataclasses.replace(catalog.SOURCES["mnist"], mirrors=())
    monkeypatch.setitem(datasets.catalog.SOURCES, "mnist", offline)
    with pytest.raises(DownloadError, match=r"^mnist: could not download train-images"):
        load("mnist", tmp_path)


@pytest.fixture(scope="module")
def mnist() -> tuple[Dataset, Dataset]:
    if not os.environ.get("XPNET_DATA"):
        pytest.skip("XPNET_DATA names no folder")
    return load("mnist", Path(os.environ["XPNET_DATA"]))


@pytest.mark.mnist
def test_mnist_has_its_known_counts_of_each_class(mnist):
    train, test = mnist
    assert np.bincount(train.t).tolist() == [
        *(5923, 6742, 5958, 6131, 5842),
        *(5421, 5918, 6265, 5851, 5949),
    ]
    assert np.bincount(test.t).tolist() == [
        *(980, 1135, 1032, 1010, 982),
        *(892, 958, 1028, 974, 1009),
    ]
    assert train.t[0] == 5


@pytest.mark.mnist
def test_mnist_has_its_known_form_mean_and_deviation(mnist):
    train, test = mnist
    assert (train.x.shape, test.x.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    assert (train.x.dtype, train.t.dtype) == (np.uint8, np.int64)
    assert train.x.mean() / 255 == pytest.approx(0.13066, abs=5e-6)
    assert train.x.std() / 255 == pytest.approx(0.3081, abs=5e-5)


class TestWeights:
    """How much each sample counts."""

    def labelled(self) -> Dataset:
        t = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 0])
        return Dataset(np.arange(20.0, dtype="float32").reshape(10, 2), t, classes=3)

    def test_balanced_classes_count_alike_and_the_mean_weight_is_1(self):
        data = self.labelled().weighted("balanced")
        for label in range(3):
            assert data.weights[data.t == label].sum() == pytest.approx(10 / 3)
        assert data.weights.mean() == pytest.approx(1)

    def test_they_are_those_of_scikit_learn(self):
        utils = pytest.importorskip("sklearn.utils.class_weight")
        expected = utils.compute_sample_weight("balanced", self.labelled().t)
        np.testing.assert_allclose(self.labelled().weighted("balanced").weights, expected)

    def test_classes_have_weights_of_their_own_those_left_out_1(self):
        data = self.labelled().weighted({1: 4, 2: 0.5})
        np.testing.assert_array_equal(data.weights, [1, 1, 1, 1, 1, 1, 4, 4, 0.5, 1])

    def test_classes_may_go_by_their_names(self):
        data = Dataset([[1.0], [2.0]], ["ham", "spam"], class_names=["ham", "spam"])
        np.testing.assert_array_equal(data.weighted({"spam": 5}).weights, [1, 5])

    def test_they_go_wherever_their_samples_go(self, xp: Backend):
        weights = np.arange(1, 11)
        data = Dataset(self.labelled().x, self.labelled().t, 3, weights=weights).to(xp.device)
        rest, held_out = data.split(0.3)
        parts = [rest, held_out, data.take(4), data.select([9, 2]), data.astype("float64")]
        for part in [*parts, pickle.loads(pickle.dumps(data))]:
            first = to_numpy(part.x)[:, 0] / 2 + 1
            np.testing.assert_array_equal(to_numpy(part.weights), first)
            assert device_of(part.weights) == device_of(part.x)

    @pytest.mark.parametrize(
        ("weights", "words"),
        [
            ([1, 2], r"expected weights of shape \(10,\), real numbers, got int64 of shape \(2,\)"),
            (np.ones((10, 1)), r"got float64 of shape \(10, 1\)"),
            (-np.ones(10), r"expected weights >= 0, got -1\.0 at index 0"),
            (np.full(10, np.nan), r"expected weights >= 0, got nan at index 0"),
            (np.zeros(10), r"expected a weight above 0, got 10 zeros"),
            ("balance", r"weights: expected 'balanced', got 'balance': did you mean 'balanced'"),
            ({3: 1}, r"weights: expected labels of data, 0 to 2, got 3"),
            ({0: -1}, r"weights: 0: expected a number >= 0, got -1"),
        ],
    )
    def test_what_are_no_weights_is_said(self, weights, words):
        with pytest.raises(ValueError, match=words):
            self.labelled().weighted(weights)

    def test_numbers_have_no_classes_to_weigh(self):
        with pytest.raises(ValueError, match=r"expected labels, of which each class has a weight"):
            Dataset(np.ones((3, 2)), np.ones((3, 1))).weighted("balanced")
