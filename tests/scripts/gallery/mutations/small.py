"""What breaks two moons, the digits of a spreadsheet and the networks that divide."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xpnet
from tests.scripts.gallery.mutations.tools import (
    Mutation,
    changed,
    decay_scaled,
    instead,
    rate_scaled,
    scaled_gradient,
)
from xpnet import initializers as init
from xpnet import layers
from xpnet.data import spreadsheet
from xpnet.models import quotient


def scaled(owner: Any, name: str, factor: float) -> Mutation:
    """Return what lets a function's values be multiples of themselves."""
    return changed(owner, name, lambda f, *args, **options: factor * f(*args, **options))


def both_doubled(compute: Any, *args: Any) -> Any:
    loss, gradient = compute(*args)
    return 2 * loss, 2 * gradient


def summed(compute: Any, loss_: Any, scores: Any, *args: Any) -> Any:
    loss, gradient = compute(loss_, scores, *args)
    return loss * len(scores), gradient * len(scores)


def twice_xavier(*args: Any) -> Any:
    return 2 * init.xavier(*args)


def tenth(compute: Any, *args: Any) -> Any:
    loss, gradient = compute(*args)
    return loss / 10, gradient / 10


def half_glorot(*args: Any) -> Any:
    return init.glorot_uniform(*args) / 2


def transposed(images: Any, *args: Any) -> Any:
    return images(*args).transpose(0, 1, 3, 2).copy()


def row_by_row(patch: pytest.MonkeyPatch) -> None:
    changed(spreadsheet, "_images", transposed)(patch)
    changed(spreadsheet, "_write_workbook", writing_rows)(patch)


def writing_rows(write: Any, path: Any, X: Any, y: Any) -> None:
    write(path, X.reshape(-1, 20, 20).transpose(0, 2, 1).reshape(-1, 400), y)


def steps_of(optimizer: type) -> list[tuple[str, Mutation]]:
    """Return what breaks the steps that an optimizer makes."""
    return [
        ("uphill", changed(optimizer, "rule", lambda f, s, p, g, *a, **o: f(s, p, -g, *a, **o))),
        ("no step", changed(optimizer, "rule", lambda f, *a, **o: None)),
        ("one step alone", changed(optimizer, "update", lambda f, s, *a: s.steps or f(s, *a))),
        ("rate tripled", rate_scaled(optimizer, 3)),
    ]


def default(function: Any, name: str, value: Any) -> Mutation:
    """Return what lets a function have another default for an argument of a name."""
    return lambda patch: patch.setitem(function.__kwdefaults__, name, value)


def moons(change: Any) -> Mutation:
    """Return what lets the points of two moons be others."""
    return changed(xpnet.data, "two_moons", lambda f, *a, **o: change(f(*a, **o)))


def any_labels(data: Any) -> Any:
    labels = np.random.default_rng(0).permutation(data.t)
    return xpnet.data.Dataset(data.x, labels, classes=2, name=data.name)


def noisier(two_moons: Any, n: int, noise: float, seed: int) -> Any:
    return two_moons(n, 2 * noise, seed)


def apart(data: Any) -> Any:
    return xpnet.data.Dataset(data.x + 9 * data.t[:, None], data.t, classes=2)


def grown(rule: Any, self: Any, p: Any, g: Any, *, decay: float, scalars: Any) -> None:
    rule(self, p, g - decay * p, decay=0.0, scalars=scalars)


SOFTMAX = xpnet.SoftmaxCrossEntropy
LOGISTIC = xpnet.SigmoidCrossEntropy
LEARNING = [
    *steps_of(xpnet.SGD),
    ("momentum", instead(xpnet, "SGD", xpnet.Momentum)),
    ("dW halved", scaled_gradient(layers.Linear, "W", 0.5)),
    ("db a mean", scaled_gradient(layers.Linear, "b", 0.5)),
]

# program: what breaks the part of xpnet that it shows
MUTATIONS: dict[str, list[tuple[str, Mutation]]] = {
    "quotient_first_attempt": [
        *steps_of(xpnet.SGD),
        ("momentum", instead(xpnet, "SGD", xpnet.Momentum)),
        ("exp's slope 1", changed(layers.Exp, "derivative", lambda f, s, y: y * 0 + 1)),
        ("log's slope halved", scaled(layers.LogSquare, "derivative", 0.5)),
        (
            "log without its square",
            changed(layers.LogSquare, "apply", lambda f, s, x: (np.log(abs(x)), x)),
        ),
        ("loss without its half", changed(xpnet.SquaredError, "compute", both_doubled)),
        ("dW negated", scaled_gradient(layers.Linear, "W", -1)),
        ("initial weights doubled", scaled(init.uniform, "__call__", 2)),
        (
            "normal weights",
            changed(init.uniform, "__call__", lambda f, s, r, *a: r.normal(a[0], 0.577)),
        ),
    ],
    "quotient_complex": [
        ("not clipped", instead(quotient, "_tamed", lambda values: np.real(values))),
        ("clipped at 70", changed(quotient, "_tamed", lambda f, v: np.clip(f(v), -70, 70))),
        ("not shrunk", instead(quotient, "_shrunk", lambda gradient: gradient)),
        ("uphill", scaled(quotient, "_shrunk", -1)),
        ("no step", scaled(quotient, "_shrunk", 0)),
        (
            "size for the real part",
            instead(quotient, "_tamed", lambda values: np.clip(np.abs(values), -700, 700)),
        ),
        ("rate tripled", default(quotient.learn_clipped, "lr", 0.3)),
        ("pairs not redrawn", instead(quotient, "LARGEST_RATIO", np.inf)),
        ("initial weights doubled", scaled(xpnet.random.Stream, "uniform", 2)),
        ("solved too leniently", changed(quotient.Clipped, "solved", lambda f, *a: f(*a) | True)),
        ("log doubled", changed(layers.Log, "apply", lambda f, s, x: (2 * f(s, x)[0], x))),
        ("exp of 2x", changed(layers.Exp, "apply", lambda f, s, x: f(s, 2 * x))),
    ],
    "two_moons": [
        *LEARNING,
        ("tanh's slope 1", changed(layers.Tanh, "derivative", lambda f, s, y: y * 0 + 1)),
        ("tanh a sigmoid", instead(layers.Tanh, "apply", layers.Sigmoid.apply)),
        ("sigmoid's slope y", changed(layers.Sigmoid, "derivative", lambda f, s, y: y)),
        ("squares without their half", changed(xpnet.SquaredError, "compute", both_doubled)),
        ("cross-entropy a sum", changed(SOFTMAX, "compute", summed)),
        ("cross-entropy's sign", changed(SOFTMAX, "backward", lambda f, s: -f(s))),
        ("initial weights doubled", lambda p: p.setitem(init._BY_NAME, "xavier", twice_xavier)),
        ("labels at random", moons(any_labels)),
        ("twice the noise", changed(xpnet.data, "two_moons", noisier)),
        ("points turned", moons(lambda d: xpnet.data.Dataset(d.x[:, ::-1].copy(), d.t, classes=2))),
    ],
    "moons_regularisation": [
        *LEARNING,
        ("sigmoid's slope y", changed(layers.Sigmoid, "derivative", lambda f, s, y: y)),
        ("sigmoid of 2x", changed(layers.Sigmoid, "apply", lambda f, s, x: f(s, 2 * x))),
        ("no decay", decay_scaled(0)),
        ("decay 30 times too strong", decay_scaled(30)),
        ("decay grows weights", changed(xpnet.SGD, "rule", grown)),
        ("labels at random", moons(any_labels)),
        ("twice the noise", changed(xpnet.data, "two_moons", noisier)),
        ("moons apart", moons(apart)),
    ],
    "spreadsheet_digits": [
        *LEARNING,
        ("images transposed", changed(spreadsheet, "_images", transposed)),
        ("sheets row by row", row_by_row),
        ("10 read as one", changed(spreadsheet, "_digits", lambda f, *a: np.maximum(f(*a), 1))),
        ("labels shifted", changed(spreadsheet, "_digits", lambda f, *a: (f(*a) + 1) % 10)),
        ("labels at random", changed(spreadsheet, "_digits", lambda f, *a: f(*a)[::-1])),
        ("sigmoid's slope y", changed(layers.Sigmoid, "derivative", lambda f, s, y: y)),
        ("cost a mean over units", changed(LOGISTIC, "compute", tenth)),
        ("cost a sum over images", changed(LOGISTIC, "compute", summed)),
        ("cost's sign", changed(LOGISTIC, "backward", lambda f, s: -f(s))),
        ("normal weights", lambda p: p.setitem(init._BY_NAME, "glorot_uniform", init.xavier)),
        ("weights halved", lambda p: p.setitem(init._BY_NAME, "glorot_uniform", half_glorot)),
        ("biases of zero", scaled(init.normal, "__call__", 0)),
        (
            "pixels not rescaled",
            changed(layers.Rescale, "forward", lambda f, s, x, **o: 255 * f(s, x, **o)),
        ),
    ],
    "quotient_network": [
        *steps_of(xpnet.Adam),
        (
            "gradients not conjugated",
            changed(layers.Log, "derivative", lambda f, s, x: np.conj(f(s, x))),
        ),
        ("rate not lowered", instead(quotient, "cosine", xpnet.schedules.constant)),
        ("momentum", instead(quotient, "Adam", lambda lr, beta2: xpnet.Momentum(lr=lr))),
        ("long memory", instead(quotient, "Adam", lambda lr, beta2: xpnet.Adam(lr=lr))),
        (
            "weights of either sign",
            default(quotient.learn_operation, "hidden", init.uniform(-1, 1)),
        ),
        ("random output weights", default(quotient.learn_operation, "output", init.uniform(-1, 1))),
        ("loss without its half", changed(xpnet.SquaredError, "compute", both_doubled)),
        ("dW halved", scaled_gradient(layers.Linear, "W", 0.5)),
        ("exp of 2x", changed(layers.Exp, "apply", lambda f, s, x: f(s, 2 * x))),
    ],
}
