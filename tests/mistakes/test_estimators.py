"""Mistakes with the estimators: settings, data, and calls in the wrong order."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import xpnet
from tests.mistakes import mistake
from xpnet.layers import Linear, Sequential
from xpnet.sklearn import NetworkClassifier, NetworkRegressor

X, Y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2


def fit(*hidden, weights=None, **settings):
    return NetworkClassifier(*hidden, **{"epochs": 1} | settings).fit(X, Y, weights)


def stopping(**settings):
    return fit(early_stopping=True, **settings)


def net(shape, outputs, seed):
    return Sequential([Linear(outputs)], input_shape=shape, seed=seed)


SETTINGS = {
    "hidden": [
        (lambda: fit(0), ValueError, "hidden: expected a whole number >= 1, got 0"),
        (lambda: fit((5, -1)), ValueError, "hidden: expected a whole number >= 1, got -1"),
        (lambda: fit("big"), ValueError, "hidden: expected a whole number >= 1, got 'big'"),
        (lambda: fit(None), ValueError, "hidden: expected a whole number >= 1, got None"),
    ],
    "words": [
        (lambda: fit(activation="rellu"), ValueError, "activation: .* did you mean 'relu'"),
        (lambda: fit(optimizer="adan"), ValueError, "optimizer: .* did you mean 'adam'"),
        (lambda: fit(optimizer=xpnet.Adam), ValueError, r"optimizer: .* write Adam\(\.\.\.\)"),
        (lambda: fit(device="gqu"), ValueError, "device: expected 'cpu', .*, got 'gqu'"),
    ],
    "numbers": [
        (lambda: fit(dropout=1), ValueError, "dropout: expected 0 <= dropout < 1, got 1"),
        (lambda: fit(learning_rate=0), ValueError, "learning_rate: expected a number above 0"),
        (lambda: fit(weight_decay=-1), ValueError, "weight_decay: expected a number >= 0"),
        (lambda: fit(batch_size=0), ValueError, "batch_size: expected a whole number >= 1"),
        (lambda: fit(epochs=2.5), ValueError, "epochs: expected a whole number >= 1, got 2.5"),
        (lambda: fit(schedule=0.5), ValueError, "schedule: expected a function"),
        (lambda: fit(warm_start="yes"), ValueError, "warm_start: expected True or False"),
        (lambda: fit(early_stopping=1), ValueError, "early_stopping: expected True or False"),
    ],
    "early stopping": [
        (lambda: stopping(patience=0), ValueError, "patience: expected a whole number >= 1"),
        (lambda: stopping(tol=-1), ValueError, "tol: expected a number >= 0, got -1"),
        (lambda: stopping(validation_fraction=1.0), ValueError,
         "validation_fraction: expected a share of 20 samples that leaves both parts"),
        (lambda: stopping(validation_fraction=0.01), ValueError, "validation_fraction: expected"),
    ],
    "callbacks": [
        (lambda: fit(callbacks=xpnet.training.Table()), TypeError, "callbacks: .* into brackets"),
        (lambda: fit(callbacks=3), TypeError, "callbacks: expected a list of callbacks"),
    ],
    "a network of one's own": [
        (lambda: fit(net=3), TypeError, r"net: expected a function of \(input_shape, outputs, "),
        (lambda: fit(net=net((3,), 2, 0)), TypeError, "net: expected a function"),
        (lambda: fit(net=lambda shape, outputs: 0), TypeError, r"got one of \(shape, outputs\)"),
        (lambda: fit(net=lambda shape, outputs, seed: 0), TypeError, r"net\(.*: expected a Netw"),
        (lambda: fit(net=lambda shape, outputs, seed: Sequential([Linear(2)])), ValueError,
         r"expected a network of \(3,\) -> \(2,\), got no shapes"),
        (lambda: fit(net=lambda shape, outputs, seed: net(shape, 5, seed)), ValueError,
         r"expected a network of \(3,\) -> \(2,\), got \(3,\) -> \(5,\)"),
    ],
    "names of other libraries": [
        (lambda: NetworkClassifier(max_iter=9), TypeError, "'max_iter': here it is 'epochs'"),
        (lambda: NetworkClassifier(hidden_layer_sizes=9), TypeError, "here it is 'hidden'"),
        (lambda: NetworkRegressor(lr=9), TypeError, "'lr': here it is 'learning_rate'"),
        (lambda: NetworkRegressor(epoch=9), TypeError, "'epoch': did you mean 'epochs'"),
        (lambda: NetworkRegressor((9,), 0.1), TypeError, r"expected \(hidden\) by position"),
        (lambda: xpnet.sklearn.MLPClassifier, AttributeError, "write NetworkClassifier"),
        (lambda: xpnet.sklearn.NetworkClasifier, AttributeError, "did you mean 'NetworkClassif"),
    ],
}  # fmt: skip

DATA = {
    "weights": [
        (lambda: fit(weights=np.ones(3)), ValueError, r"expected weights of shape \(20,\)"),
        (lambda: fit(weights=-np.ones(20)), ValueError, "expected weights >= 0, got -1.0 at ind"),
        (lambda: fit(weights=np.zeros(20)), ValueError, "a weight above 0, got 20 zeros"),
    ],
    "classes": [
        (lambda: NetworkClassifier().fit(X, np.ones(20)), ValueError, "at least two classes"),
        (lambda: NetworkClassifier().partial_fit(X, Y), ValueError, "classes must be passed"),
        (lambda: fit().partial_fit(X, Y, classes=[0, 1, 2]), ValueError,
         r"classes: expected those of the first call, \[0, 1\], got \[0, 1, 2\]"),
        (lambda: fit(class_weight="balanced").partial_fit(X, Y), ValueError,
         "class_weight: expected a dict for partial_fit"),
        (lambda: stopping().partial_fit(X, Y), ValueError, "set early_stopping=False"),
    ],
    "targets": [
        (lambda: NetworkRegressor(epochs=1).fit(X, Y).partial_fit(X, X), ValueError,
         r"y: expected targets of shape \(\) a sample, as before, got \(3,\)"),
    ],
}  # fmt: skip

ROWS = [
    pytest.param(*row, id=f"{kind} {k}")
    for kind, rows in (SETTINGS | DATA).items()
    for k, row in enumerate(rows)
]


@pytest.mark.parametrize(("call", "error", "match"), ROWS)
def test_it_is_told_in_one_sentence(call, error, match):
    mistake(call, error, match)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_nothing_is_asked_before_fit(method):
    with pytest.raises(NotFittedError):
        getattr(NetworkClassifier(), method)(X)


def test_scikit_learn_tells_a_wrong_setting_and_a_wrong_class_weight():
    with pytest.raises(ValueError, match="Invalid parameter 'max_iter'"):
        NetworkClassifier().set_params(max_iter=3)
    with pytest.raises(ValueError, match="balanced"):
        fit(class_weight="balnced")
    with pytest.raises(ValueError, match="previously unseen labels"):
        fit().partial_fit(X, Y + 1)


def test_a_refused_fit_leaves_the_network_of_the_last_one():
    model = fit()
    before = model.net_
    with pytest.raises(ValueError, match="epochs"):
        model.set_params(epochs=0).fit(X, Y)
    assert model.net_ is before
