"""Digests of training runs: equal for equal bits, and for no others."""

from __future__ import annotations

import numpy as np
import pytest

import xpnet
from scripts.bench import bits


def run(rule: str = "Adam") -> xpnet.Trainer:
    return bits.trainer(xpnet.models.mlp((8,), dropout=0.2, seed=1), bits.RULES[rule](), "cpu")


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bits, "SAMPLES", 60)


def test_a_run_that_was_resumed_has_the_digest_of_one_that_was_not() -> None:
    assert bits.resumed(run) == bits.straight(run)


def test_another_rule_has_another_digest() -> None:
    assert bits.straight(run) != bits.straight(lambda: run("SGD"))


def test_the_last_bit_of_one_weight_changes_the_digest() -> None:
    trainer = run()
    before = bits.digest(trainer)
    assert bits.digest(run()) == before
    bias = trainer.net.params["2.b"]
    bias[0] = np.nextafter(bias[0], np.float32(1))
    assert bits.digest(trainer) != before
