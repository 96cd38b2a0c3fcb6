"""The memory of a training step: what is told is what steps take, and telling changes nothing."""

from __future__ import annotations

import contextlib
import copy
import tracemalloc
from typing import Any

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet import models
from xpnet.arrays import to_numpy
from xpnet.data import Dataset
from xpnet.devices import DeviceError
from xpnet.layers import BatchNorm, Conv2d, Dropout, Flatten, Linear, ReLU, Residual, Sequential
from xpnet.layers import memory as layers_memory
from xpnet.layers.memory import StepMemory
from xpnet.losses import SoftmaxCrossEntropy
from xpnet.ops import generic_only
from xpnet.optimizers import SGD, Adam, Momentum
from xpnet.training import Trainer

NETWORKS = ["mlp", "simple-convnet", "deep-convnet"]
every_network = pytest.mark.parametrize("name", NETWORKS)


def network(dropout: float = 0.5) -> Sequential:
    body = [Linear(16), BatchNorm(), ReLU(), Dropout(dropout)]
    layers = [Conv2d(4, 3), BatchNorm(), ReLU(), Flatten(), Linear(16), Residual(body), Linear(3)]
    return Sequential(layers, input_shape=(2, 6, 6), seed=0)


def pixels(n: int = 40) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset(rng.normal(size=(n, 2, 6, 6)).astype("f4"), np.arange(n) % 3, classes=3)


def told(net: Sequential, *arguments: Any, **options: Any) -> StepMemory:
    memory = net.summary(*arguments, **options).memory
    assert memory is not None
    return memory


def step(trainer: Trainer, samples: int) -> None:
    net = trainer.net
    x = net.asinput(np.ones((samples, *net.input_shape), np.uint8))
    with net.threads():
        trainer.step(x, np.arange(samples) % 10)


@every_network
@pytest.mark.parametrize("bodies", ["faster", "generic"])
def test_the_peak_is_that_of_a_trainers_step(name, bodies):
    """The trainer's own step, with its loss, in batches of the usual size."""
    net, optimizer = models.BY_NAME[name](), Adam()
    trainer = Trainer(net, SoftmaxCrossEntropy(), optimizer)
    with generic_only() if bodies == "generic" else contextlib.nullcontext():
        memory = told(net, batch_size=100, optimizer=optimizer)
        step(trainer, 100)
        tracemalloc.start()
        try:
            step(trainer, 100)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    arrays = [net.params.flat, net.grads.flat, *optimizer.buffers]
    assert memory.peak == pytest.approx(peak + sum(a.nbytes for a in arrays), rel=0.1)


@every_network
def test_large_steps_are_extrapolated_from_small_ones(monkeypatch, name):
    net = models.BY_NAME[name]()
    most = 1000 if name == "simple-convnet" else 200  # past what NumPy's columns in cache are of
    whole = told(net, batch_size=2 * most, optimizer=Adam())
    monkeypatch.setattr(layers_memory, "MEASURED_BYTES", most * net.cache_bytes())
    sizes = []
    call = layers_memory._MeasuredStep.__call__
    monkeypatch.setattr(
        layers_memory._MeasuredStep,
        "__call__",
        lambda self, samples: sizes.append(samples) or call(self, samples),
    )
    drawn = told(net, batch_size=2 * most, optimizer=Adam())
    assert max(sizes) <= most
    assert drawn.kept == pytest.approx(whole.kept, rel=0.1)
    assert drawn.peak == pytest.approx(whole.peak, rel=0.15)


def test_a_batch_that_no_memory_holds_is_told_at_once():
    memory = told(models.deep_convnet(), batch_size=10**7)
    assert 1e12 < memory.kept < memory.peak < 1e13


@pytest.mark.faster_bodies
def test_faster_bodies_keep_less_than_generic_ones():
    net = models.deep_convnet()
    faster = told(net, batch_size=20)
    with generic_only():
        assert told(net, batch_size=20).kept > 2 * faster.kept


@pytest.mark.parametrize(
    ("optimizer", "slots"), [(SGD(0.1), 0), (Momentum(0.1), 1), (Adam(), 2)], ids=repr
)
def test_arrays_are_counted_by_their_bytes(xp: Backend, optimizer, slots):
    if xp.device.library not in ("numpy", "torch", "cupy"):
        pytest.skip("counts no memory")
    net = network().to(xp.device)
    memory = told(net, batch_size=8, optimizer=optimizer)
    assert memory.parameters == memory.gradients == to_numpy(net.params.flat).nbytes
    assert memory.slots == slots * memory.parameters
    assert memory.kept > 8 * 4 * 2 * 6 * 6
    assert memory.peak > (2 + slots) * memory.parameters + memory.kept
    assert memory.device == xp.device.name


def test_the_narrow_copy_counts_as_parameters():
    memory = told(network().to("cpu", precision="bf16"), batch_size=8)
    assert 2 * memory.parameters == 3 * memory.gradients


def test_frozen_layers_keep_and_take_less():
    net = network()
    free = told(net, batch_size=64, optimizer=Adam())
    frozen = told(net.freeze(), batch_size=64, optimizer=Adam())  # no way back, no update
    assert frozen.peak < free.peak


def test_without_an_optimizer_none_is_told_of():
    memory = told(network(), batch_size=8)
    assert memory.slots == 0
    assert "remembers" not in str(memory)
    assert "what Adam remembers" in str(told(network(), batch_size=8, optimizer=Adam()))


def test_network_and_optimizer_stay_bit_for_bit_as_they_were():
    looked_at, other = (Trainer(network(), SoftmaxCrossEntropy(), Adam(), seed=1) for _ in range(2))
    for trainer in (looked_at, other):
        trainer.net.freeze("1")
        trainer.fit(pixels(), 1, 8)
    before = copy.deepcopy((looked_at.net.params, looked_at.net.grads, looked_at.net.state))
    seen = []
    with looked_at.net.hook("0", lambda *about: seen.append(about)):
        looked_at.net.summary(batch_size=16, optimizer=looked_at.optimizer)
        assert looked_at.net.hooked == ["0"]
    assert seen == []
    assert looked_at.net.frozen == ["1"]
    after = looked_at.net.params, looked_at.net.grads, looked_at.net.state
    for old, new in zip(before, after, strict=True):
        for key, values in old.items():
            np.testing.assert_array_equal(new[key], values)
    for trainer in (looked_at, other):
        trainer.fit(pixels(), 2, 8)
    np.testing.assert_array_equal(looked_at.net.params.flat, other.net.params.flat)
    assert looked_at.history["train_loss"] == other.history["train_loss"]


def test_a_pass_that_is_under_way_can_go_on():
    net = network(dropout=0.0)
    y = net.forward(pixels(8).x, train=True)
    net.summary(batch_size=4)
    net.backward(y)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batch_size": 0}, "batch_size: expected a whole number >= 1, got 0"),
        ({"optimizer": Adam()}, "optimizer: expected a batch_size with it"),
    ],
)
def test_a_wrong_argument_gets_one_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        network().summary(**options)


def test_what_is_no_optimizer_is_refused():
    with pytest.raises(TypeError, match=r"optimizer: expected an? Optimizer.* got 'adam'"):
        network().summary(batch_size=8, optimizer="adam")


def test_a_part_of_a_network_has_no_steps_of_its_own():
    net = Sequential([Sequential([Linear(2)])], input_shape=(3,))
    with pytest.raises(ValueError, match=r"is part of a network: call summary\(\) of the network"):
        net[0].summary(batch_size=8)


def test_a_device_that_counts_no_memory_says_so(xp: Backend):
    if xp.device.library != "array_api_strict":
        pytest.skip("counts it")
    with pytest.raises(DeviceError, match="does not count its memory: cpu, gpu and torch do"):
        network().to(xp.device).summary(batch_size=8)
