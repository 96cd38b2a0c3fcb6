"""Checkpoints: a run that was interrupted ends as one that was not, bit for bit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Backend
from tests.training import runs
from xpnet import models, ops, optimizers, schedules, threads
from xpnet.arrayfiles import read_arrays, write_arrays
from xpnet.arrays import to_numpy
from xpnet.data import Blocks, Dataset
from xpnet.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from xpnet.models import mlp
from xpnet.ops import generic_only
from xpnet.training import Callback, Checkpoint, Trainer
from xpnet.training.checkpoint import read_metadata

ROOT = Path(__file__).parents[2]
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
    frozen: tuple[str, ...] = (),
    **network: Any,
) -> Trainer:
    network = {"hidden": [8], "dropout": 0.5, "batch_norm": True, **network}
    net = mlp(classes=3, input_shape=(3,), seed=net_seed, **network)
    net.frozen = list(frozen)
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
    """Ctrl-C in a step of an epoch, or as the epoch ends."""

    def __init__(self, epoch: int, step: int | None = None) -> None:
        self.epoch, self.step = epoch, step

    def step_ends(self, trainer):
        if self.step is not None and trainer.optimizer.steps == self.epoch * 5 + self.step:
            signal.raise_signal(signal.SIGINT)

    def epoch_ends(self, trainer, row):
        if self.step is None and row["epoch"] == self.epoch:
            signal.raise_signal(signal.SIGINT)


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
        "rest": (made.epoch, made.partial and made.partial[:3], made.optimizer.steps),
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
    assert resumed.optimizer.steps == interrupt.epoch * 5 + (interrupt.step or 0)
    assert position(fit(resumed)) == position(whole)


@pytest.mark.parametrize("interrupt", [Interrupt(2), Interrupt(2, step=3)], ids=["end", "middle"])
def test_a_resumed_run_ends_as_one_never_interrupted(tmp_path, xp: Backend, interrupt):
    assert_resumes(tmp_path, interrupt, lambda **options: trainer(xp, **options))


@pytest.mark.parametrize(
    "interrupt", [Interrupt(1), Interrupt(3), *(Interrupt(e, s) for e in (0, 3) for s in (1, 2, 4))]
)
def test_it_does_wherever_it_was_interrupted(tmp_path, interrupt):
    assert_resumes(tmp_path, interrupt, trainer)


@pytest.mark.parametrize(
    ("frozen", "interrupt"), [(("2", "3"), Interrupt(2)), (("3", "6"), Interrupt(2, step=3))]
)
def test_a_run_with_frozen_layers_does(tmp_path, xp: Backend, interrupt, frozen):
    made = []

    def make(**options):
        made.append(trainer(xp, frozen=frozen, **options))
        return made[-1]

    assert_resumes(tmp_path, interrupt, make)
    start = trainer().net.params
    for key, values in made[-1].net.params.items():
        same = np.array_equal(to_numpy(values), start[key])
        assert same == (key.partition(".")[0] in frozen), key


class Thawing(Callback):
    """Lets one layer learn, freezes another, within epochs and between them."""

    def step_ends(self, trainer):
        if trainer.optimizer.steps == 7:
            trainer.net.unfreeze("2")

    def epoch_ends(self, trainer, row):
        if row["epoch"] == 3:
            trainer.net.freeze("6")


@pytest.mark.parametrize(
    "interrupt", [Interrupt(1), *(Interrupt(1, s) for s in (1, 2, 3)), Interrupt(3)]
)
def test_what_a_callback_freezes_is_where_the_run_goes_on(tmp_path, interrupt):
    def make(callbacks=()):
        return trainer(frozen=("2", "3"), callbacks=[Thawing(), *callbacks])

    assert_resumes(tmp_path, interrupt, make)


def test_it_is_where_a_fit_goes_on_in_the_same_process():
    whole = fit(trainer(frozen=("2", "3"), callbacks=[Thawing()]))
    made = trainer(frozen=("2", "3"), callbacks=[Thawing(), Interrupt(2, step=1)])
    with pytest.raises(KeyboardInterrupt):
        fit(made)
    made.callbacks.pop()
    assert position(fit(made)) == position(whole)
    assert made.net.frozen == ["3", "6"]


def test_between_two_fits_a_script_thaws_again(tmp_path):
    def run(made, callbacks=()):
        made.net.freeze("2", "3")
        made.fit(data(), 2, BATCH)
        made.net.unfreeze("3")
        made.callbacks += callbacks
        return fit(made)

    whole = run(trainer())
    with pytest.raises(KeyboardInterrupt):
        run(trainer(), [Checkpoint(tmp_path / "c"), Interrupt(4, step=2)])
    resumed = trainer()
    resumed.restore(tmp_path / "c")
    assert position(run(resumed)) == position(whole)


@pytest.mark.parametrize("frozen", [["x"], "2", 5, [["2"]]], ids=repr)
def test_frozen_layers_that_are_none_are_refused(tmp_path, frozen):
    fit(trainer()).save(tmp_path / "c")
    arrays, about = read_arrays(tmp_path / "c")
    about["checkpoint"]["frozen"] = frozen
    write_arrays(tmp_path / "c", arrays, about)
    with pytest.raises(ValueError, match=r"holds no whole checkpoint .frozen: expected a list"):
        trainer().restore(tmp_path / "c")


def test_other_frozen_layers_are_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(frozen=("2",), callbacks=[Checkpoint(tmp_path / "c"), Interrupt(2)]))
    for frozen in ((), ("2", "3")):
        resumed = trainer(frozen=frozen)
        resumed.restore(tmp_path / "c")
        sentence = re.escape(
            f"frozen expected ['2'], got {list(frozen)}: give it what it began with"
        )
        with pytest.raises(ValueError, match=sentence):
            fit(resumed)
        resumed.net.frozen = ["2"]
        assert fit(resumed).epoch == EPOCHS


@pytest.mark.parametrize("name", optimizers.__all__)
def test_every_optimizer_resumes(tmp_path, name):
    kind = getattr(optimizers, name)
    if kind is optimizers.Optimizer:
        pytest.skip("not a rule")

    def make(**options):
        return trainer(optimizer=kind(lr=0.01, weight_decay=0.1), **options)

    assert_resumes(tmp_path, Interrupt(2, step=3), make)


@pytest.mark.parametrize("name", schedules.NAMES)
def test_every_schedule_resumes(tmp_path, name):
    interrupt = Interrupt(2, step=3)
    assert_resumes(tmp_path, interrupt, lambda **options: trainer(schedule=name, **options))


@pytest.mark.faster_bodies  # processes of their own take them anyway
@pytest.mark.parametrize("numba", ["1", pytest.param("0", marks=pytest.mark.slow)])
def test_each_model_rule_and_schedule_resumes_in_a_new_process(tmp_path, numba):
    printed = {}
    for what in ("whole", "interrupt", "resume"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.training.runs", what, str(tmp_path)],
            cwd=ROOT,
            env={**os.environ, "XPNET_NUMBA": numba, "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        printed[what] = done.stdout.splitlines()
    assert len({line.split()[-1] for line in printed["whole"]}) > 10
    assert printed["resume"] == printed["whole"]


@pytest.mark.slow
@pytest.mark.parametrize("where", runs.WHERE)
@pytest.mark.parametrize("kind", list(runs.KINDS)[: len(models.BY_NAME)], ids=lambda kind: kind[0])
def test_each_model_resumes_on_every_library(tmp_path, xp: Backend, kind, where):
    runs.interrupt(kind, where, tmp_path, xp.device)
    assert runs.resume(kind, where, tmp_path, xp.device) == runs.whole(kind, xp.device)


def test_inexactly_a_run_resumes_on_another_library(tmp_path, xp: Backend):
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(dtype="float64", callbacks=[Checkpoint(path), Interrupt(2)]))
    resumed, whole = trainer(xp, dtype="float64"), trainer(dtype="float64")
    resumed.restore(path, exact=False)
    elsewhere = resumed.net.device.name != "cpu" or resumed.net.device.library != "numpy"
    with pytest.warns(RuntimeWarning, match="its last bits") if elsewhere else nullcontext():
        fit(resumed)
    fit(whole)
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
    assert position(fit(first(resumed))) == position(whole)
    assert len(resumed.history) == 2 + EPOCHS


def test_a_finished_run_is_finished(tmp_path):
    whole, other = fit(trainer()), trainer()
    whole.save(tmp_path / "c")
    for _ in range(3):
        other = trainer()
        other.restore(tmp_path / "c")
        assert position(fit(other)) == position(whole)
        other.save(tmp_path / "c")
    assert position(fit(other)) == position(fit(whole))  # that is another fit
    assert len(other.history) == 2 * EPOCHS


def test_a_finished_run_is_trained_further_where_that_is_asked_for(tmp_path):
    made, other = fit(trainer()), trainer()
    made.save(tmp_path / "c")
    other.restore(tmp_path / "c")
    for one in (made, other):
        one.fit(data(), 1, BATCH, resume=False)
    assert position(other) == position(made)
    assert len(other.history) == EPOCHS + 1


def test_a_fit_that_a_callback_stopped_is_finished(tmp_path):
    class Stop(Callback):
        def epoch_ends(self, trainer, row):
            if row["epoch"] == 2:
                trainer.stop()

    callbacks = [Checkpoint(tmp_path / "c"), Stop()]
    stopped, resumed = fit(trainer(callbacks=callbacks)), trainer(callbacks=callbacks)
    resumed.restore(tmp_path / "c")
    assert position(fit(resumed)) == position(stopped)
    assert stopped.epoch == 2


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


def test_a_network_file_is_no_checkpoint(tmp_path):
    made = trainer()
    made.net.save(tmp_path / "n")
    with pytest.raises(ValueError, match=r"n: holds no checkpoint$"):
        made.restore(tmp_path / "n")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"optimizer": optimizers.SGD(lr=0.01)}, "expected optimizer ['SGD', "),
        ({"optimizer": optimizers.AdamW(lr=0.01, weight_decay=0)}, "expected optimizer ['AdamW', "),
        (
            {"optimizer": optimizers.Adam(lr=0.02)},
            "expected optimizer.lr 0.02, got 0.01: make it as it was, or",
        ),
        (
            {"loss": SigmoidCrossEntropy()},
            "expected loss ['SigmoidCrossEntropy', {}], "
            "got ['SoftmaxCrossEntropy', {'label_smoothing': 0.0}]",
        ),
        ({"seed": 12}, "expected seed 12, got 11: make it as it was, or begin another run with"),
        ({"schedule": "constant"}, "expected schedule's factor 1.0 at step 0 of 100, got 0.04"),
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
    with pytest.raises(ValueError, match="its digest is another"):
        made.restore(path)
    assert position(made) == before


def test_a_checkpoint_of_another_schedule_is_refused_and_changes_nothing(tmp_path):
    path = tmp_path / "c"
    fit(trainer()).save(path)
    made = trainer()
    made.schedule = schedules.step(0.5, 0.3)
    before = position(made)
    with pytest.raises(
        ValueError, match=r"expected schedule's factor \S+ at step \d+ of 100, got \S+: make it as"
    ):
        made.restore(path)
    assert position(made) == before


def interrupted(path, *, step: int = 3, **options: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(callbacks=[Checkpoint(path), Interrupt(2, step)], **options))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epochs": 5}, "epochs expected 4, got 5"),
        ({"batch_size": 6}, "batch_size expected 7, got 6"),
        ({"drop_last": True}, "drop_last expected False, got True"),
        ({"shuffle": False}, "shuffle expected True, got False"),
        (
            {"shuffle": Blocks(8)},
            "shuffle expected True, got {'size': 8, 'window': 32}",
        ),
        ({"train": data(3)}, "train expected 'x uint8 (30, 3) of checksum "),
        (
            {"train": data().select(np.arange(30)[::-1])},
            "train expected 'x uint8 (30, 3) of checksum ",
        ),
        ({"train": data().astype("float32")}, "got 'x float32 (30, 3) "),
        ({"validation": data(3)}, "validation expected 'x uint8 (30, 3) of "),
        ({"validation": None}, "got None"),
    ],
)
def test_a_fit_that_is_given_something_else_is_refused_and_changes_nothing(tmp_path, given, words):
    interrupted(tmp_path / "c")
    resumed, whole = trainer(), fit(trainer())
    resumed.restore(tmp_path / "c")
    before = position(resumed)
    usual = {"train": data(), "epochs": EPOCHS, "batch_size": BATCH, "validation": data(1)}
    with pytest.raises(ValueError, match=r"^fit: the fit to go on with, number 1 of ") as caught:
        resumed.fit(**{**usual, **given})
    assert words in str(caught.value)
    assert "or begin a new fit from here with resume=False" in str(caught.value)
    assert position(resumed) == before
    assert position(fit(resumed)) == position(whole)


def test_each_difference_is_named(tmp_path):
    interrupted(tmp_path / "c")
    resumed = trainer()
    resumed.restore(tmp_path / "c")
    with pytest.raises(
        ValueError, match=r"batch_size expected 7, got 8; epochs expected 4, got 9: "
    ):
        resumed.fit(data(), 9, 8, validation=data(1))


def test_another_device_is_refused_with_the_way_to_go_on_there(tmp_path, xp: Backend):
    interrupted(tmp_path / "c")
    resumed = trainer(xp)
    resumed.restore(tmp_path / "c")
    if resumed.net.device.name == "cpu":
        pytest.skip("that is the device")
    with pytest.raises(ValueError, match=r"device expected 'cpu', got .*restore\(exact=False\)$"):
        fit(resumed)


def test_other_threads_are_mentioned(tmp_path):
    with threads(2):
        interrupted(tmp_path / "c")
    resumed = trainer()
    resumed.restore(tmp_path / "c")
    with threads(1), pytest.warns(RuntimeWarning, match=r"bits .*: threads expected 2, got 1$"):
        fit(resumed)


def test_other_bodies_are_mentioned(tmp_path):
    interrupted(tmp_path / "c")
    resumed = trainer()
    resumed.restore(tmp_path / "c")
    if not ops.serving("numpy"):
        pytest.skip("there are no others")
    with generic_only(), pytest.warns(RuntimeWarning, match=r": bodies expected \{'num"):
        fit(resumed)


def test_the_rate_that_a_callback_set_comes_back(tmp_path):
    class Lower(Callback):
        def epoch_ends(self, trainer, row):
            trainer.optimizer.lr *= 0.5

    def make(**options):
        options["callbacks"] = [Lower(), *options.get("callbacks", [])]
        return trainer(**options)

    assert_resumes(tmp_path, Interrupt(2, step=3), make)


@pytest.mark.parametrize("interrupt", [Interrupt(1, 2), Interrupt(3, 2)], ids=["first", "second"])
def test_what_a_script_does_to_the_rate_between_two_fits_is_done_once(tmp_path, interrupt):
    path = tmp_path / "c"

    class Lower(Callback):
        def epoch_ends(self, trainer, row):
            trainer.optimizer.lr *= 0.9

    def script(*callbacks: Callback) -> Trainer:
        made = trainer(callbacks=[Lower(), *callbacks])
        if path.exists():
            made.restore(path)
        made.fit(data(), 2, BATCH)
        made.optimizer.lr *= 0.1
        made.fit(data(), 3, BATCH)
        return made

    whole = script()
    with pytest.raises(KeyboardInterrupt):
        script(Checkpoint(path), interrupt)
    assert position(script()) == position(whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made: setattr(made.optimizer, "lr", 0.5), "lr expected 0.01, got 0.5"),
        (
            lambda made: setattr(made, "schedule", lambda step, total: 0.9 ** (step // 19)),
            "schedule expected 'of checksum ",
        ),
    ],
    ids=["rate", "schedule"],
)
def test_a_setting_changed_after_restoring_is_refused(tmp_path, change, words):
    interrupted(tmp_path / "c")
    resumed = trainer()
    resumed.restore(tmp_path / "c")
    change(resumed)
    with pytest.raises(ValueError, match=re.escape(words)):
        fit(resumed)


@pytest.mark.parametrize("call", [fit, lambda made: made.restore("c")], ids=["fit", "restore"])
def test_within_a_fit_there_is_no_other(call):
    class Within(Callback):
        def epoch_ends(self, trainer, row):
            call(trainer)

    made = trainer(callbacks=[Within()])
    with pytest.raises(ValueError, match=r"^(fit|restore): a fit of this trainer is in progress: "):
        fit(made)
    made.callbacks.clear()
    assert position(fit(made)) == position(fit(trainer()))


def test_a_signal_while_restoring_waits_until_all_is_restored(tmp_path, monkeypatch):
    interrupted(tmp_path / "c")
    resumed = trainer()
    load = resumed.optimizer.load_state

    def load_state(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        load(*arguments)

    monkeypatch.setattr(resumed.optimizer, "load_state", load_state)
    with pytest.raises(KeyboardInterrupt):
        resumed.restore(tmp_path / "c")
    assert position(fit(resumed)) == position(fit(trainer()))


def test_a_signal_waits_for_a_step_that_evaluates(tmp_path):
    made = trainer(callbacks=[Checkpoint(tmp_path / "c")])

    def evaluate(grads: Any) -> None:
        if made.optimizer.steps == 7:
            signal.raise_signal(signal.SIGINT)
            made.evaluate(data(1))

    made.after_backward = evaluate
    with pytest.raises(KeyboardInterrupt):
        fit(made)
    resumed = trainer()
    resumed.restore(tmp_path / "c")
    assert resumed.optimizer.steps == 8
    assert position(fit(resumed)) == position(fit(trainer()))


class TestInTheSameProcess:
    def test_a_fit_that_was_interrupted_goes_on(self, tmp_path):
        made, whole = trainer(callbacks=[Interrupt(2, 3)]), fit(trainer())
        with pytest.raises(KeyboardInterrupt):
            fit(made)
        made.save(tmp_path / "c")
        resumed = trainer()
        resumed.restore(tmp_path / "c")
        assert position(fit(made)) == position(fit(resumed)) == position(whole)

    def test_it_may_go_on_at_another_rate(self):
        made = trainer(callbacks=[Interrupt(2, 3)])
        with pytest.raises(KeyboardInterrupt):
            fit(made)
        made.optimizer.lr = 0.001
        tenth = fit(trainer()).history["lr"][-1] / 10
        assert fit(made).history["lr"][-1] == pytest.approx(tenth)

    def test_it_is_left_behind_where_that_is_asked_for(self):
        made = trainer(callbacks=[Interrupt(2, 3)])
        with pytest.raises(KeyboardInterrupt):
            fit(made)
        with pytest.raises(ValueError, match="epochs expected 4, got 1"):
            made.fit(data(), 1, BATCH)
        assert len(made.fit(data(), 1, BATCH, resume=False)) == 3

    def test_a_step_broken_off_in_its_middle_is_not_saved_as_one(self, tmp_path, monkeypatch):
        made = trainer()
        apply, made_before = made.optimizer.apply, iter([False, False, True])

        def broken(*arguments: Any) -> None:
            apply(*arguments)
            if next(made_before):
                raise MemoryError

        monkeypatch.setattr(made.optimizer, "apply", broken)
        with pytest.raises(MemoryError):
            fit(made)
        for call in (lambda: made.save(tmp_path / "c"), lambda: fit(made)):
            with pytest.raises(ValueError, match=r"the last step was broken off in its middle"):
                call()
        assert not (tmp_path / "c").exists()
        monkeypatch.undo()
        made.fit(data(), 1, BATCH, resume=False)
        made.save(tmp_path / "c")

    def test_a_fit_that_came_to_no_step_is_forgotten(self, monkeypatch):
        made = trainer()
        monkeypatch.setattr(made.loss, "backward", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            made.fit(data(), 9, BATCH)
        monkeypatch.undo()
        assert len(made.fit(data(), 1, BATCH)) == 1

    def test_a_fit_for_which_there_was_no_memory_is_forgotten(self, monkeypatch):
        made = trainer()
        monkeypatch.setattr(made, "_runner", lambda *about: bytearray(sys.maxsize))
        with pytest.raises(MemoryError):
            fit(made)
        monkeypatch.undo()
        assert len(made.fit(data(), 1, BATCH)) == 1

    def test_steps_that_make_no_update_count_too(self, tmp_path):
        class Own(Trainer):
            def step(self, x, t):
                scores = self.net.forward(x)
                return self.loss.forward(scores, t), scores

        class Stop(Callback):
            def step_ends(self, trainer):
                if trainer.epoch_steps == 3:
                    raise KeyboardInterrupt

        usual = trainer()
        made = Own(usual.net, usual.loss, usual.optimizer, callbacks=[Stop()])
        with pytest.raises(KeyboardInterrupt):
            fit(made)
        made.save(tmp_path / "c")
        resumed = Own(usual.net, usual.loss, usual.optimizer)
        resumed.restore(tmp_path / "c")
        made.callbacks.clear()
        for one in (made, resumed):
            assert fit(one).epoch == EPOCHS
            assert one.partial is None
        assert position(resumed) == position(made)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, c: c.update(steps=0), "steps: expected a whole number >= 10, got 0"),
        (lambda a, c: c.update(steps=12), "steps: expected a whole number >= 13, got 12"),
        (lambda a, c: c.update(steps="13"), "steps: expected a whole number >= 10, got '13'"),
        (lambda a, c: c.update(epoch=0), "its epoch is 0, its history has 2"),
        (lambda a, c: c.update(epoch=-1), "epoch: expected a whole number >= 0, got -1"),
        (lambda a, c: c["fits"][0].update(began=5), "began: expected a whole number from 0 to 2"),
        (lambda a, c: c["fits"][0].update(finished=True), "an epoch is in progress, but no fit"),
        (lambda a, c: c["fits"][0]["given"].update(epochs=2), "at its end, but not finished"),
        (lambda a, c: c["fits"].append(dict(c["fits"][0])), "a fit follows one that is not"),
        (lambda a, c: c["partial"].update(batches=-2), "batches: expected a whole number >= 0"),
        (lambda a, c: c.pop("partial"), "its steps are 13, those of its epochs 10"),
        (lambda a, c: c.update(steps=14), "its steps are 14, those of its epochs 13"),
        (lambda a, c: c["partial"].pop("record"), "holds no whole checkpoint"),
        (lambda a, c: c["partial"]["record"].update(luck=1), "record: expected 'loss', 'right'"),
        (lambda a, c: c["partial"]["record"].update(loss="much"), "holds no whole checkpoint"),
        (lambda a, c: c.pop("history"), "holds no whole checkpoint ('history')"),
        (lambda a, c: c["history"].pop(), "its epoch is 2, its history has 1"),
        (lambda a, c: c.update(fits=3), "holds no whole checkpoint"),
        (lambda a, c: c["fits"][0].update(finished=2), "finished: expected True or False, got 2"),
        (lambda a, c: c["fits"][0].update(given=[]), "holds no whole checkpoint"),
        (lambda a, c: c["hyperparameters"].update(lr=-1), "lr: expected a number above 0, got -1"),
        (lambda a, c: c["hyperparameters"].update(speed=1), "no state of such an optimizer"),
        (lambda a, c: c.update(schedule=1), "expected schedule's factors at 100 steps, got 1"),
        (lambda a, c: a.pop("slots/v/2.W"), "lacks 'v/2.W'"),
        (
            lambda a, c: a.update({"slots/u/2.W": a["slots/v/2.W"]}),
            "more slots than the optimizer: 'u/2.W'",
        ),
        (lambda a, c: a.update({"slots/v/2.W": -a["slots/v/2.W"]}), "means or sums of squares"),
        (
            lambda a, c: a.update({"slots/m/2.W": a["slots/m/2.W"] * np.nan}),
            "expected finite numbers",
        ),
        (lambda a, c: a.update({"slots/v/2.W": a["slots/v/2.W"][1:]}), "expected float32 (3, 8)"),
    ],
)
def test_a_checkpoint_whose_parts_do_not_agree_is_refused(tmp_path, change, words):
    path = tmp_path / "changed"
    interrupted(tmp_path / "c")
    arrays, about = read_arrays(tmp_path / "c")
    about = {"checkpoint": about["checkpoint"]}
    change(arrays, about["checkpoint"])
    write_arrays(path, arrays, about)
    made = trainer()
    before = position(made)
    with pytest.raises(ValueError, match=re.escape(f"{path}: ")) as caught:
        made.restore(path)
    assert words in str(caught.value)
    assert position(made) == before


def test_sums_that_were_not_kept_yet_are_those_of_samples_without_weights(tmp_path):
    interrupted(tmp_path / "c")
    arrays, about = read_arrays(tmp_path / "c")
    assert about["checkpoint"]["partial"]["record"].pop("weight") == 3 * BATCH
    write_arrays(tmp_path / "c", arrays, {"checkpoint": about["checkpoint"]})
    resumed = trainer()
    resumed.restore(tmp_path / "c")
    assert position(fit(resumed)) == position(fit(trainer()))


def test_what_else_is_kept_there_comes_back(tmp_path):
    trainer().save(tmp_path / "c", metadata={"arguments": {"lr": 0.1}})
    assert read_metadata(tmp_path / "c") == {"arguments": {"lr": 0.1}}


def test_numbers_of_numpy_are_kept_there_as_plain_ones(tmp_path):
    trainer().save(tmp_path / "c", metadata={"score": np.float32(0.5), "n": [np.int64(3)]})
    assert read_metadata(tmp_path / "c") == {"score": 0.5, "n": [3]}


def test_from_a_damaged_file_the_version_before_it_is_taken_and_that_is_said(tmp_path):
    path = tmp_path / "c.safetensors"
    interrupted(path)
    path.write_bytes(path.read_bytes()[:-9])
    resumed = trainer()
    with pytest.warns(RuntimeWarning, match=r"c\.safetensors: .*going on from the version before"):
        resumed.restore(path)
    assert resumed.optimizer.steps == 10
    assert position(fit(resumed)) == position(fit(trainer()))
