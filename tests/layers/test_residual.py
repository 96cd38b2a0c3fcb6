"""Layers with a shortcut around them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import assert_close
from xpnet.arrays import to_numpy
from xpnet.layers import BatchNorm, Conv2d, Flatten, Linear, ReLU, Residual, Sequential, Tanh


def test_the_output_is_the_body_plus_the_input(xp):
    net = Sequential([Residual([Linear(3), Tanh()])], input_shape=(3,), dtype="float64")
    net.to(xp.device)
    x = np.random.default_rng(0).normal(size=(4, 3))
    W, b = (to_numpy(net.params[f"0.body.0.{name}"]) for name in "Wb")
    assert_close(net.forward(xp.array(x)), np.tanh(x @ W + b) + x, rtol=1e-12)


def test_a_shortcut_takes_the_place_of_the_input():
    net = Sequential(
        [Residual([Linear(2)], Linear(2, bias=False))], input_shape=(3,), dtype="float64"
    )
    x = np.random.default_rng(0).normal(size=(4, 3))
    body, shortcut = net.params["0.body.0.W"], net.params["0.shortcut.W"]
    assert_close(net.forward(x), x @ body + x @ shortcut, rtol=1e-12)


def test_the_gradient_of_the_input_is_that_of_both_ways():
    net = Sequential([Residual([Linear(3, bias=False)])], input_shape=(3,), dtype="float64")
    dy = net.forward(np.ones((2, 3)), train=True)
    W = net.params["0.body.0.W"]
    assert_close(net.backward(dy, need_dx=True), dy @ W.T + dy, rtol=1e-12)


@pytest.mark.parametrize("shortcut", [None, Flatten], ids=["identity", "flatten"])
def test_both_ways_must_end_in_one_shape(shortcut):
    block = Residual([Flatten(), Linear(5)], shortcut and shortcut())
    with pytest.raises(ValueError, match=r'Residual "0": the body makes \(5,\) and the shortcut'):
        Sequential([block], input_shape=(2, 3))


def test_blocks_nest():
    net = Sequential(
        [Residual([Residual([Conv2d(2, 3, pad=1), BatchNorm(), ReLU()]), Conv2d(2, 1)]), ReLU()],
        input_shape=(2, 4, 4),
    )
    assert "0.body.0.body.1.gamma" in net.params
    y = net.forward(np.ones((2, 2, 4, 4), "float32"), train=True)
    assert net.backward(y, need_dx=True).shape == (2, 2, 4, 4)


def test_a_body_that_was_made_as_a_sequential_is_taken_as_it_is():
    body = Sequential([Linear(3)])
    assert Residual(body).body is body
