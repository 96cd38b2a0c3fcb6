# ruff: noqa: NPY002
"""The book's layers: against loops and closed forms, on every array library."""

from __future__ import annotations

import numpy as np
import pytest

from tests.book import straight_numpy
from tests.conftest import assert_close
from xpnet.arrays import namespace, to_numpy
from xpnet.book import layers as book
from xpnet.book.layer_naive import AddLayer, MulLayer
from xpnet.devices import device_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 5))
IMAGES = RNG.normal(size=(2, 3, 6, 5))


def slope_by_differences(f, x, dout, h=1e-6):
    """The gradient of sum(f(x) dout), number by number."""
    slope = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        ends = []
        for step in (h, -h):
            moved = x.copy()
            moved[at] += step
            ends.append((to_numpy(f(moved)) * dout).sum())
        slope[at] = (ends[0] - ends[1]) / (2 * h)
    return slope


def test_star_import_brings_what_the_books_brings():
    names: dict[str, object] = {}
    exec("from xpnet.book.layers import *", names)
    assert names["np"] is np
    wanted = "Relu Sigmoid Affine SoftmaxWithLoss Dropout BatchNormalization Convolution Pooling"
    wanted += " im2col col2im sigmoid sigmoid_grad softmax relu relu_grad cross_entropy_error"
    wanted += " step_function identity_function sum_squared_error mean_squared_error softmax_loss"
    assert set(wanted.split()) <= set(names)


# Nodes over plain numbers --------------------------------------------------------------------


def test_two_apples():
    apples, tax = MulLayer(), MulLayer()
    price = tax.forward(apples.forward(100, 2), 1.1)
    d_apples, d_tax = tax.backward(1)
    d_apple, d_count = apples.backward(d_apples)
    assert price == pytest.approx(220)
    assert (d_apple, d_count, d_tax) == pytest.approx((2.2, 110, 200))


def test_two_apples_and_three_oranges():
    apples, oranges, both, tax = MulLayer(), MulLayer(), AddLayer(), MulLayer()
    total = both.forward(apples.forward(100, 2), oranges.forward(150, 3))
    assert tax.forward(total, 1.1) == pytest.approx(715)
    d_total, d_tax = tax.backward(1)
    d_apples, d_oranges = both.backward(d_total)
    d_orange, d_orange_count = oranges.backward(d_oranges)
    d_apple, d_apple_count = apples.backward(d_apples)
    found = (d_apple_count, d_apple, d_orange, d_orange_count, d_tax)
    assert found == pytest.approx((110, 2.2, 3.3, 165, 650))


# Activations ---------------------------------------------------------------------------------


def test_relu_does_not_write_into_its_arguments(xp):
    x = np.array([[1.0, -0.5, 0.0], [-2.0, 3.0, np.nan]])
    dout = np.arange(1.0, 7.0).reshape(2, 3)
    layer, given = book.Relu(), xp.array(dout.copy())
    assert_close(layer.forward(xp.array(x.copy())), np.where(x <= 0, 0, x))
    wanted = np.where(x <= 0, 0, dout)
    assert_close(layer.backward(given), wanted)
    assert_close(layer.backward(given), wanted)  # twice
    assert_close(given, dout)
    assert_close(layer.mask, x <= 0)


def test_sigmoid(xp):
    layer = book.Sigmoid()
    s = 1 / (1 + np.exp(-X))
    assert_close(layer.forward(xp.array(X)), s, rtol=1e-14)
    assert_close(layer.backward(xp.array(X)), X * s * (1 - s), rtol=1e-12)
    assert_close(layer.out, s, rtol=1e-14)


# Affine --------------------------------------------------------------------------------------


def test_affine_on_images(xp):
    W, b = RNG.normal(size=(90, 4)), RNG.normal(size=4)
    layer = book.Affine(xp.array(W), xp.array(b))
    assert layer.dW is layer.db is None
    rows, dout = IMAGES.reshape(2, 90), RNG.normal(size=(2, 4))
    assert_close(layer.forward(xp.array(IMAGES)), rows @ W + b, rtol=1e-12)
    for _ in range(2):
        assert_close(layer.backward(xp.array(dout)), (dout @ W.T).reshape(IMAGES.shape), rtol=1e-12)
        assert_close(layer.dW, rows.T @ dout, rtol=1e-12)
        assert_close(layer.db, dout.sum(axis=0), rtol=1e-12)


def test_affine_uses_the_callers_arrays_and_makes_new_gradients():
    W, b = np.ones((5, 2)), np.zeros(2)
    layer = book.Affine(W, b)
    assert layer.W is W
    W[...] = 2  # in place: the layer sees it
    b += 1
    np.testing.assert_allclose(layer.forward(X), 2 * X.sum(axis=1)[:, None] + np.ones(2))
    layer.backward(np.ones((4, 2)))
    first, kept = layer.dW, layer.dW.copy()
    layer.backward(np.zeros((4, 2)))
    np.testing.assert_array_equal(first, kept)


def test_affine_takes_a_plain_number_for_b_and_whole_numbers(xp):
    W = np.array([[1, 2, 3], [4, 5, 6]])
    layer = book.Affine(xp.array(W), 0)
    assert_close(layer.forward(xp.array([[1, 1], [2, 0]])), np.array([[5.0, 7, 9], [2, 4, 6]]))
    assert_close(layer.backward(xp.array([[1.0, 1, 1], [0, 0, 1]])), np.array([[6.0, 15], [3, 6]]))
    assert_close(layer.db, np.array([1.0, 1, 2]))


@pytest.mark.parametrize(("of_x", "of_w"), [("float32", "float32"), ("float32", "float64")])
def test_affine_and_convolution_take_the_wider_dtype(xp, of_x, of_w):
    affine = book.Affine(xp.array(np.ones((5, 2)), of_w), xp.array(np.zeros(2), of_w))
    conv = book.Convolution(xp.array(np.ones((2, 3, 2, 2)), of_w), xp.array(np.zeros(2), of_w))
    for layer, x in ((affine, X), (conv, IMAGES)):
        out = layer.forward(xp.array(x, of_x))
        dx = layer.backward(out)
        for a in (out, dx, layer.dW, layer.db):
            assert str(a.dtype).endswith(of_w)
            assert device_of(a) == xp.device


# Softmax and loss ----------------------------------------------------------------------------


@pytest.mark.parametrize("targets", ["labels", "one-hot", "one-hot integers", "column"])
def test_softmax_with_loss(xp, targets):
    labels = np.array([1, 0, 4, 4])
    t = {
        "labels": labels,
        "one-hot": np.eye(5)[labels],
        "one-hot integers": np.eye(5, dtype=np.int64)[labels],
        "column": labels[:, None],
    }[targets]
    layer = book.SoftmaxWithLoss()
    loss = layer.forward(xp.array(X), xp.array(t))
    p = straight_numpy.probabilities(X)
    assert float(loss) == pytest.approx(straight_numpy.error(p, labels), abs=1e-13)
    assert float(layer.loss) == float(loss)
    assert_close(layer.y, p, rtol=1e-13)
    wanted = (p - np.eye(5)[labels]) / 4
    assert_close(layer.backward(), wanted, rtol=1e-12)
    assert_close(layer.backward(1), wanted, rtol=1e-12)


def test_softmax_with_loss_keeps_float32(xp):
    layer = book.SoftmaxWithLoss()
    layer.forward(xp.array(X, "float32"), xp.array(np.eye(5)[[1, 0, 4, 4]]))
    assert str(layer.backward().dtype).endswith("float32")


# Dropout -------------------------------------------------------------------------------------


def test_dropout_draws_from_the_global_generator_and_scales_at_inference(xp):
    np.random.seed(5)
    masks = [np.random.rand(4, 5) > 0.3 for _ in range(2)]
    np.random.seed(5)
    layer = book.Dropout(0.3)
    for mask in masks:
        assert_close(layer.forward(xp.array(X)), X * mask)
        assert_close(layer.forward(xp.array(X), train_flg=False), X * 0.7, rtol=1e-14)
        assert_close(layer.backward(xp.array(X)), X * mask)
        assert_close(layer.backward(xp.array(X)), X * mask)
        assert_close(layer.mask, mask)
    assert 0 < masks[0].sum() < 20
    assert book.Dropout().dropout_ratio == 0.5


# Batch normalisation -------------------------------------------------------------------------


def normalised(rows, gamma, beta):
    return gamma * (rows - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + 1e-6) + beta


@pytest.mark.parametrize("shape", [(4, 6), (4, 2, 3, 1)])
def test_batch_normalization_by_columns(xp, shape):
    x, dout = RNG.normal(size=shape), RNG.normal(size=shape)
    gamma, beta = RNG.normal(size=6), RNG.normal(size=6)
    layer = book.BatchNormalization(xp.array(gamma), xp.array(beta))

    def forward(a, g=gamma, b=beta):
        return normalised(a.reshape(4, 6), g, b).reshape(shape)

    assert_close(layer.forward(xp.array(x)), forward(x), rtol=1e-11)
    for _ in range(2):
        dx = to_numpy(layer.backward(xp.array(dout)))
        by_differences = slope_by_differences(forward, x, dout)
        np.testing.assert_allclose(dx, by_differences, rtol=1e-6, atol=1e-8)
        dgamma = slope_by_differences(lambda g: forward(x, g=g), gamma, dout)
        np.testing.assert_allclose(to_numpy(layer.dgamma), dgamma, rtol=1e-6, atol=1e-8)
        assert_close(layer.dbeta, dout.reshape(4, 6).sum(axis=0), rtol=1e-11)
    rows = x.reshape(4, 6)
    assert_close(layer.running_mean, 0.1 * rows.mean(axis=0), rtol=1e-12)
    assert_close(layer.running_var, 0.1 * rows.var(axis=0), rtol=1e-12)  # biased, from zero
    other = RNG.normal(size=shape)
    z = other.reshape(4, 6) - 0.1 * rows.mean(axis=0)
    z = gamma * z / np.sqrt(0.1 * rows.var(axis=0) + 1e-6) + beta
    assert_close(layer.forward(xp.array(other), train_flg=False), z.reshape(shape), rtol=1e-10)


def test_batch_normalization_takes_and_leaves_given_statistics(xp):
    mean, var = np.arange(5.0), np.ones(5)
    layer = book.BatchNormalization(xp.array(np.ones(5)), xp.array(np.zeros(5)), 0.6,
                                    xp.array(mean.copy()), xp.array(var.copy()))  # fmt: skip
    given = layer.running_mean
    assert_close(layer.forward(xp.array(X), False), (X - mean) / np.sqrt(var + 1e-6), rtol=1e-12)
    layer.forward(xp.array(X))
    assert_close(layer.running_mean, 0.6 * mean + 0.4 * X.mean(axis=0), rtol=1e-12)
    assert_close(layer.running_var, 0.6 * var + 0.4 * X.var(axis=0), rtol=1e-12)
    assert_close(given, mean)


def test_batch_normalization_of_a_single_sample():
    layer = book.BatchNormalization(np.full(3, 2.0), np.ones(3))
    assert_close(layer.forward(np.array([[1.0, 5.0, -3.0]])), np.ones((1, 3)))
    assert_close(layer.backward(np.array([[1.0, 2.0, 3.0]])), np.zeros((1, 3)), atol=1e-9)


# Convolution and pooling ---------------------------------------------------------------------


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (2, 1), (1, 2), (3, 0)])
def test_convolution_against_loops(xp, stride, pad):
    W, b = RNG.normal(size=(4, 3, 3, 2)), RNG.normal(size=4)
    layer = book.Convolution(xp.array(W), xp.array(b), stride, pad)
    wanted = straight_numpy.convolve(IMAGES, W, b, stride, pad)
    for _ in range(2):
        assert_close(layer.forward(xp.array(IMAGES)), wanted, rtol=1e-10, atol=1e-12)
    dout = RNG.normal(size=wanted.shape)
    dx, dW, db = straight_numpy.convolve_back(dout, IMAGES, W, stride, pad)
    for _ in range(2):
        assert_close(layer.backward(xp.array(dout)), dx, rtol=1e-9, atol=1e-12)
        assert_close(layer.dW, dW, rtol=1e-9, atol=1e-12)
        assert_close(layer.db, db, rtol=1e-10, atol=1e-12)


def test_convolution_takes_a_plain_number_for_b_and_whole_numbers(xp):
    image = np.arange(16).reshape(1, 1, 4, 4)
    layer = book.Convolution(xp.array(np.ones((1, 1, 2, 2))), 0)
    out = layer.forward(xp.array(image, "int64"))
    assert_close(out, straight_numpy.convolve(image, np.ones((1, 1, 2, 2)), 0))
    layer.backward(out)
    assert_close(layer.db, to_numpy(out).sum().reshape(1))


def test_convolution_sees_its_weights_change_in_place():
    W = np.ones((1, 3, 2, 2))
    layer = book.Convolution(W, np.zeros(1))
    before = layer.forward(IMAGES)
    W *= 3
    assert_close(layer.forward(IMAGES), 3 * before, rtol=1e-12)
    W[...] = W.astype(np.float16)
    assert layer.W is W


@pytest.mark.parametrize(("window", "stride", "pad"), [(2, 2, 0), (3, 1, 0), (3, 2, 1), (2, 1, 1)])
def test_pooling_against_loops(xp, window, stride, pad):
    x = np.round(IMAGES) - 5  # ties, and zeros of the padding would win
    layer = book.Pooling(window, window, stride, pad)
    wanted = straight_numpy.pool(x, window, window, stride, pad)
    assert wanted.max() < 0
    assert_close(layer.forward(xp.array(x)), wanted)
    dout = RNG.normal(size=wanted.shape)
    for _ in range(2):
        dx = layer.backward(xp.array(dout))
        assert_close(dx, straight_numpy.pool_back(dout, x, window, window, stride, pad), rtol=1e-12)


def test_pooling_by_default_moves_by_one():
    assert book.Pooling(2, 3).forward(IMAGES).shape == (2, 3, 5, 3)


def test_no_layer_writes_to_its_arguments(xp):
    x, images = xp.array(X.copy()), xp.array(IMAGES.copy())
    kernel = xp.array(np.ones((2, 3, 2, 2)))
    weights = xp.array(np.ones((5, 5)))
    ones = xp.array(np.ones(5))
    for layer, given, before in (
        (book.Relu(), x, X),
        (book.Sigmoid(), x, X),
        (book.Affine(weights, ones), x, X),
        (book.Dropout(), x, X),
        (book.BatchNormalization(ones, ones), x, X),
        (book.Convolution(kernel, 0), images, IMAGES),
        (book.Pooling(2, 2, 2), images, IMAGES),
    ):
        out = layer.forward(given)
        dout = namespace(out).ones_like(out)
        layer.backward(dout)
        assert_close(given, before)
        assert_close(dout, np.ones(out.shape))
    assert_close(kernel, np.ones((2, 3, 2, 2)))
    assert_close(ones, np.ones(5))
