"""What is pickled or deep-copied comes back whole, and goes on as the original does."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pytest

from xpnet import initializers, layers, losses, optimizers, schedules
from xpnet.data import Batches, Dataset
from xpnet.devices import device
from xpnet.random import Stream
from xpnet.training import (
    Checkpoint,
    History,
    HistoryFile,
    Integers,
    LogUniform,
    ProfileRow,
    ProgressBar,
    Table,
    Trainer,
    Trial,
    Uniform,
)


def by_cloudpickle(thing: Any) -> Any:
    return pickle.loads(pytest.importorskip("cloudpickle").dumps(thing))


def by_joblib(thing: Any) -> Any:
    joblib, file = pytest.importorskip("joblib"), io.BytesIO()
    joblib.dump(thing, file)
    file.seek(0)
    return joblib.load(file)


WAYS = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "the oldest protocol": lambda thing: pickle.loads(pickle.dumps(thing, 2)),
    "cloudpickle": by_cloudpickle,
    "joblib": by_joblib,
}


class Kind(NamedTuple):
    things: dict[str, Callable[[], Any]]
    behaviour: Callable[[Any], Any]
    """What a thing does from here on, changing it: numbers, texts and arrays."""


def public(module: Any, *without: str) -> dict[str, Any]:
    return {name: getattr(module, name) for name in module.__all__ if name not in without}


# Losses


def in_between(loss: losses.Loss) -> losses.Loss:
    """Return a loss that has gone forward and not yet back."""
    loss.forward(*scored())
    return loss


def scored() -> tuple[Any, Any]:
    return Stream(0, "scores").normal((4, 3)), np.eye(3)[[0, 2, 1, 1]]


def behaviour_of_a_loss(loss: losses.Loss) -> Any:
    kept = loss.backward() if loss._gradient is not None else None
    return repr(loss), kept, loss.forward(*scored()), loss.backward()


LOSSES = {
    **public(losses, "Loss"),
    "SoftmaxCrossEntropy, smoothed": lambda: losses.SoftmaxCrossEntropy(0.1),
    "SoftmaxCrossEntropy, in between": lambda: in_between(losses.SoftmaxCrossEntropy()),
}

# Optimizers


def step(optimizer: optimizers.Optimizer, params: dict[str, Any], number: int) -> None:
    grads = {"W": Stream(number, "g").normal((3, 2)), "s": 0.5 * number}
    optimizer.update(params, grads)


def in_mid_run(kind: Any) -> optimizers.Optimizer:
    optimizer = kind(lr=0.05, weight_decay=0.01)
    params = {"W": np.ones((3, 2)), "s": 2.0}
    for number in range(3):
        step(optimizer, params, number)
    return optimizer


def behaviour_of_an_optimizer(optimizer: optimizers.Optimizer) -> Any:
    params = {"W": np.full((3, 2), 0.5), "s": 1.0}
    for number in range(3, 6):
        step(optimizer, params, number)
    return repr(optimizer), optimizer.steps, params, optimizer.state()


RULES = public(optimizers, "Optimizer")
OPTIMIZERS = {
    **RULES,
    **{f"{name}, in mid-run": (lambda k=kind: in_mid_run(k)) for name, kind in RULES.items()},
}

# Functions


def behaviour_of_a_schedule(schedule: schedules.Schedule) -> Any:
    return repr(schedule), [schedule(number, 20) for number in range(20)]


SCHEDULES = {
    **{name: (lambda n=name: schedules.schedule(n)) for name in schedules.NAMES},
    "warmup, then cosine": lambda: schedules.warmup(0.2, schedules.cosine(0.1)),
}


def behaviour_of_a_rule(rule: initializers.Rule) -> Any:
    return repr(rule), rule(Stream(3, "W"), (4, 3), 4, 3)


RULES_OF_WEIGHTS = {
    "normal": lambda: initializers.normal(0.1),
    "uniform": lambda: initializers.uniform(-1, 2),
    "constant": lambda: initializers.constant(3),
    "zeros": lambda: initializers.zeros,
    "he": lambda: initializers.he,
    "xavier": lambda: initializers.xavier,
    "glorot_uniform": lambda: initializers.glorot_uniform,
    "by name": lambda: initializers.initializer("he"),
    "by number": lambda: initializers.initializer(0.1),
}

# Layers that are not built


def behaviour_of_a_layer(layer: layers.Layer) -> Any:
    shape: Any = (3, 8, 8)
    if isinstance(layer, (layers.Add, layers.Multiply)):
        shape = (shape, shape)
    before = repr(layer)
    layer.build(shape, Stream(5), "float64")
    return before, repr(layer), dict(layer.params), dict(layer.state)


LAYERS: dict[str, Callable[[], layers.Layer]] = {
    **public(
        layers, "ArrayMap", "AvgPool2d", "Conv2d", "Layer", "Linear", "MaxPool2d", "Network",
        "Rescale", "Residual", "Sequential",
    ),
    "AvgPool2d": lambda: layers.AvgPool2d((2, 3), stride=1, pad=1),
    "Conv2d": lambda: layers.Conv2d(4, 3, init=initializers.normal(0.1), bias_init=1),
    "Linear": lambda: layers.Linear(4, init="xavier"),
    "Linear, of a rule of one's own": lambda: layers.Linear(4, init=own_rule),
    "MaxPool2d": lambda: layers.MaxPool2d(2),
    "Rescale": lambda: layers.Rescale(1 / 255, 0.5),
    "Residual": lambda: layers.Residual([layers.Conv2d(3, 1)], layers.Conv2d(3, 1)),
    "Sequential": lambda: layers.Sequential([layers.Linear(4), layers.ReLU(), layers.Dropout()]),
}  # fmt: skip


def own_rule(stream: Stream, shape: Any, fan_in: int, fan_out: int) -> Any:
    return stream.uniform(shape, 0, fan_in)


# Data


def behaviour_of_a_data_set(data: Dataset) -> Any:
    one, other = data.split(0.5, seed=1)
    return repr(data), data.x, data.t, one.x, other.t, data.classes, data.name, data.class_names


def memory_mapped() -> Dataset:
    file = FOLDER / "x.npy"
    np.save(file, Stream(0, "x").normal((6, 2)).astype("float32"))
    return Dataset(np.load(file, mmap_mode="r"), np.arange(6) % 3, 3, "mapped")


DATA_SETS = {
    "labels": lambda: Dataset(Stream(0, "x").normal((6, 2)), np.arange(6) % 3, 3, "rows"),
    "targets": lambda: Dataset(np.ones((4, 1, 2, 2), "u1"), np.linspace(0, 1, 4)[:, None]),
    "memory-mapped": memory_mapped,
    "names of classes": lambda: Dataset(np.eye(4), ["b", "a"] * 2, class_names=["a", "b"]),
}

# Runs

ROW = {"epoch": 1, "train_loss": 0.5, "validation_loss": None}


def behaviour_of_a_history(history: History) -> Any:
    history.append({**ROW, "epoch": 2})
    return repr(history), history.rows, history["epoch"]


def attributes(thing: Any) -> Any:
    return type(thing).__name__, vars(thing)


def drawing() -> ProgressBar:
    """Return a bar within an epoch."""
    bar = ProgressBar(every=7)
    bar._bar = Lock()  # which can be pickled no more than a terminal
    return bar


# Networks, and what trains them


def network(**options: Any) -> layers.Network:
    parts = [
        layers.Rescale(1 / 255), layers.Conv2d(3, 3, pad=1), layers.ReLU(), layers.MaxPool2d(2),
        layers.Residual([layers.Conv2d(3, 3, pad=1), layers.BatchNorm(), layers.Sequential(
            [layers.Dropout(0.2), layers.Swish()])]),
        layers.Flatten(), layers.Linear(6), layers.ReLU(), layers.Linear(3),
    ]  # fmt: skip
    return layers.Sequential(parts, input_shape=(1, 6, 6), seed=2, **options)


def pixels(n: int = 10) -> Dataset:
    rng = np.random.default_rng(3)
    return Dataset(rng.integers(0, 256, (n, 1, 6, 6), "uint8"), np.arange(n) % 3, 3)


def in_mid_step() -> layers.Network:
    net = network()
    net.forward(pixels().x, train=True)
    return net


def trainer(net: layers.Network | None = None, epochs: int = 0) -> Trainer:
    made = Trainer(
        network() if net is None else net, losses.SoftmaxCrossEntropy(),
        optimizers.Adam(0.01, weight_decay=0.01), schedule=schedules.cosine(),
        callbacks=[ProgressBar(), Table(io.StringIO())] if epochs == 0 else [], seed=4,
    )  # fmt: skip
    if epochs:
        made.fit(pixels(), epochs, 4)
    return made


def behaviour_of_a_trainer(trainer: Trainer) -> Any:
    """Train on, from here."""
    trainer.callbacks = []
    history = trainer.fit(pixels(), 2, 4, validation=pixels(6))
    net, rows = trainer.net, [row for row in history.rows if row.pop("seconds")]
    for row in rows:
        row.pop("samples_per_second")
    assert all(np.shares_memory(a, net.params.flat) for a in net.params.values())
    return repr(net), rows, dict(net.params), dict(net.state), trainer.optimizer.state()


def behaviour_of_a_network(net: layers.Network) -> Any:
    return net.summary(), net.predict(pixels().x), behaviour_of_a_trainer(trainer(net, 1))


NETWORKS = {
    "built": network,
    "of float64": lambda: network(dtype="float64"),
    "of bfloat16's precision": lambda: network().to("cpu", precision="bf16"),
    "in mid-step": in_mid_step,
    "trained": lambda: trainer(epochs=2).net,
}
TRAINERS = {
    "new": trainer,
    "in mid-run": lambda: trainer(epochs=2),
}


def behaviour_of_batches(batches: Batches) -> Any:
    return len(batches), [[np.array(a) for a in batch] for batch in batches.epoch(2)]


KINDS = {
    "network": Kind(NETWORKS, behaviour_of_a_network),
    "trainer": Kind(TRAINERS, behaviour_of_a_trainer),
    "device": Kind(
        {"cpu": lambda: device("cpu")}, lambda place: (place, place.zeros(3, "float32"))
    ),
    "batches": Kind({"shuffled": lambda: Batches(pixels(), 4, seed=1)}, behaviour_of_batches),
    "loss": Kind(LOSSES, behaviour_of_a_loss),
    "optimizer": Kind(OPTIMIZERS, behaviour_of_an_optimizer),
    "schedule": Kind(SCHEDULES, behaviour_of_a_schedule),
    "initializer": Kind(RULES_OF_WEIGHTS, behaviour_of_a_rule),
    "layer": Kind(LAYERS, behaviour_of_a_layer),
    "data set": Kind(DATA_SETS, behaviour_of_a_data_set),
    "history": Kind(
        {"empty": History, "of an epoch": lambda: History([ROW])}, behaviour_of_a_history
    ),
    "stream": Kind(
        {"of a path": lambda: Stream(7, "4.W")}, lambda stream: (stream, stream.normal((3,)))
    ),
    "range": Kind(
        {
            "LogUniform": lambda: LogUniform(1e-3, 1),
            "Uniform": lambda: Uniform(-1, 1),
            "Integers": lambda: Integers(1, 9, log=True),
        },
        lambda space: (space, space.draw(Stream(1), 3)),
    ),
    "callback": Kind(
        {
            "ProgressBar": lambda: ProgressBar(7),
            "ProgressBar, in an epoch": drawing,
            "Table": Table,
            "HistoryFile": lambda: HistoryFile("h.jsonl"),
            "Checkpoint": lambda: Checkpoint("run.safetensors", 3),
        },
        lambda callback: (type(callback).__name__, vars(callback) | {"_bar": None}),
    ),
    "result": Kind(
        {
            "ProfileRow": lambda: ProfileRow("0", "Linear", 0.1, 0.2, 0.3, 1.0, 8),
            "Trial": lambda: Trial(
                0, {"lr": 0.1}, {3: (0.5,)}, (History([ROW]),), "validation_accuracy", 0.5, 0.7
            ),
        },
        lambda result: (repr(result), type(result).__name__),
    ),
}
CASES = [
    pytest.param(make, kind.behaviour, id=f"{name}-{which}")
    for name, kind in KINDS.items()
    for which, make in kind.things.items()
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.FOLDER", tmp_path)


FOLDER = Path()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("make", "behaviour"), CASES)
def test_a_copy_does_what_the_original_does(make, behaviour, way):
    original = make()
    twin = WAYS[way](original)
    assert type(twin) is type(original)
    there = behaviour(twin)  # first, so that what it shares with the original shows
    np.testing.assert_equal(there, behaviour(original))


def test_every_public_layer_stands_in_this_table():
    assert set(LAYERS) >= set(layers.__all__) - {"ArrayMap", "Layer", "Network"}


def test_a_process_that_starts_afresh_gets_them_too():
    things = {
        f"{name}-{which}": make()
        for name, kind in KINDS.items()
        for which, make in kind.things.items()
        if "one's own" not in which  # whose function is this file's
    }
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        reprs = pool.map(repr, things.values())
    for (which, thing), text in zip(things.items(), reprs, strict=True):
        assert " at 0x" in text or text == repr(thing), which
