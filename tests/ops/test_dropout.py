"""Dropout's random numbers: bit for bit NumPy's Philox, on every array library."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import assert_close
from xpnet.arrays import to_numpy
from xpnet.devices import device_of
from xpnet.ops import generic_only
from xpnet.ops.dropout import dropout, philox_uniform

KEYS = [0, 1, 2**64 - 1, 2**64, 2**128 - 1, 0x0123456789ABCDEFFEDCBA9876543210]


def drawn_by_numpy(key, counter, shape):
    bits = np.random.Philox(key=key, counter=counter << 64)
    return np.random.Generator(bits).random(shape, np.float32)


def counter_at(xp, value):
    return xp.device.asarray(np.array(value, np.int64))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 1003])
def test_any_number_of_draws_equals_numpys(xp, size):
    found = philox_uniform(KEYS[-1], counter_at(xp, 3), size)
    assert_close(found, drawn_by_numpy(KEYS[-1], 3, size), rtol=0)
    assert device_of(found) == xp.device


@pytest.mark.parametrize("key", KEYS, ids=hex)
@pytest.mark.parametrize("counter", [0, 1, 2**32 - 1, 2**32, 2**63 - 1])
def test_any_key_and_counter_equals_numpys(xp, key, counter):
    found = philox_uniform(key, counter_at(xp, counter), 17)
    assert_close(found, drawn_by_numpy(key, counter, 17), rtol=0)


@pytest.mark.parametrize("generic", [False, True], ids=["chosen", "generic"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_the_mask_is_where_numpys_draws_reach_the_rate(xp, generic, dtype, rate):
    x = np.random.default_rng(0).normal(size=(5, 3, 7)).astype(dtype)
    counter = counter_at(xp, 4)
    wanted = np.where(drawn_by_numpy(9, 4, x.shape) >= np.float32(rate), 2.0, 0.0).astype(dtype)
    if generic:
        with generic_only():
            y, mask = dropout(xp.array(x), counter, key=9, rate=rate, scale=2.0)
    else:
        y, mask = dropout(xp.array(x), counter, key=9, rate=rate, scale=2.0)
    assert_close(mask, wanted, rtol=0)
    assert_close(y, x * wanted, rtol=0)
    assert device_of(y) == device_of(mask) == xp.device
    assert int(to_numpy(counter)) == 5


def test_a_draw_that_equals_the_rate_is_kept(xp, monkeypatch):
    rate = 0.9  # float32(0.9) lies below it and is among the numbers that can be drawn
    drawn = xp.array([rate], "float32")
    monkeypatch.setattr("xpnet.ops.dropout.philox_uniform", lambda *_: drawn)
    with generic_only():
        _, mask = dropout(
            xp.array([1.0], "float32"), counter_at(xp, 0), key=0, rate=rate, scale=1.0
        )
    assert_close(mask, np.ones(1, "float32"), rtol=0)


def test_an_empty_batch_still_counts(xp):
    counter = counter_at(xp, 0)
    y, mask = dropout(xp.array(np.zeros((0, 3))), counter, key=0, rate=0.5, scale=2.0)
    assert tuple(y.shape) == tuple(mask.shape) == (0, 3)
    assert int(to_numpy(counter)) == 1
