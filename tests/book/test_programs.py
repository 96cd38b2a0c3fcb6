# ruff: noqa: NPY002
"""Whole programs in the manner of the book's chapters 3 to 8, run by its names alone.

Each is held against plain NumPy with the same seed.  The data are the embedded digits' images in
the place of MNIST's.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import sys
from collections import OrderedDict
from contextlib import redirect_stdout

import numpy as np
import pytest

from tests.book import straight_numpy
from tests.book.straight_numpy import Straight
from xpnet import data
from xpnet.book.mnist import load_mnist

MLP = [("affine", 1), ("relu", 1), ("affine", 2)]


@pytest.fixture(autouse=True)
def _digits_for_mnist(monkeypatch):
    digits = data.load("digits")
    monkeypatch.setattr(data, "load", lambda name: digits)


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mlp_steps(hidden, bn=False, dropout=None):
    steps = []
    for i in range(1, hidden + 1):
        steps += [("affine", i), *([("bn", i)] if bn else []), ("relu", i)]
        steps += [("dropout", i, dropout)] if dropout else []
    return [*steps, ("affine", hidden + 1)]


# Star imports --------------------------------------------------------------------------------

FUNCTIONS = """np identity_function step_function sigmoid sigmoid_grad relu relu_grad softmax
    sum_squared_error mean_squared_error cross_entropy_error softmax_loss"""
LAYERS = f"""{FUNCTIONS} im2col col2im Relu Sigmoid Affine SoftmaxWithLoss Dropout
    BatchNormalization Convolution Pooling"""
OPTIMIZERS = "np SGD Momentum Nesterov AdaGrad RMSprop Adam"
NETWORK = f"{LAYERS} sys os OrderedDict"

STAR_IMPORTS = {
    "functions": FUNCTIONS,
    "gradient": "np numerical_gradient numerical_gradient_2d",
    "util": "np smooth_curve shuffle_dataset conv_output_size im2col col2im",
    "layers": LAYERS,
    "layer_naive": "MulLayer AddLayer",
    "optimizer": OPTIMIZERS,
    "trainer": f"{OPTIMIZERS} sys os Trainer",
    "ch04_two_layer_net": f"{FUNCTIONS} sys os numerical_gradient TwoLayerNet",
    "two_layer_net": f"{NETWORK} numerical_gradient TwoLayerNet",
    "multi_layer_net": f"{NETWORK} numerical_gradient MultiLayerNet",
    "multi_layer_net_extend": f"{NETWORK} numerical_gradient MultiLayerNetExtend",
    "simple_convnet": f"{NETWORK} pickle numerical_gradient SimpleConvNet",
    "deep_convnet": f"{NETWORK} pickle DeepConvNet",
    "mnist": """np urllib os gzip pickle url_base key_file dataset_dir save_file train_num test_num
        img_dim img_size download_mnist init_mnist load_mnist""",
}


@pytest.mark.parametrize("module", STAR_IMPORTS)
def test_a_star_import_brings_what_the_books_brings(module):
    """And no more: what else a program has under these names stays."""
    names: dict[str, object] = {}
    exec(f"from xpnet.book.{module} import *", names)
    assert names.keys() - {"__builtins__"} == set(STAR_IMPORTS[module].split())
    here = {"np": np, "OrderedDict": OrderedDict, "pickle": pickle, "os": os, "sys": sys}
    for name in here.keys() & names.keys():
        assert names[name] is here[name]


# Chapter 3 -----------------------------------------------------------------------------------


def test_a_network_of_three_layers_with_weights_given_by_hand():
    from xpnet.book.functions import identity_function, sigmoid

    network = {
        "W1": np.array([[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]]),
        "b1": np.array([0.1, 0.2, 0.3]),
        "W2": np.array([[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]]),
        "b2": np.array([0.1, 0.2]),
        "W3": np.array([[0.1, 0.3], [0.2, 0.4]]),
        "b3": np.array([0.1, 0.2]),
    }
    z1 = sigmoid(np.dot(np.array([1.0, 0.5]), network["W1"]) + network["b1"])
    z2 = sigmoid(np.dot(z1, network["W2"]) + network["b2"])
    y = identity_function(np.dot(z2, network["W3"]) + network["b3"])
    np.testing.assert_allclose(y, [0.31682708, 0.69627909], atol=5e-9)


def test_a_saved_network_classifies_one_by_one_and_in_batches(in_tmp):
    from xpnet.book.functions import sigmoid, softmax

    rng = np.random.default_rng(0)
    sizes = (784, 50, 100, 10)
    sample = {f"W{i}": rng.normal(size=sizes[i - 1 : i + 1]) / 9 for i in (1, 2, 3)}
    sample |= {f"b{i}": rng.normal(size=sizes[i]) for i in (1, 2, 3)}
    with open("sample_weight.pkl", "wb") as f:  # noqa: PTH123  (as the book's programs do)
        pickle.dump(sample, f)

    def predict(network, x):
        z1 = sigmoid(np.dot(x, network["W1"]) + network["b1"])
        z2 = sigmoid(np.dot(z1, network["W2"]) + network["b2"])
        return softmax(np.dot(z2, network["W3"]) + network["b3"])

    _, (x, t) = load_mnist(normalize=True, flatten=True, one_hot_label=False)
    with open("sample_weight.pkl", "rb") as f:  # noqa: PTH123
        network = pickle.load(f)
    one_by_one = sum(np.argmax(predict(network, x[i])) == t[i] for i in range(len(x)))
    batch_size, batched = 100, 0
    for i in range(0, len(x), batch_size):
        y = predict(network, x[i : i + batch_size])
        batched += np.sum(np.argmax(y, axis=1) == t[i : i + batch_size])
    steps = [("affine", 1), ("sigmoid", 1), ("affine", 2), ("sigmoid", 2), ("affine", 3)]
    assert one_by_one == batched == round(Straight(sample, steps).accuracy(x, t) * len(x))
    assert 0 < batched < len(x)


def test_labels_are_bytes_and_print_as_the_books():
    (x, t), (_, t_test) = load_mnist(normalize=False, flatten=False)
    assert (x.dtype, t.dtype, t_test.dtype) == (np.uint8, np.uint8, np.uint8)
    assert repr(t[0]) == f"np.uint8({int(t[0])})"
    (x, t), _ = load_mnist(one_hot_label=True)
    assert (x.dtype, t.dtype) == (np.float32, np.float64)
    x[...] = 7  # a program's own copy
    assert load_mnist()[0][0].max() == 1


# Chapter 4 -----------------------------------------------------------------------------------


def test_descent_on_a_bowl():
    from xpnet.book.gradient import numerical_gradient

    def function_2(x):
        return x[0] ** 2 + x[1] ** 2

    np.testing.assert_allclose(numerical_gradient(function_2, np.array([3.0, 4.0])), [6, 8])
    x = np.array([-3.0, 4.0])
    for _ in range(100):
        x -= 0.1 * numerical_gradient(function_2, x)
    assert abs(x).max() < 1e-8


def test_the_gradient_of_a_simple_net():
    from xpnet.book.functions import cross_entropy_error, softmax
    from xpnet.book.gradient import numerical_gradient

    class SimpleNet:
        def __init__(self):
            self.W = np.random.randn(2, 3)

        def loss(self, x, t):
            return cross_entropy_error(softmax(np.dot(x, self.W)), t)

    np.random.seed(0)
    net, x, t = SimpleNet(), np.array([0.6, 0.9]), np.array([0, 0, 1])
    before = net.W.copy()
    dW = numerical_gradient(lambda w: net.loss(x, t), net.W)
    p = straight_numpy.probabilities(x[None] @ before)
    factor = p[0, 2] / (p[0, 2] + 1e-7)  # of the 1e-7 in the loss
    np.testing.assert_allclose(dW, x[:, None] * (p - t) * factor, atol=1e-8)
    np.testing.assert_array_equal(net.W, before)


def test_training_by_differences_and_by_backward_is_the_same():
    from xpnet.book.ch04_two_layer_net import TwoLayerNet

    (x_train, t_train), _ = load_mnist(normalize=True, one_hot_label=True)
    x, t = x_train[:20, ::40], t_train[:20]
    losses = []
    for method in ("numerical_gradient", "gradient"):
        np.random.seed(0)
        network = TwoLayerNet(input_size=20, hidden_size=10, output_size=10)
        losses.append([])
        for _ in range(4):
            mask = np.random.choice(20, 10)
            grad = getattr(network, method)(x[mask], t[mask])
            for key in ("W1", "b1", "W2", "b2"):
                network.params[key] -= 0.5 * grad[key]
            losses[-1].append(network.loss(x[mask], t[mask]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert losses[0][0] != losses[0][-1]
    y = network.predict(x)
    np.testing.assert_allclose(y.sum(axis=1), 1)
    assert 0 <= network.accuracy(x, t) <= 1


# Chapter 5 -----------------------------------------------------------------------------------


def test_a_training_loop_of_the_two_layer_net():
    from xpnet.book.two_layer_net import TwoLayerNet

    np.random.seed(0)
    (x_train, t_train), (x_test, t_test) = load_mnist(normalize=True, one_hot_label=True)
    network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10)
    own = Straight(network.params, MLP)
    train_size, batch_size, learning_rate, iters_num = x_train.shape[0], 100, 0.1, 200
    train_loss_list, train_acc_list, test_acc_list = [], [], []
    iter_per_epoch = 100
    for i in range(iters_num):
        batch_mask = np.random.choice(train_size, batch_size)
        x_batch, t_batch = x_train[batch_mask], t_train[batch_mask]
        grad = network.gradient(x_batch, t_batch)
        for key in ("W1", "b1", "W2", "b2"):
            network.params[key] -= learning_rate * grad[key]
        train_loss_list.append(network.loss(x_batch, t_batch))
        if i % iter_per_epoch == 0:
            train_acc_list.append(network.accuracy(x_train, t_train))
            test_acc_list.append(network.accuracy(x_test, t_test))

    np.random.seed(0)
    np.random.randn(784 * 50 + 50 * 10)
    labels, losses, train, test = t_train.argmax(axis=1), [], [], []
    for i in range(iters_num):
        mask = np.random.choice(train_size, batch_size)
        for key, g in own.gradient(x_train[mask], labels[mask]).items():
            own.params[key] -= learning_rate * g
        losses.append(own.loss(x_train[mask], labels[mask]))
        if i % iter_per_epoch == 0:
            train.append(own.accuracy(x_train, labels))
            test.append(own.accuracy(x_test, t_test.argmax(axis=1)))
    np.testing.assert_allclose(train_loss_list, losses, rtol=0, atol=1e-9)
    assert train_acc_list == train
    assert test_acc_list == test
    assert losses[-1] < 0.5 * losses[0]


def test_the_gradient_check_of_chapter_5():
    from xpnet.book.two_layer_net import TwoLayerNet

    (x_train, t_train), _ = load_mnist(normalize=True, one_hot_label=True)
    np.random.seed(1)
    network = TwoLayerNet(input_size=49, hidden_size=12, output_size=10)
    x_batch, t_batch = x_train[:3, ::16], t_train[:3]
    numerical = network.numerical_gradient(x_batch, t_batch)
    backprop = network.gradient(x_batch, t_batch)
    for key in numerical:
        assert np.average(np.abs(backprop[key] - numerical[key])) < 3e-7


# Chapter 6 -----------------------------------------------------------------------------------


def test_optimizers_on_the_long_valley():
    from xpnet.book.optimizer import SGD, AdaGrad, Adam, Momentum

    optimizers = OrderedDict()
    optimizers["SGD"] = SGD(lr=0.95)
    optimizers["Momentum"] = Momentum(lr=0.1)
    optimizers["AdaGrad"] = AdaGrad(lr=1.5)
    optimizers["Adam"] = Adam(lr=0.3)
    params, grads, ends = {}, {}, {}
    for key in optimizers:
        params["x"], params["y"] = -7.0, 2.0
        for _ in range(30):
            grads["x"], grads["y"] = params["x"] / 10.0, 2.0 * params["y"]
            optimizers[key].update(params, grads)
        ends[key] = params["x"], params["y"]
    assert ends["SGD"] == pytest.approx((-7 * 0.905**30, 2 * (-0.9) ** 30), abs=1e-12)
    v = 0.0, 0.0
    x, y = -7.0, 2.0
    for _ in range(30):
        v = 0.9 * v[0] - 0.1 * x / 10, 0.9 * v[1] - 0.1 * 2 * y
        x, y = x + v[0], y + v[1]
    assert ends["Momentum"] == pytest.approx((x, y), abs=1e-12)
    assert all(abs(end[1]) < 0.7 for end in ends.values())


def test_the_path_down_the_valley_prints_as_the_books():
    from xpnet.book.optimizer import SGD, Nesterov

    paths = []
    for optimizer in (SGD(lr=0.5), Nesterov(lr=0.5, momentum=0.5)):
        params, path = {"x": 4.0}, []
        for _ in range(2):
            path.append(params["x"])
            optimizer.update(params, {"x": params["x"]})
        paths.append([*path, params["x"]])
    # v: 0, -2, -0.5; x: 4, 4 - 1.5 * 2, then 1 + 0.25 * -2 - 1.5 * 0.5
    assert str(paths[0]) == "[4.0, 2.0, 1.0]"
    assert str(paths[1]) == "[4.0, np.float64(1.0), np.float64(-0.25)]"


def test_nesterov_by_the_trainer_where_the_batch_does_not_divide_the_data():
    from xpnet.book.multi_layer_net import MultiLayerNet
    from xpnet.book.trainer import Trainer

    (x_train, t_train), (x_test, t_test) = load_mnist(normalize=True)
    x_train, t_train, x_test = x_train[:1050, ::16], t_train[:1050], x_test[:, ::16]
    np.random.seed(0)
    network = MultiLayerNet(49, [12], 10, weight_decay_lambda=0.01)
    own = Straight(network.params, mlp_steps(1), 0.01)
    state = np.random.get_state()
    trainer = Trainer(network, x_train, t_train, x_test, t_test, epochs=5, mini_batch_size=100,
                      optimizer="Nesterov", optimizer_param={"lr": 0.05, "momentum": 0.8},
                      evaluate_sample_num_per_epoch=300)  # fmt: skip
    with redirect_stdout(io.StringIO()) as out:
        trainer.train()
    np.random.set_state(state)
    v, wanted = dict.fromkeys(own.params, 0.0), []
    for i in range(52):
        mask = np.random.choice(1050, 100)
        for key, g in own.gradient(x_train[mask], t_train[mask]).items():
            own.params[key] += 0.64 * v[key] - 1.8 * 0.05 * g
            v[key] = 0.8 * v[key] - 0.05 * g
        wanted.append([own.loss(x_train[mask], t_train[mask])])
        if i in (0, 21, 42):  # 10.5 updates an epoch: each second epoch begins with one
            train = own.accuracy(x_train[:300], t_train[:300])
            wanted.append([i // 21 + 1, train, own.accuracy(x_test[:300], t_test[:300])])
    wanted += [[], [own.accuracy(x_test, t_test)]]
    lines = out.getvalue().splitlines()
    numbers = [[float(n) for n in re.findall(r"\d[\d.e-]*", line)] for line in lines]
    for row, expected in zip(numbers, wanted, strict=True):
        assert row == pytest.approx(expected, abs=1e-9)


def test_optimizers_compared_on_one_network_each():
    from xpnet.book.multi_layer_net import MultiLayerNet
    from xpnet.book.optimizer import SGD, AdaGrad, Adam, Momentum
    from xpnet.book.util import smooth_curve

    (x_train, t_train), _ = load_mnist(normalize=True)
    optimizers = {"SGD": SGD(), "Momentum": Momentum(), "AdaGrad": AdaGrad(), "Adam": Adam()}
    np.random.seed(0)
    networks = {
        key: MultiLayerNet(input_size=784, hidden_size_list=[20, 20], output_size=10)
        for key in optimizers
    }
    own = Straight(networks["SGD"].params, mlp_steps(2))
    train_loss = {key: [] for key in optimizers}
    first = []
    for _ in range(60):
        mask = np.random.choice(x_train.shape[0], 64)
        for key in optimizers:
            grads = networks[key].gradient(x_train[mask], t_train[mask])
            optimizers[key].update(networks[key].params, grads)
            train_loss[key].append(networks[key].loss(x_train[mask], t_train[mask]))
        for key, g in own.gradient(x_train[mask], t_train[mask]).items():
            own.params[key] -= 0.01 * g
        first.append(own.loss(x_train[mask], t_train[mask]))
    np.testing.assert_allclose(train_loss["SGD"], first, rtol=0, atol=1e-9)
    ends = {key: smooth_curve(losses)[-1] for key, losses in train_loss.items()}
    assert all(ends[key] < ends["SGD"] for key in ("Momentum", "AdaGrad", "Adam"))


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"weight_decay_lambda": 0.1}, mlp_steps(3)),
        ({"use_dropout": True, "dropout_ration": 0.2}, mlp_steps(3, dropout=0.2)),
        ({"use_batchnorm": True, "weight_init_std": 0.05}, mlp_steps(3, bn=True)),
    ],
    ids=["decay", "dropout", "batchnorm"],
)
def test_overfitting_three_hundred_images(options, steps):
    from xpnet.book.multi_layer_net_extend import MultiLayerNetExtend
    from xpnet.book.optimizer import SGD

    (x_train, t_train), (x_test, t_test) = load_mnist(normalize=True)
    x_train, t_train = x_train[:300], t_train[:300]
    np.random.seed(0)
    network = MultiLayerNetExtend(784, [20, 20, 20], 10, **options)
    own = Straight(network.params, steps, options.get("weight_decay_lambda", 0.0))
    optimizer = SGD(lr=0.1)
    state = np.random.get_state()
    ran = []
    for i in range(12):
        mask = np.random.choice(300, 100)
        grads = network.gradient(x_train[mask], t_train[mask])
        optimizer.update(network.params, grads)
        ran.append(network.loss(x_train[mask], t_train[mask]))
        if i % 3 == 0:
            ran += [network.accuracy(x_train, t_train), network.accuracy(x_test, t_test)]
    np.random.set_state(state)
    wanted = []
    for i in range(12):
        mask = np.random.choice(300, 100)
        for key, g in own.gradient(x_train[mask], t_train[mask]).items():
            own.params[key] -= 0.1 * g
        wanted.append(own.loss(x_train[mask], t_train[mask]))
        if i % 3 == 0:
            wanted += [own.accuracy(x_train, t_train), own.accuracy(x_test, t_test)]
    np.testing.assert_allclose(ran, wanted, rtol=0, atol=1e-9)


def test_a_gradient_check_with_normalisation():
    from xpnet.book.multi_layer_net_extend import MultiLayerNetExtend

    (x_train, t_train), _ = load_mnist(normalize=True, one_hot_label=True)
    np.random.seed(0)
    network = MultiLayerNetExtend(
        input_size=49, hidden_size_list=[6, 5], output_size=10, use_batchnorm=True
    )
    x_batch, t_batch = x_train[:5, ::16], t_train[:5]  # of one image all is 0, ReLU's kink
    backprop = network.gradient(x_batch, t_batch)
    numerical = network.numerical_gradient(x_batch, t_batch)
    assert {"gamma1", "beta2", "W3"} <= numerical.keys()
    for key in numerical:
        assert np.average(np.abs(backprop[key] - numerical[key])) < 1e-6, key
    network.gradient(x_batch[:1], t_batch[:1])


def test_a_slice_of_the_hyper_parameter_search():
    from xpnet.book.multi_layer_net import MultiLayerNet
    from xpnet.book.trainer import Trainer
    from xpnet.book.util import shuffle_dataset

    def search():
        (x_train, t_train), _ = load_mnist(normalize=True)
        x_train, t_train = shuffle_dataset(x_train[:200], t_train[:200])
        validation_num = int(x_train.shape[0] * 0.20)
        x_val, t_val = x_train[:validation_num], t_train[:validation_num]
        x_train, t_train = x_train[validation_num:], t_train[validation_num:]
        results = {}
        for _ in range(3):
            weight_decay = 10 ** np.random.uniform(-8, -4)
            lr = 10 ** np.random.uniform(-6, -2)
            network = MultiLayerNet(input_size=784, hidden_size_list=[10, 10], output_size=10,
                                    weight_decay_lambda=weight_decay)  # fmt: skip
            trainer = Trainer(network, x_train, t_train, x_val, t_val, epochs=3,
                              mini_batch_size=40, optimizer="sgd", optimizer_param={"lr": lr},
                              verbose=False)  # fmt: skip
            trainer.train()
            results[f"lr:{lr}, weight decay:{weight_decay}"] = trainer.test_acc_list
            print(trainer.train_loss_list[-1])
        return sorted(results.items(), key=lambda item: item[1][-1], reverse=True)

    printed = []
    for _ in range(2):
        np.random.seed(0)
        with redirect_stdout(io.StringIO()) as out:
            best = search()
        printed.append((out.getvalue(), best))
        assert all(len(accuracies) == 3 for _, accuracies in best)
    assert printed[0] == printed[1]

    np.random.seed(0)
    (x, t), _ = load_mnist(normalize=True)
    order = np.random.permutation(200)
    x, t = x[:200][order][40:], t[:200][order][40:]
    losses = []
    for _ in range(3):
        decay, lr = 10 ** np.random.uniform(-8, -4), 10 ** np.random.uniform(-6, -2)
        sizes = (784, 10, 10, 10)
        params = {}
        for i in (1, 2, 3):
            scale = np.sqrt(2 / sizes[i - 1])
            params[f"W{i}"] = scale * np.random.randn(*sizes[i - 1 : i + 1])
            params[f"b{i}"] = np.zeros(sizes[i])
        own = Straight(params, mlp_steps(2), decay)
        for _ in range(12):
            mask = np.random.choice(160, 40)
            for key, g in own.gradient(x[mask], t[mask]).items():
                own.params[key] -= lr * g
        losses.append(own.loss(x[mask], t[mask]))
    assert [float(line) for line in printed[0][0].split()] == pytest.approx(losses, abs=1e-9)


# Chapter 7 -----------------------------------------------------------------------------------


def test_the_shapes_of_im2col():
    from xpnet.book.util import im2col

    assert im2col(np.random.rand(1, 3, 7, 7), 5, 5, stride=1, pad=0).shape == (9, 75)
    assert im2col(np.random.rand(10, 3, 7, 7), 5, 5, stride=1, pad=0).shape == (90, 75)


def test_filters_and_pooling_of_images_as_bytes():
    from xpnet.book.layers import Convolution, Pooling

    (x, _), _ = load_mnist(normalize=False, flatten=False)
    x, W = x[:2], np.array([[[[1, 2], [-3, 1]]]])
    assert x.max() > 200
    out = Convolution(W, np.array([5])).forward(x)
    wanted = straight_numpy.convolve(x.astype(float), W, [5])
    np.testing.assert_allclose(out, wanted, rtol=1e-12)
    assert wanted.max() > 255
    np.testing.assert_array_equal(
        Pooling(2, 2).forward(x), straight_numpy.pool(x.astype(float), 2, 2, 2)
    )


def test_the_gradient_check_of_chapter_7():
    from xpnet.book.simple_convnet import SimpleConvNet

    np.random.seed(0)
    network = SimpleConvNet(input_dim=(1, 10, 10),
                            conv_param={"filter_num": 4, "filter_size": 3, "pad": 0, "stride": 1},
                            hidden_size=6, output_size=10, weight_init_std=0.2)  # fmt: skip
    X = np.random.rand(100).reshape((1, 1, 10, 10))
    T = np.array([1]).reshape((1, 1))
    grad_num = network.numerical_gradient(X, T)
    grad = network.gradient(X, T)
    for key in grad_num:
        assert np.abs(grad_num[key] - grad[key]).mean() < 1e-6


def test_a_simple_convnet_by_the_trainer(in_tmp):
    from xpnet.book.simple_convnet import SimpleConvNet
    from xpnet.book.trainer import Trainer

    (x_train, t_train), (x_test, t_test) = load_mnist(flatten=False)
    x_train, t_train = x_train[:40, :, ::2, ::2], t_train[:40]
    x_test, t_test = x_test[:20, :, ::2, ::2], t_test[:20]
    np.random.seed(0)
    network = SimpleConvNet(input_dim=(1, 14, 14),
                            conv_param={"filter_num": 4, "filter_size": 5, "pad": 0, "stride": 1},
                            hidden_size=8, output_size=10, weight_init_std=0.1)  # fmt: skip
    steps = [("conv", 1), ("relu", 1), ("pool", 1, 2, 2, 2), ("affine", 2), ("relu", 2)]
    own = Straight(network.params, [*steps, ("affine", 3)])
    state = np.random.get_state()
    trainer = Trainer(network, x_train, t_train, x_test, t_test, epochs=2, mini_batch_size=10,
                      optimizer="Adam", optimizer_param={"lr": 0.001},
                      evaluate_sample_num_per_epoch=1000, verbose=False)  # fmt: skip
    trainer.train()
    np.random.set_state(state)
    m = dict.fromkeys(own.params, 0.0)
    v, losses, accuracies = dict(m), [], []
    for i in range(8):
        mask = np.random.choice(40, 10)
        rate = 0.001 * np.sqrt(1 - 0.999 ** (i + 1)) / (1 - 0.9 ** (i + 1))
        for key, g in own.gradient(x_train[mask].astype(float), t_train[mask]).items():
            m[key] = 0.9 * m[key] + 0.1 * g
            v[key] = 0.999 * v[key] + 0.001 * g * g
            own.params[key] -= rate * m[key] / (np.sqrt(v[key]) + 1e-7)
        losses.append(own.loss(x_train[mask], t_train[mask]))
        if i % 4 == 0:
            accuracies.append(own.accuracy(x_test, t_test))
    np.testing.assert_allclose(trainer.train_loss_list, losses, rtol=0, atol=1e-9)
    assert trainer.test_acc_list == accuracies
    network.save_params("params.pkl")
    conv_param = {"filter_num": 4, "filter_size": 5, "pad": 0, "stride": 1}
    other = SimpleConvNet((1, 14, 14), conv_param, hidden_size=8)
    other.load_params("params.pkl")
    np.testing.assert_array_equal(other.predict(x_test), network.predict(x_test))


def test_filters_applied_one_by_one():
    from xpnet.book.layers import Convolution
    from xpnet.book.simple_convnet import SimpleConvNet

    network, image = SimpleConvNet(), np.random.rand(1, 1, 12, 12).astype(np.float32)
    for i in range(3):
        w = network.params["W1"][i]
        w = w.reshape(1, *w.shape)
        out = Convolution(w, 0).forward(image)
        np.testing.assert_allclose(out, straight_numpy.convolve(image, w, 0), rtol=1e-9)


# Chapter 8 -----------------------------------------------------------------------------------


def test_a_deep_convnet_saved_loaded_and_halved(in_tmp):
    from xpnet.book.deep_convnet import DeepConvNet
    from xpnet.book.trainer import Trainer

    (x_train, t_train), (x_test, t_test) = load_mnist(flatten=False)
    np.random.seed(0)
    network = DeepConvNet()
    trainer = Trainer(network, x_train[:4], t_train[:4], x_test[:6], t_test[:6], epochs=1,
                      mini_batch_size=4, optimizer="Adam", optimizer_param={"lr": 0.001},
                      evaluate_sample_num_per_epoch=1000, verbose=False)  # fmt: skip
    trainer.train()
    assert np.isfinite(trainer.train_loss_list).all()
    network.save_params("deep_convnet_params.pkl")
    loaded = DeepConvNet()
    loaded.load_params("deep_convnet_params.pkl")
    exact = network.predict(x_test[:6], train_flg=False)
    np.testing.assert_array_equal(loaded.predict(x_test[:6]), exact)
    sampled = x_test[:6].astype(np.float16)
    for param in loaded.params.values():
        param[...] = param.astype(np.float16)
    rough = loaded.predict(sampled)
    assert 0 < abs(rough - exact).max() < 0.05
    same = (rough.argmax(axis=1) == t_test[:6]).mean()
    assert loaded.accuracy(sampled, t_test[:6]) == pytest.approx(same)
