# ruff: noqa: NPY002
"""The book's MNIST loader, and its gradient check on real images."""

from __future__ import annotations

import os

import numpy as np
import pytest

import xpnet.book
from tests.conftest import HAS_TORCH
from xpnet import data
from xpnet.arrays import to_numpy
from xpnet.book import mnist
from xpnet.book.mnist import load_mnist
from xpnet.book.two_layer_net import TwoLayerNet
from xpnet.data import Dataset
from xpnet.devices import device_of

RNG = np.random.default_rng(0)
PARTS = tuple(
    Dataset(RNG.integers(0, 256, (n, 1, 28, 28), np.uint8), RNG.integers(0, 10, n), 10)
    for n in (12, 5)
)


@pytest.fixture
def small_mnist(monkeypatch):
    def load(name):
        assert name == "mnist"
        return PARTS

    monkeypatch.setattr(data, "load", load)


@pytest.mark.usefixtures("small_mnist")
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("flatten", [True, False])
@pytest.mark.parametrize("one_hot_label", [True, False])
def test_load_mnist(normalize, flatten, one_hot_label):
    loaded = load_mnist(normalize=normalize, flatten=flatten, one_hot_label=one_hot_label)
    for (x, t), part in zip(loaded, PARTS, strict=True):
        n = len(part)
        assert x.shape == ((n, 784) if flatten else (n, 1, 28, 28))
        assert x.dtype == (np.float32 if normalize else np.uint8)
        pixels = part.x.reshape(x.shape)
        np.testing.assert_array_equal(x, pixels / np.float32(255) if normalize else pixels)
        np.testing.assert_array_equal(t, np.eye(10)[part.t] if one_hot_label else part.t)
        assert t.dtype == (np.float64 if one_hot_label else np.uint8)


@pytest.mark.usefixtures("small_mnist")
def test_load_mnist_by_default_scales_and_flattens():
    (x, t), _ = load_mnist()
    assert (x.shape, x.dtype, t.shape) == ((12, 784), np.float32, (12,))
    assert x.max() <= 1
    assert PARTS[0].x.max() > 1  # untouched


def test_the_facts_of_the_files(monkeypatch, tmp_path):
    monkeypatch.setenv("XPNET_DATA", str(tmp_path))
    assert (mnist.train_num, mnist.test_num) == (60000, 10000)
    assert (mnist.img_dim, mnist.img_size) == ((1, 28, 28), 784)
    assert list(mnist.key_file) == ["train_img", "train_label", "test_img", "test_label"]
    assert mnist.key_file["test_label"] == "t10k-labels-idx1-ubyte.gz"
    assert mnist.url_base.endswith("/mnist/")
    assert mnist.dataset_dir == str(tmp_path / "mnist")
    assert mnist.save_file == str(tmp_path / "mnist" / "mnist.pkl")
    with pytest.raises(AttributeError, match="no attribute 'load_cifar'"):
        _ = mnist.load_cifar


@pytest.mark.mnist
def test_mnist_is_made_ready_without_a_pickle():
    mnist.download_mnist()
    mnist.init_mnist()
    assert not os.path.exists(mnist.save_file)  # noqa: PTH110  (as the book's programs ask)


@pytest.mark.usefixtures("small_mnist")
def test_use_says_where_the_images_are_put():
    if not HAS_TORCH:
        pytest.skip("PyTorch is not installed")
    xpnet.book.use("torch:cpu")
    try:
        (x, t), _ = load_mnist()
    finally:
        xpnet.book.use("cpu")
    assert device_of(x).name == device_of(t).name == "torch:cpu"
    np.testing.assert_array_equal(to_numpy(x), load_mnist()[0][0])


@pytest.mark.mnist
@pytest.mark.parametrize(
    ("hidden", "usual"),
    [
        (5, {"W1": 2.3e-10, "b1": 1.8e-9, "W2": 7.1e-10, "b2": 1.4e-7}),
        pytest.param(
            50, {"W1": 3.9e-10, "b1": 2.3e-9, "W2": 5.4e-9, "b2": 1.4e-7}, marks=pytest.mark.slow
        ),
    ],
)
def test_backward_against_differences_on_three_images(hidden, usual):
    if not os.environ.get("XPNET_DATA"):
        pytest.skip("XPNET_DATA names no folder")
    (x, t), (x_test, t_test) = load_mnist(normalize=True, one_hot_label=True)
    assert (x.shape, t.shape) == ((60_000, 784), (60_000, 10))
    assert (x_test.shape, t_test.shape) == ((10_000, 784), (10_000, 10))
    assert t[0].argmax() == 5
    np.random.seed(0)
    network = TwoLayerNet(input_size=784, hidden_size=hidden, output_size=10)
    by_differences = network.numerical_gradient(x[:3], t[:3])
    by_backward = network.gradient(x[:3], t[:3])
    # not rounding but the 1e-7 in the loss, which backward leaves out, makes the difference
    for key, difference in usual.items():
        found = np.average(np.abs(by_backward[key] - by_differences[key]))
        assert difference / 1.5 < found < difference * 1.5, key
