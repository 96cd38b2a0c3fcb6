"""Shuffled in blocks: every sample once an epoch, in an order that a disk likes."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Backend
from xpnet.arrays import to_numpy
from xpnet.data import Batches, Blocks, Dataset
from xpnet.data.blocks import BlockOrder
from xpnet.random import Stream

STREAM = Stream(3, "batches")


def order(blocks: Blocks, n: int, epoch: int = 0, seed: int = 3) -> list[int]:
    return BlockOrder(blocks, n, Stream(seed, "batches"), epoch)[:].tolist()


def batches(n: int = 103, **options) -> Batches:
    data = Dataset(np.arange(n, dtype=np.uint8), np.arange(n))
    return Batches(data, 10, **{"shuffle": Blocks(4, 3), **options})


def seen(some: Batches, epoch: int = 0, start: int = 0) -> list[list[int]]:
    return [to_numpy(t).tolist() for _, t in some.epoch(epoch, start=start)]


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 200), st.integers(1, 30), st.integers(1, 9), st.integers(0, 5))
def test_every_sample_comes_once(n, size, window, epoch):
    assert sorted(order(Blocks(size, window), n, epoch)) == list(range(n))


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 90), st.data())
def test_a_slice_is_that_of_the_whole(n, draw):
    start, stop = sorted(draw.draw(st.tuples(st.integers(0, n), st.integers(0, n))))
    made = BlockOrder(Blocks(4, 3), n, STREAM, 1)
    assert made[start:stop].tolist() == order(Blocks(4, 3), n, 1)[start:stop]
    assert len(made) == n


@pytest.mark.parametrize("n", [96, 97, 107])
def test_a_window_holds_all_of_its_blocks_and_no_other_samples(n):
    found, at = order(Blocks(4, 3), n), 0
    while at < n:
        blocks = list(dict.fromkeys(number // 4 for number in found[at:]))[:3]
        expected = [k for k in range(n) if k // 4 in blocks]
        assert sorted(found[at : at + len(expected)]) == expected
        at += len(expected)


def test_blocks_and_the_samples_of_a_window_come_in_random_order():
    found = np.array(order(Blocks(10, 5), 5000))
    windows = found.reshape(100, 50)
    assert (np.diff(windows.min(axis=1)) < 0).mean() > 0.3  # windows do not rise through the data
    assert (np.diff(windows, axis=1) == 1).mean() < 0.1  # nor do the samples of one
    assert len({tuple(np.argsort(window)) for window in windows}) == 100


def test_one_window_of_all_is_a_shuffle_of_all():
    found = order(Blocks(7, 100), 300)
    assert max(abs(a - b) for a, b in pairwise(found)) > 200


def test_the_order_depends_on_seed_and_epoch_alone():
    found = {tuple(order(Blocks(4, 3), 50, e, s)) for e in range(3) for s in range(3)}
    assert len(found) == 9
    assert order(Blocks(4, 3), 50, 1, 1) == order(Blocks(4, 3), 50, 1, 1)


def test_an_order_takes_memory_for_its_blocks_and_a_window_and_not_for_each_sample():
    n = 10**8
    tracemalloc.start()
    try:
        made = BlockOrder(Blocks(), n, STREAM, 0)
        assert len(made[n // 2 : n // 2 + 100]) == 100
        assert tracemalloc.get_traced_memory()[1] < n / 4
    finally:
        tracemalloc.stop()


class TestBatches:
    @pytest.mark.parametrize("resident", [True, False])
    def test_they_are_the_same_on_every_library(self, xp: Backend, resident):
        expected = order(Blocks(4, 3), 103, 2, 0)
        found = seen(batches(device=xp.device, resident=resident), 2)
        assert [number for numbers in found for number in numbers] == expected

    @pytest.mark.parametrize("start", [0, 1, 5, 10, 11])
    def test_an_epoch_goes_on_in_its_middle(self, start):
        assert seen(batches(), 1, start) == seen(batches(), 1)[start:]

    def test_the_word_stands_for_blocks_of_the_usual_size(self):
        assert seen(batches(n=250, shuffle="blocks")) == seen(batches(n=250, shuffle=Blocks()))
        assert seen(batches(shuffle="blocks")) != seen(batches())


@pytest.mark.parametrize("name", ["size", "window"])
def test_sizes_are_whole_numbers_of_1_or_more(name):
    with pytest.raises(ValueError, match=f"^{name}: expected a whole number >= 1, got 0$"):
        Blocks(**{name: 0})
