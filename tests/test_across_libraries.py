"""One network on several array libraries: the same draws, and the same course of training."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest

from tests.conftest import backend
from xpnet.arrays import dtype_name, to_numpy
from xpnet.data import Batches, Dataset, load
from xpnet.layers import Dropout, Sequential
from xpnet.losses import SoftmaxCrossEntropy
from xpnet.models import mlp, simple_convnet
from xpnet.optimizers import Adam
from xpnet.training import Trainer

STEPS = {"float32": 100, "float64": 40}
NETWORKS = {
    "mlp": lambda dtype: mlp([32, 16], dropout=0.25, batch_norm=True, seed=3, dtype=dtype),
    "simple-convnet": lambda dtype: simple_convnet(4, hidden=20, seed=3, dtype=dtype),
}
OTHERS = ["strict-device1", "torch", pytest.param("cupy", marks=pytest.mark.gpu)]
others = pytest.mark.parametrize("library", ["strict", *OTHERS])
others_once = pytest.mark.parametrize("library", OTHERS)  # devices of one library compute alike


@functools.cache
def digits() -> Dataset:
    return load("digits")[0]


def batches(library: str, steps: int) -> Iterator[tuple]:
    """Yield as many batches of the digits, on a library's device."""
    source = Batches(digits(), 16, device=backend(library).device, seed=9)
    for epoch in range(-(-steps // len(source))):
        for batch in source.epoch(epoch):
            if steps == 0:
                return
            yield batch
            steps -= 1


def network(kind: str, library: str, dtype: str) -> Sequential:
    return NETWORKS[kind](dtype).to(backend(library).device)


@functools.cache
def losses(kind: str, library: str, dtype: str) -> list[float]:
    """Return the loss of every step of a run."""
    net = network(kind, library, dtype)
    trainer = Trainer(net, SoftmaxCrossEntropy(), Adam(lr=0.001))
    return [float(trainer.step(x, t)[0]) for x, t in batches(library, STEPS[dtype])]


@others_once
@pytest.mark.parametrize("kind", NETWORKS)
class TestTheSameCourse:
    def test_in_float32_the_losses_agree_to_rounding_at_every_step(self, kind, library):
        course = losses(kind, library, "float32")
        assert len(course) == STEPS["float32"]
        assert course[-1] < course[0] / 2  # it learns
        assert course == pytest.approx(losses(kind, "numpy", "float32"), rel=1e-5, abs=1e-5)

    def test_in_float64_they_agree_to_ten_digits(self, kind, library):
        course = losses(kind, library, "float64")
        assert course == pytest.approx(losses(kind, "numpy", "float64"), rel=1e-10, abs=1e-10)


@others
class TestTheSameDraws:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("kind", NETWORKS)
    def test_weights_are_equal_bit_for_bit(self, kind, library, dtype):
        own, host = network(kind, library, dtype), network(kind, "numpy", dtype)
        assert list(own.params) == list(host.params)
        for path, values in own.params.items():
            assert to_numpy(values).tobytes() == to_numpy(host.params[path]).tobytes(), path

    def test_batches_are_equal_bit_for_bit(self, library):
        there, here = batches(library, 100), batches("numpy", 100)
        for (x, t), (x_host, t_host) in zip(there, here, strict=True):
            assert (dtype_name(x), dtype_name(t)) == ("uint8", "int64")
            np.testing.assert_array_equal(to_numpy(x), x_host)
            np.testing.assert_array_equal(to_numpy(t), t_host)

    @pytest.mark.parametrize("rate", [0.1, 0.5])
    def test_dropout_masks_are_equal_bit_for_bit(self, library, rate):
        masks = {}
        for name in (library, "numpy"):
            place = backend(name).device
            net = Sequential([Dropout(rate)], input_shape=(3, 50), seed=5).to(place)
            ones = place.asarray(np.ones((8, 3, 50), np.float32))
            masks[name] = [to_numpy(net.forward(ones, train=True)) for _ in range(4)]
        for own, host in zip(masks[library], masks["numpy"], strict=True):
            assert own.tobytes() == host.tobytes()
        assert not np.array_equal(masks["numpy"][0], masks["numpy"][1])
