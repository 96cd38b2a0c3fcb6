"""A run on several processes is the run on one, bit for bit."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpnet
from tests.conftest import Backend
from tests.parallel.threaded import on_ranks
from xpnet import models
from xpnet.data import Dataset
from xpnet.data.augment import Elastic, MixUp, Rotate, Shift
from xpnet.layers import BatchNorm, Dropout, Flatten, Linear, ReLU, Rescale, Sequential
from xpnet.parallel import Processes, Single
from xpnet.training import (
    AveragedWeights,
    Callback,
    Checkpoint,
    ClipNorm,
    ReduceLROnPlateau,
    Trainer,
)
from xpnet.training.sharded import digest


class Signalled(Callback):
    """A signal to the second rank after some steps, noted as a handler would: threads have none."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def step_ends(self, trainer: Trainer) -> None:
        if trainer.processes.rank == 1 and trainer.optimizer.steps == self.steps:
            trainer._interrupts.pending = signal.SIGINT
        trainer._interrupts.deliver = self.deliver

    def deliver(self, number: int | None = None) -> None:
        if number is not None:
            raise KeyboardInterrupt


SHARDS = 8
TIMES = {"seconds", "samples_per_second"}


def digits() -> Dataset:
    """Return samples of which the last batch of 20 is shorter than there are shards."""
    return xpnet.data.load("digits")[0].take(64 + 20 * 3 - 1)


def normalised(dtype: str = "float32") -> Sequential:
    layers = [Rescale(1 / 255), Flatten(), Linear(20), BatchNorm(), ReLU(), Dropout(0.3)]
    return Sequential([*layers, Linear(10)], input_shape=(1, 28, 28), seed=1, dtype=dtype)


def convolutional(dtype: str = "float32") -> Sequential:
    return models.simple_convnet(filters=4, hidden=10, dtype=dtype)


def plain(data: Dataset) -> Dataset:
    return data


def augmented(data: Dataset) -> Dataset:
    return data.augmented(Rotate(10), Elastic(1.0), Shift(1))


def mixed(data: Dataset) -> Dataset:
    return data.augmented(Shift(1), MixUp())


def weighted(data: Dataset) -> Dataset:
    return data.weighted("balanced")


Outcome = tuple[str, list[dict[str, Any]]]


def trainer(
    processes: Processes | None,
    make: Callable[[], Sequential] = normalised,
    device: Any = "cpu",
    callbacks: tuple[Callback, ...] = (),
) -> Trainer:
    return Trainer(
        make().to(device), xpnet.SoftmaxCrossEntropy(), xpnet.Adam(lr=3e-3),
        processes=processes, seed=3, callbacks=[ClipNorm(1.0), AveragedWeights(0.9), *callbacks],
    )  # fmt: skip


def outcome(made: Trainer) -> Outcome:
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in made.history]
    return digest(made.net, made.optimizer), rows


def run(processes: Processes | None, view: Any = plain, **options: Any) -> Outcome:
    made = trainer(processes, **options)
    made.fit(view(digits()), 2, batch_size=40, validation=digits().take(30))
    return outcome(made)


def same(found: list[Outcome]) -> Outcome:
    """Return what all ranks came to."""
    assert all(one == found[0] for one in found)
    return found[0]


@pytest.mark.parametrize("view", [plain, augmented, mixed, weighted])
@pytest.mark.parametrize("make", [normalised, convolutional])
def test_any_number_of_ranks_comes_to_the_same_bits(make, view):
    alone = run(Single(shards=SHARDS), view, make=make)
    for ranks in (2, 3, 4, 8):
        found = on_ranks(ranks, lambda p: run(p, view, make=make), shards=SHARDS)
        assert same(found) == alone, ranks


def test_on_every_library(xp: Backend):
    alone = run(Single(shards=4), device=xp.device)
    assert same(on_ranks(2, lambda p: run(p, device=xp.device), shards=4)) == alone


@pytest.mark.gpu
def test_each_rank_on_a_gpu_of_its_own():
    try:
        xpnet.device("gpu:1")
    except xpnet.DeviceError as error:
        pytest.skip(f"there are no two GPUs: {error}")
    alone = run(Single(shards=4), device="gpu:0")
    assert same(on_ranks(2, lambda p: run(p, device=f"gpu:{p.rank}"), shards=4)) == alone


def test_one_shard_is_the_plain_run_to_rounding():
    sharded, whole = (run(p) for p in (Single(shards=1), None))
    losses = [[row["train_loss"] for row in rows] for _, rows in (sharded, whole)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_shards_are_parts_of_one_batch():
    """Without what looks at a batch as a whole, the update is that of the whole batch."""

    def linear(dtype: str = "float64") -> Sequential:
        return Sequential([Flatten(), Linear(10)], input_shape=(1, 28, 28), dtype=dtype)

    for view in (plain, weighted):
        (_, sharded), (_, whole) = (run(p, view, make=linear) for p in (Single(shards=8), None))
        for row, other in zip(sharded, whole, strict=True):
            measured = [name for name in row if row[name] is not None]
            assert measured == [name for name in other if other[name] is not None]
            for name in measured:
                assert row[name] == pytest.approx(other[name], rel=1e-9), name


def test_running_statistics_are_means_over_shards():
    x = np.random.default_rng(0).standard_normal((6, 3))
    net = Sequential([BatchNorm(momentum=0.0), Linear(2)], input_shape=(3,), dtype="float64")
    made = Trainer(
        net, xpnet.SoftmaxCrossEntropy(), xpnet.SGD(0.1), processes=Single(shards=2), seed=0
    )
    made.fit(Dataset(x, np.array([0, 1] * 3)), 1, batch_size=6)
    np.testing.assert_allclose(net.state["0.mean"], x.mean(axis=0), rtol=1e-12)
    within = net.state["0.var"]
    halves = [x[xpnet.random.Stream(0, "batches").permutation(6, 0)][k : k + 3] for k in (0, 3)]
    np.testing.assert_allclose(within, np.mean([h.var(axis=0, ddof=1) for h in halves], axis=0))


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_each_shard_of_each_step_draws_a_mask_of_its_own(ranks):
    drawn = []

    class Counted(Dropout):
        def forward(self, x: Any, *, train: bool = False) -> Any:
            if train:
                drawn.append(int(self.state["counter"]))
            return super().forward(x, train=train)

    def make() -> Sequential:
        layers = [Flatten(), Counted(0.3), Linear(10)]
        return Sequential(layers, input_shape=(1, 28, 28), seed=1)

    def work(processes: Processes) -> int:
        made = trainer(processes, make=make)
        made.fit(digits(), 1, batch_size=40, drop_last=True)
        return int(made.net.state["1.counter"])

    assert on_ranks(ranks, work, shards=4) == [3 * 4] * ranks
    assert sorted(drawn) == [*range(3 * 4)]


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("steps", [3, 4, 5])
def test_a_run_goes_on_with_another_number_of_ranks(tmp_path, ranks, steps):
    path = tmp_path / "run.safetensors"

    class CtrlC(Callback):
        def step_ends(self, trainer: Trainer) -> None:
            if trainer.optimizer.steps == steps:
                raise KeyboardInterrupt

    def begun(processes: Processes) -> None:
        made = trainer(processes, callbacks=(CtrlC(),))
        with pytest.raises(KeyboardInterrupt):
            made.fit(digits(), 2, batch_size=40)
        made.save(path)

    def finished(processes: Processes) -> Outcome:
        made = trainer(processes)
        made.restore(path)
        made.fit(digits(), 2, batch_size=40)
        return outcome(made)

    def whole(processes: Processes) -> Outcome:
        made = trainer(processes)
        made.fit(digits(), 2, batch_size=40)
        return outcome(made)

    on_ranks(4, begun, shards=SHARDS)
    assert same(on_ranks(ranks, finished)) == whole(Single(shards=SHARDS))


def test_another_number_of_shards_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    made = trainer(Single(shards=4))
    made.fit(digits(), 1, batch_size=40)
    made.save(path)
    for processes, found in ((Single(shards=8), "8"), (None, "None")):
        other = trainer(processes)
        other.restore(path)
        with pytest.raises(ValueError, match=rf"shards expected 4, got {found}: give it what"):
            other.fit(digits(), 1, batch_size=40)


def test_more_ranks_than_shards_are_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    made = trainer(Single(shards=2))
    made.fit(digits(), 1, batch_size=40)
    made.save(path)

    def goes_on(processes: Processes) -> None:
        other = trainer(processes)
        other.restore(path)
        other.fit(digits(), 1, batch_size=40)

    with pytest.raises(ValueError, match=r"at least one for each of 4 ranks, got 2"):
        on_ranks(4, goes_on)


def other_data(made: Trainer) -> Dataset:
    data = digits()
    return Dataset(data.x[::-1], data.t[::-1], 10)


def other_rate(made: Trainer) -> Dataset:
    made.optimizer.lr = 1.0
    return digits()


def other_weights(made: Trainer) -> Dataset:
    made.net.params["2.W"] = np.zeros_like(made.net.params["2.W"])
    return digits()


@pytest.mark.parametrize(
    ("change", "what"),
    [(other_data, "train"), (other_rate, "optimizer"), (other_weights, "arrays")],
)
def test_a_rank_that_differs_is_found_before_the_first_step(change, what):
    steps = []

    def work(processes: Processes) -> None:
        made = trainer(processes)
        data = change(made) if processes.rank == 1 else digits()
        try:
            made.fit(data, 1, batch_size=40)
        finally:
            steps.append(made.optimizer.steps)

    with pytest.raises(ValueError, match=f"rank 1 differs from rank 0: {what} expected"):
        on_ranks(2, work)
    assert steps == [0, 0]


def test_stop_on_one_rank_ends_all_a_step_later():
    class Stop(Callback):
        def step_ends(self, trainer: Trainer) -> None:
            if trainer.processes.rank == 1 and trainer.optimizer.steps == 2:
                trainer.stop()

    def work(processes: Processes) -> tuple[int, int, bool]:
        made = trainer(processes, callbacks=(Stop(),))
        made.fit(digits(), 2, batch_size=40)
        return made.optimizer.steps, made.epoch, made.finished

    assert on_ranks(2, work) == [(3, 0, True)] * 2


def test_ranks_that_drift_apart_are_found_as_the_epoch_ends():
    class Drift(Callback):
        def step_ends(self, trainer: Trainer) -> None:
            if trainer.processes.rank == 1:
                trainer.optimizer.lr = 1.0

    def work(processes: Processes) -> None:
        trainer(processes, callbacks=(Drift(),)).fit(digits(), 1, batch_size=40)

    with pytest.raises(ValueError, match="rank 1 differs from rank 0: arrays expected"):
        on_ranks(2, work)


def test_a_signal_to_one_rank_ends_all_after_the_same_step(tmp_path):
    path = tmp_path / "run.safetensors"

    ended = []

    def work(processes: Processes) -> None:
        made = trainer(processes, callbacks=(Signalled(2), Checkpoint(path)))
        with pytest.raises(KeyboardInterrupt):
            made.fit(digits(), 2, batch_size=40)
        ended.append((made.optimizer.steps, made.epoch, digest(made.net, made.optimizer)))

    on_ranks(2, work, shards=SHARDS)
    assert ended[0] == ended[1]
    assert ended[0][0] in (2, 3)
    made = trainer(Single())
    made.restore(path)
    made.fit(digits(), 2, batch_size=40)
    assert outcome(made)[0] == _whole()


def _whole() -> str:
    made = trainer(Single(shards=SHARDS))
    made.fit(digits(), 2, batch_size=40)
    return outcome(made)[0]


def test_only_the_first_rank_writes_and_prints(tmp_path: Path):
    called = []

    class Everywhere(Callback):
        def epoch_ends(self, trainer: Trainer, row: dict[str, Any]) -> None:
            called.append(("everywhere", trainer.processes.rank))

    class First(Everywhere):
        rank_zero_only = True

        def epoch_ends(self, trainer: Trainer, row: dict[str, Any]) -> None:
            called.append(("first", trainer.processes.rank))

    def work(processes: Processes) -> None:
        path = tmp_path / f"{processes.rank}.safetensors"
        callbacks = (
            Everywhere(),
            First(),
            Checkpoint(path),
            ReduceLROnPlateau(monitor="train_loss"),
        )
        made = trainer(processes, callbacks=callbacks)
        made.fit(digits(), 1, batch_size=40)
        made.save(tmp_path / f"by-hand-{processes.rank}.safetensors")

    on_ranks(2, work)
    assert sorted(called) == [("everywhere", 0), ("everywhere", 1), ("first", 0)]
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"0.safetensors", "0.1.safetensors", "by-hand-0.safetensors"}


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_ranks_share_a_validation_and_find_what_one_finds(ranks):
    validation = xpnet.data.load("digits")[0].select([*range(1437)] * 2)  # three batches
    answered = []

    def work(processes: Processes) -> Outcome:
        made, mine = trainer(processes), []
        forward = made.net.forward

        def counted(x: Any, **options: Any) -> Any:
            if not options.get("train"):
                mine.append(x.shape[0])
            return forward(x, **options)

        made.net.forward = counted
        made.fit(digits(), 1, batch_size=40, validation=validation)
        answered.append(sum(mine))
        return outcome(made)

    alone = work(Single(shards=4))
    assert answered.pop() == 2 * 1437
    assert same(on_ranks(ranks, work, shards=4)) == alone
    assert (
        sorted(answered) == {2: [1000, 1874], 3: [874, 1000, 1000], 4: [0, 874, 1000, 1000]}[ranks]
    )


def test_a_batch_is_counted_once():
    seen = []

    class Counts(Callback):
        def step_ends(self, trainer: Trainer) -> None:
            partial = trainer.partial
            seen.append((partial.batches, partial.record["batches"], partial.record["weight"]))

    trainer(Single(shards=4), callbacks=(Counts(),)).fit(digits(), 1, batch_size=40)
    assert seen == [(1, 1, 40), (2, 2, 80), (3, 3, 120), (4, 4, 123)]


def test_each_step_is_one_sum():
    def work(processes: Any) -> int:
        trainer(processes).fit(digits(), 1, batch_size=40)
        return processes.meeting.reduced

    assert on_ranks(2, work) == [1 + 4, 1 + 4]  # one to see how the engine adds, and four steps


def test_what_does_not_go_with_shards_is_told():
    class Own(Trainer):
        def step(self, *batch: Any) -> Any:
            return super().step(*batch)

    net, loss, rule = normalised(), xpnet.SoftmaxCrossEntropy(), xpnet.SGD()
    with pytest.raises(ValueError, match="processes: Own has a step of its own"):
        Own(net, loss, rule, processes="single").fit(digits(), 1)
    with pytest.raises(ValueError, match="processes: expected accumulate=1"):
        Trainer(net, loss, rule, processes="single", accumulate=2).fit(digits(), 1)
    with pytest.raises(
        TypeError, match=r"processes: expected 'auto', 'mpi', 'nccl', 'single', what"
    ):
        Trainer(net, loss, rule, processes=4)
