"""Dropout: rates, means, and masks that repeat wherever they are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import assert_close
from xpnet.arrays import to_numpy
from xpnet.layers import Dropout, Sequential
from xpnet.random import Stream


def network(xp=None, rate=0.4, shape=(50,), seed=0, dtype="float32", **kwargs):
    net = Sequential([Dropout(rate, **kwargs)], input_shape=shape, seed=seed, dtype=dtype)
    return net if xp is None else net.to(xp.device)


def ones(n=200, shape=(50,), dtype="float32"):
    return np.ones((n, *shape), dtype)


def counter(net):
    return int(to_numpy(net.state["0.counter"]))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_the_share_of_zeros_is_the_rate(rate):
    y = network(rate=rate).forward(ones(), train=True)
    deviation = (rate * (1 - rate) / y.size) ** 0.5
    assert abs((y == 0).mean() - rate) < 4 * deviation


def test_zeros_fall_alike_on_every_unit():
    y = network(rate=0.5).forward(ones(2000), train=True)
    assert abs((y == 0).mean(axis=0) - 0.5).max() < 5 * (0.25 / 2000) ** 0.5


def test_scaled_in_training_what_stays_is_blown_up_and_inference_is_the_identity(xp):
    net = network(xp, rate=0.75)
    y = to_numpy(net.forward(xp.array(ones()), train=True))
    assert set(np.unique(y)) == {0.0, 4.0}
    assert_close(net.forward(xp.array(ones())), ones(), rtol=0)


def test_scaled_at_inference_what_stays_is_kept_and_inference_shrinks(xp):
    net = network(xp, rate=0.75, scale="inference")
    y = to_numpy(net.forward(xp.array(ones()), train=True))
    assert set(np.unique(y)) == {0.0, 1.0}
    assert_close(net.forward(xp.array(ones())), 0.25 * ones(), rtol=0)


@pytest.mark.parametrize("scale", ["train", "inference"])
def test_the_mean_of_training_is_that_of_inference(scale):
    net = network(rate=0.3, scale=scale)
    trained = np.mean([net.forward(ones(), train=True).mean() for _ in range(10)])
    assert trained == pytest.approx(net.forward(ones()).mean(), rel=0.01)


def test_backward_lets_through_what_forward_did(xp):
    net = network(xp)
    y = to_numpy(net.forward(xp.array(ones()), train=True))
    assert_close(net.backward(xp.array(3 * ones()), need_dx=True), 3 * y, rtol=1e-6)


def test_a_seed_gives_the_same_masks_on_every_library(xp):
    net, host = network(xp, seed=5), network(seed=5)
    for _ in range(3):
        y = net.forward(xp.array(ones(7)), train=True)
        assert_close(y, host.forward(ones(7), train=True), rtol=0)


def test_the_mask_is_a_function_of_seed_path_and_counter():
    net, stream = network(rate=0.4, seed=7), Stream(7, "0.mask")
    for step in range(3):
        drawn = stream.generator(step).random((7, 50), np.float32)
        y = net.forward(ones(7), train=True)
        np.testing.assert_array_equal(y != 0, drawn >= np.float32(0.4))


def test_another_call_another_seed_and_another_layer_draw_other_masks():
    net = Sequential([Dropout(0.5), Dropout(0.5)], input_shape=(50,), dtype="float32")
    seen = [net[0].forward(ones(), train=True), net[0].forward(ones(), train=True)]
    seen += [net[1].forward(ones(), train=True)]
    seen += [network(rate=0.5, seed=1).forward(ones(), train=True)]
    for i in range(len(seen)):
        for other in seen[:i]:
            assert abs((seen[i] == other).mean() - 0.5) < 0.05


def test_the_counter_goes_up_with_each_mask_and_only_then(xp):
    net = network(xp)
    assert counter(net) == 0
    for count in (1, 2, 3):
        net.forward(xp.array(ones(2)), train=True)
        assert counter(net) == count
    net.forward(xp.array(ones(2)))
    assert counter(net) == 3


def test_a_counter_put_back_repeats_the_masks(xp):
    net = network(xp)
    first = to_numpy(net.forward(xp.array(ones(5)), train=True))
    net.forward(xp.array(ones(5)), train=True)
    net.state["0.counter"] = 0
    assert_close(net.forward(xp.array(ones(5)), train=True), first, rtol=0)


def test_a_move_goes_on_with_the_next_mask(xp):
    net, host = network(), network()
    for one in (net, host):
        one.forward(ones(5), train=True)
    net.to(xp.device)
    assert_close(net.forward(xp.array(ones(5)), train=True), host.forward(ones(5), train=True))


def test_float64_numbers_meet_the_same_mask():
    single, double = network(rate=0.3), network(rate=0.3, dtype="float64")
    y, z = single.forward(ones(), train=True), double.forward(ones(dtype="float64"), train=True)
    np.testing.assert_array_equal(y != 0, z != 0)
    assert set(np.unique(z)) == {0.0, 1 / 0.7}
