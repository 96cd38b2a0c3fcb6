"""What breaks the demonstrations on MNIST."""

from __future__ import annotations

from typing import Any

import numpy as np

import xpnet
from tests.scripts.gallery.mutations.tools import (
    Mutation,
    changed,
    decay_scaled,
    instead,
    rate_scaled,
    scaled_gradient,
    together,
)
from xpnet import initializers, layers, models, ops, optimizers, schedules, training
from xpnet.layers.base import Layer
from xpnet.optimizers import Optimizer
from xpnet.training import search, spaces

SoftmaxCrossEntropy = xpnet.SoftmaxCrossEntropy


# Kinds that serve many rows

ONE_STEP = changed(Optimizer, "update", lambda f, self, *a: self.steps or f(self, *a))


def random_labels() -> Mutation:
    """Let training take the labels of other samples."""
    rng = np.random.default_rng(0)
    return changed(
        SoftmaxCrossEntropy,
        "compute",
        lambda f, self, scores, t, *a: f(self, scores, rng.permutation(t), *a),
    )


def weights_scaled(factor: float) -> Mutation:
    """Let initial weights be a multiple of themselves."""

    def add(f: Any, self: Layer, name: str, values: Any, **options: Any) -> None:
        f(self, name, values * factor if name == "W" else values, **options)

    return changed(Layer, "add_param", add)


def initial(name: str, other: str) -> Mutation:
    """Let a kind of initial weights be another."""
    return lambda patch: patch.setitem(initializers._BY_NAME, name, initializers._BY_NAME[other])


NEVER_DROPPED = changed(ops.dropout, "dropout", lambda f, x, counter, **o: (x, np.ones_like(x)))

NO_NORMALISATION = together(
    changed(layers.BatchNorm, "forward", lambda f, self, x, **o: x),
    changed(layers.BatchNorm, "backward", lambda f, self, dy, **o: dy),
)

FROZEN_FILTERS = changed(
    ops.conv,
    "conv_relu_pool_backward",
    lambda f, dy, kept, W, dW, db, **o: f(dy, kept, W, np.empty_like(dW), db, **o),
)
FROZEN_BIASES = changed(
    ops.conv,
    "conv_relu_pool_backward",
    lambda f, dy, kept, W, dW, db, **o: f(dy, kept, W, dW, np.empty_like(db), **o),
)

HALF_THE_IMAGE = changed(layers.Rescale, "forward", lambda f, s, x, **o: f(s, x, **o) * 0.02)


def always_dropped(f: Any, self: layers.Dropout, x: Any, *, train: bool = False) -> Any:
    y = f(self, x, train=True)
    if not train:
        self.keep(None)
    return y


def shifted_answers(f: Any, self: Any, x: Any, **options: Any) -> Any:
    return np.roll(f(self, x, **options), 1, axis=-1)


def forgets_biases(f: Any, self: Any, path: Any) -> None:
    kept = {name: array.copy() for name, array in self.params.items()}
    for name, array in self.params.items():
        array[...] = array if name.endswith("W") else 0
    f(self, path)
    for name, array in kept.items():
        self.params[name] = array


def worse_beyond_one(f: Any, self: Any, x: Any, *, batch_size: int = 1000) -> Any:
    """Answer wrongly for the last of a batch, unless it is alone."""
    scores = f(self, x, batch_size=batch_size)
    if batch_size > 1:
        scores[batch_size - 1 :: batch_size] = np.roll(scores[batch_size - 1 :: batch_size], 1, -1)
    return scores


MUTATIONS: dict[str, list[tuple[str, Mutation]]] = {
    "mnist_batched_inference": [
        ("random labels", random_labels()),
        ("one step", ONE_STEP),
        ("biases not saved", changed(layers.Sequential, "save", forgets_biases)),
        (
            "ReLU for sigmoid",
            changed(layers.Sigmoid, "forward", lambda f, s, x, **o: f(s, 2 * x, **o)),
        ),
        ("batches answered wrongly", changed(layers.Sequential, "predict", worse_beyond_one)),
        ("no cycle of rates", instead(schedules, "one_cycle", lambda: lambda step, total: 0.01)),
    ],
    "two_layer_training": [
        ("Adam for SGD", instead(xpnet, "SGD", lambda lr: xpnet.Adam(lr=0.001))),
        ("Momentum for SGD", instead(xpnet, "SGD", xpnet.Momentum)),
        ("half the rate", rate_scaled(xpnet.SGD, 0.5)),
        ("weights times 10", weights_scaled(10)),
        ("one step", ONE_STEP),
        ("random labels", random_labels()),
        ("dW halved", scaled_gradient(layers.Linear, "W", 0.5)),
        ("sigmoid's slope y", changed(layers.Sigmoid, "derivative", lambda f, s, y: y)),
        ("pixels dark", HALF_THE_IMAGE),
    ],
    "optimizer_comparison": [
        ("Momentum is SGD", instead(xpnet, "Momentum", xpnet.SGD)),
        (
            "Momentum half as lasting",
            changed(xpnet.Momentum, "__init__", lambda f, self, lr: f(self, lr, 0.45)),
        ),
        ("AdaGrad is Adam", instead(xpnet, "AdaGrad", xpnet.Adam)),
        ("Adam is RMSprop", instead(xpnet, "Adam", lambda lr: xpnet.RMSprop(lr=lr * 3))),
        ("SGD is Adam", instead(xpnet, "SGD", lambda lr: optimizers.Adam(lr=0.001))),
        ("Xavier for He", initial("he", "xavier")),
        ("weights halved", weights_scaled(0.5)),
        ("one step", ONE_STEP),
        ("random labels", random_labels()),
        (
            "Adam without correction",
            changed(optimizers.Adam, "scalars", lambda f, self, step: f(self, 10**9)),
        ),
    ],
    "weight_initialisation": [
        ("weights doubled", weights_scaled(2)),
        ("He is Xavier", initial("he", "xavier")),
        ("Xavier is He", initial("xavier", "he")),
        ("weights halved", weights_scaled(0.5)),
        ("random labels", random_labels()),
        ("one step", ONE_STEP),
        ("Momentum for SGD", instead(xpnet, "SGD", xpnet.Momentum)),
    ],
    "activation_histograms": [
        ("weights times 1.5", weights_scaled(1.5)),
        ("weights times .8", weights_scaled(0.8)),
        ("Xavier is He", initial("xavier", "he")),
        (
            "sigmoid for tanh",
            changed(layers.Tanh, "forward", lambda f, s, x, **o: 1 / (1 + np.exp(-x))),
        ),
        ("ReLU lets all pass", changed(layers.ReLU, "forward", lambda f, s, x, **o: x)),
        (
            "sigmoid of half",
            changed(layers.Sigmoid, "forward", lambda f, s, x, **o: f(s, x / 2, **o)),
        ),
    ],
    "batch_norm_scales": [
        ("no normalisation", NO_NORMALISATION),
        (
            "training's statistics not kept",
            changed(
                layers.BatchNorm,
                "forward",
                lambda f, s, x, *, train=False: f(s, x, train=train) if train else x,
            ),
        ),
        ("one step", ONE_STEP),
        ("random labels", random_labels()),
        (
            "always normalised",
            changed(models, "mlp", lambda f, *a, batch_norm, **o: f(*a, batch_norm=True, **o)),
        ),
        ("rate divided by 100", rate_scaled(xpnet.SGD, 0.01)),
    ],
    "weight_decay_overfitting": [
        ("decay times 30", decay_scaled(30)),
        ("no decay", decay_scaled(0)),
        ("random labels", random_labels()),
        ("one step", ONE_STEP),
        ("rate halved", rate_scaled(xpnet.SGD, 0.5)),
        (
            "Adam for SGD",
            instead(
                xpnet, "SGD", lambda lr, weight_decay: xpnet.Adam(lr=lr, weight_decay=weight_decay)
            ),
        ),
    ],
    "dropout_overfitting": [
        ("nothing dropped", NEVER_DROPPED),
        ("dropped at inference too", changed(layers.Dropout, "forward", always_dropped)),
        (
            "dropped thrice as often",
            changed(layers.Dropout, "__init__", lambda f, s, rate, *a: f(s, 3 * rate, *a)),
        ),
        ("random labels", random_labels()),
        ("one step", ONE_STEP),
    ],
    "random_search": [
        (
            "uniform draws",
            changed(
                spaces.LogUniform,
                "draw",
                lambda f, self, stream, n: float(stream.generator(n).uniform(self.low, self.high)),
            ),
        ),
        ("draws beyond", changed(spaces.LogUniform, "draw", lambda f, *a: f(*a) * 50)),
        (
            "one draw for all",
            changed(spaces.LogUniform, "draw", lambda f, self, stream, n: f(self, stream, 0)),
        ),
        ("random labels", random_labels()),
        ("one step", ONE_STEP),
        ("Adam for SGD", instead(xpnet, "SGD", lambda lr, weight_decay: xpnet.Adam(lr=lr))),
    ],
    "search_stages": [
        (
            "the whole range drawn always",
            changed(
                spaces.LogUniform, "draw", lambda f, self, *a: f(spaces.LogUniform(1e-6, 1e-2), *a)
            ),
        ),
        ("worst first", changed(search, "random_search", lambda f, *a, **o: f(*a, **o)[::-1])),
        ("random labels", random_labels()),
        ("one step", ONE_STEP),
    ],
    "simple_convnet": [
        ("SGD for Adam", instead(xpnet, "Adam", xpnet.SGD)),
        ("random labels", random_labels()),
        ("one step", ONE_STEP),
        ("filters never learned", FROZEN_FILTERS),
        ("weights times 30", weights_scaled(30)),
        ("answers shifted", changed(layers.Sequential, "forward", shifted_answers)),
    ],
    "misclassified_digits": [
        ("random labels", random_labels()),
        ("one step", ONE_STEP),
        ("confusion turned", changed(training.metrics, "confusion_matrix", lambda f, *a: f(*a).T)),
        ("SGD for Adam", instead(xpnet, "Adam", xpnet.SGD)),
    ],
    "deep_convnet": [
        ("nothing dropped", NEVER_DROPPED),
        ("dropped at inference too", changed(layers.Dropout, "forward", always_dropped)),
        ("random labels", random_labels()),
        ("one step", ONE_STEP),
        ("SGD for Adam", instead(xpnet, "Adam", xpnet.SGD)),
        ("weights times 3", weights_scaled(3)),
    ],
    "filter_pictures": [
        ("filters never learned", FROZEN_FILTERS),
        ("weights times 30", weights_scaled(30)),
        ("one step", ONE_STEP),
        ("random labels", random_labels()),
        ("SGD for Adam", instead(xpnet, "Adam", xpnet.SGD)),
    ],
    "lenet_alexnet": [
        (
            "AlexNet's weights times 30",
            together(
                changed(models, "alexnet", lambda f, *a, **o: multiplied(f(*a, **o), 30)),
                changed(models, "small_alexnet", lambda f, *a, **o: multiplied(f(*a, **o), 30)),
            ),
        ),
        ("random labels", random_labels()),
        ("one step", ONE_STEP),
        (
            "a layer narrower",
            changed(models, "alexnet", lambda f, *a, width, **o: f(*a, width=width * 0.9, **o)),
        ),
        ("biases never learned", FROZEN_BIASES),
        ("average pooling a sum", changed(ops.pool, "avg_pool2d", lambda f, x, w: f(x, w) * 40)),
    ],
}


def multiplied(net: layers.Sequential, factor: float) -> layers.Sequential:
    """Return a network whose weights are a multiple of what they were."""
    for name, array in net.params.items():
        if name.endswith("W"):
            array *= factor
    return net
