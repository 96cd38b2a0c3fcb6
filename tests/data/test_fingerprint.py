"""The fingerprint of a data set: another one of any change, the same one everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet.data import Dataset
from xpnet.data import fingerprint as module
from xpnet.data.fingerprint import fingerprint


def data(n: int = 3000) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset(rng.integers(0, 256, (n, 2, 3), np.uint8), np.arange(n) % 7, classes=7)


def test_it_is_the_same_on_every_library(xp: Backend):
    assert fingerprint(data().to(xp.device)) == fingerprint(data())


@pytest.mark.parametrize("where", [0, 1023, 1024, 2999])
def test_one_other_number_changes_it(where):
    x, t = data().x.copy(), data().t.copy()
    x[where, 1, 2] ^= 1
    assert fingerprint(Dataset(x, t)) != fingerprint(data())
    t[where] += 1
    assert fingerprint(Dataset(data().x, t)) != fingerprint(data())


def test_the_order_changes_it():
    assert fingerprint(data().select(np.arange(3000)[::-1])) != fingerprint(data())


def test_shape_and_dtype_change_it():
    others = {fingerprint(Dataset(data().x.reshape(3000, 6), data().t))}
    others |= {fingerprint(data().astype("float32")), fingerprint(data().take(2999))}
    assert len(others | {fingerprint(data())}) == 4


def test_of_a_set_that_is_too_large_rows_at_even_distances_are_looked_at(monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 6 * 1000)
    x = data().x.copy()
    x[1] ^= 1
    assert fingerprint(Dataset(x, data().t)) == fingerprint(data())
    x[3] ^= 1
    assert fingerprint(Dataset(x, data().t)) != fingerprint(data())


def test_of_those_rows_there_are_not_too_many(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 100)
    x = data().x.copy()
    x[3] ^= 1
    assert fingerprint(Dataset(x, data().t)) != fingerprint(
        data()
    )  # it is small: all are looked at
    monkeypatch.setattr(module, "MOST_BYTES", 6 * 1000)
    assert fingerprint(Dataset(x, data().t)) == fingerprint(data())
    x[30] ^= 1
    assert fingerprint(Dataset(x, data().t)) != fingerprint(data())
