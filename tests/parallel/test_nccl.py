"""Runs on several GPUs that add by themselves: ranks are threads here, each with a GPU."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import xpnet
from tests.parallel.threaded import on_ranks
from tests.training.test_sharded import (
    SHARDS,
    Outcome,
    Signalled,
    augmented,
    convolutional,
    digits,
    mixed,
    normalised,
    outcome,
    plain,
    same,
    trainer,
    weighted,
)
from xpnet import models
from xpnet.layers import Flatten, Linear, Sequential
from xpnet.parallel import NCCL, Processes, Single
from xpnet.training import Callback, Trainer

pytestmark = pytest.mark.gpu

Run = Callable[[Processes], Outcome]


class Gpus(NamedTuple):
    """How many there are, and what lets a thread stand for a process of its own."""

    count: int
    become_a_process: Callable[[], None]


@pytest.fixture
def gpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Gpus:
    """Return what GPUs there are: of emulated ones as many as a test may want."""
    if request.config.getoption("--emulated-gpu"):
        from tests.emulator import state

        monkeypatch.setattr(state, "device_count", 8)
        return Gpus(8, state.become_a_process)
    cupy = pytest.importorskip("cupy")
    if not pytest.importorskip("cupy.cuda.nccl").available:
        pytest.skip("NCCL is not installed")
    return Gpus(int(cupy.cuda.runtime.getDeviceCount()), lambda: None)


def on_gpus(size: int, gpus: Gpus, work: Callable[[NCCL], Any], shards: int = SHARDS) -> list[Any]:
    """Do some work on ranks that have a GPU each."""
    if size > gpus.count:
        pytest.skip(f"there are {gpus.count} GPUs, and {size} ranks want one each")

    def alone(processes: Processes) -> Any:
        gpus.become_a_process()
        return work(NCCL(processes))

    return on_ranks(size, alone, shards=shards)


def own(processes: Processes) -> str:
    return f"gpu:{processes.rank}"


def run(processes: Processes, view: Any = plain, **options: Any) -> tuple[Outcome, str | None]:
    """Train; return what it came to, and why steps were not replayed."""
    made = trainer(processes, device=own(processes), **options)
    made.fit(view(digits()), 3, batch_size=20, validation=digits().take(30))
    return outcome(made), made.not_replayed


@functools.cache
def alone(view: Any, make: Any) -> Outcome:
    """Return what one GPU comes to whose steps are made piece by piece."""
    made = trainer(Single(shards=SHARDS), device="gpu", make=make)
    made.graph = "off"
    made.fit(view(digits()), 3, batch_size=20, validation=digits().take(30))
    return outcome(made)


KINDS = [(normalised, augmented), (normalised, weighted), (convolutional, mixed)]


@pytest.mark.parametrize(("make", "view"), KINDS[::2])
def test_recorded_steps_of_one_process_are_those_made_piece_by_piece(make, view):
    assert run(Single(shards=SHARDS), view, make=make) == (alone(view, make), None)


@pytest.mark.parametrize(
    ("ranks", "make", "view"),
    [
        (2, *KINDS[0]),
        (3, *KINDS[1]),
        (4, *KINDS[2]),
        *(pytest.param(ranks, *KINDS[0], marks=pytest.mark.slow) for ranks in (3, 4, 8)),
    ],
)
def test_any_number_of_gpus_comes_to_the_same_bits_in_recorded_steps(gpus, ranks, make, view):
    found = on_gpus(ranks, gpus, lambda p: run(p, view, make=make))
    assert same(found) == (alone(view, make), None)


@pytest.mark.parametrize("ranks", [pytest.param(3, marks=pytest.mark.slow), 4])
def test_where_the_gpus_add_in_another_order_they_gather(gpus, ranks, request, monkeypatch):
    if request.config.getoption("--emulated-gpu"):
        from tests.emulator import nccl

        monkeypatch.setattr(nccl, "add", nccl.one_after_the_other)
    found = on_gpus(ranks, gpus, lambda p: run(p, augmented))
    assert same(found) == (alone(augmented, normalised), None)


MODELS = {
    "mlp": lambda: models.mlp(dropout=0.2, batch_norm=True, seed=4),
    "simple-convnet": lambda: models.simple_convnet(seed=4),
    "deep-convnet": lambda: models.deep_convnet(seed=4),
}


@pytest.mark.slow  # minutes, emulated
@pytest.mark.parametrize("name", MODELS)
def test_sixty_steps_of_a_model_come_to_one_digest(gpus, name):
    data = augmented(xpnet.data.load("digits")[0].take(240))

    def work(processes: Processes) -> tuple[Outcome, str | None]:
        made = Trainer(
            MODELS[name]().to(own(processes)), xpnet.SoftmaxCrossEntropy(), xpnet.Adam(),
            processes=processes, seed=1,
        )  # fmt: skip
        made.fit(data, 5, batch_size=20)
        assert made.optimizer.steps == 60
        return outcome(made), made.not_replayed

    expected = work(Single(shards=SHARDS))
    assert expected[1] is None
    for ranks in (2, 3, 4, 8):
        assert same(on_gpus(ranks, gpus, work)) == expected, ranks


def test_a_launch_makes_ten_steps_and_their_sums(gpus, request):
    if not request.config.getoption("--emulated-gpu"):
        pytest.skip("what is asked of a GPU is counted by the emulated one")
    from tests.emulator import counters

    data = xpnet.data.load("digits")[0].take(22 * 16)
    asked = []

    class Counts(Callback):
        def epoch_begins(self, trainer: Trainer) -> None:
            if trainer.epoch == 1:
                counters.reset()

        def validation_begins(self, trainer: Trainer) -> None:
            if trainer.epoch == 1:
                asked.append(trainer.optimizer.steps)

    def work(processes: NCCL) -> None:
        made = Trainer(
            normalised().to(own(processes)), xpnet.SoftmaxCrossEntropy(), xpnet.Adam(),
            processes=processes, callbacks=[Counts()] if processes.rank == 0 else (),
        )  # fmt: skip
        made.fit(data, 2, batch_size=16)

    on_gpus(2, gpus, work, shards=2)
    assert asked == [44]
    launches = 2 + 2 * 1  # of ten steps each, and of one
    assert counters.graph_launches == 2 * launches


class Counting(Linear):
    """A layer that does something on the host at each pass, which no recording holds."""

    passes = 0

    def forward(self, x: Any, *, train: bool = False) -> Any:
        y = super().forward(x, train=train)
        if train:
            self.passes += 1
            y = y * (1.0 + 1e-3 * self.passes)
        return y


class Reading(Linear):
    """A layer that reads from the device, which cannot be recorded."""

    def forward(self, x: Any, *, train: bool = False) -> Any:
        y = super().forward(x, train=train)
        return y * float(y[0, 0] * 0 + 1)


@pytest.mark.parametrize(
    ("kind", "elsewhere"),
    [
        (Counting, "a replayed step differs from the step itself"),  # by the sums over ranks
        (Reading, "steps cannot be recorded on another rank"),
    ],
)
def test_where_one_rank_cannot_record_none_does(gpus, kind, elsewhere):
    def work(processes: Processes) -> tuple[Outcome, str | None]:
        def make() -> Sequential:
            layer = kind if processes.rank == 1 else Linear
            return Sequential([Flatten(), layer(10)], input_shape=(1, 28, 28), seed=1)

        return run(processes, make=make)

    (first, why_first), (second, why_second) = on_gpus(2, gpus, work)
    assert first == second
    assert why_first == elsewhere
    assert kind.__name__ in str(why_second)


@pytest.mark.parametrize("steps", [4, pytest.param(7, marks=pytest.mark.slow)])
def test_a_signal_to_one_rank_ends_all_after_the_same_step(gpus, tmp_path, steps):
    """Heard ten steps later at the latest: to look is to wait for the GPU."""
    path = tmp_path / "run.safetensors"

    ended = []

    def begun(processes: Processes) -> None:
        made = trainer(processes, device=own(processes), callbacks=(Signalled(steps),))
        with pytest.raises(KeyboardInterrupt):
            made.fit(digits(), 5, batch_size=20)
        made.save(path)
        ended.append(made.optimizer.steps)

    def finished(processes: Processes) -> Outcome:
        made = trainer(processes, device=own(processes))
        made.restore(path)
        made.fit(digits(), 5, batch_size=20)
        return outcome(made)

    def whole(processes: Processes) -> Outcome:
        made = trainer(processes, device=own(processes))
        made.fit(digits(), 5, batch_size=20)
        return outcome(made)

    on_gpus(2, gpus, begun)
    assert ended[0] == ended[1]
    assert steps <= ended[0] <= steps + 10
    assert same(on_gpus(4, gpus, finished)) == whole(Single(shards=SHARDS))


def test_callbacks_on_one_rank_alone_do_not_part_the_launches(gpus):
    class Looks(Callback):
        every_step = True

        def step_ends(self, trainer: Trainer) -> None:
            float(trainer.step_loss)

    def work(processes: Processes) -> tuple[Outcome, str | None]:
        return run(processes, callbacks=(Looks(),) if processes.rank == 0 else ())

    assert same(on_gpus(2, gpus, work)) == (alone(plain, normalised), None)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_numbers_of_every_kind_are_added_and_gathered(gpus, dtype):
    def work(processes: NCCL) -> tuple[Any, Any]:
        place = xpnet.device(own(processes))
        with place.scope():
            a = place.asarray(np.arange(6) * (1 + processes.rank), dtype)
            rows = place.asarray(np.full((1 + processes.rank, 2), processes.rank), dtype)
            processes.all_reduce(a)
            return a.get(), processes.all_gather(rows, [1, 2, 3]).get()

    for total, gathered in on_gpus(3, gpus, work):
        np.testing.assert_array_equal(total, np.arange(6) * 6)
        np.testing.assert_array_equal(gathered[:, 0], [0, 1, 1, 2, 2, 2])


def test_two_ranks_on_one_gpu_are_told(gpus):
    def work(processes: NCCL) -> None:
        trainer(processes, device="gpu:0").fit(digits(), 1)

    with pytest.raises(xpnet.DeviceError, match="give each a GPU of its own, or choose proc"):
        on_gpus(2, gpus, work)


def test_a_device_that_does_not_reach_others_is_told():
    def work(processes: Processes) -> None:
        trainer(NCCL(processes), device="cpu").fit(digits(), 1)

    with pytest.raises(xpnet.DeviceError, match=r"device 'cpu' does not reach .* processes='mpi'"):
        on_ranks(2, work)


def test_where_nccl_is_missing_that_is_told(request, gpus, monkeypatch):
    if not request.config.getoption("--emulated-gpu"):
        pytest.skip("it is there")
    monkeypatch.setattr(importlib.import_module("cupy.cuda.nccl"), "available", False)
    with pytest.raises(xpnet.DeviceError, match=r"needs NCCL, which is not installed: install 'xp"):
        on_gpus(2, gpus, run)
