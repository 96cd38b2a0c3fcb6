# ruff: noqa: NPY002
"""The book's helpers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import assert_close
from xpnet.arrays import to_numpy
from xpnet.book.util import col2im, conv_output_size, im2col, shuffle_dataset, smooth_curve
from xpnet.devices import device_of


def test_smooth_curve_is_a_weighted_mean_of_eleven_neighbours(xp):
    values = np.random.default_rng(0).normal(size=30)
    weights = np.i0(2 * np.sqrt(1 - (np.arange(-5, 6) / 5) ** 2))  # Kaiser's window, beta 2
    weights /= weights.sum()
    mirrored = np.concatenate([values[10:0:-1], values, values[:-11:-1]])
    wanted = [weights @ mirrored[10 + i - 5 : 10 + i + 6] for i in range(30)]
    smooth = smooth_curve(xp.array(values))
    assert_close(smooth, np.array(wanted), rtol=1e-12)
    assert device_of(smooth) == xp.device
    assert_close(smooth_curve(values.tolist()), np.array(wanted), rtol=1e-12)


@pytest.mark.parametrize("shape", [(7, 3), (7, 1, 2, 2)])
def test_shuffle_dataset_takes_the_global_generators_permutation(xp, shape):
    x = np.arange(np.prod(shape), dtype=float).reshape(shape)
    t = np.arange(7)
    np.random.seed(3)
    order = np.random.permutation(7)
    np.random.seed(3)
    new_x, new_t = shuffle_dataset(xp.array(x), xp.array(t))
    assert_close(new_x, x[order])
    assert_close(new_t, order)
    np.testing.assert_array_equal(t, np.arange(7))


def test_conv_output_size_shows_a_misfit():
    assert conv_output_size(28, 5) == 24
    assert conv_output_size(7, 3, stride=2, pad=1) == 4
    assert conv_output_size(28, 5, stride=2) == 12.5


def test_im2col_has_the_books_shapes():
    assert im2col(np.random.rand(1, 3, 7, 7), 5, 5, stride=1, pad=0).shape == (9, 75)
    assert im2col(np.random.rand(10, 3, 7, 7), 5, 5).shape == (90, 75)


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (2, 0), (1, 2), (3, 1)])
def test_im2col_lists_windows_and_col2im_adds_them_up(xp, stride, pad):
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 5))
    wide = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    oh, ow = (6 + 2 * pad - 3) // stride + 1, (5 + 2 * pad - 2) // stride + 1
    spots = [
        (n, slice(p * stride, p * stride + 3), slice(q * stride, q * stride + 2))
        for n in range(2)
        for p in range(oh)
        for q in range(ow)
    ]
    wanted = np.array([wide[n, :, rows, cols].ravel() for n, rows, cols in spots])
    columns = im2col(xp.array(x), 3, 2, stride, pad)
    assert_close(columns, wanted)
    back = np.zeros(wide.shape)
    for row, (n, rows, cols) in zip(wanted, spots, strict=True):
        back[n, :, rows, cols] += row.reshape(3, 3, 2)
    assert_close(
        col2im(columns, x.shape, 3, 2, stride, pad),
        back[:, :, pad : pad + 6, pad : pad + 5],
        rtol=1e-12,
    )


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_im2col_and_col2im_are_float64_whatever_comes(xp, dtype):
    x = np.full((1, 1, 4, 4), 200)
    given = xp.array(x, dtype)
    columns = im2col(given, 2, 2)
    assert_close(columns, np.full((9, 4), 200.0))
    counts = np.outer([1, 2, 2, 1], [1, 2, 2, 1])  # windows that a pixel is in
    sums = col2im(xp.array(np.full((9, 4), 200), dtype), x.shape, 2, 2)
    assert_close(sums, 200.0 * counts[None, None])  # 800 where uint8 ends at 255
    assert_close(given, x.astype(dtype))


def test_im2col_keeps_its_argument():
    x = np.ones((1, 1, 4, 4))
    im2col(x, 2, 2)[...] = 0
    assert to_numpy(x).all()
