"""The GPU benchmark: its refusals, its arithmetic, and that contenders compute the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import xpnet
from scripts.bench import facts, gpu, gpu_tasks
from scripts.bench.facts import LEFT_OUT
from scripts.bench.gpu_contenders import BOUND, CONTENDERS
from scripts.bench.gpu_contenders.bound import bytes_of_a_step, operands
from scripts.bench.workloads import WORKLOADS, Workload, load
from xpnet.devices import CPU
from xpnet.layers import BatchNorm, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Rescale
from xpnet.ops import generic_only

ROOT = Path(__file__).parents[3]


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


# Without a GPU --------------------------------------------------------------------------------


def test_without_a_gpu_it_says_so_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(name: str) -> None:
        raise xpnet.DeviceError("the driver finds no GPU")

    monkeypatch.setattr(gpu.xpnet, "device", none)
    before = time.perf_counter()
    assert gpu.main([]) == 2
    assert time.perf_counter() - before < 0.5
    assert capsys.readouterr() == ("", "the driver finds no GPU\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workloads", "three"], "invalid choice: 'three'"),
        (["--contenders", "tf"], "invalid choice: 'tf'"),
        (["--batches", "0"], "expected 1 or more"),
        (["--rounds", "some"], "invalid _whole value"),
        (["--precision", "half"], "invalid choice: 'half'"),
        (["--seconds", "0"], "expected more than 0"),
        (["--accuracy"], "need MNIST"),
        (["--deep"], "need MNIST"),
    ],
)
def test_an_argument_that_is_no_good_ends_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    words: str,
) -> None:
    monkeypatch.delenv("XPNET_DATA", raising=False)
    with pytest.raises(SystemExit) as raised:
        gpu.main(options)
    assert raised.value.code == 2
    assert words in capsys.readouterr().err


# Which cells ----------------------------------------------------------------------------------


def test_each_workload_is_measured_at_its_own_batch_and_three_others() -> None:
    cells = gpu.cells_of(gpu.checked([]))
    assert [batch for name, batch in cells["xpnet"] if name == "multi"] == [100, 128, 1000, 10_000]
    assert [batch for name, batch in cells["torch"] if name == "two"] == [100, 1000, 10_000]
    assert [batch for name, batch in cells["jax"] if name == "multi"] == [128]


def test_what_is_asked_for_is_measured() -> None:
    args = gpu.checked(["--workloads", "wide", "--batches", "512", "7", "--contenders", "jax"])
    assert gpu.cells_of(args) == {"jax": [("wide", 7), ("wide", 512)]}
    quick = gpu.cells_of(gpu.checked(["--quick"]))
    assert quick["jax"] == [(name, 100) for name in gpu.NAMES]
    assert list(quick)[:3] == ["xpnet", "torch", "torch-graph"]
    assert quick["xpnet"][-3:] == [("wide", 10_000), ("simple", 100), ("deep", 100)]
    assert gpu.checked(["--memory"]).workloads == []
    assert gpu.checked(["--memory", "--workloads", "bn"]).workloads == ["bn"]


# Processes that fail --------------------------------------------------------------------------


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have processes fail at workloads that are called so; return the list of what is said."""

    def child(task: str, job: gpu.Row) -> Iterator[gpu.Row]:
        for name, batch in job["cells"]:
            if job["contender"] == "jax":
                raise gpu.UnfitError("no GPU")
            if name == "bad":
                raise RuntimeError(f"failed: {'always' if batch else 'once'}")
            yield {"step_us": 1.0, "at": [name, batch]}

    monkeypatch.setattr(gpu, "child", child)
    return []


def test_after_a_failure_the_rest_is_measured(failing: list[str]) -> None:
    cells = [("two", 1), ("bad", 0), ("two", 2), ("bad", 1), ("two", 3)]
    for apart in (False, True):
        found = gpu.through("measure", {"contender": "torch"}, cells, apart, failing.append)
        assert [tuple(line["at"]) for line in found.values()] == list(found)
        assert list(found) == [("two", 1), ("two", 2), ("two", 3)]
    assert failing[:2] == [
        "no torch at bad 0: failed: once",
        "no torch at bad 1: failed: always",
    ]


def test_what_fails_twice_in_the_same_words_is_given_up(failing: list[str]) -> None:
    cells = [("bad", 1), ("bad", 2), ("two", 3)]
    assert gpu.through("measure", {"contender": "torch"}, cells, False, failing.append) == {}
    assert failing[-1] == "no torch at what is left"


def test_a_library_without_a_gpu_is_left_out(failing: list[str]) -> None:
    assert gpu.through("measure", {"contender": "jax"}, [("two", 1)], False, failing.append) == {}
    assert failing == ["no jax: no GPU"]


def test_a_process_that_fails_leaves_its_last_words() -> None:
    job = {"contender": BOUND, "precision": "float32", "cells": [["two", 10]], "data_dir": None}
    with pytest.raises(RuntimeError, match=r"^failed: KeyError: 'no-such-task'"):
        list(gpu.child("no-such-task", job))


# What is measured is kept ---------------------------------------------------------------------


@pytest.fixture
def no_gpu_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the benchmark believe in a GPU, of which it asks nothing but by its processes."""
    monkeypatch.setattr(gpu.xpnet, "device", lambda name: None)
    monkeypatch.setattr(gpu, "about", lambda: {"date": "2020-02-29"})
    for contender in CONTENDERS.values():
        monkeypatch.setattr(contender, "needs", {})


def children(monkeypatch: pytest.MonkeyPatch, *lines: gpu.Row | BaseException) -> None:
    """Have the benchmark's processes find these lines, all together."""
    rest = iter(lines)

    def child(task: str, job: gpu.Row) -> Iterator[gpu.Row]:
        for line in rest:
            if isinstance(line, BaseException):
                raise line
            yield line

    monkeypatch.setattr(gpu, "child", child)


@pytest.mark.usefixtures("no_gpu_needed")
def test_an_interrupted_benchmark_keeps_and_prints_what_it_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    children(monkeypatch, {"step_us": 12.5}, {"step_us": 20.0}, KeyboardInterrupt())
    kept, figures = tmp_path / "facts.jsonl", tmp_path / "figures.json"
    status = gpu.main(
        ["--quick", "--contenders", "xpnet", "--facts", str(kept), "--json", str(figures)]
    )
    assert status == 130
    steps = [fact for fact in facts.read(kept) if fact["fact"] == "step"]
    assert [(one["workload"], one["step_us"]) for one in steps] == [("two", 12.5), ("multi", 20.0)]
    assert [row["step_us"] for row in json.loads(figures.read_text())["rows"]] == [12.5, 20.0]
    assert "multi       100  xpnet         20.0" in capsys.readouterr().out


@pytest.mark.usefixtures("no_gpu_needed")
def test_interrupted_seeds_are_kept_and_summed_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    seed = {"seed": 0, "seconds": 0.5, "accuracy": 0.991}
    children(monkeypatch, {"ready_s": 1.0}, seed, KeyboardInterrupt())
    kept = tmp_path / "facts.jsonl"
    options = ["--accuracy", "--epochs", "1", "--data-dir", "here", "--facts", str(kept)]
    assert gpu.main([*options, "--precision", "bf16"]) == 130
    ready, found = facts.read(kept)
    assert (ready["fact"], found["fact"]) == ("ready", "seed")
    assert (found["precision"], found["accuracy"]) == ("bf16", 0.991)
    assert "accuracy: so far: mean 99.100 %" in capsys.readouterr().out


KERNELS = {"steps": 20, "launches": 1.0, "busy_us": 2.0, "span_us": 3.0}
KERNELS |= {"kernels": [{"name": "adam", "count": 1.0, "us": 2.0}]}


@pytest.mark.usefixtures("no_gpu_needed")
def test_kernels_are_looked_at_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    children(monkeypatch, KERNELS)
    kept = tmp_path / "facts.jsonl"
    options = ["--kernels", "--workloads", "two", "--contenders", "xpnet", "--facts", str(kept)]
    assert gpu.main(options) == 0
    (found,) = facts.read(kept)
    assert found["fact"] == "kernels"
    assert (found["workload"], found["kernels"]) == ("two", KERNELS["kernels"])
    assert "2.00 us in  1.00  adam" in capsys.readouterr().out


@pytest.mark.usefixtures("no_gpu_needed")
@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [(RuntimeError("failed: why"), 1, "failed"), (gpu.UnfitError("no GPU"), LEFT_OUT, "left out")],
)
def test_what_fails_is_told_from_what_cannot_be_here(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    error: Exception,
    status: int,
    kind: str,
) -> None:
    children(monkeypatch, error)
    options = ["--kernels", "--workloads", "two", "--contenders", "xpnet"]
    assert gpu.main([*options, "--facts", str(tmp_path / "f")]) == status
    (found,) = facts.read(tmp_path / "f")
    assert found["fact"] == kind
    if status == LEFT_OUT:
        assert capsys.readouterr().out.splitlines()[-1] == "no GPU"  # why, last


def test_a_precision_that_a_library_does_not_have_leaves_it_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CONTENDERS["xpnet"], "needs", {})
    args = gpu.checked(["--precision", "bf16", "--contenders", "xpnet", "jax"])
    monkeypatch.setattr(CONTENDERS["jax"], "needs", {})
    assert gpu.taking_part(args.contenders, args) == ["xpnet"]
    assert args.left_out == ["no bf16 here"]


def test_further_seeds_are_begun_while_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*args: Any) -> Any:
        return SimpleNamespace(fit=lambda *_: None, accuracy=lambda test: 0.5)

    monkeypatch.setitem(CONTENDERS, "xpnet", made)
    monkeypatch.setattr(gpu_tasks.xpnet, "device", lambda name: CPU)
    clock = iter(float(now) for now in range(100))
    monkeypatch.setattr(gpu_tasks.time, "perf_counter", lambda: next(clock))
    job = {"contender": "xpnet", "data_dir": None, "images": 50, "spawned": 0.0, "recipe": "fast"}
    job |= {"epochs": 1, "precision": "float32", "seeds": 2}
    assert len(list(gpu_tasks.train(job | {"seed_seconds": 0.0}))) == 1 + 2
    # a seed takes 2 s of this clock: those begun after 1, 3, 5 and 7 s
    assert len(list(gpu_tasks.train(job | {"seed_seconds": 8.0}))) == 1 + 4


# Tables and targets ---------------------------------------------------------------------------


def rounds(**times: float | list[float]) -> list[gpu.Row]:
    """Return made-up rounds of "two" at batch 100."""
    made = []
    for contender, values in times.items():
        for number, us in enumerate(values if isinstance(values, list) else [values]):
            one = {"workload": "two", "batch": 100, "contender": contender.replace("_", "-")}
            one |= {"round": number, "step_us": us, "epoch_us": us + 1, "loss": 2.0}
            made.append(one)
    return made


def test_rows_hold_medians_ratios_and_bounds() -> None:
    made = rounds(
        xpnet=[20.0, 22.0, 30.0], xpnet_eager=60.0, torch=100.0, torch_cl=90.0, torch_graph=40.0
    )
    made[0]["launches"] = 20.0
    bound = {"workload": "two", "batch": 100, "contender": BOUND, "step_us": 11.0}
    made += [bound | {"bytes_us": 0.5, "epoch_us": None}]
    own, eager, torch, _, graph = gpu.summary(made, {("torch", "two", 100): 61.0})
    assert (own["step_us"], own["spread_us"], own["epoch_us"], own["rounds"]) == (22, 10, 23, 3)
    assert (own["to_graph"], own["to_gemm"]) == (0.55, 2.0)
    assert own["to_torch"] == pytest.approx(22 / 90)  # the better of the two layouts
    assert (own["gemm_us"], own["bytes_us"]) == (11, 0.5)
    assert [row["launches"] for row in (own, eager, torch, graph)] == [20, 20, 61, None]


def test_the_table_has_a_dash_for_what_is_not_known() -> None:
    head, own, torch = gpu.table(gpu.summary(rounds(xpnet=20.0, torch=1500.0), {})).splitlines()
    assert head.split() == list(gpu.COLUMNS)
    assert own.split() == ["two", "100", "xpnet", "20.0", "0.0", "21.0", *"-", "0.01", *"----"]
    assert "1,500.0" in torch.split()


def test_targets_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    figures: gpu.Row = {}
    made = rounds(xpnet=20.0, xpnet_eager=90.0, torch=100.0)
    made[1]["loss"] = 2.5
    gpu.report(gpu.summary(made, {}), figures)
    assert [(one["contender"], one["against"], one["mark"]) for one in figures["targets"]] == [
        ("xpnet", "torch", "pass"), ("xpnet-eager", "torch", "FAIL"), ("xpnet", "torch-graph", "-"),
    ]  # fmt: skip
    assert capsys.readouterr().out.splitlines()[1:] == [
        "pass  two at batch 100: xpnet to PyTorch, eager 0.20, at most 0.25",
        "FAIL  two at batch 100: xpnet-eager to PyTorch, eager 0.90, at most 0.80",
        "-     two at batch 100: xpnet to PyTorch's graph not measured, at most 1.00",
        "note  two at batch 100: the first epoch's loss of xpnet-eager is 2.5000, xpnet's 2.0000",
    ]


def test_the_time_to_accuracy_sets_the_first_seed_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def child(task: str, job: gpu.Row) -> Iterator[gpu.Row]:
        assert (task, job["recipe"], job["contender"]) == ("train", "fast", "xpnet")
        yield {"ready_s": 3.0}
        for seed, seconds in enumerate((2.0, 0.4, 0.5, 0.6)):
            yield {"seed": seed, "seconds": seconds, "accuracy": 0.989 + 0.002 * seed}

    monkeypatch.setattr(gpu, "child", child)
    monkeypatch.setattr(CONTENDERS["xpnet"], "needs", {})
    figures: gpu.Row = {}
    args = gpu.checked(["--accuracy", "--epochs", "1", "--data-dir", "somewhere"])
    gpu.time_accuracy(args, {}, figures)
    (row,) = figures["accuracy"]
    assert (row["cold_s"], row["seconds"], row["lowest"], row["higher"]) == (2.0, 0.5, 0.989, 1)
    out = capsys.readouterr().out
    assert "pass  a mean of 99.0 % in 0.76 s: 99.20 % in 0.500 s" in out
    assert "each, %: 98.90 99.10 99.30 99.50" in out


def test_growth_is_the_largest_of_the_kinds_of_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def child(task: str, job: gpu.Row) -> Iterator[gpu.Row]:
        yield {"steps": 1200, "pool_used": 5, "pool_total": 9, "device_used": 2**20}
        yield {"steps": 11_400, "pool_used": 5, "pool_total": 9, "device_used": 3 * 2**20}

    monkeypatch.setattr(gpu, "child", child)
    figures: gpu.Row = {}
    gpu.watch_memory(gpu.checked(["--memory"]), {}, figures)
    assert len(figures["memory"]) == 2
    assert "FAIL  xpnet grew by 2.00 MB, at most 1" in capsys.readouterr().out


def test_the_bounds_are_counted_by_hand() -> None:
    net = WORKLOADS["two"].net()
    weights = 784 * 50 + 50 + 50 * 10 + 10
    assert bytes_of_a_step(WORKLOADS["two"], net) == 100 * 784 * 5 + 12 * weights
    adam = Workload(WORKLOADS["two"].net, 10)
    assert bytes_of_a_step(adam, net) == 10 * 784 * 5 + 28 * weights
    for which in range(3):
        a, b = operands(which, (2, 3, 4), lambda *shape: np.empty(shape))
        assert (a.shape, b.shape) == ((2, 3), (3, 4))


def test_images_are_repeated_until_they_make_an_epoch() -> None:
    train, _ = load(None, quick=True)
    assert len(gpu_tasks.enough(train, WORKLOADS["two"].net(), 100, 60)) == 6000
    assert len(gpu_tasks.enough(train, WORKLOADS["simple"].net(), 100, 60)) == 2000
    assert gpu_tasks.enough(train, WORKLOADS["two"].net(), 10, 60) is train


# The contenders -------------------------------------------------------------------------------


def small_net() -> xpnet.Sequential:
    return xpnet.Sequential(
        [
            *(Rescale(1 / 255), Conv2d(3, 3, pad=1), ReLU(), MaxPool2d(2)),
            *(Flatten(), Linear(5), BatchNorm(), ReLU(), Dropout(0.0), Linear(10)),
        ],
        input_shape=(1, 28, 28),
        dtype="float32",
    )


SMALL = Workload(small_net, 50, lambda: xpnet.Adam(0.01, eps=1e-3), smoothing=0.1)


def after(steps: int) -> tuple[xpnet.Sequential, list[float]]:
    """Return xpnet's network and losses of the small workload, whose batch is all the set."""
    loss = xpnet.SoftmaxCrossEntropy(label_smoothing=SMALL.smoothing)
    trainer = xpnet.Trainer(small_net(), loss, SMALL.optimizer())
    with generic_only():
        trainer.fit(load(None, quick=True)[0].take(50), steps, 50)
    return trainer.net, trainer.history["train_loss"]


@pytest.mark.parametrize("name", ["torch", "torch-cl", "torch-fused"])
def test_pytorch_computes_what_xpnet_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(CONTENDERS[name], "place", "cpu")
    train, test = load(None, quick=True)
    made: Any = CONTENDERS[name](SMALL, small_net(), train.take(50))
    _, losses = after(3)
    for loss in losses:
        made.begin_epoch()
        assert float(made.step()) == pytest.approx(loss, rel=2e-3)
    found = made.measure(0.0)
    assert found["step_us"] > 0
    assert found["epoch_us"] > 0
    assert found["loss"] < losses[0]
    made.fit(1, xpnet.schedules.one_cycle(0.3), 0)
    assert 0 <= made.accuracy(test) < 0.5


@pytest.mark.parametrize("rule", [SMALL.optimizer, lambda: xpnet.SGD(0.1)])
def test_the_recorded_pytorch_begins_where_the_others_do(
    monkeypatch: pytest.MonkeyPatch, rule: Any
) -> None:
    torch = pytest.importorskip("torch")
    recorded = CONTENDERS["torch-graph"]
    monkeypatch.setattr(recorded, "place", "cpu")
    queue = SimpleNamespace(wait_stream=lambda other: None)
    for name, stand_in in {
        "Stream": lambda: queue,
        "current_stream": lambda: queue,
        "stream": nullcontext,
        "graph": nullcontext,  # what is recorded is done, here
        "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None),
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    workload = replace(SMALL, optimizer=rule)
    data = load(None, quick=True)[0].take(50)
    made: Any = recorded(workload, small_net(), data)
    monkeypatch.setattr(CONTENDERS["torch"], "place", "cpu")
    fresh: Any = CONTENDERS["torch"](workload, small_net(), data)
    for name, values in fresh.module.state_dict().items():
        assert torch.equal(made.module.state_dict()[name], values), name
    for memory in made.rule.state.values():
        assert not any(v.any() for v in memory.values() if torch.is_tensor(v))
    assert float(made.step()) < 5


def test_jax_computes_what_xpnet_does(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    monkeypatch.setattr("os.sched_setaffinity", lambda *_: None, raising=False)
    made: Any = CONTENDERS["jax"](SMALL, small_net(), load(None, quick=True)[0].take(50))
    net, _ = after(2)
    found = made.measure(0.0)
    assert found["epochs"] == 1
    assert found["loss"] is None
    for path, values in net.params.items():
        np.testing.assert_allclose(made.learned[0][path], values, rtol=2e-2, atol=2e-4)


EMULATED = """
import json
from tests import emulator
emulator.install()
from scripts.bench import gpu, gpu_tasks, gpu_trace
from scripts.bench.gpu_contenders import bound, own

class Profile:
    def __enter__(self):
        self.before = emulator.counters.graph_launches

    def __exit__(self, *_):
        launched = emulator.counters.graph_launches - self.before
        self.events = [{"name": "graph", "ts": 0.0, "dur": 1.0}] * launched

own.Profile, gpu_trace.unfit = Profile, lambda: None
bound.COPIED = bound.TOGETHER = 2
job = {"data_dir": None, "precision": "float32", "seconds": 0.0, "images": 48, "steps": 12}
job |= {"cells": [["two", 4]]}
for contender in ("xpnet", "xpnet-eager", "gemm"):
    gpu.one("measure", job | {"contender": contender})
gpu.one("kernels", job | {"contender": "xpnet", "steps": 20})
gpu.one("memory", job | {"contender": "xpnet", "images": 256, "counts": (1, 1)})
"""


def test_xpnet_steps_alike_recorded_and_not_on_an_emulated_gpu() -> None:
    done = run(EMULATED)
    assert done.returncode == 0, done.stderr
    recorded, eager, bound, kernels, before, after = map(json.loads, done.stdout.splitlines())
    for found in (recorded, eager, bound):
        assert found["step_us"] > 0
    assert recorded["loss"] == eager["loss"]
    assert recorded["launches"] > 5
    assert eager["launches"] is None
    assert recorded["epoch_us"] > 0
    assert bound["by"] == "cupy, one by one"
    assert kernels["kernels"][0]["count"] == 0.1  # twenty steps are two launches, none besides
    assert before["steps"] < after["steps"]
    assert before["pool_used"] == after["pool_used"] > 0
