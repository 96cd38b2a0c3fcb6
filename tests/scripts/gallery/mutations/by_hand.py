"""What breaks what is computed by hand: convolution, pooling, graphs, gradients, perceptrons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xpnet
from tests.scripts.gallery.mutations.tools import Mutation, changed, scaled_gradient
from xpnet import functions, layers, ops
from xpnet import initializers as init
from xpnet.book import util
from xpnet.models import perceptron


def without_stride(conv: Any, x: Any, W: Any, b: Any, *, stride: int, **options: Any) -> Any:
    y, kept = conv(x, W, b, stride=stride, **options)
    return conv(x, W, b, stride=1, **options)[0][..., : y.shape[2], : y.shape[3]], kept


def turned(x: Any) -> Any:
    return x[..., ::-1, ::-1].copy()


def from_the_end(patch: pytest.MonkeyPatch) -> None:
    for name in ("forward", "backward"):
        changed(layers.MaxPool2d, name, lambda f, self, x, **o: turned(f(self, turned(x), **o)))(
            patch
        )


def overflowing(compute: Any, loss: Any, scores: Any, labels: Any, weights: Any) -> Any:
    with np.errstate(all="ignore"):
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        return -np.log(p[np.arange(len(p)), labels]).mean(), (p - np.eye(p.shape[1])[labels]) / len(
            p
        )


def one_sided(gradient: Any, f: Any, x: Any) -> Any:
    h = 1e-4
    return np.array([(f(x + h * e) - f(x)) / h for e in np.eye(len(x))])


def formula(name: str, function: Callable[[Any], Any]) -> Mutation:
    """Return what lets a function of xpnet be another."""
    return changed(functions, name.lower(), lambda f, x: function(x))


def overflowing_sigmoid(x: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.exp(x) / (1 + np.exp(x))


def moons_apart(two_moons: Any, *args: Any) -> Any:
    data = two_moons(*args)
    return xpnet.data.Dataset(data.x + 9 * data.t[:, None], data.t, classes=2, name="moons")


def labels_turned(load: Any, name: str) -> Any:
    train, test = load(name)
    return train, xpnet.data.Dataset(test.x, (test.t + 1) % 10, classes=10)


conv, pool, elementwise, Loss = ops.conv, ops.pool, ops.elementwise, xpnet.SoftmaxCrossEntropy

# program: what breaks the part of xpnet that it shows
MUTATIONS: dict[str, list[tuple[str, Mutation]]] = {
    "convolution_by_hand": [
        ("no bias", changed(conv, "conv2d", lambda f, x, W, b, **o: f(x, W, None, **o))),
        ("one bias", changed(conv, "conv2d", lambda f, x, W, b, **o: f(x, W, b * 0 + b[0], **o))),
        ("no stride", changed(conv, "conv2d", without_stride)),
        ("shift", changed(conv, "conv2d", lambda f, x, *a, **o: f(np.roll(x, 1, 2), *a, **o))),
        (
            "filter turned",
            changed(conv, "conv2d", lambda f, x, W, *a, **o: f(x, turned(W), *a, **o)),
        ),
        (
            "channels swapped",
            changed(conv, "conv2d", lambda f, x, *a, **o: f(x[:, ::-1].copy(), *a, **o)),
        ),
        ("dW doubled", scaled_gradient(layers.Conv2d, "W", 2)),
        ("db halved", scaled_gradient(layers.Conv2d, "b", 0.5)),
        ("dx negated", changed(layers.Conv2d, "backward", lambda f, *a, **o: -f(*a, **o))),
        ("im2col mirrored", changed(conv, "im2col", lambda f, *a: f(*a)[:, ::-1])),
        ("col2im a mean", changed(conv, "col2im", lambda f, c, *a: f(c, *a) / c.shape[1])),
        ("sizes whole", changed(util, "conv_output_size", lambda f, *a: int(f(*a)))),
    ],
    "pooling_by_hand": [
        (
            "max a mean",
            changed(pool, "max_pool2d", lambda f, x, w: (pool.avg_pool2d(x, w), f(x, w)[1])),
        ),
        ("max a min", changed(pool, "max_pool2d", lambda f, x, w: (-f(-x, w)[0], f(x, w)[1]))),
        ("ties to the last", from_the_end),
        ("max's dx halved", changed(pool, "max_pool2d_backward", lambda f, *a: f(*a) / 2)),
        ("mean a sum", changed(pool, "avg_pool2d", lambda f, x, w: f(x, w) * w.cells)),
        (
            "mean's dx not shared",
            changed(pool, "avg_pool2d_backward", lambda f, *a: f(*a) * a[2].cells),
        ),
        (
            "channels swapped",
            changed(
                layers.MaxPool2d, "forward", lambda f, self, x, **o: f(self, x[:, ::-1].copy(), **o)
            ),
        ),
    ],
    "layer_graphs": [
        ("product's dx swapped", changed(layers.Multiply, "backward", lambda f, *a: f(*a)[::-1])),
        ("sum a mean", changed(layers.Add, "forward", lambda f, s, x, **o: f(s, x, **o) / len(x))),
        ("exp's slope 1", changed(layers.Exp, "derivative", lambda f, s, y: y * 0 + 1)),
        ("log's slope x", changed(layers.Log, "derivative", lambda f, s, x: x)),
        ("sigmoid's slope y", changed(layers.Sigmoid, "derivative", lambda f, s, y: y)),
        ("sigmoid of 2x", changed(functions, "sigmoid", lambda f, x: f(2 * x))),
        ("ReLU's dx passes", changed(layers.ReLU, "backward", lambda f, s, dy: dy)),
        ("ReLU's dx at 0", changed(elementwise, "relu_backward", lambda f, dy, y: dy * (y >= 0))),
        ("ReLU an absolute value", changed(elementwise, "relu", lambda f, x: abs(x))),
        ("no bias", changed(ops.linear, "linear", lambda f, x, W, b, **o: f(x, W, None, **o))),
        ("dW halved", scaled_gradient(layers.Linear, "W", 0.5)),
        ("db a mean", scaled_gradient(layers.Linear, "b", 0.5)),
        ("dx negated", changed(layers.Linear, "backward", lambda f, *a, **o: -f(*a, **o))),
        ("y - t not shared", changed(Loss, "backward", lambda f, self: 2 * f(self))),
        ("t - y", changed(Loss, "backward", lambda f, self: -f(self))),
        ("loss a sum", changed(Loss, "forward", lambda f, s, x, t: f(s, x, t) * len(x))),
        ("softmax overflows", changed(Loss, "compute", overflowing)),
    ],
    "gradient_field": [
        ("one-sided", changed(xpnet, "numerical_gradient", one_sided)),
        ("halved", changed(xpnet, "numerical_gradient", lambda f, *a: f(*a) / 2)),
        ("downhill", changed(xpnet, "numerical_gradient", lambda f, *a: -f(*a))),
        ("axes swapped", changed(xpnet, "numerical_gradient", lambda f, *a: f(*a)[::-1])),
        ("tiny step", changed(xpnet, "numerical_gradient", lambda f, *a: f(*a, h=1e-13))),
    ],
    "activation_functions": [
        ("sigmoid of 2x", changed(functions, "sigmoid", lambda f, x: f(2 * x))),
        ("step at 0", formula("step", lambda x: (x >= 0) * 1.0)),
        ("tanh a sigmoid", formula("tanh", lambda x: 1 / (1 + np.exp(-x)))),
        ("ReLU leaks", formula("ReLU", lambda x: np.where(x > 0, x, x / 100))),
        ("sigmoid overflows", formula("sigmoid", overflowing_sigmoid)),
    ],
    "perceptron_learning": [
        ("uphill", changed(xpnet.SGD, "rule", lambda f, s, p, g, **o: f(s, p, -g, **o))),
        ("no step", changed(xpnet.SGD, "rule", lambda f, *a, **o: None)),
        ("half a step", changed(xpnet.SGD, "rule", lambda f, s, p, g, **o: f(s, p, g / 2, **o))),
        ("bias never learned", scaled_gradient(layers.Linear, "b", 0)),
        ("weights never learned", scaled_gradient(layers.Linear, "W", 0)),
        ("step at 0", changed(functions, "step", lambda f, x: 1 - f(-x))),
        ("step the other way", changed(functions, "step", lambda f, x: f(-x))),
        ("no bias", changed(ops.linear, "linear", lambda f, x, W, b, **o: f(x, W, None, **o))),
        ("moons apart", changed(xpnet.data, "two_moons", moons_apart)),
        ("inputs alike", lambda patch: patch.setattr(perceptron, "INPUTS", ((0.0, 0.0),) * 4)),
    ],
    "equal_weights": [
        ("equal is random", changed(init.constant, "__call__", lambda f, s, r, *a: r.normal(a[0]))),
        ("equal is another", changed(init.constant, "__call__", lambda f, *a: f(*a) + 0.01)),
        ("random is equal", lambda p: p.setitem(init._BY_NAME, "xavier", init.constant(0.1))),
        ("no step", changed(xpnet.SGD, "rule", lambda f, *a, **o: None)),
        ("one step alone", changed(xpnet.SGD, "update", lambda f, s, *a: s.steps or f(s, *a))),
        ("uphill", changed(xpnet.SGD, "rule", lambda f, s, p, g, **o: f(s, p, -g, **o))),
        ("half a step", changed(xpnet.SGD, "rule", lambda f, s, p, g, **o: f(s, p, g / 2, **o))),
        ("sigmoid's slope y", changed(layers.Sigmoid, "derivative", lambda f, s, y: y)),
        ("bias never learned", scaled_gradient(layers.Linear, "b", 0)),
        ("labels turned", changed(xpnet.data, "load", labels_turned)),
    ],
}
