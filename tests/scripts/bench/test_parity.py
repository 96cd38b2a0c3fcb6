"""The comparison of a GPU with the processor."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpnet
from scripts.bench import facts, parity
from xpnet import models
from xpnet.data import Batches, Dataset
from xpnet.devices import CPU
from xpnet.layers import Dropout, Flatten, Linear, Rescale, Sequential

ROOT = Path(__file__).parents[3]
HIDDEN = {"CUDA_VISIBLE_DEVICES": ""}


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, env=os.environ | environment, capture_output=True,
        text=True,
    )  # fmt: skip


# Its arithmetic -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ([2.0, 1.0], [2.0, 1.0], 0.0),
        ([2.0, 1.1, 3.0], [2.0, 1.0, 3.0], 0.1),
        ([2.0], [4.0], 0.5),
        ([0.002], [0.001], 0.1),  # as if it were 0.01
        ([math.nan, 1.0], [1.0, 1.0], math.inf),
        ([1.0], [math.nan], math.inf),
        ([math.inf], [math.inf], math.inf),
    ],
)
def test_the_largest_difference_is_a_share_of_the_loss(
    ours: list[float], theirs: list[float], found: float
) -> None:
    assert parity.largest_difference(ours, theirs) == pytest.approx(found)


def test_runs_of_different_lengths_are_not_compared() -> None:
    with pytest.raises(ValueError, match="as many losses in both runs, got 1 and 2"):
        parity.largest_difference([1.0], [1.0, 2.0])


def test_arrays_are_compared_bit_for_bit() -> None:
    one = np.array([0.0, 1.0, math.nan])
    assert parity.same_bits(one, one.copy())
    assert not parity.same_bits(one, np.array([-0.0, 1.0, math.nan]))
    assert not parity.same_bits(one, one.astype("float32"))
    assert not parity.same_bits(one, one[:2])
    other = {"a": one, "b": np.nextafter(np.ones(2), 2), "d": one}
    assert parity.differing({"a": one, "b": np.ones(2), "c": one}, other) == ["b", "c", "d"]


def test_a_long_list_is_cut() -> None:
    assert parity.some("abc", 3) == "a, b, c"
    assert parity.some("abcde", 3) == "a, b, c and 2 more"


def test_fewer_steps_than_make_two_batches_an_epoch_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parity.main(["--steps", "3"])
    assert "argument --steps: expected a whole number >= 4, got '3'" in capsys.readouterr().err


def images(n: int = 95) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset(rng.integers(0, 256, (n, 1, 4, 4), dtype=np.uint8), rng.integers(0, 10, n), 10)


def tiny(**options: Any) -> Sequential:
    return models.mlp((7, 6), batch_norm=True, dropout=0.25, **options)


def test_the_loss_of_each_step_is_found_from_the_means() -> None:
    data = images(35)
    watch = parity.StepLosses(35, 10)

    def trainer(*callbacks: parity.StepLosses) -> xpnet.Trainer:
        net = tiny(input_shape=(1, 4, 4), dtype="float64")
        loss, rule = xpnet.SoftmaxCrossEntropy(), xpnet.SGD(0.1)
        return xpnet.Trainer(net, loss, rule, callbacks=callbacks)

    trainer(watch).fit(data, 3, 10)
    by_hand, batches = trainer(), Batches(data, 10)
    losses = [by_hand.step(x, t)[0] for epoch in range(3) for x, t in batches.epoch(epoch)]
    assert len(losses) == 12
    np.testing.assert_allclose(watch.losses, losses, rtol=1e-12)


def test_masks_are_those_that_training_draws_next() -> None:
    net = Sequential(
        [Rescale(1 / 255), Flatten(), Dropout(0.5), Linear(3), Dropout(0.25)], input_shape=(1, 4, 4)
    )
    first, second = parity.next_masks(net, 5), parity.next_masks(net, 5)
    assert {path: mask.shape for path, mask in first.items()} == {"2": (5, 16), "4": (5, 3)}
    assert {float(value) for value in np.unique(first["2"])} == {0.0, 2.0}
    assert parity.differing(first, second) == ["2", "4"]
    assert parity.next_masks(models.mlp((3,)), 5) == {}


# What it notices ------------------------------------------------------------------------------


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parity.CASES, "tiny", parity.Case(tiny, 10, 24))


@pytest.mark.usefixtures("case")
@pytest.mark.parametrize("dtype", parity.LIMITS)
def test_a_device_agrees_with_itself(dtype: str) -> None:
    row = parity.attempt("tiny", dtype, CPU, images(), 500)
    assert row.wrong == []
    assert (row.batch_size, row.steps, row.loss_difference) == (10, 27, 0.0)
    assert (row.same_weights, row.same_order, row.same_masks) == (True, True, True)
    assert row.same_replayed is None  # a processor records nothing
    assert parity.attempt("tiny", dtype, CPU, images(), 8).steps == 8


@pytest.mark.usefixtures("case")
def test_another_device_agrees_within_the_limit() -> None:
    pytest.importorskip("torch")
    row = parity.attempt("tiny", "float64", xpnet.device("torch:cpu"), images(), 20)
    assert row.wrong == []
    assert row.loss_difference is not None
    assert 0 < row.loss_difference < 1e-12


def test_other_weights_masks_and_losses_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter(range(100))

    def other(*, seed: int, **options: Any) -> Sequential:
        return tiny(seed=next(made), **options)

    monkeypatch.setitem(parity.CASES, "other", parity.Case(other, 10, 20))
    row = parity.attempt("other", "float64", CPU, images(), 20)
    assert not row.passed
    assert (row.same_weights, row.same_masks, row.same_order) == (False, False, True)
    weights, losses, masks = row.wrong
    assert weights.startswith("weights at the start differ: ")
    assert losses == f"losses differ by {row.loss_difference:.1e}"
    assert masks == "masks differ in layers 5, 9"


@pytest.mark.usefixtures("case")
def test_another_order_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = iter((1, 2))
    monkeypatch.setattr(parity, "Batches", lambda *a, **o: Batches(*a, seed=next(seeds), **o))
    row = parity.attempt("tiny", "float64", CPU, images(), 4)
    assert (row.same_order, row.wrong) == (False, ["batches differ"])


@pytest.mark.usefixtures("case")
@pytest.mark.parametrize("asked", ["tiny", "broken tiny"])
def test_what_fails_makes_the_exit_status_and_the_others_still_run(
    asked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(**options: Any) -> Sequential:
        raise RuntimeError("no kernel")

    monkeypatch.setitem(parity.CASES, "broken", parity.Case(broken))
    monkeypatch.setattr(parity, "images", lambda data_dir: images())
    path = tmp_path / "new" / "rows.json"
    kept = tmp_path / "facts.jsonl"
    options = ["--device", "cpu", "--dtype", "float64", "--steps", "4", "--json", str(path)]
    options += ["--facts", str(kept)]
    status = parity.main([*options, "--models", *asked.split()])
    lines = capsys.readouterr().out.splitlines()
    rows = json.loads(path.read_text())["rows"]
    about = {"fact": "parity", "data": images().name}
    assert facts.read(kept) == [about | row for row in rows]
    assert lines[2].split()[:2] == ["model", "dtype"]
    assert rows[-1]["pass"] is True
    if asked == "tiny":
        assert status == 0
        assert lines[-1] == "1 of 1 agree"
        assert lines[3].split() == [
            "tiny", "float64", "10", "4", "0.0e+00", "1e-09", "same", "same", "same", "-",
            f"{rows[0]['seconds']:.1f}", "pass",
        ]  # fmt: skip
    else:
        assert status == 1
        assert lines[-1] == "1 of 2 agree"
        assert lines[3].split()[-1] == "FAIL"
        assert lines[4].strip() == "RuntimeError: no kernel"
        assert (rows[0]["pass"], rows[0]["loss_difference"]) == (False, None)


def test_a_row_without_a_number_is_still_json() -> None:
    row = parity.Row("tiny", "float32", loss_difference=math.inf, wrong=["losses differ by inf"])
    assert json.loads(json.dumps(parity.as_json(row), allow_nan=False))["loss_difference"] == "inf"


def test_every_network_that_programs_offer_is_compared() -> None:
    assert set(models.BY_NAME) | {"mlp-bn-dropout"} == set(parity.CASES)
    assert set(parity.SIZES) <= set(models.BY_NAME)
    assert parity.parser().parse_args([]).device == "gpu"
    assert parity.parser().parse_args(["--quick"]).steps == parity.QUICK


# On a GPU, and without one --------------------------------------------------------------------


def test_without_a_gpu_it_says_so_in_one_sentence() -> None:
    done = run(sys.executable, "-m", "scripts.bench.parity", **HIDDEN)
    assert (done.returncode, done.stdout) == (2, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("python -m scripts.bench.parity: error: device 'gpu:0'")


EMULATED = """
import sys
from tests import emulator
emulator.install()
from functools import partial
from scripts.bench import facts, parity
from xpnet import models
parity.CASES["tiny"] = parity.Case(
    partial(models.mlp, (7, 6), batch_norm=True, dropout=0.25), 10, 24
)
sys.exit(parity.main(sys.argv[1:]))
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="emulated kernels are compiled by g++")
def test_an_emulated_gpu_agrees_and_replays_with_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    done = run(
        sys.executable, "-c", EMULATED, "--models", "tiny", "--json", path, XPNET_DATA=""
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    figures = json.loads(path.read_text())
    assert figures["about"]["backend"] == "cupy"
    assert figures["data"] == "digits"
    assert [row["dtype"] for row in figures["rows"]] == ["float64", "float32"]
    for row in figures["rows"]:
        assert row["steps"] == 24
        assert 0 < row["loss_difference"] < row["limit"]
        for name in ("weights", "order", "masks", "replayed"):
            assert row[f"same_{name}"] is True, (name, row)
