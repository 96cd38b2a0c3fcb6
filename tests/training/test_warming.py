"""Warming up: everything is compiled, and nothing else has changed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import xpnet
from xpnet.arrays import to_numpy
from xpnet.data import Dataset
from xpnet.layers import BatchNorm, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Rescale


def network(**options) -> xpnet.Sequential:
    parts = [
        Rescale(1 / 255), Conv2d(3, 3), BatchNorm(), ReLU(), MaxPool2d(2), Flatten(), Linear(8),
        ReLU(), Dropout(), Linear(3),
    ]  # fmt: skip
    return xpnet.Sequential(parts, input_shape=(1, 6, 6), **options)


def pixels(n: int = 8) -> Dataset:
    rng = np.random.default_rng(3)
    return Dataset(rng.integers(0, 256, (n, 1, 6, 6), "uint8"), np.arange(n) % 3, 3)


def bits(*mappings) -> list[bytes]:
    return [to_numpy(array).tobytes() for one in mappings for array in one.values()]


def test_no_bit_changes_not_even_in_the_middle_of_a_step(xp):
    net = network().to(xp.device)
    loss, optimizer = xpnet.SoftmaxCrossEntropy(), xpnet.Adam()
    xpnet.Trainer(net, loss, optimizer).fit(pixels(), 2, 4)
    loss.forward(net.forward(xp.array(pixels().x), train=True), xp.array(pixels().t))

    def all_bits():
        return bits(net.params, net.grads, net.state, optimizer.state()), optimizer.steps

    before = all_bits()
    assert xpnet.warm_up(net, loss, optimizer, batch_size=4) > 0
    assert all_bits() == before
    net.backward(loss.backward())  # which are still there
    assert all_bits() != before


def test_it_takes_a_network_alone_of_any_dtype():
    for dtype in ("float32", "float64"):
        assert xpnet.warm_up(network(dtype=dtype)) > 0
    net = xpnet.Sequential([Linear(2)], input_shape=(3,), dtype="complex64")
    assert xpnet.warm_up(net, xpnet.SquaredError(), xpnet.SGD(), batch_size=1) > 0


def test_a_batch_size_is_a_whole_number():
    with pytest.raises(ValueError, match=r"batch_size: expected a whole number >= 1, got 0"):
        xpnet.warm_up(network(), batch_size=0)


PROGRAM = """
import numba.core.dispatcher, xpnet
from tests.training.test_warming import *
net, loss, optimizer = network(), xpnet.SoftmaxCrossEntropy(), xpnet.Adam()
xpnet.warm_up(net, loss, optimizer, batch_size=4)
def late(self, signature):
    raise AssertionError(f"{self} is compiled late")
numba.core.dispatcher.Dispatcher.compile = late
trainer = xpnet.Trainer(net, loss, optimizer)
trainer.fit(pixels(), 1, 4, validation=pixels(5))
net.predict(pixels().x[:1]), net.predict(pixels().x.astype("float32"))
"""


@pytest.mark.faster_bodies
def test_nothing_is_left_to_compile():
    pytest.importorskip("numba")
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
