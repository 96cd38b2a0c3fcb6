"""Elementary functions: stored values, extremes, dtypes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.conftest import Backend, assert_close, strided
from xpnet import functions
from xpnet.arrays import to_numpy
from xpnet.devices import device_of
from xpnet.functions import (
    identity,
    log_softmax,
    one_hot,
    relu,
    sigmoid,
    softmax,
    step,
    swish,
    tanh,
)

X = np.array([-2.0, -0.5, 0.0, 0.5, 3.0])
VALUES = {  # at X
    "identity": [-2, -0.5, 0, 0.5, 3],
    "step": [0, 0, 0, 1, 1],
    "sigmoid": [0.1192029220221, 0.3775406687981, 0.5, 0.6224593312019, 0.9525741268224],
    "tanh": [-0.9640275800758, -0.4621171572600, 0, 0.4621171572600, 0.9950547536867],
    "relu": [0, 0, 0, 0.5, 3],
    "swish": [-0.2384058440442, -0.1887703343991, 0, 0.3112296656009, 2.8577223804673],
}
ALL = [*VALUES, "softmax", "log_softmax"]


def test_every_function_is_in_these_tests():
    assert set(functions.__all__) == {*ALL, "one_hot"}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elementwise_functions_have_their_known_values(xp: Backend, name, dtype):
    y = getattr(functions, name)(xp.array(X, dtype))
    rtol = 1e-6 if dtype == "float32" else 1e-12
    assert_close(y, np.array(VALUES[name], dtype), rtol=rtol, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_has_its_known_values(xp: Backend, dtype):
    y = softmax(xp.array([0.3, 2.9, 4.0], dtype))
    expected = np.array([0.01821127, 0.24519181, 0.73659691], dtype)
    assert_close(y, expected, rtol=1e-6)
    assert_close(log_softmax(xp.array([0.3, 2.9, 4.0], dtype)), np.log(expected), rtol=1e-5)


def test_softmax_of_large_scores_is_finite_and_sums_to_one(xp: Backend):
    y = to_numpy(softmax(xp.array([1010.0, 1000.0, 990.0])))
    assert y.sum() == pytest.approx(1, abs=1e-15)
    np.testing.assert_allclose(y, [1 - 4.54e-5, 4.5397e-5, 2.0611e-9], rtol=1e-4)
    logs = to_numpy(log_softmax(xp.array([1e4, 0.0, -1e4])))
    np.testing.assert_array_equal(logs, [0, -1e4, -2e4])


@pytest.mark.parametrize("function", [softmax, log_softmax])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_works_along_an_axis_and_ignores_a_common_shift(xp: Backend, function, axis):
    x = np.random.default_rng(0).normal(size=(3, 4))
    y = to_numpy(function(xp.array(x), axis=axis))
    total = (np.exp(y) if function is log_softmax else y).sum(axis=axis)
    np.testing.assert_allclose(total, 1, rtol=1e-14)
    assert_close(function(xp.array(x + 5), axis=axis), y, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extremes_saturate_without_overflow(xp: Backend, dtype):
    x = xp.array([-np.inf, -1e4, 1e4, np.inf], dtype)
    assert_close(sigmoid(x), np.array([0, 0, 1, 1], dtype))
    assert_close(tanh(x), np.array([-1, -1, 1, 1], dtype))
    assert_close(relu(x), np.array([0, 0, 1e4, np.inf], dtype))
    assert_close(step(x), np.array([0, 0, 1, 1], dtype))
    assert_close(swish(xp.array([-1e4, 1e4], dtype)), np.array([0, 1e4], dtype))


def test_sigmoid_keeps_its_precision_far_below_zero(xp: Backend):
    assert_close(sigmoid(xp.array([-50.0, -700.0])), np.exp([-50.0, -700.0]), rtol=1e-13)


def test_sigmoid_of_complex_numbers_is_the_plain_formula(xp: Backend):
    x = np.array([0.5 + 1j, -2 - 0.3j])
    assert_close(sigmoid(xp.array(x)), 1 / (1 + np.exp(-x)), rtol=1e-13)


@pytest.mark.parametrize("name", [name for name in ALL if name != "step"])
def test_nan_stays_nan(xp: Backend, name):
    assert np.isnan(to_numpy(getattr(functions, name)(xp.array([np.nan]))))[0]


def test_relu_and_step_are_zero_at_zero(xp: Backend):
    for zero in (0.0, -0.0):
        assert float(step(xp.array([zero]))[0]) == 0
        assert float(relu(xp.array([zero]))[0]) == 0


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_place_and_argument_are_kept(xp: Backend, name, dtype):
    given = xp.array(X.copy(), dtype)
    y = getattr(functions, name)(given)
    assert to_numpy(y).dtype == dtype
    assert device_of(y) == xp.device
    np.testing.assert_array_equal(to_numpy(given), X.astype(dtype))


@pytest.mark.parametrize("name", ALL)
def test_strided_input_gives_what_contiguous_input_gives(name):
    x = np.random.default_rng(0).normal(size=(4, 5))
    function = getattr(functions, name)
    np.testing.assert_allclose(function(strided(x)), function(x), rtol=1e-14)


def test_step_and_relu_keep_integers(xp: Backend):
    assert_close(step(xp.array([-3, 0, 2])), np.array([0, 0, 1]))


def test_identity_returns_its_argument(xp: Backend):
    x = xp.array(X)
    assert identity(x) is x


@pytest.mark.parametrize("kind", ["uint8", "int32", "int64"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_one_hot_sets_the_label(xp: Backend, kind, dtype):
    y = one_hot(xp.array([2, 0, 1, 2], kind), 3, dtype)
    assert_close(y, np.eye(3, dtype=dtype)[[2, 0, 1, 2]])
    assert device_of(y) == xp.device


def test_one_hot_is_float32_unless_told(xp: Backend):
    assert to_numpy(one_hot(xp.array([0]), 2)).dtype == "float32"


def test_one_hot_of_a_label_out_of_range_is_a_row_of_zeros(xp: Backend):
    assert not to_numpy(one_hot(xp.array([-1, 3, 255]), 3)).any()


def test_one_hot_knows_more_classes_than_a_label_dtype_reaches(xp: Backend):
    y = to_numpy(one_hot(xp.array([3, 255], "uint8"), 300))
    assert y.shape == (2, 300)
    np.testing.assert_array_equal(np.argwhere(y), [[0, 3], [1, 255]])


def test_one_hot_of_no_labels_is_empty(xp: Backend):
    assert to_numpy(one_hot(xp.array([], "int64"), 3)).shape == (0, 3)


def test_log_softmax_reaches_below_the_smallest_probability(xp: Backend):
    y = to_numpy(log_softmax(xp.array([0.0, 2000.0])))
    np.testing.assert_allclose(y, [-2000, 0])
    assert math.exp(y[0]) == 0
