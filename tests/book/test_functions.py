"""The book's functions: its numbers, on every array library."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import assert_close
from xpnet.book import functions
from xpnet.devices import device_of

P2 = [0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0]
P7 = [0.1, 0.05, 0.1, 0.0, 0.05, 0.1, 0.0, 0.6, 0.0, 0.0]
T2 = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_each_number(xp, dtype):
    values = np.array([-800.0, -1.5, -0.0, 0.0, 0.25, 3.0, 800.0], dtype)
    x = xp.array(values)
    with np.errstate(over="ignore"):
        s = (1 / (1 + np.exp(-values))).astype(dtype)
    assert functions.identity_function(x) is x
    assert_close(functions.step_function(x), np.array([0, 0, 0, 0, 1, 1, 1]))
    assert_close(functions.sigmoid(x), s, rtol=1e-6 if dtype == "float32" else 1e-14)
    assert_close(functions.sigmoid_grad(x), (1 - s) * s, rtol=1e-6, atol=1e-12)
    assert_close(functions.relu(x), np.maximum(0, values))
    assert_close(functions.relu_grad(x), np.array([0, 0, 1, 1, 1, 1, 1], dtype))
    assert device_of(functions.relu(x)) == xp.device


def test_functions_take_plain_numbers_and_integers():
    assert functions.sigmoid(0.0) == 0.5
    assert functions.sigmoid(np.float64(0)) == 0.5
    assert functions.step_function(-1.0) == 0
    assert functions.relu(-2) == 0
    assert_close(functions.relu(np.array([-1, 2])), np.array([0, 2]))
    assert_close(functions.sigmoid(np.array([0, 255], np.uint8)), np.array([0.5, 1.0]))


def test_softmax_of_a_row_and_of_rows(xp):
    row = [0.3, 2.9, 4.0]
    wanted = np.array([0.01821127, 0.24519181, 0.73659691])
    assert_close(functions.softmax(xp.array(row)), wanted, atol=5e-9)
    rows = functions.softmax(xp.array([row, [1010.0, 1000.0, 990.0]]))
    e = np.exp([0.0, -10.0, -20.0])
    assert_close(rows, np.stack([wanted, e / e.sum()]), atol=5e-9)


def test_numbers_are_numpys_own():
    y, t = functions.softmax(np.array([[0.3, 2.9]])), np.array([1])
    for value in (
        functions.cross_entropy_error(y, t),
        functions.softmax_loss(y, t),
        functions.sum_squared_error(y, np.array([[0.0, 1.0]])),
        functions.sigmoid(0.0),
        functions.relu(-1.5),
        functions.relu(np.float64(2.0)),
    ):
        assert type(value) is np.float64
    assert repr(functions.sigmoid(0.0)) == "np.float64(0.5)"
    assert repr(functions.step_function(-1.0)) == "array(0)"
    assert repr(functions.step_function(np.array([1.0, -1.0]))) == "array([1, 0])"


def test_sigmoid_far_out_is_zero_and_one_without_a_warning():
    np.testing.assert_array_equal(functions.sigmoid(np.array([-1e4, 1e4])), [0.0, 1.0])


def test_softmax_of_integers():
    e = np.exp([0.0, -10.0, -20.0])
    assert_close(functions.softmax(np.array([1010, 1000, 990])), e / e.sum(), rtol=1e-12)


def test_sum_squared_error_is_half_the_sum_over_everything(xp):
    t = xp.array(T2, "int64")
    assert float(functions.sum_squared_error(xp.array(P2), t)) == pytest.approx(0.0975, abs=1e-12)
    assert float(functions.mean_squared_error(xp.array(P7), t)) == pytest.approx(0.5975, abs=1e-12)
    both, ts = xp.array([P2, P7]), xp.array([T2, T2], "int64")
    assert float(functions.sum_squared_error(both, ts)) == pytest.approx(0.695, abs=1e-12)


def test_cross_entropy_error_of_one_sample_and_of_a_batch(xp):
    one_hot = xp.array(T2, "int64")
    first = float(functions.cross_entropy_error(xp.array(P2), one_hot))
    second = float(functions.cross_entropy_error(xp.array(P7), one_hot))
    assert first == pytest.approx(-np.log(0.6 + 1e-7), abs=1e-12)
    assert second == pytest.approx(2.302584092994546, abs=1e-12)  # not 2.302585: the 1e-7
    both = xp.array([P2, P7])
    for t in (np.array([2, 2]), np.array([2, 2], np.uint8), np.eye(10)[[2, 2]]):
        mean = float(functions.cross_entropy_error(both, xp.array(t)))
        assert mean == pytest.approx((first + second) / 2, abs=1e-12)


@pytest.mark.parametrize("label", [np.int64(2), np.array(2), np.array([2]), np.array([[2]])])
def test_cross_entropy_error_of_one_label(label):
    value = functions.cross_entropy_error(np.array(P2), label)
    assert value == pytest.approx(-np.log(0.6 + 1e-7), abs=1e-12)


def test_cross_entropy_error_of_zero_is_finite(xp):
    value = functions.cross_entropy_error(xp.array([[1.0, 0.0]]), xp.array([1]))
    assert float(value) == pytest.approx(-np.log(1e-7), abs=1e-9)


def test_cross_entropy_error_refuses_what_is_no_target():
    y = np.full((3, 4), 0.25)
    for t, got in (
        ([1, 2], r"int64 of shape \(2,\)"),
        ([1.0, 2.5, 0.0], r"float64 of shape \(3,\)"),
    ):
        with pytest.raises(
            ValueError,
            match=r"t: expected 3 labels \(whole numbers\) or targets of shape \(3, 4\), "
            f"got {got}",
        ):
            functions.cross_entropy_error(y, np.array(t))


@pytest.mark.parametrize(("labels", "got"), [([1, 2, 4], 4), ([-1, 0, 2], -1), ([0, 300, 1], 300)])
def test_cross_entropy_error_refuses_labels_that_are_no_class(xp, labels, got):
    y = xp.array(np.full((3, 4), 0.25))
    with pytest.raises(ValueError, match=rf"t: expected labels from 0 to 3, .* got {got}: .*"):
        functions.cross_entropy_error(y, xp.array(labels))


def test_unsigned_labels_are_no_other_than_signed_ones(xp):
    y = np.random.default_rng(0).uniform(size=(200, 200))
    t = np.arange(200, dtype=np.uint8)
    value = functions.cross_entropy_error(xp.array(y), xp.array(t))
    assert float(value) == pytest.approx(-np.log(np.diag(y) + 1e-7).mean(), abs=1e-12)


def test_softmax_loss(xp):
    value = functions.softmax_loss(xp.array([[0.3, 2.9, 4.0]]), xp.array([2]))
    assert float(value) == pytest.approx(-np.log(0.73659691 + 1e-7), abs=1e-7)


def test_float32_stays_float32(xp):
    y = xp.array([P2, P7], "float32")
    for value in (
        functions.softmax(y),
        functions.cross_entropy_error(y, xp.array([2, 2])),
        functions.sum_squared_error(y, xp.array([T2, T2], "float32")),
    ):
        assert str(value.dtype).endswith("float32")
