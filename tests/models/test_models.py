"""Ready-made networks: their shapes, their sizes and what they refuse."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet import layers, models
from xpnet.arrays import to_numpy
from xpnet.initializers import constant
from xpnet.losses import SoftmaxCrossEntropy
from xpnet.models import deep_convnet, fast_convnet, mlp, simple_convnet

CONV = (layers.Conv2d, layers.ReLU, layers.MaxPool2d)
PAIR = (layers.Conv2d, layers.ReLU, layers.Conv2d, layers.ReLU, layers.MaxPool2d)
HIDDEN = (layers.Linear, layers.ReLU)
KINDS = {
    "mlp": (layers.Rescale, layers.Flatten, *HIDDEN, *HIDDEN, layers.Linear),
    "simple-convnet": (
        *(layers.Rescale, layers.Conv2d, layers.ReLU, layers.MaxPool2d, layers.Flatten),
        *(*HIDDEN, layers.Linear),
    ),
    "fast-convnet": (
        *(layers.Rescale, *CONV, *CONV, layers.Flatten),
        *(*HIDDEN, layers.Linear),
    ),
    "deep-convnet": (
        *(layers.Rescale, *PAIR, *PAIR, *PAIR, layers.Flatten),
        *(*HIDDEN, layers.Dropout, layers.Linear),
    ),
}


def size(net: layers.Sequential) -> int:
    return sum(math.prod(a.shape) for a in net.params.values())


@pytest.mark.parametrize(
    ("net", "parameters"),
    [
        # 784 256 + 256, 256 128 + 128, 128 10 + 10
        (lambda: mlp(), 235_146),
        (lambda: mlp([]), 7_850),
        (lambda: mlp([50], 3, input_shape=(7,)), 553),
        (lambda: mlp([50], 3, input_shape=(7,), batch_norm=True), 653),
        # 30 filters of 25 + 1 leave 30 x 24 x 24, pooled 30 x 12 x 12 = 4320; 4320 100 + 100
        (lambda: simple_convnet(), 433_890),
        (lambda: simple_convnet(2, 3, 2, 1, 5, 4, input_shape=(3, 8, 8)), 56 + 45 + 24),
        # 24 25 + 24, 32 216 + 32 leave 32 x 5 x 5 = 800: 800 256 + 256, 2570
        (lambda: fast_convnet(), 215_194),
        (lambda: fast_convnet((1, 2), 3, 4, input_shape=(1, 12, 12)), 26 + 20 + 9 + 16),
        # 160 + 2320, 4640 + 9248, 18496 + 36928, 64 x 4 x 4 = 1024: 51250, 510
        (lambda: deep_convnet(), 123_552),
        (lambda: deep_convnet(hidden=100, classes=5), 123_552 + 51_250 + 505 - 510),
        (lambda: deep_convnet(widths=(1, 1, 1), hidden=1, classes=1), 6 * 10 + 17 + 2),
    ],
)
def test_parameters_are_as_many_as_counted_by_hand(net, parameters):
    assert size(net()) == parameters


@pytest.mark.parametrize("name", KINDS)
class TestEveryModel:
    def test_it_is_made_of_the_layers_it_names(self, name):
        assert tuple(type(layer) for layer in models.BY_NAME[name]().layers) == KINDS[name]

    def test_bytes_go_in_and_scores_come_out_on_every_library(self, name, xp: Backend):
        net = models.BY_NAME[name](classes=7, input_shape=(1, 12, 12)).to(xp.device)
        pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 12, 12))
        scores = net.forward(xp.array(pixels, "uint8"))
        assert to_numpy(scores).shape == (3, 7)
        assert to_numpy(scores).dtype == np.float32

    def test_the_seed_draws_the_weights(self, name):
        makes = models.BY_NAME[name]
        one, same, other = makes(seed=1), makes(seed=1), makes(seed=2)
        for path, values in one.params.items():
            np.testing.assert_array_equal(values, same.params[path])
            if path.endswith(".W"):
                assert (to_numpy(values) != to_numpy(other.params[path])).mean() > 0.99

    def test_before_training_it_guesses(self, name):
        net = models.BY_NAME[name](seed=0)
        x = np.random.default_rng(0).integers(0, 256, (50, 1, 28, 28)).astype(np.uint8)
        loss = float(SoftmaxCrossEntropy().forward(net.forward(x), np.arange(50) % 10))
        assert 1.5 < loss < 6  # ln 10 = 2.3

    def test_without_rescale_numbers_are_taken_as_they_are(self, name):
        net, plain = models.BY_NAME[name](), models.BY_NAME[name](rescale=None)
        for own, values in zip(plain.params, net.params.values(), strict=True):
            plain.params[own] = values
        x = np.random.default_rng(0).integers(0, 256, (2, 1, 28, 28)).astype(np.uint8)
        scores = plain.forward((x / 255).astype(np.float32))
        np.testing.assert_allclose(net.forward(x), scores, rtol=1e-4, atol=1e-4)
        with pytest.raises(ValueError, match="begin the network with Rescale"):
            plain.forward(x)


@pytest.mark.parametrize("activation", ["relu", "leaky-relu", "sigmoid", "tanh", "swish"])
def test_an_mlp_has_the_activation_of_its_name(activation):
    net = mlp([3, 4], activation=activation, input_shape=(2,), rescale=None)
    kind = {"relu": "ReLU", "leaky-relu": "LeakyReLU"}.get(activation, activation.capitalize())
    assert [type(net[k]).__name__ for k in (2, 4)] == [kind, kind]


@pytest.mark.parametrize(
    ("activation", "variance"),
    [("relu", 2), ("leaky-relu", 2), ("swish", 2), ("sigmoid", 1), ("tanh", 1)],
)
def test_an_mlp_draws_weights_that_suit_its_activation(activation, variance):
    net = mlp([400], activation=activation)
    assert np.std(net.params["2.W"]) == pytest.approx(math.sqrt(variance / 784), rel=0.01)
    given = mlp([400], activation=activation, init=0.5)
    assert np.std(given.params["2.W"]) == pytest.approx(0.5, rel=0.01)


def test_an_mlp_normalises_before_and_thins_out_after_each_activation():
    net = mlp([3, 4], batch_norm=True, dropout=0.25)
    assert [type(layer).__name__ for layer in net.layers] == [
        "Rescale", "Flatten",
        "Linear", "BatchNorm", "ReLU", "Dropout",
        "Linear", "BatchNorm", "ReLU", "Dropout",
        "Linear",
    ]  # fmt: skip
    assert net[5].rate == 0.25


def test_a_convnet_draws_all_its_weights_by_the_rule_it_is_given():
    net = simple_convnet(init=constant(0.25))
    assert {float(v) for path in ("1.W", "5.W", "7.W") for v in np.unique(net.params[path])} == {
        0.25
    }


def test_relu_may_stand_on_either_side_of_max_pooling():
    net = fast_convnet(input_shape=(1, 12, 12))
    kinds = [0, 1, 3, 2, 4, 6, 5, *range(7, 11)]
    other = layers.Sequential(
        [
            *(layers.Rescale(1 / 255), layers.Conv2d(24, 5), layers.MaxPool2d(2), layers.ReLU()),
            *(layers.Conv2d(32, 3), layers.MaxPool2d(2), layers.ReLU(), layers.Flatten()),
            *(layers.Linear(256), layers.ReLU(), layers.Linear(10)),
        ],
        input_shape=(1, 12, 12),
    )
    assert [type(net[k]) for k in kinds] == [type(layer) for layer in other.layers]
    for path, values in net.params.items():
        other.params[path] = values
    x = np.random.default_rng(0).integers(0, 256, (3, 1, 12, 12)).astype(np.uint8)
    np.testing.assert_allclose(net.forward(x), other.forward(x), rtol=1e-5, atol=1e-6)


def test_a_deep_convnet_thins_out_its_scores_where_told_to():
    with_it, without = deep_convnet(dropout=0.3, dropout_scores=True), deep_convnet(dropout=0.3)
    assert with_it[-1].rate == with_it[-3].rate == without[-2].rate == 0.3
    assert isinstance(without[-1], layers.Linear)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: mlp(activation="gelu"),
            "activation: expected 'relu', 'leaky-relu', 'sigmoid', 'tanh' or 'swish', got 'gelu'",
        ),
        (lambda: mlp([10, 0]), "units: expected a whole number >= 1, got 0"),
        (lambda: mlp([10, 2.5]), "units: expected a whole number >= 1, got 2.5"),
        (lambda: mlp(100), "hidden: expected units for each hidden layer, such as (100,), got 100"),
        (lambda: mlp(classes=0), "units: expected a whole number >= 1, got 0"),
        (lambda: mlp(dropout=1.0), "rate: expected 0 <= rate < 1, got 1.0"),
        (lambda: mlp(dropout=-0.1), "rate: expected 0 <= rate < 1, got -0.1"),
        (lambda: mlp(init="random"), "init: expected 'glorot_uniform', 'he'"),
        (lambda: mlp(dtype="float16"), "'float16'"),
        (lambda: mlp(seed=-1), "seed: expected a whole number >= 0, got -1"),
        (lambda: simple_convnet(0), "filters: expected a whole number >= 1, got 0"),
        (lambda: simple_convnet(size=30), 'Conv2d "1"'),
        (lambda: simple_convnet(input_shape=(784,)), 'Conv2d "1": expected images (n, c, h, w)'),
        (lambda: fast_convnet((8,)), "filters: expected two numbers of filters, got (8,)"),
        (
            lambda: deep_convnet(widths=(8, 8)),
            "widths: expected three numbers of filters, got (8, 8)",
        ),
        (lambda: deep_convnet(dropout=1), "rate: expected 0 <= rate < 1, got 1"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize("name", models.BY_NAME)
def test_programs_get_a_network_for_every_name(name):
    net = models.BY_NAME[name](input_shape=(1, 28, 28), classes=4, seed=3, dtype="float64")
    assert (net.input_shape, net.output_shape) == ((1, 28, 28), (4,))
    assert (net.seed, net.dtype) == (3, "float64")
    assert isinstance(net[0], layers.Rescale)  # they are given bytes
