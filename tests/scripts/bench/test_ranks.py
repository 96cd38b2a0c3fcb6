"""Runs on several ranks beside one process: what tells them apart, and what ends with a job."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import random
import shutil
import sys
from pathlib import Path

import pytest

import xpnet
from scripts.bench import ranks
from scripts.bench.ranks import Case, Job, Outcome, Row

MPIEXEC = ranks._parser().parse_args(["kills"]).mpiexec
needs_mpi = pytest.mark.skipif(
    not MPIEXEC or importlib.util.find_spec("mpi4py") is None,
    reason="mpi4py or mpiexec is not installed: no process is started by MPI",
)
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(),
    reason="there is no /proc to tell which processes are a job's",
)

CASE = Case("mlp", "compiled", 6)


def job(program: str) -> Job:
    return Job([sys.executable, "-c", program], {}, limit=60)


def called(*arguments: object) -> int:
    """Return the command's exit status."""
    with pytest.raises(SystemExit) as ended:
        ranks.main([str(one) for one in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def mpiexec(tmp_path: Path) -> Path:
    """Return an mpiexec that tells its version and starts nothing."""
    path = tmp_path / "mpiexec"
    path.write_text("#!/bin/sh\necho 'mpiexec (Open MPI) 5.0.11'\n")
    path.chmod(0o755)
    return path


# What is trained


@pytest.mark.parametrize("steps", [1, 6, 14, 60, 61])
def test_each_epoch_ends_with_fewer_samples_than_shards(steps):
    train, _, epochs = ranks.data(steps)
    full, last = divmod(len(train), ranks.BATCH_SIZE)
    assert 0 < last < ranks.SHARDS
    assert 0 <= epochs * (full + 1) - steps < epochs
    assert len(train) < len(xpnet.data.load("digits")[0])


def test_an_epoch_is_one_of_the_digits_where_nothing_says_where_mnist_lies(monkeypatch):
    monkeypatch.delenv("XPNET_DATA", raising=False)
    train, _, epochs = ranks.data(None)
    assert (len(train), epochs) == (1305, 1)


def test_a_loss_or_a_weight_that_differs_changes_the_digest():
    train, test, _ = ranks.data(2)
    made = xpnet.Trainer(xpnet.models.mlp((4,)), xpnet.SoftmaxCrossEntropy(), xpnet.Adam())
    made.fit(train.take(20), 1, 10, validation=test.take(10))
    found = {ranks.digest(made)}
    made.history.rows[0]["train_accuracy"] += 1e-9
    found.add(ranks.digest(made))
    made.net.params["2.b"][0] += 1e-6
    found.add(ranks.digest(made))
    assert len(found) == 3


# What a job comes to


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ("print('step 3', 'step 4', 'digest 1 a', 'digest 0 a', sep='\\n')", Outcome(3, "a")),
        ("print('a warning', 'digest 0 a', 'digest 1 a', sep='\\n')", Outcome(None, "a")),
        ("print('digest 0 a', 'digest 1 b', sep='\\n')", Outcome(None, "ranks differ")),
        ("print('digest 0 a')", Outcome(None, "failed")),
        ("print('digest 0 a', 'digest 1 a', sep='\\n'); exit(3)", Outcome(None, "failed")),
    ],
)
def test_an_outcome_is_what_all_ranks_of_a_job_that_succeeded_came_to(program, found):
    with job(program) as started:
        assert ranks.outcome(started, 2) == found


def test_a_job_that_fails_says_why(capsys):
    with job("raise ValueError('no such thing')") as started:
        ranks.outcome(started, 1)
    assert "ValueError: no such thing" in capsys.readouterr().err


def test_a_job_is_ended_when_its_time_is_over():
    program = [sys.executable, "-c", "import time; time.sleep(600)"]
    with Job(program, {}, limit=0.1) as started:
        assert ranks.outcome(started, 1) == Outcome(None, "failed")


SLEEPS = "import time; time.sleep(600)"
WORKS = f"import os; print('pid 0', os.getpid()); print('step 9', flush=True); {SLEEPS}"
LEAVES = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', '{SLEEPS}']); {WORKS}"


@needs_proc
@pytest.mark.parametrize(("program", "left"), [(WORKS, 0), (LEAVES, 1)], ids=["all", "but one"])
def test_processes_that_a_kill_leaves_are_counted_and_then_ended(monkeypatch, program, left):
    monkeypatch.setattr(ranks, "PATIENCE", 0.5)
    with job(program) as started:
        rank, seconds, found = ranks.killed(started, CASE, 1, random.Random(0))
        assert (rank, found) == (0, left)
        assert (seconds < 0.5) == (left == 0)
    with job(SLEEPS):
        assert started.pids() == []  # none of another job's either


@needs_proc
def test_a_job_that_fails_before_it_is_killed_ends_the_command():
    with job("print('step 0'); exit(1)") as started, pytest.raises(SystemExit, match="has failed"):
        ranks.killed(started, CASE, 2, random.Random(0))


# The tables


def test_the_table_has_a_row_for_each_run_and_tells_those_that_differ(monkeypatch, mpiexec, capsys):
    def trained(case, launcher, ranks, limit, messages="shared memory"):
        return Outcome(None, "b" if (ranks, messages) == (3, "network") else "a")

    monkeypatch.setattr(ranks, "trained", trained)
    words = ["digests", "--networks", "mlp", "--bodies", "plain", "--mpiexec", mpiexec, "--ranks"]
    assert called(*words, 1, 3) == 1
    title, *lines, end = capsys.readouterr().out.splitlines()
    assert title.split() == list(Row._fields)
    assert [line.split()[:2] for line in lines] == [["mlp", "plain"]] * 4
    assert [line.split()[5] for line in lines] == ["1", "1", "3", "3"]
    assert [line.split()[-2:] for line in lines] == [["a", "yes"]] * 3 + [["b", "NO"]]
    assert end == "3 of 4 are as they should be"
    assert called(*words, 1, 2) == 0


def test_json_lines_hold_the_same(monkeypatch, mpiexec, capsys):
    monkeypatch.setattr(ranks, "trained", lambda *about, **how: Outcome(None, "a"))
    assert called("digests", "--mpiexec", mpiexec, mpiexec, "--json", "--epoch") == 0
    rows = [Row(**json.loads(line)) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 2 * 3 * 2 * 5 * 2  # networks, bodies, ranks, messages of two mpiexec
    assert {row.mpi for row in rows} == {"Open MPI 5.0.11"}
    assert all(row.equal for row in rows)


@needs_proc
@pytest.mark.parametrize(("left", "digest"), [(0, "a"), (1, "a"), (0, "b")])
def test_runs_that_were_killed_go_on_on_other_ranks(monkeypatch, mpiexec, capsys, left, digest):
    on = []

    def trained(case, launcher, ranks, limit, folder=None):
        if folder is None:
            return Outcome(None, "a")
        on.append(ranks)
        return Outcome(7, digest if len(on) == 3 else "a")

    def killed(job, case, ranks, draws):
        return 2, len(on) / 4, left if len(on) == 2 else 0

    monkeypatch.setattr(ranks, "trained", trained)
    monkeypatch.setattr(ranks, "killed", killed)
    monkeypatch.setattr(Case, "started", lambda *about, **how: contextlib.nullcontext())
    bad = left > 0 or digest != "a"
    assert called("kills", "--times", 5, "--mpiexec", mpiexec) == bad
    assert on == [4, 2, 1, 8, 4]
    _, *lines, count, slowest = capsys.readouterr().out.splitlines()
    assert lines[2].split()[3:] == [
        "2", "7", "0.5", str(left), "1", digest, "yes" if digest == "a" else "NO",
    ]  # fmt: skip
    assert count == f"{5 - bad} of 5 are as they should be"
    assert slowest == "the slowest end took 1.00 s"


def test_a_process_alone_that_fails_ends_the_command(monkeypatch, mpiexec):
    monkeypatch.setattr(ranks, "trained", lambda *about, **how: Outcome(None, "failed"))
    with pytest.raises(SystemExit, match="a run in one process has failed"):
        ranks.main(["digests", "--mpiexec", str(mpiexec)])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--steps", "0"], "expected a whole number of at least 1, got 0"),
        (["--mpiexec", "nowhere"], "expected the path of an mpiexec, got nowhere"),
        (["--ranks", "9"], "invalid choice: 9"),
    ],
)
def test_a_mistake_is_told(capsys, words, told):
    assert called("digests", *words) == 2
    assert told in capsys.readouterr().err


def test_where_there_is_no_mpi_it_is_told(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda *about, **how: None)
    assert called("digests") == 2
    assert 'install "xpnet[mpi]"' in capsys.readouterr().err


# As it is


@needs_mpi
@pytest.mark.faster_bodies
@pytest.mark.parametrize(
    ("networks", "on"),
    [
        pytest.param(["mlp"], [2], id="one"),
        pytest.param([*ranks.NETWORKS], [1, 3, 4, 8], id="more", marks=pytest.mark.slow),
    ],
)
def test_ranks_come_to_the_digest_of_one_process(capsys, networks, on):
    words = ["--networks", *networks, "--bodies", "plain", "--steps", 6, "--limit", 300]
    assert called("digests", *words, "--ranks", *on, "--json") == 0
    rows = [Row(**json.loads(line)) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 2 * len(networks) * len(on)
    if Path("/proc/net/dev").exists():  # each step's sums are as large as the parameters
        smallest = min(make().params.flat.nbytes for make in ranks.NETWORKS.values())
        sent = [row.megabytes for row in rows if row.messages == "network" and row.ranks > 1]
        assert min(sent) > 6 * smallest / 1e6


@needs_mpi
@needs_proc
@pytest.mark.faster_bodies
@pytest.mark.parametrize("times", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_a_run_that_was_killed_comes_to_the_digest_of_one_that_was_not(capsys, monkeypatch, times):
    monkeypatch.setattr(ranks, "GOES_ON", (1, 4, 2, 8))
    ended = called("kills", "--times", times, "--ranks", 2, "--limit", 300)
    assert ended == 0, capsys.readouterr()
