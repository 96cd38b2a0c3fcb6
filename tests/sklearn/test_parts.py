"""The network and the optimizer that settings stand for."""

from __future__ import annotations

import numpy as np
import pytest

import xpnet
from xpnet.layers import Dropout, Linear, Sequential, Tanh
from xpnet.sklearn import parts


def dense(hidden=(5,), activation="relu", dropout=0.0):
    return parts.dense(hidden, activation, dropout, (4,), 2, seed=3, dtype="float32")


@pytest.mark.parametrize(
    ("hidden", "units"),
    [((), [2]), (7, [7, 2]), ((7,), [7, 2]), ([3, 5], [3, 5, 2]), (np.array([6, 4]), [6, 4, 2]),
     (np.int64(9), [9, 2])],
)  # fmt: skip
def test_hidden_layers_have_the_units_that_are_asked_for(hidden, units):
    layers = dense(hidden).layers
    assert [layer.units for layer in layers if isinstance(layer, Linear)] == units


def test_the_activation_and_dropout_stand_after_each_hidden_layer():
    kinds = [type(layer) for layer in dense((3, 3), "tanh", 0.5).layers[1:]]
    assert kinds == [Linear, Tanh, Dropout, Linear, Tanh, Dropout, Linear]


def test_a_network_of_ones_own_gets_shape_outputs_and_seed():
    def net(shape, outputs, seed):
        return Sequential([Linear(outputs)], input_shape=shape, seed=seed)

    made = parts.made_by(net, (4,), 3, seed=5)
    assert (made.input_shape, made.output_shape, made.seed) == ((4,), (3,), 5)


@pytest.mark.parametrize("name", parts.RULES)
def test_optimizers_have_names(name):
    made = parts.optimizer(name, 0.25, 0.5)
    assert type(made).__name__.lower() == name
    assert (made.lr, made.weight_decay) == (0.25, 0.5)
    own = type(made)()
    made = parts.optimizer(name, None, None)
    assert (made.lr, made.weight_decay) == (own.lr, own.weight_decay)


def test_an_optimizer_is_copied_without_what_it_remembers():
    given = xpnet.Adam(0.1, beta1=0.5)
    given.update({"p": np.ones(2)}, {"p": np.ones(2)})
    made = parts.optimizer(given, None, 0.01)
    assert (made.lr, made.beta1, made.weight_decay, made.steps) == (0.1, 0.5, 0.01, 0)
    assert (given.weight_decay, given.steps) == (0.0, 1)
