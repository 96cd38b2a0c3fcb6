"""Convolution against plain loops; im2col and its transpose."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests.conftest import assert_close
from tests.ops import naive_oracles as naive
from xpnet.arrays import to_numpy
from xpnet.devices import device_of
from xpnet.ops import Window
from xpnet.ops.conv import (
    col2im,
    conv2d,
    conv2d_backward,
    conv_relu_pool,
    conv_relu_pool_backward,
    im2col,
)

# n, c, h, w, f, kh, kw, stride, pad
GEOMETRIES = {
    "plain": (2, 3, 5, 6, 4, 3, 2, 1, 0),
    "one-pixel": (1, 1, 1, 1, 1, 1, 1, 1, 0),
    "strided-padded": (2, 2, 6, 5, 3, 3, 3, 2, 1),
    "stride-past-kernel": (2, 1, 7, 8, 2, 2, 2, 3, 0),
    "rows-left-over": (1, 2, 6, 6, 2, 3, 3, 2, 0),
    "wide-pad": (1, 2, 2, 3, 2, 2, 3, 1, 2),
    "pad-as-wide-as-kernel": (1, 1, 3, 3, 1, 2, 2, 1, 2),
    "many-filters": (1, 1, 4, 5, 5, 3, 3, 1, 1),
    "one-row": (2, 2, 1, 6, 2, 1, 3, 1, 0),
    "whole-image": (2, 2, 3, 3, 3, 3, 3, 1, 0),
    "no-samples": (0, 2, 5, 4, 3, 3, 2, 1, 1),
}
POOLS = {
    "no-pool": None,
    "apart": Window(2, 2, 2, 0),
    "overlapping": Window(2, 2, 1, 0),
    "padded": Window(2, 2, 2, 1),
    "oblong": Window(1, 2, 1, 0),
}
TIGHT = {"rtol": 1e-11, "atol": 1e-12}


@pytest.fixture(params=GEOMETRIES)
def geometry(request):
    return GEOMETRIES[request.param]


@cache
def numbers(geometry):
    n, c, h, w, f, kh, kw, stride, pad = geometry
    rng = np.random.default_rng(0)
    x, W, b = rng.normal(size=(n, c, h, w)), rng.normal(size=(f, c, kh, kw)), rng.normal(size=f)
    dy = rng.normal(size=(n, f, *naive.sizes(h, w, kh, kw, stride, pad)))
    y = naive.conv(x, W, b, stride, pad)
    return x, W, b, dy, y, naive.conv_backward(dy, x, W, stride, pad)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
def test_conv2d_is_the_sum_of_its_definition(xp, geometry, bias):
    x, W, b, _, expected, _ = numbers(geometry)
    stride, pad = geometry[-2:]
    y, _ = conv2d(xp.array(x), xp.array(W), xp.array(b) if bias else None, stride=stride, pad=pad)
    assert_close(y, expected if bias else expected - b[:, None, None], **TIGHT)
    assert device_of(y) == xp.device


@pytest.mark.parametrize("need_dx", [True, False], ids=["dx", "no-dx"])
def test_conv2d_backward_is_the_transpose_of_forward(xp, geometry, need_dx):
    x, W, b, dy, _, (dW, db, dx) = numbers(geometry)
    move = dict(zip(("stride", "pad"), geometry[-2:], strict=True))
    _, kept = conv2d(xp.array(x), xp.array(W), xp.array(b), **move)
    own_dW, own_db = (xp.device.asarray(np.full(a.shape, 7.0)) for a in (W, b))
    found = conv2d_backward(
        xp.array(dy), kept, xp.array(W), own_dW, own_db, **move, need_dx=need_dx
    )
    assert_close(own_dW, dW, **TIGHT)
    assert_close(own_db, db, **TIGHT)
    if need_dx:
        assert_close(found, dx, **TIGHT)
        assert device_of(found) == xp.device
    else:
        assert found is None


def test_conv2d_backward_without_a_bias(xp):
    x, W, _, dy, _, (dW, _, dx) = numbers(GEOMETRIES["strided-padded"])
    _, kept = conv2d(xp.array(x), xp.array(W), None, stride=2, pad=1)
    own = xp.device.zeros(W.shape, "float64")
    found = conv2d_backward(
        xp.array(dy), kept, xp.array(W), own, None, stride=2, pad=1, need_dx=True
    )
    assert_close(own, dW, **TIGHT)
    assert_close(found, dx, **TIGHT)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("shape", ["plain", "strided-padded", "many-filters", "no-samples"])
def test_conv_relu_pool_is_the_three_in_a_row(xp, shape, pool):
    x, W, b, _, z, _ = numbers(GEOMETRIES[shape])
    stride, pad = GEOMETRIES[shape][-2:]
    window = POOLS[pool]
    rectified = np.where(z > 0, z, 0.0)
    if window is None:
        expected = rectified
        dy = dz = np.random.default_rng(1).normal(size=z.shape)
    else:
        expected, winners = naive.max_pool(rectified, *window)
        dy = np.random.default_rng(1).normal(size=expected.shape)
        dz = naive.max_pool_backward(dy, winners, z.shape)
    dW, db, dx = naive.conv_backward(np.where(z > 0, dz, 0.0), x, W, stride, pad)
    how = {"stride": stride, "pad": pad, "window": window}
    y, kept = conv_relu_pool(xp.array(x), xp.array(W), xp.array(b), **how)
    assert_close(y, expected, **TIGHT)
    own_dW, own_db = xp.device.zeros(W.shape, "float64"), xp.device.zeros(b.shape, "float64")
    found = conv_relu_pool_backward(
        xp.array(dy), kept, xp.array(W), own_dW, own_db, **how, need_dx=True
    )
    for own, wanted in ((own_dW, dW), (own_db, db), (found, dx)):
        assert_close(own, wanted, **TIGHT)
        assert device_of(own) == xp.device


def test_a_nan_pixel_reaches_every_output_that_sees_it_and_no_other(xp):
    x = np.zeros((1, 1, 4, 4), "float32")
    x[0, 0, 0, 0] = np.nan
    W = np.ones((1, 1, 3, 3), "float32")
    for y in (
        conv2d(xp.array(x), xp.array(W), None, stride=1, pad=0)[0],
        conv_relu_pool(xp.array(x), xp.array(W), None, stride=1, pad=0, window=None)[0],
    ):
        np.testing.assert_array_equal(np.isnan(to_numpy(y))[0, 0], [[True, False], [False, False]])
    window = Window(2, 2, 2, 0)
    pooled, _ = conv_relu_pool(xp.array(x), xp.array(W), None, stride=1, pad=0, window=window)
    assert np.isnan(to_numpy(pooled)).all()


@pytest.mark.parametrize(
    ("shape", "expected"), [((1, 3, 7, 7), (9, 75)), ((10, 3, 7, 7), (90, 75))], ids=str
)
def test_im2col_has_a_row_for_each_window(xp, shape, expected):
    columns = im2col(xp.array(np.random.default_rng(0).normal(size=shape)), Window(5, 5, 1, 0))
    assert tuple(columns.shape) == expected


def test_a_row_of_im2col_is_its_window_read_channel_by_channel(xp, geometry):
    x = numbers(geometry)[0]
    n, c, h, w, _, kh, kw, stride, pad = geometry
    oh, ow = naive.sizes(h, w, kh, kw, stride, pad)
    expected = np.zeros((n, oh, ow, c, kh, kw))
    for p, q, i, j, row, col in naive.meetings(x.shape, kh, kw, stride, pad):
        expected[:, p, q, :, i, j] = x[:, :, row, col]
    columns = im2col(xp.array(x), Window(kh, kw, stride, pad))
    assert_close(columns, expected.reshape(n * oh * ow, c * kh * kw), rtol=0)
    assert device_of(columns) == xp.device


def test_col2im_is_the_exact_transpose_of_im2col(xp, geometry):
    n, c, h, w, _, kh, kw, stride, pad = geometry
    rng = np.random.default_rng(2)
    x = rng.integers(-9, 10, (n, c, h, w)).astype("float64")
    columns = im2col(xp.array(x), Window(kh, kw, stride, pad))
    other = rng.integers(-9, 10, columns.shape).astype("float64")
    back = col2im(xp.array(other), x.shape, Window(kh, kw, stride, pad))
    assert tuple(back.shape) == x.shape
    assert (to_numpy(columns) * other).sum() == (x * to_numpy(back)).sum()
    assert device_of(back) == xp.device


def test_a_pixel_comes_back_once_for_each_window_it_is_in(xp):
    ones = im2col(xp.array(np.ones((1, 1, 3, 3))), Window(2, 2, 1, 0))
    counts = col2im(ones, (1, 1, 3, 3), Window(2, 2, 1, 0))
    assert_close(counts, [[[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]], rtol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_have_the_dtype_of_the_arguments(xp, dtype):
    x, W = xp.array(np.ones((2, 1, 5, 5)), dtype), xp.array(np.ones((1, 1, 2, 2)), dtype)
    dW = xp.device.zeros((1, 1, 2, 2), dtype)
    for window in (None, Window(2, 2, 2, 0), Window(3, 3, 1, 1)):
        how = {"stride": 1, "pad": 0, "window": window}
        y, kept = conv_relu_pool(x, W, None, **how)
        dx = conv_relu_pool_backward(y, kept, W, dW, None, **how, need_dx=True)
        assert to_numpy(y).dtype == to_numpy(dx).dtype == dtype
