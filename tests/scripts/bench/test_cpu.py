"""The side-by-side benchmark: its arithmetic, its files, and that contenders compute the same."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import xpnet
from scripts.bench import cpu, tasks
from scripts.bench.contenders import CONTENDERS, Contender
from scripts.bench.contenders.gemm import products
from scripts.bench.workloads import WORKLOADS, Workload, known, load
from xpnet.layers import BatchNorm, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Rescale


def row(contender: str, ms: float, **more: object) -> cpu.Row:
    about = {"workload": "two", "state": "fresh", "spread_ms": 0.1, "threads": 1, "batch": 9}
    return about | {"contender": contender, "step_ms": ms} | more


def test_ratios_are_to_the_fastest_other_library() -> None:
    rows = [row("xpnet", 3.0), row("torch", 6.0), row("torch-cl", 4.0), row("sklearn", 1.0)]
    assert [r["ratio"] for r in cpu.with_ratios(rows)] == [0.75, 1.5, 1.0, 0.25]
    rows += [row("torch-compile", 2.0), row("jax", 1.0), row("gemm", 0.5)]
    assert [r["ratio"] for r in cpu.with_ratios(rows)] == [3.0, 6.0, 4.0, 1.0, 2.0, 1.0, 0.5]
    assert [r["ratio"] for r in cpu.with_ratios(rows[:1])] == [None]


def test_a_busy_machine_is_told_by_its_bare_products() -> None:
    quiet = [row("xpnet", 3.0, spread_ms=2.0), row("gemm", 1.0, spread_ms=0.1)]
    assert cpu.was_busy(quiet) is None
    told = cpu.was_busy([quiet[0], row("gemm", 1.0, spread_ms=0.5)])
    assert told is not None
    assert "two fresh: the machine was busy" in told
    assert "50 %" in told


def test_a_neighbour_keeps_a_core_busy_for_as_long_as_is_measured() -> None:
    with cpu.neighbour() as process:
        assert process.poll() is None
    assert process.poll() is not None


def test_blas_has_its_full_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    seen = [sys.executable, "-c", "import os; print('OPENBLAS_CORETYPE' in os.environ)"]
    assert cpu.last_line(seen, "xpnet-plain") == "False"


@pytest.mark.parametrize(
    ("value", "target", "words"),
    [
        (0.6, 0.6, "0.60"),
        (0.75, 0.6, "0.60, missed by 25 %"),
        (None, 0.6, "0.60"),
        (3.0, None, ""),
    ],
)
def test_a_missed_target_says_by_how_much(
    value: float | None, target: float | None, words: str
) -> None:
    assert cpu.verdict(value, target) == words


def test_the_table_has_a_line_for_each_figure() -> None:
    rows = cpu.with_ratios([row("xpnet", 3.0), row("torch", 4.0), row("gemm", 1.0)])
    head, own, torch, gemm = cpu.table(rows).splitlines()
    assert head.split()[-1] == "target"
    assert " ".join(own.split()) == "two fresh xpnet 3.000 0.100 1 9 0.75 0.50, missed by 50 %"
    assert torch.split()[-1] == "1.00"
    assert gemm.split()[-1] == "0.25"
    assert cpu.table([row("xpnet", 3.0, ratio=None)]).endswith("0.50")


def test_converged_steps_are_compared_with_fresh_ones() -> None:
    rows = [row("xpnet", 3.0), row("torch", 4.0), row("torch", 8.0, state="converged")]
    assert cpu.state_ratios(rows) == {}
    assert cpu.state_ratios([*rows, row("xpnet", 3.3, state="converged")]) == {
        "two": pytest.approx(1.1)
    }


@pytest.mark.parametrize(
    ("contender", "workload", "state", "reason"),
    [
        ("torch-cl", "two", "fresh", "has no channels here"),
        ("sklearn", "simple", "fresh", "has no Conv2d, MaxPool2d"),
        ("sklearn", "two", "converged", "takes no trained network"),
        ("xpnet-plain", "deep", "converged", None),
    ],
)
def test_a_contender_says_why_it_takes_no_part(
    monkeypatch: pytest.MonkeyPatch,
    contender: str,
    workload: str,
    state: str,
    reason: str | None,
) -> None:
    monkeypatch.setattr(CONTENDERS[contender], "needs", {})
    assert CONTENDERS[contender].lacks(WORKLOADS[workload], state) == reason


def test_an_uninstalled_contender_is_left_out_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(CONTENDERS["jax"], "needs", {"no_such_module": "jax"})
    assert cpu.enlist({"workload": "two", "state": "fresh"}, ["jax"]) == {}
    assert capsys.readouterr().out == "two fresh: no jax: jax is not installed\n"


def test_a_contender_that_fails_is_left_out_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(task: str, job: cpu.Job) -> dict[str, float]:
        raise RuntimeError("failed: no compiler")

    monkeypatch.setattr(cpu, "child", fails)
    assert cpu.enlist({"workload": "two", "state": "fresh"}, ["xpnet-plain"]) == {}
    assert capsys.readouterr().out == "two fresh: no xpnet-plain: failed: no compiler\n"


def test_a_quick_run_writes_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cpu, "cores", lambda: 1)
    path = tmp_path / "new" / "figures.json"
    options = ["--quick", "--workloads", "two", "--contenders", "xpnet-plain"]
    cpu.main([*options, "--states", "fresh", "--json", str(path)])
    figures = json.loads(path.read_text())
    assert figures["versions"]["numpy"] == np.__version__
    assert figures["machine"]["cores"] == 1
    (r,) = figures["rows"]
    assert {key: r[key] for key in ("workload", "state", "contender", "threads", "ratio")} == {
        "workload": "two", "state": "fresh", "contender": "xpnet-plain", "threads": 1, "ratio": None
    }  # fmt: skip
    assert 0.001 < r["step_ms"] < 1000
    assert r["spread_ms"] == 0
    assert "noise in place of MNIST" in capsys.readouterr().out


def test_steps_go_on_from_a_trained_network(tmp_path: Path) -> None:
    job = {"workload": "multi", "data_dir": None, "quick": True, "seconds": 0.1}
    job |= {"weights": str(tmp_path / "trained.npz"), "contender": "xpnet-plain"}
    job |= {"threads": 1, "batch": 128}
    learned = tasks.converge(job)
    assert learned["steps"] % (5 * 16) == 0  # 2000 images in batches of 128
    assert 0 < learned["loss"] < 3
    assert tasks.measure(job | {"state": "converged"})["ms"] > 0.001


def test_the_products_of_a_step_are_counted_by_hand() -> None:
    net = WORKLOADS["simple"].net()
    assert list(products(WORKLOADS["simple"], net, 60_000)) == [
        (1, [(57_600, 25, 30), (25, 57_600, 30)]),  # the first layer makes no dx
        (1, [(100, 4320, 100), (4320, 100, 100), (100, 100, 4320)]),
        (1, [(100, 100, 10), (100, 100, 10), (100, 10, 100)]),
    ]
    assert list(products(WORKLOADS["infer-simple"], net, 10_000)) == [
        (100, [(57_600, 25, 30)]),
        (10, [(1000, 4320, 100)]),
        (10, [(1000, 100, 10)]),
    ]


def test_a_known_set_is_as_large_and_has_few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    train, _ = load(None, quick=True)
    monkeypatch.setattr("scripts.bench.workloads.SUBSET", 300)
    again = known(train)
    assert len(again) == len(train)
    assert len(np.unique(again.x.reshape(len(again), -1), axis=0)) == 300


def small_net() -> xpnet.Sequential:
    return xpnet.Sequential(
        [
            *(Rescale(1 / 255), Conv2d(3, 3, pad=1), ReLU(), MaxPool2d(2)),
            *(Flatten(), Linear(5), BatchNorm(), ReLU(), Dropout(0.0), Linear(10)),
        ],
        input_shape=(1, 28, 28),
        dtype="float32",
    )


@pytest.fixture(params=[c for c in CONTENDERS if c.startswith(("torch", "jax"))])
def peer(request: pytest.FixtureRequest) -> type[Contender]:
    if request.param == "torch-compile":
        pytest.skip("computes as torch does, after a minute of compiling")
    pytest.importorskip(request.param[:5].removesuffix("-"))
    return CONTENDERS[request.param]


def test_contenders_compute_what_xpnet_does(
    peer: type[Contender], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_setaffinity", lambda *_: None, raising=False)
    train, test = load(None, quick=True)
    workload = Workload(small_net, 50, lambda: xpnet.Adam(0.01, eps=1e-3), smoothing=0.1)
    own = CONTENDERS["xpnet-plain"](workload, small_net(), train.take(50), 1, {}, 0)
    own.run(3)  # one batch is the whole set, whatever its order
    slots = own.trainer.optimizer.state()
    other = peer(workload, own.net, train.take(50), 1, slots, own.trainer.optimizer.steps)
    own.run(3)
    other.run(3)
    np.testing.assert_allclose(other.infer(test.x), own.infer(test.x), rtol=2e-3, atol=2e-3)
    other.reset()
    other.run(1)


def test_the_time_to_accuracy_takes_the_better_layout_and_the_mean_over_seeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ms = {"xpnet": 1.0, "torch": 3.0, "torch-cl": 2.0}

    def child(task: str, job: cpu.Job) -> dict[str, float]:
        if task == "measure":
            return {"ms": ms[job["contender"]] / job["threads"]}
        return {"accuracy": 0.99 + 0.001 * job["seed"], "seconds": ms[job["contender"]]}

    for name in ms:
        monkeypatch.setattr(CONTENDERS[name], "needs", {})
    monkeypatch.setattr(cpu, "child", child)
    monkeypatch.setattr(cpu, "cores", lambda: 2)
    args = cpu.parser().parse_args(["--seeds", "3", "--contenders", *ms])
    own, torch = cpu.time_accuracy(args, {"quick": True})
    assert (own["contender"], own["threads"], own["seeds"], own["seconds"]) == ("xpnet", 2, 3, 1)
    assert (torch["contender"], torch["seconds"]) == ("torch-cl", 2)
    assert own["accuracy"] == pytest.approx(0.991)
    assert (own["accuracy_min"], own["accuracy_max"]) == (0.99, 0.992)
    assert "xpnet       0.9910 (0.9900 to 0.9920) in 1.00 s" in capsys.readouterr().out


def test_the_recipe_trains_and_memory_is_watched() -> None:
    job = {"data_dir": None, "quick": True, "contender": "xpnet-plain", "threads": 1, "seed": 0}
    found = tasks.accuracy(job)
    assert 0 <= found["accuracy"] <= 0.3  # noise cannot be told apart
    assert found["seconds"] > 0
    before, after = tasks.memory(job | {"steps": [2, 20]})["mb"]
    assert before > 10
    assert after - before < 50
