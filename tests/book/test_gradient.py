"""Gradients by differences: in place, restored, of any rank, on every array library."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import assert_close, strided
from xpnet.arrays import namespace, to_numpy
from xpnet.book.gradient import numerical_gradient, numerical_gradient_2d


@pytest.fixture
def writable(xp):
    if xp.read_only:
        pytest.skip("the book's gradient writes into its argument")
    return xp


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3), (2, 2, 1, 2)])
def test_gradient_of_a_sum_of_cubes(writable, shape):
    values = np.random.default_rng(0).normal(size=shape)
    x = writable.array(values)
    slope = numerical_gradient(lambda a: namespace(a).sum(a**3), x)
    assert_close(slope, 3 * values**2, rtol=1e-6, atol=2e-8)


def test_the_argument_itself_is_changed_and_restored_bit_for_bit(writable):
    values = np.random.default_rng(1).normal(size=(2, 3)) * 10.0 ** np.arange(-3, 3).reshape(2, 3)
    x = writable.array(values.copy())
    seen = []

    def loss(_):
        seen.append(to_numpy(x).copy())
        return namespace(x).sum(x * x)

    slope = numerical_gradient(loss, x)
    assert_close(slope, 2 * values, rtol=1e-6, atol=1e-7)
    assert to_numpy(x).tobytes() == values.tobytes()
    assert len(seen) == 12
    up = values.copy()
    up[0, 0] += 1e-4
    np.testing.assert_array_equal(seen[0], up)


def test_the_argument_is_restored_when_the_function_fails():
    x = np.array([1.0, 2.0])
    with pytest.raises(ZeroDivisionError):
        numerical_gradient(lambda a: 1 / 0, x)
    assert x.tolist() == [1.0, 2.0]


def test_float32_and_arrays_that_are_not_contiguous():
    values = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    x = strided(values)
    slope = numerical_gradient(lambda a: float((a.astype(float) ** 2).sum()), x)
    assert slope.dtype == np.float32
    np.testing.assert_allclose(slope, 2 * values, rtol=5e-3)
    np.testing.assert_array_equal(x, values)


def test_whole_numbers_are_refused():
    with pytest.raises(ValueError, match=r"expected real floating-point numbers, got int64"):
        numerical_gradient(lambda a: a.sum(), np.array([3, 4]))


def test_gradient_2d_shows_the_function_one_row_at_a_time(writable):
    values = np.array([[3.0, 4.0], [0.0, 2.0], [-1.0, 5.0]])
    X = writable.array(values)
    shapes = set()

    def f(row):
        shapes.add(tuple(row.shape))
        return namespace(row).sum(row**2)

    assert_close(numerical_gradient_2d(f, X), 2 * values, atol=1e-9)
    assert_close(numerical_gradient_2d(f, writable.array(values[0])), 2 * values[0], atol=1e-9)
    assert shapes == {(2,)}
    np.testing.assert_array_equal(to_numpy(X), values)
