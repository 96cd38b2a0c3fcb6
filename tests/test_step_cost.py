"""What a step costs beside its arithmetic."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from xpnet.layers import Linear, ReLU, Sequential
from xpnet.losses import SoftmaxCrossEntropy
from xpnet.optimizers import SGD

CALLS = 200
"""Calls of functions that a step may make, Python's and C's: counted, since clocks differ."""


@pytest.mark.faster_bodies
def test_a_step_of_a_tiny_network_costs_little():
    net = Sequential([Linear(3), ReLU(), Linear(2)], input_shape=(4,))
    loss, optimizer = SoftmaxCrossEntropy(), SGD(lr=0.1)
    x = np.random.default_rng(0).normal(size=(10, 4)).astype("float32")
    t = (x[:, 0] > 0).astype("int64")

    def step() -> None:
        loss.forward(net.forward(x, train=True), t)
        net.backward(loss.backward())
        optimizer.update(net.params, net.grads)

    before = float(loss.forward(net.forward(x), t))
    for _ in range(100):
        step()
    assert _calls(step) < CALLS
    assert float(loss.forward(net.forward(x), t)) < before / 2  # the steps were real


def _calls(work: Any) -> int:
    events: list[str] = []
    previous = sys.getprofile()
    sys.setprofile(lambda frame, event, arg: events.append(event))
    try:
        work()
    finally:
        sys.setprofile(previous)
    return sum(event in ("call", "c_call") for event in events)
