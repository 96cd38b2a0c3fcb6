# ruff: noqa: NPY002
"""The book's networks: draws, numbers against plain NumPy, parameters that reach the layers."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import xpnet.book
from tests.book import straight_numpy
from tests.book.straight_numpy import Straight
from tests.conftest import HAS_TORCH
from xpnet.arrays import namespace
from xpnet.book import ch04_two_layer_net, layers
from xpnet.book.deep_convnet import DeepConvNet
from xpnet.book.multi_layer_net import MultiLayerNet
from xpnet.book.multi_layer_net_extend import MultiLayerNetExtend
from xpnet.book.optimizer import Momentum
from xpnet.book.simple_convnet import SimpleConvNet
from xpnet.book.two_layer_net import TwoLayerNet
from xpnet.devices import device_of

X = np.random.default_rng(0).normal(size=(6, 8))
T = np.array([2, 0, 1, 1, 2, 0])
IMAGES = np.random.default_rng(1).normal(size=(3, 2, 9, 9))
SMALL = {"filter_num": 3, "filter_size": 3, "pad": 1, "stride": 2}


def simple():
    return SimpleConvNet((2, 9, 9), SMALL, hidden_size=5, output_size=3, weight_init_std=0.3)


def extended(**options):
    return MultiLayerNetExtend(8, [7, 5], 3, **options)


def deep():
    few = {"filter_num": 2, "filter_size": 3, "pad": 1, "stride": 1}
    return DeepConvNet((2, 9, 9), *[few] * 6, hidden_size=4, output_size=3)


def mlp_steps(hidden, activation="relu", bn=False, dropout=None):
    steps = []
    for i in range(1, hidden + 1):
        steps.append(("affine", i))
        steps += [("bn", i)] if bn else []
        steps.append((activation, i))
        steps += [("dropout", i, dropout)] if dropout else []
    return [*steps, ("affine", hidden + 1)]


def deep_steps(hidden=6):
    steps = []
    for i in range(1, 7):
        steps += [("conv", i, 1, 1), ("relu", i)]
        steps += [("pool", i, 2, 2, 2)] if i % 2 == 0 else []
    return [*steps, ("affine", 7), ("relu", 7), ("dropout", 7, 0.5), ("affine", 8),
            ("dropout", 8, 0.5)]  # fmt: skip


NETS = {
    "two": (lambda: TwoLayerNet(8, 5, 3, 0.5), X, mlp_steps(1)),
    "ch04": (lambda: ch04_two_layer_net.TwoLayerNet(8, 5, 3, 0.5), X, mlp_steps(1, "sigmoid")),
    "multi": (lambda: MultiLayerNet(8, [7, 5], 3), X, mlp_steps(2)),
    "sigmoid": (lambda: MultiLayerNet(8, [7], 3, "sigmoid", "xavier"), X, mlp_steps(1, "sigmoid")),
    "decay": (lambda: MultiLayerNet(8, [7, 5], 3, weight_decay_lambda=0.3), X, mlp_steps(2)),
    "plain extended": (extended, X, mlp_steps(2)),
    "normalised": (lambda: extended(use_batchnorm=True), X, mlp_steps(2, bn=True)),
    "all": (
        lambda: extended(
            use_batchnorm=True, use_dropout=True, dropout_ration=0.2, weight_decay_lambda=0.1
        ),
        X,
        mlp_steps(2, bn=True, dropout=0.2),
    ),
    "simple": (
        simple,
        IMAGES,
        [("conv", 1, 2, 1), ("relu", 1), ("pool", 1, 2, 2, 2), ("affine", 2), ("relu", 2),
         ("affine", 3)],
    ),
    "deep": (deep, IMAGES, deep_steps()),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_a_network_computes_what_plain_numpy_does(name):
    make, x, steps = NETS[name]
    t = T[: len(x)]
    np.random.seed(0)
    net = make()
    own = Straight(net.params, steps, getattr(net, "weight_decay_lambda", 0))
    for targets in (t, np.eye(3)[t]):
        np.random.seed(1)  # of the dropout's masks
        grads = net.gradient(x, targets)
        net_loss = net.loss(x, targets)
        np.random.seed(1)
        wanted = own.gradient(x, t)
        loss = own.loss(x, t, train=name == "deep")  # whose loss is that of training
        assert grads.keys() == wanted.keys() == net.params.keys()
        for key, slope in wanted.items():
            np.testing.assert_allclose(grads[key], slope, rtol=1e-9, atol=1e-12, err_msg=key)
        assert net_loss == pytest.approx(loss, abs=1e-12)
    scores = own.scores(x)
    predicted = straight_numpy.probabilities(scores) if name == "ch04" else scores
    np.testing.assert_allclose(net.predict(x), predicted, rtol=1e-9, atol=1e-12)
    for targets in (t, np.eye(3)[t]):
        for size in (1, 4, 100):
            assert net.accuracy(x, targets, batch_size=size) == own.accuracy(x, t)


@pytest.mark.parametrize("name", ["two", "ch04", "decay", "normalised", "simple"])
def test_backward_agrees_with_differences(name):
    make, x, _ = NETS[name]
    np.random.seed(3)
    net, t = make(), T[: len(x)]
    before = {key: p.tobytes() for key, p in net.params.items()}
    by_differences, grads = net.numerical_gradient(x, t), net.gradient(x, t)
    assert by_differences.keys() == grads.keys()
    for key, slope in by_differences.items():
        np.testing.assert_allclose(grads[key], slope, atol=2e-6, err_msg=key)
    assert before == {key: p.tobytes() for key, p in net.params.items()}


# Draws ---------------------------------------------------------------------------------------


def assert_drawn(net, scales):
    """Hold weights against np.random.seed(0) and a scale for each, biases against zero."""
    np.random.seed(0)
    for i, scale in enumerate(scales, 1):
        W = net.params[f"W{i}"]
        np.testing.assert_array_equal(W, scale * np.random.randn(*W.shape))
        b = net.params[f"b{i}"]
        np.testing.assert_array_equal(b, np.zeros(W.shape[0 if W.ndim == 4 else 1]))
        assert W.dtype == b.dtype == np.float64


@pytest.mark.parametrize("module", [ch04_two_layer_net, xpnet.book.two_layer_net])
def test_two_layer_nets_draw_w1_then_w2(module):
    np.random.seed(0)
    net = module.TwoLayerNet(input_size=784, hidden_size=100, output_size=10)
    assert_drawn(net, [0.01, 0.01])
    shapes = [net.params[key].shape for key in ("W1", "b1", "W2", "b2")]
    assert shapes == [(784, 100), (100,), (100, 10), (10,)]


@pytest.mark.parametrize(
    ("std", "scales"),
    [
        ("relu", [np.sqrt(2 / 8), np.sqrt(2 / 7), np.sqrt(2 / 5)]),
        ("He", [np.sqrt(2 / 8), np.sqrt(2 / 7), np.sqrt(2 / 5)]),
        ("sigmoid", [np.sqrt(1 / 8), np.sqrt(1 / 7), np.sqrt(1 / 5)]),
        ("XAVIER", [np.sqrt(1 / 8), np.sqrt(1 / 7), np.sqrt(1 / 5)]),
        (0.01, [0.01] * 3),
        (np.float32(0.5), [0.5] * 3),
    ],
)
@pytest.mark.parametrize("cls", [MultiLayerNet, MultiLayerNetExtend])
def test_multi_layer_nets_draw_by_fan_in(cls, std, scales):
    np.random.seed(0)
    assert_drawn(cls(8, [7, 5], 3, weight_init_std=std), scales)


def test_normalisation_starts_as_the_identity_and_draws_nothing():
    np.random.seed(0)
    net = extended(use_batchnorm=True)
    assert_drawn(net, [np.sqrt(2 / n) for n in (8, 7, 5)])
    assert (net.params["gamma2"] == np.ones(5)).all()
    assert (net.params["beta1"] == np.zeros(7)).all()
    assert "gamma3" not in net.params


def test_simple_convnet_draws_three_weights():
    np.random.seed(0)
    net = SimpleConvNet()
    assert_drawn(net, [0.01] * 3)
    shapes = [net.params[f"W{i}"].shape for i in (1, 2, 3)]
    assert shapes == [(30, 1, 5, 5), (30 * 12 * 12, 100), (100, 10)]


def test_deep_convnet_draws_eight_weights():
    np.random.seed(0)
    net = DeepConvNet()
    fans = [9, 16 * 9, 16 * 9, 32 * 9, 32 * 9, 64 * 9, 64 * 16, 50]
    assert_drawn(net, [np.sqrt(2.0 / fan) for fan in fans])
    assert net.params["W7"].shape == (64 * 4 * 4, 50)
    kinds = [type(layer).__name__[0] for layer in net.layers]
    assert "".join(kinds) == "CRCRP" * 3 + "ARDAD"


# Names ---------------------------------------------------------------------------------------


def test_layers_have_the_books_names():
    assert list(TwoLayerNet(4, 3, 2).layers) == ["Affine1", "Relu1", "Affine2"]
    assert list(SimpleConvNet().layers) == [
        *("Conv1", "Relu1", "Pool1"),
        *("Affine1", "Relu2", "Affine2"),
    ]
    names = ["Affine1", "BatchNorm1", "Activation_function1", "Dropout1", "Affine2"]
    net = MultiLayerNetExtend(4, [3], 2, use_batchnorm=True, use_dropout=True)
    assert list(net.layers) == names
    assert isinstance(net.last_layer, layers.SoftmaxWithLoss)


def test_last_layer_has_two_names_in_the_two_layer_net():
    net = TwoLayerNet(8, 3, 2)
    assert net.lastLayer is net.last_layer
    net.lastLayer = other = layers.SoftmaxWithLoss()
    net.loss(X, T % 2)
    assert net.last_layer is other
    assert other.y.shape == (6, 2)


def test_networks_have_the_books_attributes():
    net = MultiLayerNet(8, [7, 5], 3, weight_decay_lambda=0.5)
    names = ("input_size", "hidden_size_list", "output_size", "hidden_layer_num")
    assert [getattr(net, name) for name in names] == [8, [7, 5], 3, 2]
    assert net.weight_decay_lambda == 0.5
    net = extended(use_dropout=True)
    assert [getattr(net, name) for name in names] == [8, [7, 5], 3, 2]
    assert (net.use_dropout, net.use_batchnorm, net.weight_decay_lambda) == (True, False, 0)
    assert isinstance(deep().layers, list)


def test_layers_hold_what_the_books_hold_after_a_gradient():
    net, t = extended(use_batchnorm=True, use_dropout=True), np.eye(3)[T]
    net.gradient(X, t)
    first, bn, relu = (net.layers[key] for key in ("Affine1", "BatchNorm1", "Activation_function1"))
    assert first.x is X
    a = X @ net.params["W1"] + net.params["b1"]
    np.testing.assert_allclose(bn.xc, a - a.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(relu.mask, bn.xn * bn.gamma + bn.beta <= 0)
    assert net.layers["Dropout1"].mask.shape == relu.mask.shape
    assert net.last_layer.t is t
    np.testing.assert_allclose(net.last_layer.y.sum(axis=1), 1)
    assert type(net.last_layer.loss) is np.float64
    np.testing.assert_allclose(first.db, 0, atol=1e-12)  # the mean is taken off behind it


@pytest.mark.parametrize("name", NETS)
def test_losses_and_accuracies_are_numpys_numbers(name):
    make, x, _ = NETS[name]
    net = make()
    assert type(net.loss(x, T[: len(x)])) is np.float64
    assert type(net.accuracy(x, T[: len(x)])) is np.float64


def test_chapter_4_also_asks_about_one_sample():
    net = ch04_two_layer_net.TwoLayerNet(8, 5, 3, 0.5)
    own = Straight(net.params, mlp_steps(1, "sigmoid"))
    p = straight_numpy.probabilities(own.scores(X[:1]))
    np.testing.assert_allclose(net.predict(X[0]), p[0], rtol=1e-12)
    for t in (np.array(2), np.eye(3)[2]):
        assert net.loss(X[0], t) == pytest.approx(straight_numpy.error(p, [2]), abs=1e-12)


# Own classes, own layers -----------------------------------------------------------------------


class Halved(TwoLayerNet):
    """A network of one's own, with the book's signatures."""

    def predict(self, x):
        return 0.5 * super().predict(x)

    def loss(self, x, t):
        return 3 * super().loss(x, t)


def test_a_network_of_ones_own_is_asked_by_its_own_methods():
    net = Halved(8, 5, 3, 0.5)
    scores = 0.5 * Straight(net.params, mlp_steps(1)).scores(X)
    assert net.loss(X, T) == pytest.approx(
        3 * straight_numpy.error(straight_numpy.probabilities(scores), T), abs=1e-12
    )
    by_differences = net.numerical_gradient(X, T)
    np.testing.assert_allclose(by_differences["W2"], 1.5 * net.gradient(X, T)["W2"], atol=1e-6)
    assert net.accuracy(X, scores.argmax(axis=1)) == 1


def test_a_layer_put_in_place_of_another_is_the_one_that_counts():
    net = TwoLayerNet(8, 5, 3, 0.5)
    W, b = np.random.default_rng(2).normal(size=(8, 5)), np.ones(5)
    net.layers["Affine1"] = layers.Affine(W, b)
    own = Straight({**net.params, "W1": W, "b1": b}, mlp_steps(1))
    for key, slope in own.gradient(X, T).items():
        np.testing.assert_allclose(net.gradient(X, T)[key], slope, rtol=1e-9, atol=1e-12)
    net.params["W1"] = np.zeros((8, 5))
    assert not net.layers["Affine1"].W.any()


class Doubling:
    """A layer of one's own, that knows forward and backward alone."""

    def forward(self, x):
        return 2 * x

    def backward(self, dout):
        self.seen = 2 * dout
        return self.seen


def test_all_layers_may_be_replaced():
    net, other = TwoLayerNet(8, 5, 3), TwoLayerNet(8, 5, 3, 0.5)
    net.layers = other.layers
    np.testing.assert_array_equal(net.predict(X), other.predict(X))
    net.params["W1"] = a = np.zeros((8, 5))
    assert other.layers["Affine1"].W is a


def test_a_network_that_is_dropped_is_freed_at_once():
    net = TwoLayerNet(8, 5, 3)
    net.gradient(X, T)
    alive = weakref.ref(net.layers["Affine1"])
    gc.disable()
    try:
        del net
        assert alive() is None
    finally:
        gc.enable()


def test_layers_of_ones_own_stand_anywhere():
    net = TwoLayerNet(8, 5, 3, 0.5)
    net.layers["Double"] = Doubling()
    net.layers.move_to_end("Double", last=False)
    own = Straight(net.params, mlp_steps(1))
    for key, slope in own.gradient(2 * X, T).items():
        np.testing.assert_allclose(net.gradient(X, T)[key], slope, rtol=1e-9, atol=1e-12)
    assert net.layers["Double"].seen.shape == X.shape


def test_a_network_without_a_train_flg_has_dropout_always_in_training():
    net = MultiLayerNet(8, [5], 3)
    net.layers["Drop"] = layers.Dropout(0.5)
    np.random.seed(0)
    mask = np.random.rand(6, 3) > 0.5
    np.random.seed(0)
    scores = Straight(net.params, mlp_steps(1)).scores(X)
    np.testing.assert_allclose(net.predict(X), scores * mask, rtol=1e-12)


def test_weight_decay_may_be_set_on_the_way():
    net = MultiLayerNet(8, [7], 3)
    net.weight_decay_lambda = 0.3
    net.layers["Affine1"].W = W = np.ones((8, 7))
    own = Straight({**net.params, "W1": W}, mlp_steps(1), 0.3)
    for key, slope in own.gradient(X, T).items():
        np.testing.assert_allclose(net.gradient(X, T)[key], slope, rtol=1e-9, atol=1e-12)
    net.params["W1"] = W
    assert net.loss(X, T) == pytest.approx(own.loss(X, T), abs=1e-12)


def test_an_unknown_rule_for_weights_is_refused():
    with pytest.raises(ValueError, match="glorot"):
        MultiLayerNet(4, [3], 2, weight_init_std="glorot")


def test_the_last_few_samples_count_in_the_accuracy():
    net = simple()
    assert net.accuracy(IMAGES, net.predict(IMAGES).argmax(axis=1)) == 1.0


# Parameters reach the layers -----------------------------------------------------------------


def test_params_and_layers_share_arrays():
    net = TwoLayerNet(8, 5, 3)
    assert net.layers["Affine1"].W is net.params["W1"]
    assert net.layers["Affine2"].b is net.params["b2"]
    own = net.params["W1"]
    net.params["W1"] -= 1.0
    assert net.params["W1"] is net.layers["Affine1"].W is own
    assert isinstance(net.params, dict)


@pytest.mark.parametrize("way", ["item", "update", "or"])
def test_assigning_a_parameter_reaches_its_layer(way):
    net = TwoLayerNet(8, 5, 3)
    a = np.ones((8, 5))
    if way == "item":
        net.params["W1"] = a
    elif way == "update":
        net.params.update({"W1": a}, b1=np.ones(5))
    else:
        net.params |= {"W1": a}
    assert net.layers["Affine1"].W is net.params["W1"] is a
    first = net.layers["Affine1"].forward(X)
    b = 1.0 if way == "update" else 0.0
    np.testing.assert_allclose(first, np.repeat(X.sum(axis=1)[:, None] + b, 5, axis=1))


def test_assigning_all_parameters_reaches_their_layers():
    net, other = TwoLayerNet(8, 5, 3), TwoLayerNet(8, 5, 3, 0.5)
    net.params = dict(other.params)
    np.testing.assert_array_equal(net.predict(X), other.predict(X))
    assert net.layers["Affine1"].W is net.params["W1"] is other.params["W1"]


def test_assigning_gamma_reaches_the_normalisation():
    net = extended(use_batchnorm=True)
    net.params["gamma1"] = np.full(7, 5.0)
    assert net.layers["BatchNorm1"].gamma is net.params["gamma1"]


def test_assigning_reaches_a_layer_of_a_list():
    net = deep()
    net.params["W8"] = a = np.zeros((4, 3))
    assert net.layers[-2].W is a
    np.testing.assert_array_equal(net.predict(IMAGES), np.zeros((3, 3)))


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_copied_network_has_parameters_of_its_own_that_reach_its_layers(how):
    net = TwoLayerNet(8, 5, 3)
    twin = copy.deepcopy(net) if how == "deepcopy" else pickle.loads(pickle.dumps(net))
    twin.params["W1"] = np.zeros((8, 5))
    assert twin.layers["Affine1"].W is twin.params["W1"]
    assert net.layers["Affine1"].W is net.params["W1"]
    assert net.params["W1"].any()


def test_gradients_of_an_earlier_pass_stay():
    net = TwoLayerNet(8, 5, 3, 0.5)
    first = net.gradient(X, T)
    kept = {key: g.copy() for key, g in first.items()}
    net.gradient(-X, T)
    for key, g in kept.items():
        np.testing.assert_array_equal(first[key], g)


def test_half_floats_written_into_the_parameters():
    np.random.seed(0)
    net = deep()
    exact = net.predict(IMAGES)
    for param in net.params.values():
        param[...] = param.astype(np.float16)
    rough = net.predict(IMAGES.astype(np.float16))
    assert 0 < abs(rough - exact).max() < 0.01


# Devices -------------------------------------------------------------------------------------


def test_use_says_where_networks_are_made():
    if not HAS_TORCH:
        pytest.skip("PyTorch is not installed")
    np.random.seed(0)
    here = extended(use_batchnorm=True, use_dropout=True, weight_decay_lambda=0.1)
    try:
        assert xpnet.book.use("torch:cpu").name == "torch:cpu"
        np.random.seed(0)
        there = extended(use_batchnorm=True, use_dropout=True, weight_decay_lambda=0.1)
    finally:
        xpnet.book.use("cpu")
    assert isinstance(extended().params["W1"], np.ndarray)
    place = device_of(there.params["W1"])
    assert place.name == "torch:cpu"
    x, t = place.asarray(X), place.asarray(T)
    opts = Momentum(), Momentum()
    losses = []
    for net, opt, a, b in ((here, opts[0], X, T), (there, opts[1], x, t)):
        np.random.seed(1)
        for _ in range(3):
            opt.update(net.params, net.gradient(a, b))
        losses.append(float(net.loss(a, b)))
        assert 0 <= net.accuracy(a, b) <= 1
    assert losses[0] == pytest.approx(losses[1], abs=1e-12)
    assert namespace(there.params["W1"]) is namespace(x)
