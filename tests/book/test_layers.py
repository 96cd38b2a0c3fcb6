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


def test_relu_leaves_no_negative_zero():
    layer = book.Relu()
    layer.forward(np.array([[-1.0, 2.0]]))
    assert str(layer.backward(np.array([[-3.0, -4.0]]))) == "[[ 0. -4.]]"
    assert layer.backward(np.array([[3, 4]])).tolist() == [[0, 4]]


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
def test_affine_takes_the_wider_dtype_and_convolution_float64(xp, of_x, of_w):
    affine = book.Affine(xp.array(np.ones((5, 2)), of_w), xp.array(np.zeros(2), of_w))
    conv = book.Convolution(xp.array(np.ones((2, 3, 2, 2)), of_w), xp.array(np.zeros(2), of_w))
    for layer, x, dtype in ((affine, X, of_w), (conv, IMAGES, "float64")):
        out = layer.forward(xp.array(x, of_x))
        dx = layer.backward(out)
        for a in (out, dx, layer.dW, layer.db):
            assert str(a.dtype).endswith(dtype)
            assert device_of(a) == xp.device


def test_affine_holds_its_input_as_it_came(xp):
    layer = book.Affine(xp.array(np.ones((90, 2))), 0)
    layer.forward(xp.array(IMAGES, "float32"))
    assert_close(layer.x, IMAGES.astype(np.float32).reshape(2, 90))
    assert layer.original_x_shape == (2, 3, 6, 5)


def test_what_is_set_on_a_layer_acts():
    affine = book.Affine(np.ones((5, 2)), np.zeros(2))
    affine.W, affine.b = np.full((5, 2), 3.0), np.array([1.0, 2.0])
    assert_close(affine.forward(X), 3 * X.sum(axis=1)[:, None] + [1.0, 2.0], rtol=1e-12)
    assert_close(affine.backward(np.ones((4, 2))), np.full((4, 5), 6.0))
    conv, W = book.Convolution(np.ones((1, 3, 2, 2)), 0), RNG.normal(size=(2, 3, 3, 2))
    conv.W, conv.b, conv.stride, conv.pad = W, np.array([1.0, -1.0]), 2, 1
    wanted = straight_numpy.convolve(IMAGES, W, [1.0, -1.0], 2, 1)
    assert_close(conv.forward(IMAGES), wanted, rtol=1e-10)
    pool = book.Pooling(2, 2)
    pool.pool_h, pool.pool_w, pool.stride = 3, 3, 1
    assert_close(pool.forward(IMAGES), straight_numpy.pool(IMAGES, 3, 3, 1))
    drop = book.Dropout()
    drop.dropout_ratio = 0.25
    assert_close(drop.forward(X, False), 0.75 * X)
    bn = book.BatchNormalization(np.ones(5), np.zeros(5))
    bn.running_mean, bn.running_var, bn.gamma = np.arange(5.0), np.full(5, 4.0), np.full(5, 2.0)
    assert_close(bn.forward(X, False), 2 * (X - np.arange(5)) / np.sqrt(4 + 1e-6), rtol=1e-12)
    bn.momentum = 0.5
    bn.forward(X)
    assert_close(bn.running_mean, 0.5 * np.arange(5) + 0.5 * X.mean(axis=0), rtol=1e-12)


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


@pytest.mark.parametrize(("labels", "got"), [([1, 0, 5, 4], "5"), ([1, -1, 4, 4], "-1")])
def test_loss_and_gradient_refuse_labels_that_are_no_class_alike(xp, labels, got):
    layer, said = book.SoftmaxWithLoss(), []
    with pytest.raises(ValueError, match=f"expected labels from 0 to 4, .* got {got}: ") as caught:
        layer.forward(xp.array(X), xp.array(labels))
    said.append(str(caught.value))
    layer.y = xp.array(straight_numpy.probabilities(X))
    layer.t = xp.array(labels)
    with pytest.raises(ValueError, match="labels") as caught:
        layer.backward()
    said.append(str(caught.value))
    assert said[0] == said[1]
    assert "\n" not in said[0]


def test_the_loss_is_numpys_number_and_targets_are_held_as_they_came():
    layer, t = book.SoftmaxWithLoss(), np.array([1, 0, 4, 4], np.uint8)
    assert type(layer.forward(X, t)) is type(layer.loss) is np.float64
    assert layer.t is t


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
    assert (layer.batch_size, layer.input_shape) == (4, shape)
    assert_close(layer.xc, rows - rows.mean(axis=0), rtol=1e-12)
    assert_close(layer.std, np.sqrt(rows.var(axis=0) + 1e-6), rtol=1e-12)
    assert_close(layer.xn, normalised(rows, 1.0, 0.0), rtol=1e-11)
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


def test_batch_normalization_goes_back_over_the_last_training_pass():
    layer = book.BatchNormalization(np.ones(5), np.zeros(5))
    layer.forward(X)
    wanted = layer.backward(np.eye(4, 5))
    layer.forward(X[:2], train_flg=False)
    assert layer.input_shape == (2, 5)
    assert layer.batch_size == 4
    assert_close(layer.backward(np.eye(4, 5)), wanted)


def test_running_statistics_are_float64(xp):
    layer = book.BatchNormalization(xp.array(np.ones(5)), xp.array(np.zeros(5)))
    layer.forward(xp.array(X, "float32"))
    assert_close(layer.running_mean, 0.1 * X.mean(axis=0), rtol=1e-5)
    assert_close(layer.running_var, 0.1 * X.var(axis=0), rtol=1e-5)


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


def test_bytes_are_convolved_and_pooled_without_wrapping_round(xp):
    image = np.full((1, 1, 4, 4), 200)
    given = xp.array(image, "uint8")
    conv = book.Convolution(xp.array(np.ones((1, 1, 2, 2)), "uint8"), 0)
    assert_close(conv.forward(given), np.full((1, 1, 3, 3), 800.0))
    assert_close(conv.backward(xp.array(np.ones((1, 1, 3, 3)))), straight_numpy.convolve_back(
        np.ones((1, 1, 3, 3)), image, np.ones((1, 1, 2, 2)))[0])  # fmt: skip
    assert_close(conv.dW, np.full((1, 1, 2, 2), 1800.0))
    assert_close(book.Pooling(2, 2).forward(given), np.full((1, 1, 2, 2), 200.0))


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (2, 1)])
def test_convolution_holds_its_columns(xp, stride, pad):
    W = RNG.normal(size=(4, 3, 3, 2))
    layer = book.Convolution(xp.array(W), 0, stride, pad)
    assert layer.col is layer.col_W is layer.x is None
    out = to_numpy(layer.forward(xp.array(IMAGES)))
    wide = np.pad(IMAGES, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    rows = [
        wide[n, :, p * stride : p * stride + 3, q * stride : q * stride + 2].ravel()
        for n in range(2)
        for p in range(out.shape[2])
        for q in range(out.shape[3])
    ]
    layer.stride = 5  # of the next pass
    assert_close(layer.col, np.array(rows))
    assert layer.col is layer.col
    assert_close(layer.col_W, W.reshape(4, -1).T)
    by_columns = to_numpy(layer.col) @ to_numpy(layer.col_W)
    np.testing.assert_allclose(by_columns, out.transpose(0, 2, 3, 1).reshape(-1, 4), rtol=1e-9)
    assert_close(layer.x, IMAGES)


def test_convolution_goes_back_with_the_kernels_of_its_last_pass():
    W, dout = RNG.normal(size=(1, 3, 2, 2)), RNG.normal(size=(2, 1, 5, 4))
    layer = book.Convolution(W, 0)
    layer.forward(IMAGES)
    layer.W = np.zeros((1, 3, 2, 2))
    wanted = straight_numpy.convolve_back(dout, IMAGES, W)[0]
    assert_close(layer.backward(dout), wanted, rtol=1e-9, atol=1e-12)


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


def test_pooling_by_default_moves_by_two():
    assert book.Pooling(3, 2).forward(IMAGES).shape == (2, 3, 2, 2)
    assert book.Pooling(3, 2).stride == 2


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 1)])
def test_pooling_holds_the_places_of_its_winners(xp, window, stride):
    x = np.round(IMAGES)  # with ties
    layer = book.Pooling(window, window, stride)
    assert layer.arg_max is None
    oh, ow = layer.forward(xp.array(x)).shape[2:]
    wanted = [
        x[n, c, p * stride : p * stride + window, q * stride : q * stride + window].argmax()
        for n in range(2)
        for p in range(oh)
        for q in range(ow)
        for c in range(3)
    ]
    assert_close(layer.arg_max, np.array(wanted))
    assert layer.arg_max is layer.arg_max
    assert_close(layer.x, x)


def test_padding_is_no_winner():
    layer = book.Pooling(2, 2, 2, pad=1)
    layer.forward(np.full((1, 1, 2, 2), -3.0))
    assert layer.arg_max.tolist() == [3, 2, 1, 0]


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


def test_relu_is_zero_where_the_input_or_the_gradient_has_no_end():
    layer = book.Relu()
    with np.errstate(all="raise"):
        assert layer.forward(np.array([[-np.inf, -1.0, 2.0]])).tolist() == [[0, 0, 2]]
        assert layer.backward(np.array([[np.inf, -np.inf, 3.0]])).tolist() == [[0, 0, 3]]
