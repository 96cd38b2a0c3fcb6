"""Pooling against plain loops: values, ties, padding and NaN."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests.conftest import assert_close
from tests.ops import naive_oracles as naive
from xpnet.arrays import to_numpy
from xpnet.devices import device_of
from xpnet.ops import Window, generic_only
from xpnet.ops.pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward

# (n, c, h, w), (kh, kw, stride, pad)
GEOMETRIES = {
    "apart": ((2, 3, 4, 6), (2, 2, 2, 0)),
    "overlapping": ((2, 2, 5, 6), (3, 3, 2, 0)),
    "overlapping-by-all-but-one": ((1, 2, 5, 4), (3, 2, 1, 0)),
    "stride-past-window": ((1, 1, 7, 8), (2, 2, 3, 0)),
    "rows-dropped": ((2, 1, 5, 7), (2, 2, 2, 0)),
    "padded": ((1, 2, 4, 5), (3, 3, 2, 1)),
    "padded-evenly": ((1, 1, 3, 4), (2, 2, 2, 1)),
    "oblong": ((2, 1, 4, 6), (1, 3, 3, 0)),
    "one-pixel": ((1, 1, 1, 1), (1, 1, 1, 0)),
    "one-column": ((2, 1, 6, 1), (2, 1, 2, 0)),
    "whole-image": ((2, 2, 3, 5), (3, 5, 5, 0)),
    "no-samples": ((0, 2, 4, 4), (2, 2, 2, 0)),
}


@pytest.fixture(params=GEOMETRIES)
def geometry(request):
    return GEOMETRIES[request.param]


@cache
def numbers(geometry, ties):
    shape, window = geometry
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, shape).astype("float64") if ties else rng.normal(size=shape)
    dy = rng.normal(size=(*shape[:2], *naive.sizes(*shape[2:], *window)))
    return x, dy, Window(*window)


@pytest.mark.parametrize("ties", [False, True], ids=["no-ties", "ties"])
def test_max_pooling_takes_the_first_largest_pixel_of_each_window(xp, geometry, ties):
    x, dy, window = numbers(geometry, ties)
    y, kept = max_pool2d(xp.array(x), window)
    expected, winners = naive.max_pool(x, *window)
    assert_close(y, expected, rtol=0)
    dx = max_pool2d_backward(xp.array(dy), kept, window)
    assert_close(dx, naive.max_pool_backward(dy, winners, x.shape), rtol=1e-12, atol=1e-14)
    assert device_of(y) == device_of(dx) == xp.device


def test_average_pooling_is_the_mean_with_padding_as_zeros(xp, geometry):
    x, dy, window = numbers(geometry, False)
    y = avg_pool2d(xp.array(x), window)
    dx = avg_pool2d_backward(xp.array(dy), x.shape, window)
    assert_close(y, naive.avg_pool(x, *window), rtol=1e-12, atol=1e-14)
    wanted = naive.avg_pool_backward(dy, x.shape, *window)
    assert_close(dx, wanted, rtol=1e-12, atol=1e-14)
    assert device_of(y) == device_of(dx) == xp.device


def test_of_equal_numbers_the_first_wins(xp):
    x = xp.array(np.full((1, 1, 2, 4), 5.0))
    _, kept = max_pool2d(x, Window(2, 2, 2, 0))
    dx = max_pool2d_backward(xp.array([[[[3.0, 4.0]]]]), kept, Window(2, 2, 2, 0))
    assert_close(dx, [[[[3.0, 0.0, 4.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]], rtol=0)


def test_of_equal_numbers_in_overlapping_windows_the_first_wins_each_time(xp):
    x = xp.array(np.zeros((1, 1, 1, 4)))
    _, kept = max_pool2d(x, Window(1, 2, 1, 0))
    dx = max_pool2d_backward(xp.array([[[[1.0, 2.0, 3.0]]]]), kept, Window(1, 2, 1, 0))
    assert_close(dx, [[[[1.0, 2.0, 3.0, 0.0]]]], rtol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [-1.0, -1e30, -np.inf])
def test_padding_never_wins(xp, dtype, value):
    x = xp.array(np.full((1, 2, 3, 3), value), dtype)
    y, kept = max_pool2d(x, Window(3, 3, 1, 1))
    assert_close(y, np.full((1, 2, 3, 3), value, dtype), rtol=0)
    dx = max_pool2d_backward(xp.array(np.ones((1, 2, 3, 3)), dtype), kept, Window(3, 3, 1, 1))
    if np.isfinite(value):
        assert to_numpy(dx).sum() == 2 * 3 * 3


@pytest.mark.parametrize("place", range(4))
def test_nan_anywhere_in_a_window_makes_its_maximum_nan(xp, place):
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    x[0, 0, place // 2, place % 2] = np.nan
    for bodies in "chosen", "generic":
        if bodies == "generic":
            with generic_only():
                y, _ = max_pool2d(xp.array(x), Window(2, 2, 2, 0))
        else:
            y, _ = max_pool2d(xp.array(x), Window(2, 2, 2, 0))
        assert_close(y, [[[[np.nan, 7.0], [13.0, 15.0]]]], rtol=0)


def test_a_window_of_more_than_256_cells_keeps_its_winner(xp):
    x = np.zeros((1, 1, 18, 18))
    x[0, 0, 17, 16] = 1.0
    y, kept = max_pool2d(xp.array(x), Window(18, 18, 18, 0))
    dx = max_pool2d_backward(xp.array([[[[2.0]]]]), kept, Window(18, 18, 18, 0))
    assert_close(y, [[[[1.0]]]], rtol=0)
    assert_close(dx, 2 * x, rtol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_have_the_dtype_of_the_arguments(xp, dtype):
    x = xp.array(np.ones((2, 1, 4, 4)), dtype)
    y, kept = max_pool2d(x, Window(2, 2, 2, 0))
    dx = max_pool2d_backward(y, kept, Window(2, 2, 2, 0))
    mean = avg_pool2d(x, Window(3, 3, 1, 1))
    back = avg_pool2d_backward(mean, (2, 1, 4, 4), Window(3, 3, 1, 1))
    assert {to_numpy(a).dtype.name for a in (y, dx, mean, back)} == {dtype}
