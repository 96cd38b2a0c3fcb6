"""Batches: every sample once an epoch, in an order that only seed and epoch decide."""

from __future__ import annotations

import re
import threading
from itertools import pairwise

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet.arrays import dtype_name, library, to_numpy
from xpnet.data import Batches, Dataset
from xpnet.devices import CPU, device_of
from xpnet.devices.host import HostDevice
from xpnet.random import Stream

N = 23


def numbered(xp: Backend | None = None, n: int = N, labels: str = "int64") -> Dataset:
    """Return samples whose pixels tell which they are, and whose label is their number."""
    x = np.arange(n * 4, dtype=np.uint8).reshape(n, 2, 2)
    t = np.arange(n, dtype=labels)
    return Dataset(x, t) if xp is None else Dataset(xp.array(x), xp.array(t))


def seen(batches: Batches, epoch: int = 0) -> list[list[int]]:
    """Return the samples of each batch of an epoch, after checking that x and t agree."""
    lists = []
    for x, t in batches.epoch(epoch):
        labels = to_numpy(t)
        np.testing.assert_array_equal(to_numpy(x)[:, 0, 0], labels * 4)
        lists.append(labels.tolist())
    return lists


def flat(lists: list[list[int]]) -> list[int]:
    return [number for numbers in lists for number in numbers]


def workers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("xpnet-batches")]


both_ways = pytest.mark.parametrize("resident", [True, False], ids=["resident", "ahead"])


@both_ways
class TestBothWays:
    @pytest.mark.parametrize("shuffle", [True, False])
    @pytest.mark.parametrize("batch_size", [1, 5, 22, 23, 24, 1000])
    def test_every_sample_comes_once_an_epoch(self, batch_size, shuffle, resident):
        batches = Batches(numbered(), batch_size, shuffle=shuffle, resident=resident)
        for epoch in range(3):
            lists = seen(batches, epoch)
            assert len(lists) == len(batches)
            assert sorted(flat(lists)) == list(range(N))
            assert [len(one) for one in lists[:-1]] == [batch_size] * (len(lists) - 1)
            assert shuffle or flat(lists) == list(range(N))

    @pytest.mark.parametrize(
        ("n", "batch_size", "kept", "dropped"),
        [
            (23, 5, [5, 5, 5, 5, 3], [5, 5, 5, 5]),
            (20, 5, [5, 5, 5, 5], [5, 5, 5, 5]),
            (1, 1, [1], [1]),
            (3, 2, [2, 1], [2]),
        ],
    )
    def test_a_last_short_batch_is_kept_or_dropped(self, n, batch_size, kept, dropped, resident):
        for drop_last, sizes in ((False, kept), (True, dropped)):
            batches = Batches(
                numbered(n=n), batch_size, drop_last=drop_last, resident=resident, shuffle=False
            )
            lists = seen(batches)
            assert [len(one) for one in lists] == sizes
            assert len(batches) == len(sizes)
            assert batches.samples == sum(sizes)
            assert flat(lists) == list(range(sum(sizes)))

    def test_the_order_is_the_same_on_every_library(self, xp: Backend, resident):
        order = Stream(7, "batches").permutation(N, 4).tolist()
        batches = Batches(numbered(xp), 6, device=xp.device, seed=7, resident=resident)
        assert flat(seen(batches, 4)) == order

    def test_bytes_stay_bytes_on_the_device(self, xp: Backend, resident):
        batches = Batches(numbered(), 6, device=xp.device, resident=resident)
        for x, t in batches.epoch(0):
            assert device_of(x) == device_of(t) == xp.device
            assert (dtype_name(x), dtype_name(t)) == ("uint8", "int64")

    @pytest.mark.parametrize("labels", ["uint8", "int32"])
    def test_labels_come_as_int64(self, xp: Backend, labels, resident):
        batches = Batches(numbered(labels=labels), 6, device=xp.device, resident=resident)
        assert {dtype_name(t) for _, t in batches.epoch(0)} == {"int64"}

    def test_targets_that_are_no_labels_keep_their_dtype(self, xp: Backend, resident):
        data = Dataset(np.zeros((5, 2), np.float32), np.ones((5, 3), np.float32))
        batches = Batches(data, 2, device=xp.device, resident=resident)
        assert {dtype_name(t) for _, t in batches.epoch(0)} == {"float32"}

    def test_the_data_is_left_as_it_was(self, resident):
        data = numbered()
        x, t = data.x.copy(), data.t.copy()
        for x_batch, _ in Batches(data, 6, resident=resident).epoch(0):
            x_batch[...] = 0  # gathered, and so the reader's own
        np.testing.assert_array_equal(data.x, x)
        np.testing.assert_array_equal(data.t, t)

    def test_epochs_may_be_read_at_the_same_time(self, resident):
        batches = Batches(numbered(), 6, resident=resident)
        alone = [seen(batches, 0), seen(batches, 1)]
        pairs = list(zip(batches.epoch(0), batches.epoch(1), strict=True))
        assert [[p[k][1].tolist() for p in pairs] for k in (0, 1)] == alone


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed: int, epoch: int, batch_size: int = 5) -> list[int]:
        return flat(seen(Batches(numbered(), batch_size, seed=seed), epoch))

    orders = {(seed, epoch): order(seed, epoch) for seed in range(3) for epoch in range(3)}
    assert len({tuple(one) for one in orders.values()}) == 9
    batches = Batches(numbered(), 5, seed=2)
    for epoch in (2, 0, 1, 0):  # whatever came before
        assert flat(seen(batches, epoch)) == orders[2, epoch]
    assert order(1, 1, batch_size=7) == orders[1, 1]


@pytest.mark.parametrize("ahead", [0, 1, 2, 10])
def test_batches_gathered_ahead_are_those_of_a_resident_set(xp: Backend, ahead):
    plain = Batches(numbered(), 4, device=xp.device, resident=True)
    early = Batches(numbered(), 4, device=xp.device, resident=False, ahead=ahead)
    for epoch in range(2):
        for one, other in zip(plain.epoch(epoch), early.epoch(epoch), strict=True):
            for a, b in zip(one, other, strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


def test_a_set_of_another_library_is_gathered_where_it_lies(xp: Backend):
    batches = Batches(numbered(xp), 4, device="cpu", resident=False)
    assert flat(seen(batches, 1)) == Stream(0, "batches").permutation(N, 1).tolist()
    assert device_of(next(batches.epoch(0))[0]) == CPU


class TestTheThread:
    def test_it_works_ahead_but_not_too_far(self, monkeypatch):
        gathered = []
        work = Batches._gather

        def counted(self, batch, order):
            gathered.append(batch)
            return work(self, batch, order)

        monkeypatch.setattr(Batches, "_gather", counted)
        epoch = Batches(numbered(n=40), 4, resident=False, ahead=2).epoch(0)
        next(epoch)
        epoch.close()  # waits for what was begun
        assert gathered == [0, 1, 2]

    def test_it_ends_with_the_epoch(self):
        list(Batches(numbered(), 4, resident=False).epoch(0))
        assert workers() == []

    def test_it_ends_when_the_epoch_is_left_early(self):
        epoch = Batches(numbered(), 4, resident=False).epoch(0)
        next(epoch)
        assert len(workers()) == 1
        epoch.close()
        assert workers() == []

    def test_it_ends_when_the_reader_fails(self):
        def read():
            for number, _ in enumerate(Batches(numbered(), 4, resident=False).epoch(0)):
                if number == 1:
                    raise RuntimeError("the reader's")

        with pytest.raises(RuntimeError, match="the reader's"):
            read()
        assert workers() == []

    def test_its_error_reaches_the_reader(self, monkeypatch):
        work = Batches._gather

        def failing(self, batch, order):
            if batch == 2:
                raise OSError("the disk is gone")
            return work(self, batch, order)

        monkeypatch.setattr(Batches, "_gather", failing)
        epoch = Batches(numbered(), 4, resident=False).epoch(0)
        next(epoch), next(epoch)
        with pytest.raises(OSError, match="the disk is gone"):
            next(epoch)
        assert workers() == []


class SmallGpu(HostDevice):
    """The CPU, passing for an accelerator with little memory."""

    def __init__(self, free: int | None) -> None:
        super().__init__("small", library(np.empty(0)), "cpu")
        self.free = free

    def free_bytes(self) -> int | None:
        return self.free


BYTES = N * (4 + 8)


@pytest.mark.parametrize(
    ("free", "resident"), [(None, True), (2 * BYTES, True), (2 * BYTES - 2, False), (0, False)]
)
def test_a_set_is_resident_where_it_fits_half_of_the_free_memory(free, resident):
    assert Batches(numbered(), 4, device=SmallGpu(free)).resident is resident


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected a whole number >= 1, got 0"),
        ({"batch_size": -3}, "batch_size: expected a whole number >= 1, got -3"),
        ({"batch_size": 2.0}, "batch_size: expected a whole number >= 1, got 2.0"),
        ({"batch_size": True}, "batch_size: expected a whole number >= 1, got True"),
        ({"batch_size": "8"}, "batch_size: expected a whole number >= 1, got '8'"),
        ({"ahead": -1}, "ahead: expected a whole number >= 0, got -1"),
        ({"seed": -1}, "seed: expected a whole number >= 0, got -1"),
        (
            {"batch_size": 24, "drop_last": True},
            "batch_size: 24 with drop_last leaves no batch of 23 samples",
        ),
        (
            {"device": "tpu"},
            "device: expected 'cpu', 'gpu', 'gpu:N', 'torch:cpu', 'torch:cuda:N' or 'auto', "
            "got 'tpu'",
        ),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Batches(numbered(), **{"batch_size": 4, **arguments})


def test_neighbouring_batches_share_no_sample():
    lists = seen(Batches(numbered(), 4))
    assert all(not set(a) & set(b) for a, b in pairwise(lists))
