"""Networks as wholes: walks of deep nests, layers made of layers, what is freed and when."""

from __future__ import annotations

import copy
import gc
import pickle
import re
import sys
import weakref

import numpy as np
import pytest

import xpnet
from xpnet.data import Dataset
from xpnet.gradients import gradient_check
from xpnet.layers import Layer, Linear, Network, ReLU, Residual, Sequential, Tanh
from xpnet.layers.base import MAX_DEPTH


def nested(depth: int) -> Sequential:
    """Return a network whose layers stand within so many others."""
    inner = Sequential([Linear(2)])
    for _ in range(depth - 1):
        inner = Sequential([inner, Tanh()])
    return Sequential([inner], input_shape=(2,))


def calls(function) -> int:
    """Return how many calls of Python functions a function makes."""
    made = 0

    def count(frame, event, argument):
        nonlocal made
        made += event == "call"

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return made


WALKS = {
    "forget": lambda net: net.forget(),
    "params": lambda net: net.layers[0].params,
    "walk": lambda net: list(net.walk()),
    "summary": lambda net: net.summary(),
    "flops": lambda net: net.flops(),
    "threads": lambda net: net.threads(),
    "to": lambda net: net.to("cpu", precision="bf16"),
    "repr": repr,
    "forward": lambda net: net.forward(np.ones((1, 2), "float32")),
    "deepcopy": copy.deepcopy,
    "build": lambda net: nested(len(list(net.walk()))),
}


@pytest.mark.parametrize("walk", WALKS)
def test_walks_of_nested_networks_grow_with_their_depth_and_no_faster(walk):
    costs = []
    for depth in (50, 100):
        net = nested(depth)
        WALKS[walk](net)  # what is done once
        costs.append(calls(lambda net=net: WALKS[walk](net)))
    assert costs[1] <= 2.2 * costs[0]


def test_the_deepest_network_trains_pickles_and_is_saved(tmp_path):
    net = nested(MAX_DEPTH)
    x = np.ones((2, 2), "float32")
    net.backward(net.forward(x, train=True))
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(twin.predict(x), net.predict(x))
    net.save(tmp_path / "net")
    np.testing.assert_array_equal(xpnet.load(tmp_path / "net").predict(x), net.predict(x))


def test_a_deeper_one_is_refused_with_a_sentence():
    with pytest.raises(ValueError, match="within more than 100 others: nest them less"):
        nested(MAX_DEPTH + 1)


@pytest.mark.parametrize("trained", [False, True])
def test_a_network_that_is_dropped_is_freed_at_once(trained):
    net = Sequential([Residual([Linear(3), ReLU()]), Linear(2)], input_shape=(3,))
    if trained:
        data = Dataset(np.ones((8, 3), "float32"), np.arange(8) % 2)
        trainer = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.Adam())
        trainer.fit(data, 1, 4)
        del trainer
    seen = weakref.ref(net), weakref.ref(net.params), weakref.ref(net.layers[0])
    gc.disable()
    try:
        del net
        assert [one() for one in seen] == [None, None, None]
    finally:
        gc.enable()


class Parallel(Layer):
    """y = left(x) + gain * right(x), with public names alone."""

    def __init__(self, left, right):
        super().__init__()
        self.left = left
        self.right = right

    def setup(self, input_shape, rng):
        shape = self.left.build(input_shape, rng.child("left"), self.dtype)
        self.right.build(input_shape, rng.child("right"), self.dtype)
        self.add_param("gain", np.full(shape, 0.5))
        return shape

    def forward(self, x, *, train=False):
        self.check(x)
        right = self.right(x, train=train)
        if train:
            self.keep(right)
        return self.left(x, train=train) + self.params["gain"] * right

    def backward(self, dy, *, need_dx=True):
        right = self.take()
        self.grads["gain"] = (dy * right).sum(axis=0)
        dx = self.left.backward(dy, need_dx=need_dx)
        other = self.right.backward(dy * self.params["gain"], need_dx=need_dx)
        return dx + other if need_dx else None


class Several(Layer):
    """Branches in a list."""

    def __init__(self, branches):
        super().__init__()
        self.branches = branches

    def setup(self, input_shape, rng):
        for i, branch in enumerate(self.branches):
            shape = branch.build(input_shape, rng.child(f"branches.{i}"), self.dtype)
        return shape

    def forward(self, x, *, train=False):
        return sum(branch(x, train=train) for branch in self.branches)

    def backward(self, dy, *, need_dx=True):
        return sum(branch.backward(dy, need_dx=True) for branch in self.branches)


def composite(dtype="float64"):
    parts = [Parallel(Sequential([Linear(3), Tanh()]), Linear(3)), Several([Linear(2), Linear(2)])]
    return Sequential(parts, input_shape=(4,), dtype=dtype)


class TestALayerMadeOfOthers:
    def test_its_parameters_are_the_networks_under_the_names_of_its_attributes(self):
        net = composite()
        assert list(net.params) == [
            "0.gain", "0.left.0.W", "0.left.0.b", "0.right.W", "0.right.b",
            "1.branches.0.W", "1.branches.0.b", "1.branches.1.W", "1.branches.1.b",
        ]  # fmt: skip
        assert all(np.shares_memory(a, net.params.flat) for a in net.params.values())
        assert net[0].params["gain"] is net.params["0.gain"]

    def test_its_gradients_are_right(self):
        x = np.random.default_rng(0).normal(size=(5, 4))
        assert max(gradient_check(composite(), x).values()) < 1e-6

    def test_it_trains_is_saved_and_loaded(self, tmp_path):
        net = composite("float32")
        x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
        data = Dataset(x, (x[:, 0] > 0).astype("int64"), classes=2)
        trainer = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.Adam(0.05))
        history = trainer.fit(data, 10, 10)
        assert history["train_accuracy"][-1] > 0.9
        net.save(tmp_path / "net")
        known = {"Parallel": Parallel, "Several": Several}
        loaded = xpnet.load(tmp_path / "net", layers=known)
        np.testing.assert_array_equal(loaded.predict(x), net.predict(x))


class TestALayerWhosePartsAreLost:
    """It would train, and be saved without them: it is refused when it is built."""

    class Through(Layer):
        def __init__(self, make):
            super().__init__()
            self.make = "by its name"
            self.first = Linear(2)
            (make or vars)(self)

        def setup(self, input_shape, rng):
            return self.first.build(input_shape, rng.child("first"), self.dtype)

        def forward(self, x, *, train=False):
            return self.first(x, train=train)

        def backward(self, dy, *, need_dx=True):
            return self.first.backward(dy, need_dx=need_dx)

        def config(self):
            return {"make": None}

    @pytest.mark.parametrize(
        ("make", "sentence"),
        [
            (lambda one: setattr(one, "parts", {"a": ReLU()}), 'a dict in "parts" hides ReLU'),
            (lambda one: setattr(one, "parts", [[ReLU()], [Tanh()]]), 'a list in "parts" hides '),
            (lambda one: setattr(one, "parts", {ReLU()}), 'a set in "parts" hides ReLU'),
            (lambda one: setattr(one, "parts", [one.first]), '"first" and "parts.0" are the same'),
            (lambda one: setattr(one, "also", one.first), '"first" and "also" are the same layer'),
            (lambda one: setattr(one, "second", ReLU()), 'its setup leaves "second" unbuilt: call'),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )  # fmt: skip
    def test_says_which(self, make, sentence):
        with pytest.raises(ValueError, match=re.escape(f'Through "1": {sentence}')):
            Sequential([ReLU(), self.Through(make)], input_shape=(3,))

    def test_passes_with_parts_in_attributes_and_lists(self):
        net = Sequential([self.Through(lambda one: None)], input_shape=(3,))
        assert list(net.params) == ["0.first.W", "0.first.b"]


def test_a_network_of_ones_own_stands_alone_as_a_sequential_does():
    class Twice(Network):
        def __init__(self, layer, input_shape=None, dtype="float32"):
            super().__init__(seed=1)
            self.layer = layer
            if input_shape is not None:
                self.stand_alone(input_shape, dtype)

        def setup(self, input_shape, rng):
            return self.layer.build(input_shape, rng.child("layer"), self.dtype)

        def run(self, x, *, train, start=0):
            return 2.0 * self.layer(x, train=train)

        def run_back(self, dy, *, need_dx):
            return self.layer.backward(2.0 * dy, need_dx=need_dx)

    net = Twice(Linear(2), input_shape=(3,), dtype="float64")
    assert list(net.params) == ["layer.W", "layer.b"]
    assert max(gradient_check(net, np.ones((4, 3))).values()) < 1e-6
    data = Dataset(np.ones((8, 3)), np.arange(8) % 2)
    xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.SGD()).fit(data, 1, 4)
    with pytest.raises(ValueError, match="lets no hook look"), net.hook("layer", print):
        pass
