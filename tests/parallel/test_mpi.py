"""Runs that MPI starts: the same bits, and an end for all when one ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from scripts.bench.ranks import MESSAGES
from xpnet.files import versions

pytest.importorskip("mpi4py", reason="mpi4py is not installed: no process is started by MPI")
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
if MPIEXEC is None:
    pytest.skip("mpiexec is not installed: no process is started by MPI", allow_module_level=True)

pytestmark = pytest.mark.faster_bodies  # processes of their own take them anyway

ROOT = Path(__file__).parents[2]
OPEN_MPI = "Open MPI" in subprocess.run(
    [MPIEXEC, "--version"], capture_output=True, text=True, check=False
).stdout  # fmt: skip
MORE_RANKS_THAN_CORES = ["--oversubscribe", "--allow-run-as-root"] if OPEN_MPI else []


def command(ranks: int, *words: Any) -> list[str]:
    """Return a command line that starts a module on some ranks."""
    start = [str(MPIEXEC), *MORE_RANKS_THAN_CORES, "-n", str(ranks)]
    return [*start, sys.executable, "-m", *map(str, words)]


def settings(**more: str) -> dict[str, str]:
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMPI_MCA_mpi_yield_when_idle": "1", **more}


def start(ranks: int, *words: Any, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(ranks, *words),
        cwd=ROOT,
        env=settings(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    with process:
        try:
            output, errors = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.terminate()  # and so its ranks, which would wait on busily
            raise
    return process.returncode, output, errors


def program(ranks: int, *words: Any, **more: str) -> tuple[int, str, str]:
    return ended(start(ranks, "tests.parallel.program", *words, **more))


def outcome(ranks: int, *words: Any, **more: str) -> str:
    """Return what all ranks came to."""
    status, output, errors = program(ranks, *words, **more)
    assert status == 0, errors
    found = re.findall(r"rank \d+: (\w+ \w+)", output)
    assert len(found) == ranks
    assert len(set(found)) == 1
    return str(found[0])


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what one process comes to that nothing has launched."""
    from tests.parallel import program as module

    done = subprocess.run(
        [sys.executable, "-m", module.__name__, tmp_path_factory.mktemp("alone")],
        cwd=ROOT, env=settings(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split(": ")[1].strip()


SEVERAL = [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3, 4, 8))]


@pytest.mark.parametrize("ranks", SEVERAL)
def test_ranks_come_to_the_bits_of_one_process(tmp_path, alone, ranks):
    assert outcome(ranks, tmp_path) == alone


@pytest.mark.gpu
def test_arrays_of_gpus_go_by_the_hosts_memory(request, tmp_path):
    if not request.config.getoption("--emulated-gpu"):
        pytest.skip("ranks take emulated GPUs")
    alone = outcome(1, tmp_path, "emulated-gpu")
    assert outcome(2, tmp_path, "emulated-gpu") == alone


@pytest.mark.slow
def test_messages_over_the_network_come_to_the_same_bits(tmp_path, alone):
    """Without shared memory: between machines it is the same."""
    assert outcome(2, tmp_path, **MESSAGES["network"]) == alone


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            return


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the processes of a run that are Python's, by their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0] == sys.executable.encode() and str(process.args[-2]).encode() in words:
                found.append(int(entry.name))
    return sorted(found)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc")
@pytest.mark.parametrize("then", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4))])
def test_a_rank_that_is_killed_ends_all_and_others_go_on(tmp_path, alone, then):
    process = start(2, "tests.parallel.program", tmp_path, "slow")
    wait_for(process, "begun")
    time.sleep(0.3)
    pids = ranks_of(process)
    assert len(pids) == 2
    os.kill(pids[1], signal.SIGKILL)
    status, *_ = ended(process)
    assert status != 0
    assert not ranks_of(process)
    assert outcome(then, tmp_path, "goes-on") == alone


def test_a_signal_ends_all_after_the_same_step_and_they_go_on(tmp_path, alone):
    process = start(2, "tests.parallel.program", tmp_path, "slow")
    wait_for(process, "begun")
    process.send_signal(signal.SIGINT)
    status, *_ = ended(process)
    assert status != 0
    assert versions(tmp_path / "run.safetensors")
    assert outcome(2, tmp_path, "goes-on") == alone


def test_an_error_on_one_rank_ends_all_with_its_sentence(tmp_path):
    status, _, errors = program(2, tmp_path, "fails")
    assert status != 0
    assert errors.count("RuntimeError: this rank has failed") == 1


def test_a_rank_with_other_data_is_told_once(tmp_path):
    status, _, errors = program(2, tmp_path, "differs")
    assert status != 0
    assert errors.count("DiffersError: rank 1 differs from rank 0: train expected") == 1
    assert not versions(tmp_path / "run.safetensors")


def test_the_command_runs_on_several_ranks_by_itself(tmp_path):
    options = ["--limit-train", 200, "--epochs", 1, "--shards", 4]
    models = []
    for ranks in (1, 2):
        out = tmp_path / str(ranks)
        status, output, errors = ended(
            start(ranks, "tests.parallel.command", "train", *options, "--out", out)
        )
        assert (status, errors) == (0, "")
        assert output.count("test accuracy") == 1
        models.append((out / "model.safetensors").read_bytes())
    assert models[0] == models[1]


@pytest.mark.parametrize("mistake", [["--dataset", "none"], ["--limit-train", "99999"]], ids=str)
def test_a_mistake_is_told_once(mistake):
    status, _, errors = ended(start(2, "tests.parallel.command", "train", *mistake))
    assert status != 0
    assert errors.count("xpnet train: error: ") == 1


def test_ranks_are_found_again_by_a_pickle():
    program = (
        "import pickle, xpnet; one = xpnet.parallel.connect('mpi', shards=4); "
        "two = pickle.loads(pickle.dumps(one)); print(f'{two} {two.shards}\\n', end='')"
    )
    done = subprocess.run(
        [MPIEXEC, *MORE_RANKS_THAN_CORES, "-n", "2", sys.executable, "-c", program],
        cwd=ROOT, env=settings(), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert sorted(done.stdout.splitlines()) == [f"MPI(rank {k} of 2) 4" for k in range(2)]
