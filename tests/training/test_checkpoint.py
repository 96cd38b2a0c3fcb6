"""Checkpoints: a run that was interrupted ends as one that was not, bit for bit."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet import optimizers, schedules, serialize
from xpnet.arrays import to_numpy
from xpnet.data import Dataset
from xpnet.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from xpnet.models import mlp
from xpnet.training import Callback, Checkpoint, Trainer

EPOCHS, BATCH = 4, 7


def data(seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    t = np.arange(30) % 3
    return Dataset(rng.integers(0, 200, (30, 3), np.uint8) + 50 * np.eye(3, dtype=np.uint8)[t], t)


def trainer(
    xp: Backend | None = None,
    *,
    optimizer: optimizers.Optimizer | None = None,
    loss: Any = None,
    schedule: str = "one-cycle",
    net_seed: int = 4,
    callbacks: Any = (),
    seed: int = 11,
    **network: Any,
) -> Trainer:
    network = {"hidden": [8], "dropout": 0.5, "batch_norm": True, **network}
    net = mlp(classes=3, input_shape=(3,), seed=net_seed, **network)
    return Trainer(
        net if xp is None else net.to(xp.device),
        loss or SoftmaxCrossEntropy(),
        optimizer or optimizers.Adam(lr=0.01),
        schedule=schedules.schedule(schedule),
        callbacks=callbacks,
        seed=seed,
    )


def fit(made: Trainer) -> Trainer:
    made.fit(data(), EPOCHS, BATCH, validation=data(1))
    return made


class Interrupt(Callback):
    """Ctrl-C after a step of an epoch, or as the epoch ends."""

    def __init__(self, epoch: int, step: int | None = None) -> None:
        self.epoch, self.step = epoch, step

    def step_ends(self, trainer):
        if self.step is not None and trainer.optimizer.steps == self.epoch * 5 + self.step:
            raise KeyboardInterrupt

    def epoch_ends(self, trainer, row):
        if self.step is None and row["epoch"] == self.epoch:
            raise KeyboardInterrupt


def position(made: Trainer) -> dict[str, Any]:
    """Return all that a run's future depends on, as bytes, and its history but for the times."""
    arrays = {
        f"{kind}/{name}": to_numpy(a)
        for kind, arrays in (
            ("params", made.net.params),
            ("state", made.net.state),
            ("slots", made.optimizer.state()),
        )
        for name, a in arrays.items()
    }
    return {
        **{k: (str(a.dtype), a.shape, a.tobytes()) for k, a in arrays.items()},
        "history": [{k: v for k, v in r.items() if "second" not in k} for r in made.history],
        "rest": (made.epoch, made.began, made.optimizer.steps),
    }


def assert_resumes(tmp_path, interrupt: Interrupt, make) -> None:
    whole = fit(make())
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(make(callbacks=[Checkpoint(path), interrupt]))
    resumed = make()
    resumed.restore(path)
    assert resumed.epoch == interrupt.epoch
    assert len(resumed.history) == interrupt.epoch
    assert position(fit(resumed)) == position(whole)


def test_a_resumed_run_ends_as_one_never_interrupted(tmp_path, xp: Backend):
    assert_resumes(tmp_path, Interrupt(2), lambda **options: trainer(xp, **options))


@pytest.mark.parametrize("interrupt", [Interrupt(1), Interrupt(3), Interrupt(2, step=3)])
def test_it_does_wherever_it_was_interrupted(tmp_path, interrupt):
    assert_resumes(tmp_path, interrupt, trainer)


@pytest.mark.parametrize("name", optimizers.__all__)
def test_every_optimizer_resumes(tmp_path, name):
    kind = getattr(optimizers, name)
    if kind is optimizers.Optimizer:
        pytest.skip("not a rule")

    def make(**options):
        return trainer(optimizer=kind(lr=0.01, weight_decay=0.1), **options)

    assert_resumes(tmp_path, Interrupt(2), make)


@pytest.mark.parametrize("name", schedules.NAMES)
def test_every_schedule_resumes(tmp_path, name):
    assert_resumes(tmp_path, Interrupt(2), lambda **options: trainer(schedule=name, **options))


def test_a_run_resumes_on_another_library(tmp_path, xp: Backend):
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(dtype="float64", callbacks=[Checkpoint(path), Interrupt(2)]))
    resumed, whole = trainer(xp, dtype="float64"), trainer(dtype="float64")
    resumed.restore(path)
    fit(resumed), fit(whole)
    assert resumed.history["train_loss"] == pytest.approx(whole.history["train_loss"], rel=1e-9)


def test_the_second_of_two_fits_resumes(tmp_path):
    def first(made):
        made.fit(data(), 2, BATCH)
        return made

    whole = fit(first(trainer()))
    interrupted = first(trainer())
    interrupted.callbacks += [Checkpoint(tmp_path / "c"), Interrupt(4)]
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted)
    resumed = trainer()
    resumed.restore(tmp_path / "c")
    assert position(fit(resumed)) == position(whole)
    assert len(resumed.history) == 2 + EPOCHS


def test_a_finished_run_is_trained_further_by_another_fit(tmp_path):
    made, other = fit(trainer()), trainer()
    made.save(tmp_path / "c")
    other.restore(tmp_path / "c")
    assert position(other) == position(made)
    assert position(fit(other)) == position(fit(made))
    assert len(other.history) == 2 * EPOCHS


def test_a_run_that_has_not_begun_can_be_saved(tmp_path):
    made = trainer()
    made.save(tmp_path / "c")
    resumed = trainer()
    resumed.restore(tmp_path / "c")
    assert position(fit(resumed)) == position(fit(made))


def test_equal_positions_give_equal_bytes_but_for_the_times(tmp_path):
    for name in ("a", "b"):
        made = fit(trainer())
        for row in made.history:
            row.update(seconds=1.0, samples_per_second=1.0)
        made.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_checkpoint_is_no_network_file(tmp_path):
    made = trainer()
    made.save(tmp_path / "c")
    with pytest.raises(ValueError, match="holds arrays but no network"):
        serialize.load(tmp_path / "c")
    made.net.save(tmp_path / "n")
    with pytest.raises(ValueError, match=r"n: holds no checkpoint$"):
        made.restore(tmp_path / "n")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"optimizer": optimizers.SGD(lr=0.01)}, "expected optimizer ['SGD', "),
        ({"optimizer": optimizers.AdamW(lr=0.01, weight_decay=0)}, "expected optimizer ['AdamW', "),
        ({"optimizer": optimizers.Adam(lr=0.02)}, "expected optimizer ['Adam', {'lr': 0.02, "),
        (
            {"loss": SigmoidCrossEntropy()},
            "expected loss ['SigmoidCrossEntropy', {}], "
            "got ['SoftmaxCrossEntropy', {'label_smoothing': 0.0}]",
        ),
        ({"seed": 12}, "expected seed 12, got 11"),
        ({"hidden": [9]}, "'params/2.W': expected float32 (3, 9), got float32 (3, 8)"),
        ({"hidden": [8, 8]}, "the file lacks 'params/10.W'"),
        ({"hidden": []}, "the network has no 'params/3.beta'"),
        ({"dtype": "float64"}, "expected float64 (3, 8), got float32 (3, 8)"),
        ({"dropout": 0.25}, "expected network.layers.5.rate 0.25, got 0.5"),
        ({"net_seed": 5}, "expected network.seed 5, got 4"),
        ({"activation": "tanh", "init": "he"}, "expected network.layers.4"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(tmp_path, other, message):
    path = tmp_path / "c"
    fit(trainer()).save(path)
    made = trainer(**other)
    before = position(made)
    with pytest.raises(ValueError, match=re.escape(f"{path}: ")) as caught:
        made.restore(path)
    assert message in str(caught.value)
    assert position(made) == before


def test_a_broken_checkpoint_is_refused_and_changes_nothing(tmp_path):
    path = tmp_path / "c"
    fit(trainer()).save(path)
    path.write_bytes(path.read_bytes()[:-9])
    made = trainer()
    before = position(made)
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        made.restore(path)
    assert position(made) == before


def test_a_checkpoint_of_another_schedule_is_refused_and_changes_nothing(tmp_path):
    path = tmp_path / "c"
    fit(trainer()).save(path)
    made = trainer()
    made.schedule = schedules.step(0.5, 0.3)
    before = position(made)
    with pytest.raises(ValueError, match="expected schedule"):
        made.restore(path)
    assert position(made) == before
