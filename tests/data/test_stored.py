"""Arrays that are not in memory: to look at rows is to read them, and nothing else is."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet import data as front
from xpnet.arrays import is_complex, library, namespace, pieces, to_numpy
from xpnet.data import Batches, Dataset, StoredArray
from xpnet.data.stored import brought, mapped, rows_at
from xpnet.devices import CPU, device_of

X = np.random.default_rng(0).integers(0, 256, (30, 2, 3), np.uint8)
T = np.arange(30) % 3


class Own:
    """Rows of one's own, that tell which of them were asked for."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.asked = array, []

    def __len__(self) -> int:
        return len(self.array)

    def gather(self, indices: np.ndarray) -> np.ndarray:
        self.asked.append(indices.tolist())
        return self.array[indices]


@pytest.fixture
def rows() -> Own:
    return Own(X)


@pytest.fixture
def x(rows: Own) -> StoredArray:
    made = StoredArray("x", rows)
    rows.asked.clear()  # a first row tells shape and dtype
    return made


class TestAnArray:
    def test_it_has_the_shape_and_the_dtype_of_its_rows(self, x):
        assert (x.shape, x.dtype, x.ndim, len(x)) == (X.shape, X.dtype, 3, 30)
        assert repr(x) == "StoredArray(uint8 (30, 2, 3) in Own)"

    @pytest.mark.parametrize("which", [np.arange(30), np.array([4, 4, 29, 0, 7, 11, 12, 13])])
    @pytest.mark.parametrize(
        "key",
        [
            7, -1, (7, 1), (3, 0, 2), slice(5), slice(6, 1, -3), slice(30, 40), [3, 1, 3], [-2],
            np.array([5, 0]), (slice(4), ...), (slice(4), 1), (slice(4), None), "mask",
        ],
        ids=str,
    )  # fmt: skip
    def test_to_index_it_is_to_index_what_it_holds(self, x, key, which):
        part = x if len(which) == len(x) else x.view(which)
        key = which > 9 if isinstance(key, str) else key
        np.testing.assert_array_equal(part[key], X[which][key], strict=True)
        assert isinstance(part[key], (np.ndarray, np.generic))

    def test_what_is_asked_for_is_read_and_nothing_else(self, x, rows):
        x.view(np.array([8, 2, 5])).view(2).astype("float64")[1:]
        assert rows.asked == [[2]]

    def test_a_number_that_is_no_rows_is_refused(self, x):
        for key in (30, -31, [30]):
            with pytest.raises(IndexError):
                x[key]
        for part in (x, x.view(np.arange(30)[::-1])):
            for key in (30, -31):
                with pytest.raises(IndexError):
                    part.take(np.array([1, key]), axis=0)
        assert len(list(x)) == 30

    @pytest.mark.parametrize("key", [None, ..., "a", 1.5])
    def test_what_is_no_number_of_a_row_is_refused(self, x, key):
        with pytest.raises(TypeError, match=r"^x: expected the numbers of rows first, got "):
            x[key]

    def test_it_passes_for_numpys(self, x):
        assert library(x).name == "numpy"
        assert device_of(x) == CPU
        assert not is_complex(x)
        np.testing.assert_array_equal(to_numpy(x), X, strict=True)
        np.testing.assert_array_equal(np.asarray(x, np.float32), X.astype(np.float32), strict=True)
        np.testing.assert_array_equal(namespace(x).take(x, [2, 1], axis=0), X[[2, 1]])

    def test_what_it_lacks_says_how_to_come_to_an_array(self, x):
        expected = r"^StoredArray has no 'mean': read rows first, as x\[:100\] does$"
        with pytest.raises(AttributeError, match=expected):
            x.mean()
        with pytest.raises(ValueError, match=r"^x: expected axis=0, along which rows lie, got 1$"):
            np.take(x, [0], axis=1)

    def test_it_pickles(self, x):
        made = pickle.loads(pickle.dumps(x.view(np.array([3, 2])).astype("float32")))
        np.testing.assert_array_equal(made[:], X[[3, 2]].astype(np.float32), strict=True)

    def test_pieces_of_it_are_read_one_at_a_time(self, x, rows, monkeypatch):
        monkeypatch.setattr("xpnet.arrays.PIECE", 64 * 7)  # a row takes 64 bytes at the least
        found = [(first, len(piece), len(rows.asked)) for first, piece in pieces(x)]
        assert found == [(0, 7, 1), (7, 7, 2), (14, 7, 3), (21, 7, 4), (28, 2, 5)]
        assert [first for first, _ in pieces(x, 3)] == [0, 21]
        assert rows.asked[5:] == [list(range(0, 21, 3)), [21, 24, 27]]


class TestChanges:
    def test_they_are_made_of_each_piece_one_after_the_other(self, x):
        made = mapped(lambda piece: piece[:, 0] - 0.5, x.astype("float32"))
        assert (made.shape, made.dtype) == ((30, 3), np.float32)
        np.testing.assert_array_equal(made[4:6], X[4:6, 0].astype(np.float32) - 0.5)

    def test_those_of_an_array_in_memory_are_made_at_once(self):
        np.testing.assert_array_equal(mapped(lambda piece: piece + 1, T), T + 1)

    def test_some_rows_of_it_are_read_later(self, x, rows):
        for made, expected in ((rows_at(x, 4), X[:4]), (rows_at(x, np.array([5, 1])), X[[5, 1]])):
            assert rows.asked == []
            np.testing.assert_array_equal(made[:], expected)
            rows.asked.clear()

    def test_on_the_processor_it_stays_as_it_is_and_elsewhere_it_is_read(
        self, x, rows, xp: Backend
    ):
        made = brought(x, xp.device, "float32")
        assert (rows.asked == []) == (xp.device == CPU)
        np.testing.assert_array_equal(to_numpy(made), X.astype(np.float32), strict=True)


class TestRows:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            (X > 99, "uint8"), (X.astype(">f4"), "float32"), (X.astype(np.float16), "float32"),
            (X.astype(complex), "complex128"),
        ],
    )  # fmt: skip
    def test_numbers_of_any_kind_are_what_a_data_set_makes_of_them(self, given, kept):
        stored, held = StoredArray("x", Own(given)), Dataset(given, T).x
        assert stored.dtype.name == kept
        np.testing.assert_array_equal(stored[:], held, strict=True)

    def test_those_of_another_library_will_do(self, xp: Backend):
        class Elsewhere(Own):
            def gather(self, indices):
                return xp.array(super().gather(indices))

        np.testing.assert_array_equal(StoredArray("x", Elsewhere(X))[2:5], X[2:5], strict=True)

    @pytest.mark.parametrize("resident", [None, False])
    def test_batches_of_them_are_those_of_an_array(self, xp: Backend, resident):
        stored = front.open(Own(X), Own(T), classes=3)
        found = Batches(stored, 7, device=xp.device, seed=4, resident=resident)
        expected = Batches(Dataset(X, T, classes=3), 7, device=xp.device, seed=4, resident=False)
        for epoch in range(2):
            for one, other in zip(found.epoch(epoch), expected.epoch(epoch), strict=True):
                for a, b in zip(one, other, strict=True):
                    assert device_of(a) == xp.device
                    np.testing.assert_array_equal(to_numpy(a), to_numpy(b), strict=True)

    def test_a_data_set_of_them_says_where_it_lies(self):
        made = front.open(Own(X), T, classes=3, name="mine")
        assert repr(made) == (
            "Dataset('mine': 30 samples, x uint8 (30, 2, 3), t int64 (30,), 3 classes, in Own)"
        )
        assert made.stored
        assert re.search(">in<.*?>Own<", made._repr_html_())
        assert not Dataset(X, T).stored

    def test_it_is_never_kept_on_a_device(self):
        made = front.open(Own(X), T)
        assert not Batches(made, 5).resident
        with pytest.raises(ValueError, match=r"^resident: expected a data set in memory, got Data"):
            Batches(made, 5, resident=True)

    def test_of_a_part_neighbours_are_those_where_it_lies(self):
        numbers = np.arange(2000)
        part, _ = front.open(Own(numbers), Own(numbers)).split(0.5)
        some = Batches(part, 20, shuffle=front.Blocks(10, 2))  # a window a batch
        lists = [x.tolist() for x, _ in some.epoch(0)]
        lie = np.sort(part.x[:])
        np.testing.assert_array_equal(np.sort(np.concatenate(lists)), lie)
        for one in lists:
            blocks, counts = np.unique(np.searchsorted(lie, one) // 10, return_counts=True)
            assert (len(blocks), counts.tolist()) == (2, [10, 10])

    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            (object(), TypeError, "expected rows that have __len__() and gather(indices), got <"),
            (Own(X[:0]), ValueError, "expected at least one sample, got none"),
            (Own(np.array(["a", "b"])), TypeError, "expected numbers, got 'a' at index 0: "),
        ],
    )
    def test_what_are_no_rows_of_numbers_is_refused(self, given, error, message):
        with pytest.raises(error, match=f"^x: {re.escape(message)}"):
            StoredArray("x", given)

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (lambda rows: rows[:1], "2 rows of Bad.gather, got an array of shape (1, 2, 3)"),
            (lambda rows: rows[0, 0, 0], "2 rows of Bad.gather, got an array of shape ()"),
            (
                lambda rows: rows[:, 0],
                "samples of uint8 and shape (2, 3), as the first is, got uint8 and (3,)",
            ),
            (
                lambda rows: rows / 2,
                "samples of uint8 and shape (2, 3), as the first is, got float64 and (2, 3)",
            ),
        ],
    )
    def test_rows_that_are_not_as_the_first_are_refused(self, answer, message):
        class Bad(Own):
            def gather(self, indices):
                rows = super().gather(indices)
                return rows if len(indices) == 1 else answer(rows)

        with pytest.raises(ValueError, match=f"^x: expected {re.escape(message)}$"):
            StoredArray("x", Bad(X))[:2]
