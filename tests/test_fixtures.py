"""Files that an earlier version wrote load, compute the same, and go on where they were left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import xpnet
from tests.fixtures import write

HERE = Path(__file__).parent / "fixtures"


@pytest.mark.parametrize("name", write.NETWORKS)
def test_a_saved_network_computes_what_it_did(name):
    net = xpnet.load(HERE / f"{name}.safetensors")
    expected = np.load(HERE / f"{name}-scores.npy")
    scores = net.predict(write.samples(net))
    assert scores.dtype == expected.dtype
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", write.NETWORKS)
def test_a_saved_network_is_described_and_saved_as_it_was(name, tmp_path):
    net = xpnet.load(HERE / f"{name}.safetensors")
    assert repr(net) == repr(write.NETWORKS[name]())
    for key, values in write.NETWORKS[name]().state.items():
        np.testing.assert_array_equal(net.state[key], values)


@pytest.mark.parametrize("rule", write.RULES)
def test_a_saved_run_goes_on_to_where_the_whole_run_ended(rule):
    trainer = write.trainer(rule)
    trainer.restore(HERE / f"run-{rule}.safetensors")
    assert trainer.epoch == 1
    trainer.fit(write.data(), write.EPOCHS, write.BATCH_SIZE)
    assert trainer.epoch == write.EPOCHS
    expected = np.load(HERE / f"run-{rule}-scores.npy")
    np.testing.assert_allclose(trainer.net.predict(write.data().x), expected, rtol=1e-4, atol=1e-5)
