"""What breaks gates, functions, losses, gradients by differences, graphs and optimizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import xpnet
from tests.scripts.gallery.mutations.tools import Mutation, changed, scaled_gradient
from xpnet import functions, gradients, layers, ops
from xpnet.book import functions as book_functions
from xpnet.book import gradient as book_gradient
from xpnet.book import layers as book_layers
from xpnet.models import perceptron

linear, losses, elementwise = ops.linear, ops.loss, ops.elementwise


def gate(name: str, *neurons: Any) -> Mutation:
    """Return what lets a gate be of other neurons."""
    return lambda patch: patch.setitem(perceptron.GATES, name, neurons)


def at_threshold(f: Any, x: Any, w: Any, theta: float) -> Any:
    return (x @ w >= theta) * 1.0


def unsafe_softmax(f: Any, x: Any, axis: int = -1) -> Any:
    with np.errstate(all="ignore"):
        return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


def loss_of(name: str, change: Callable[[Any, Any], tuple[Any, Any]]) -> Mutation:
    """Return what changes the loss and the gradient that an op returns."""
    return changed(losses, name, lambda f, y, *a, **o: change(*f(y, *a, **o)))


def one_sided(f: Any, g: Any, x: Any, h: float = 1e-4) -> Any:
    slopes = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        moved = x.copy()
        moved[at] += h
        slopes[at] = (float(g(moved)) - float(g(x))) / h
    return slopes


def with_step(step: float) -> Mutation:
    """Return what lets differences take another step."""
    return changed(xpnet, "numerical_gradient", lambda f, g, x: f(g, x, step))


def slopes_scaled(owner: Any, factor: float) -> Mutation:
    """Return what lets differences be a multiple of themselves, as a module knows them."""
    return changed(owner, "numerical_gradient", lambda f, *a: f(*a) * factor)


def rank_lost(f: Any, g: Any, x: Any) -> Any:
    slopes = f(g, x)
    return slopes * 0 if np.ndim(x) == 3 else slopes


def with_momentum(f: Any, g: Any, start: Any, lr: float, steps: int) -> Any:
    x, v, path = start, 0 * start, [start]
    for _ in range(steps):
        v = 0.5 * v - lr * 2 * x
        x = x + v
        path.append(x)
    return x, path


def setting(optimizer: type, name: str, value: Any) -> Mutation:
    """Return what sets an attribute of an optimizer before each of its updates."""

    def update(f: Any, self: Any, *args: Any) -> None:
        setattr(self, name, value)
        f(self, *args)

    return changed(optimizer, "update", update)


def is_another(name: str, other: str) -> Mutation:
    """Return what lets an optimizer be another."""

    def make(lr: float, **options: Any) -> Any:
        options.pop("alpha", None)
        return getattr(xpnet, other)(lr, **options)

    return lambda patch: patch.setattr(xpnet, name, make)


def uncorrected(f: Any, self: Any, step: int) -> dict[str, float]:
    return f(self, step) | {"step_size": self.lr, "root_scale": 1.0}


def eps_in_the_root(
    f: Any, self: Any, p: Any, g: Any, h: Any, *, scalars: Any, decay: float
) -> None:
    g = g + decay * p
    h += g * g
    p -= scalars.lr * g / np.sqrt(h + self.eps)


def not_decayed(optimizer: type) -> Mutation:
    """Return what leaves weight decay out."""
    return changed(optimizer, "rule", lambda f, *a, decay, **o: f(*a, decay=0.0, **o))


def images_turned(load: Any, *args: Any) -> Any:
    train, test = load(*args)
    return xpnet.data.Dataset(train.x[..., ::-1], train.t, classes=10), test


def from_the_third(load: Any, *args: Any) -> Any:
    train, test = load(*args)
    return xpnet.data.Dataset(train.x[3:], train.t[3:], classes=10), test


def last_unit_lost(f: Any, self: Any, dy: Any, **options: Any) -> Any:
    dx = f(self, dy, **options)
    self.grads["W"][:, -1] = 0
    return dx


def past_relu(f: Any, dy: Any, kept: Any, *args: Any, **options: Any) -> Any:
    x, y = kept
    return f(dy, (x, y * 0 + 1), *args, **options)


def nothing_added(f: Any, y: Any, t: Any) -> Any:
    return -np.log(y[np.arange(len(y)), t if t.ndim == 1 else t.argmax(axis=1)]).mean()


def first(b: Any) -> Any:
    return None if b is None else b * 0 + b[0]


def bias_once(f: Any, x: Any, W: Any, b: Any, **options: Any) -> Any:
    y, kept = f(x, W, None, **options)
    if b is not None:
        y[0] += b
    return y, kept


def over_everything(f: Any, x: Any, axis: int = -1) -> Any:
    return f(x.reshape(-1)).reshape(x.shape)


def squashed(f: Any, self: Any, x: Any, **options: Any) -> Any:
    return functions.sigmoid(f(self, x, **options))


def negated(f: Any, self: Any, dy: Any) -> Any:
    return tuple(-dx for dx in f(self, dy))


def halved(f: Any, self: Any, dy: Any) -> Any:
    return tuple(dx / 2 for dx in f(self, dy))


NO_BIAS = changed(linear, "linear", lambda f, x, W, b, **o: f(x, W, None, **o))
MIRRORED = changed(linear, "linear", lambda f, x, *a, **o: f(x[:, ::-1].copy(), *a, **o))
STEP_AT_0 = changed(functions, "step", lambda f, x: 1 - f(-x))
STEP_TURNED = changed(functions, "step", lambda f, x: f(-x))
AND, (NAND,), OR = perceptron.GATES["and"], perceptron.GATES["nand"], perceptron.GATES["or"]
NAND_OR, _ = perceptron.GATES["xor"]
PRODUCT_SWAPPED = changed(layers.Multiply, "backward", lambda f, *a, **o: f(*a, **o)[::-1])
PRODUCT_A_SUM = changed(layers.Multiply, "forward", lambda f, s, x, **o: f(s, x, **o) * 0 + sum(x))
SGD, Loss = xpnet.SGD, xpnet.SoftmaxCrossEntropy

# program: what breaks the part of xpnet that it shows
MUTATIONS: dict[str, list[tuple[str, Mutation]]] = {
    "perceptron_gates": [
        ("step at 0", STEP_AT_0),
        ("step the other way", STEP_TURNED),
        ("no bias", NO_BIAS),
        ("AND is OR", gate("and", *OR)),
        ("NAND is AND", gate("nand", *AND)),
        ("AND's bias -.6", gate("and", ([[0.5], [0.5]], [-0.6]))),
        ("OR's weights unequal", gate("or", ([[0.5], [0.3]], [-0.2]))),
        ("threshold at theta", changed(perceptron, "threshold_neuron", at_threshold)),
        (
            "threshold of 1 - theta",
            changed(perceptron, "threshold_neuron", lambda f, x, w, theta: f(x, w, 1 - theta)),
        ),
        ("inputs alike", lambda patch: patch.setattr(perceptron, "INPUTS", ((0.0, 0.0),) * 4)),
    ],
    "xor_gate": [
        ("step at 0", STEP_AT_0),
        ("step the other way", STEP_TURNED),
        ("no bias", NO_BIAS),
        ("OR on top", gate("xor", NAND_OR, *OR)),
        ("hidden neurons alike", gate("xor", ([[0.5, 0.5], [0.5, 0.5]], [-0.2, -0.2]), *AND)),
        ("a line moved", gate("xor", ([[-0.5, 0.5], [-0.5, 0.5]], [0.6, -0.2]), *AND)),
        ("inputs alike", lambda patch: patch.setattr(perceptron, "INPUTS", ((0.0, 0.0),) * 4)),
        (
            "the search finds XOR",
            changed(perceptron, "truth_tables", lambda f, v: f(v) | {"0110": 1}),
        ),
        (
            "the search leaves half out",
            changed(perceptron, "truth_tables", lambda f, v: f(v[: len(v) // 2])),
        ),
        (
            "the search counts twice",
            changed(perceptron, "truth_tables", lambda f, v: {t: 2 * n for t, n in f(v).items()}),
        ),
    ],
    "broadcasting": [
        ("no bias", NO_BIAS),
        ("one bias", changed(linear, "linear", lambda f, x, W, b, **o: f(x, W, first(b), **o))),
        ("inputs mirrored", MIRRORED),
        ("bias of the first sample alone", changed(linear, "linear", bias_once)),
        ("Multiply a sum", PRODUCT_A_SUM),
        ("Rescale by 9", changed(elementwise, "rescale", lambda f, x, **o: f(x, **o) - x)),
    ],
    "softmax": [
        ("overflow", changed(functions, "softmax", unsafe_softmax)),
        ("over everything", changed(functions, "softmax", over_everything)),
        ("the axis ignored", changed(functions, "softmax", lambda f, x, axis=-1: f(x))),
        ("a temperature", changed(functions, "softmax", lambda f, x, axis=-1: f(x / 2, axis))),
        ("of base 2", changed(functions, "softmax", lambda f, x, axis=-1: f(x * np.log(2), axis))),
        ("no sum of 1", changed(functions, "softmax", lambda f, x, axis=-1: f(x, axis) * 0.999)),
    ],
    "loss_functions": [
        ("squares not halved", loss_of("squared_error", lambda loss, dy: (2 * loss, dy))),
        (
            "squared error's gradient doubled",
            loss_of("squared_error", lambda loss, dy: (loss, 2 * dy)),
        ),
        (
            "softmax's gradient t - y",
            loss_of("softmax_cross_entropy", lambda loss, dy: (loss, -dy)),
        ),
        ("gradient a sum", loss_of("softmax_cross_entropy", lambda loss, dy: (loss, len(dy) * dy))),
        ("loss a sum", loss_of("softmax_cross_entropy", lambda loss, dy: (len(dy) * loss, dy))),
        (
            "sigmoid's loss a mean",
            loss_of("sigmoid_cross_entropy", lambda loss, dy: (loss / 10, dy)),
        ),
        (
            "sigmoid's gradient a mean",
            loss_of("sigmoid_cross_entropy", lambda loss, dy: (loss, dy / 10)),
        ),
        (
            "labels ignored",
            changed(losses, "softmax_cross_entropy", lambda f, s, t, *a, **o: f(s, t * 0, *a, **o)),
        ),
        (
            "the first label for all",
            changed(
                losses,
                "softmax_cross_entropy",
                lambda f, s, t, *a, **o: f(s, 0 * t + t[0], *a, **o),
            ),
        ),
        (
            "the book's 1e-7 left out",
            changed(book_functions, "cross_entropy_error", nothing_added),
        ),
        (
            "the book's loss a sum",
            changed(book_functions, "cross_entropy_error", lambda f, y, t: len(y) * f(y, t)),
        ),
        (
            "the book's squares not halved",
            changed(book_functions, "sum_squared_error", lambda f, *a: 2 * f(*a)),
        ),
    ],
    "three_layer_forward": [
        ("no bias", NO_BIAS),
        ("one bias", changed(linear, "linear", lambda f, x, W, b, **o: f(x, W, first(b), **o))),
        ("inputs mirrored", MIRRORED),
        ("bias of the first sample alone", changed(linear, "linear", bias_once)),
        ("sigmoid of 2x", changed(functions, "sigmoid", lambda f, x: f(2 * x))),
        ("sigmoid a tanh", changed(functions, "sigmoid", lambda f, x: np.tanh(x))),
        ("sigmoid before the output", changed(xpnet.Sequential, "forward", squashed)),
    ],
    "derivative_tangent": [
        ("one-sided", changed(xpnet, "numerical_gradient", one_sided)),
        ("halved", slopes_scaled(xpnet, 0.5)),
        ("downhill", slopes_scaled(xpnet, -1)),
        ("tiny step", with_step(1e-13)),
        ("coarse step", with_step(1e-3)),
    ],
    "gradient_descent_path": [
        ("a rank lost", changed(xpnet, "numerical_gradient", rank_lost)),
        ("tiny step", with_step(1e-13)),
        ("one-sided", changed(xpnet, "numerical_gradient", one_sided)),
        ("descent by one-sided slopes", changed(gradients, "numerical_gradient", one_sided)),
        ("descent by half the slope", slopes_scaled(gradients, 0.5)),
        ("uphill", slopes_scaled(gradients, -1)),
        ("no step", slopes_scaled(gradients, 0)),
        ("with momentum", changed(xpnet, "gradient_descent", with_momentum)),
        (
            "half as many steps",
            changed(xpnet, "gradient_descent", lambda f, *a, lr, steps: f(*a, lr, steps // 2)),
        ),
        (
            "another end",
            changed(xpnet, "gradient_descent", lambda f, *a, **o: (a[1], f(*a, **o)[1])),
        ),
    ],
    "gradient_check_mnist": [
        ("images turned", changed(xpnet.data, "load", images_turned)),
        ("other images", changed(xpnet.data, "load", from_the_third)),
        ("the last unit lost", changed(layers.Linear, "backward", last_unit_lost)),
        ("db halved", scaled_gradient(layers.Linear, "b", 0.5)),
        ("dW of a thousandth more", scaled_gradient(layers.Linear, "W", 1.001)),
        ("ReLU's dx passes", changed(linear, "linear_relu_backward", past_relu)),
        ("gradient a sum", changed(Loss, "backward", lambda f, self: 3 * f(self))),
        ("no bias", NO_BIAS),
        ("one-sided", changed(xpnet, "numerical_gradient", one_sided)),
        ("the book's 1e-7 left out", lambda patch: patch.setattr(book_layers, "EPS", 0.0)),
        ("the book's ReLU passes", changed(book_layers.Relu, "backward", lambda f, s, dy: dy)),
        (
            "the book's slopes halved",
            changed(book_gradient, "numerical_gradient", lambda f, *a: f(*a) / 2),
        ),
    ],
    "numerical_training": [
        ("sigmoid's slope y", changed(layers.Sigmoid, "derivative", lambda f, s, y: y)),
        ("half a step", changed(SGD, "rule", lambda f, s, p, g, **o: f(s, p, g / 2, **o))),
        ("uphill", changed(SGD, "rule", lambda f, s, p, g, **o: f(s, p, -g, **o))),
        ("no step", changed(SGD, "rule", lambda f, *a, **o: None)),
        ("bias never learned", scaled_gradient(layers.Linear, "b", 0)),
        ("differences halved", slopes_scaled(xpnet, 0.5)),
        ("loss doubled", changed(Loss, "forward", lambda f, *a: 2 * f(*a))),
        ("ReLU for sigmoid", changed(functions, "sigmoid", lambda f, x: np.maximum(x, 0))),
    ],
    "apple_graph": [
        ("product's dx swapped", PRODUCT_SWAPPED),
        ("product a sum", PRODUCT_A_SUM),
        ("dx negated", changed(layers.Multiply, "backward", negated)),
        (
            "dx of ones",
            changed(layers.Multiply, "backward", lambda f, s, dy: tuple(dy for _ in f(s, dy))),
        ),
    ],
    "apple_orange_graph": [
        ("product's dx swapped", PRODUCT_SWAPPED),
        ("product a sum", PRODUCT_A_SUM),
        ("sum a mean", changed(layers.Add, "forward", lambda f, s, x, **o: f(s, x, **o) / len(x))),
        (
            "sum a product",
            changed(layers.Add, "forward", lambda f, s, x, **o: f(s, x, **o) * 0 + x[0] * x[1]),
        ),
        ("sum's dx shared out", changed(layers.Add, "backward", halved)),
        ("sum's dx negated", changed(layers.Add, "backward", negated)),
    ],
    "optimizer_paths": [
        ("SGD at half the rate", changed(SGD, "rule", lambda f, s, p, g, **o: f(s, p, g / 2, **o))),
        ("SGD without weight decay", not_decayed(SGD)),
        ("Momentum .8", setting(xpnet.Momentum, "momentum", 0.8)),
        ("Momentum is Nesterov", is_another("Momentum", "Nesterov")),
        ("Momentum is SGD", is_another("Momentum", "SGD")),
        ("Momentum without weight decay", not_decayed(xpnet.Momentum)),
        ("Nesterov is Momentum", is_another("Nesterov", "Momentum")),
        ("Nesterov .8", setting(xpnet.Nesterov, "momentum", 0.8)),
        ("AdaGrad is RMSprop", is_another("AdaGrad", "RMSprop")),
        ("AdaGrad's epsilon 1e-7", setting(xpnet.AdaGrad, "eps", 1e-7)),
        ("AdaGrad's epsilon in the root", changed(xpnet.AdaGrad, "rule", eps_in_the_root)),
        ("RMSprop is AdaGrad", is_another("RMSprop", "AdaGrad")),
        ("RMSprop forgets less", setting(xpnet.RMSprop, "alpha", 0.99)),
        ("RMSprop's epsilon 1e-10", setting(xpnet.RMSprop, "eps", 1e-10)),
        ("Adam is RMSprop", is_another("Adam", "RMSprop")),
        ("Adam is AdamW", is_another("Adam", "AdamW")),
        ("Adam's means as they are", changed(xpnet.Adam, "scalars", uncorrected)),
        ("Adam's epsilon 1e-7", setting(xpnet.Adam, "eps", 1e-7)),
        ("Adam's beta1 .8", setting(xpnet.Adam, "beta1", 0.8)),
        ("Adam's beta2 .99", setting(xpnet.Adam, "beta2", 0.99)),
        ("Adam counts from 2", changed(xpnet.Adam, "scalars", lambda f, s, step: f(s, step + 1))),
    ],
}
