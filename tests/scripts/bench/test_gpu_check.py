"""The check on a GPU: what it found is kept, whatever ends it; its parts fit its time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from scripts.bench import facts, gpu, gpu_results, gpu_trace, parity
from scripts.bench.facts import LEFT_OUT, Fact, Facts
from scripts.bench.gpu_check import __main__ as check
from scripts.bench.gpu_check import demonstrations, preflight, pytest_facts
from scripts.bench.gpu_check.parts import MINUTES, parts
from scripts.bench.gpu_check.runner import GRACE

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts/gpu_check.sh"


# Facts ----------------------------------------------------------------------------------------


def test_a_fact_that_was_not_finished_takes_no_other_with_it(tmp_path: Path) -> None:
    kept = Facts(tmp_path / "facts.jsonl")
    kept.add("one", value=1.5)
    with (tmp_path / "facts.jsonl").open("a") as file:
        file.write('{"fact": "tw')
    assert facts.read(tmp_path / "facts.jsonl") == [{"fact": "one", "value": 1.5}]
    kept.mend()
    kept.add("three")
    assert [fact["fact"] for fact in facts.read(tmp_path / "facts.jsonl")] == ["one", "three"]


def test_a_fact_holds_what_json_cannot_in_words(tmp_path: Path) -> None:
    Facts(tmp_path / "f").add("odd", values=[float("inf"), None, True], at=Path("x"))
    assert facts.read(tmp_path / "f") == [{"fact": "odd", "values": ["inf", None, True], "at": "x"}]


@pytest.mark.parametrize("line", ["{", "[1]", '{"value": 1}'])
def test_what_is_no_fact_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "f").write_text(f'{{"fact": "one"}}\n{line}\n')
    with pytest.raises(ValueError, match=r"JSON object.*line 2"):
        facts.read(tmp_path / "f")


# The table of parts ---------------------------------------------------------------------------


def test_all_parts_together_fit_into_the_minutes() -> None:
    usual = [part for part in parts(Path("folder")) if not part.extra]
    assert sum(part.limit + GRACE for part in usual) <= 60 * MINUTES
    assert [part.name for part in usual] == [
        "about", "preflight", "steps", "kernels", "accuracy", "accuracy-tf32", "accuracy-bf16",
        "tests", "parity", "memory", "gallery",
    ]  # fmt: skip


@pytest.mark.parametrize("short", [False, True])
def test_what_parts_run_is_there_and_takes_their_options(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, short: bool
) -> None:
    monkeypatch.setenv("XPNET_DATA", str(tmp_path))
    for part in parts(tmp_path, short):
        assert part.command[0] == "-m"
        module, options = part.command[1], list(part.command[2:])
        if module == "scripts.bench.gpu":
            assert gpu.checked(options).facts.path == tmp_path / "facts.jsonl"
        elif module == "scripts.bench.parity":
            parity.parser().parse_args(options)
        elif module == "pytest":
            # an argument of its own would be taken for tests, and its folder for their root
            assert f"--facts={tmp_path / 'facts.jsonl'}" in options
            assert str(tmp_path / "facts.jsonl") not in options
        else:
            assert (ROOT / f"{module.replace('.', '/')}.py").exists()


def test_what_needs_mnist_says_so_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPNET_DATA", "/no/such/folder")
    reasons = {part.name: part.lacks for part in parts(Path("folder"))}
    assert reasons["accuracy"] == "needs MNIST: XPNET_DATA, /no/such/folder, is no folder"
    assert reasons["steps"] is None


# Running parts --------------------------------------------------------------------------------

RUN = """
import json, sys
from pathlib import Path
from scripts.bench.gpu_check import runner
from scripts.bench.gpu_check.parts import Part
folder, seconds, grace, rows = json.loads(sys.argv[1])
runner.ENDING = tuple((number, grace) for number, _ in runner.ENDING)
runner.GRACE = 2 * grace
parts = [Part(vital=False, **row) for row in rows]
sys.exit(runner.Runner(Path(folder), seconds).run(parts))
"""
FINDS = """
import sys
from scripts.bench.facts import Facts
facts = Facts({path!r})
facts.add("found")
"""
HANGS = """
import os, signal, subprocess, sys, time
from scripts.bench.facts import Facts
if {deaf}:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
Facts({path!r}).add("hangs", pids=[os.getpid(), other.pid])
time.sleep(60)
"""


def started(
    folder: Path, *codes: tuple[str, str, float], seconds: float = 100.0, grace: float = 2.0
) -> subprocess.Popen[str]:
    """Start a runner of parts, each a name, Python code and a limit."""
    path = str(folder / "facts.jsonl")
    rows = [
        {
            "name": name,
            "limit": limit,
            "command": ["-c", code.format(path=path, deaf=name == "deaf")],
        }
        for name, code, limit in codes
    ]
    return subprocess.Popen(
        [sys.executable, "-c", RUN, json.dumps([str(folder), seconds, grace, rows])],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def awaited(folder: Path, kind: str) -> Fact:
    """Return a fact of a kind as soon as there is one."""
    path, until = folder / "facts.jsonl", time.monotonic() + 60
    while time.monotonic() < until:
        for fact in facts.read(path) if path.exists() else ():
            if fact["fact"] == kind:
                return fact
        time.sleep(0.02)
    raise AssertionError(f"no {kind} within a minute")


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def verdicts(folder: Path) -> dict[str, str]:
    found = facts.read(folder / "facts.jsonl")
    return {fact["part"]: fact["verdict"] for fact in found if fact["fact"] == "ends"}


def kinds(folder: Path) -> list[str]:
    return [fact["fact"] for fact in facts.read(folder / "facts.jsonl")]


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_check_keeps_its_facts_and_leaves_nothing_running(
    tmp_path: Path, number: signal.Signals
) -> None:
    runner = started(tmp_path, ("first", FINDS, 30), ("second", HANGS, 60), ("third", FINDS, 30))
    pids = awaited(tmp_path, "hangs")["pids"]
    runner.send_signal(number)
    out, _ = runner.communicate(timeout=30)
    assert runner.returncode == 130
    assert not any(map(is_running, pids))
    assert verdicts(tmp_path) == {"first": "pass", "second": "interrupted"}
    assert kinds(tmp_path) == ["begins", "found", "ends", "begins", "hangs", "ends"]
    assert "KeyboardInterrupt" in (tmp_path / "log.txt").read_text()
    assert "second" in out.partition("== summary")[2]
    assert len(list(tmp_path.iterdir())) == 2


@linux
def test_what_a_part_leaves_running_is_ended(tmp_path: Path) -> None:
    runner = started(tmp_path, ("leaves", HANGS.replace("time.sleep(60)\n", ""), 30))
    runner.communicate(timeout=60)
    assert runner.returncode == 0
    time.sleep(0.1)  # for the kernel to end it
    assert not any(map(is_running, awaited(tmp_path, "hangs")["pids"]))


@linux
def test_a_killed_check_has_kept_its_facts(tmp_path: Path) -> None:
    runner = started(tmp_path, ("first", FINDS, 30), ("second", HANGS, 60))
    pids = awaited(tmp_path, "hangs")["pids"]
    runner.kill()
    runner.communicate(timeout=30)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert verdicts(tmp_path) == {"first": "pass"}
    assert kinds(tmp_path) == ["begins", "found", "ends", "begins", "hangs"]


@linux
def test_a_part_that_heeds_nothing_is_stopped_and_says_where_it_hung(tmp_path: Path) -> None:
    runner = started(tmp_path, ("deaf", HANGS, 2.0), ("next", FINDS, 30), grace=0.5)
    runner.communicate(timeout=60)
    assert runner.returncode == 1
    assert verdicts(tmp_path) == {"deaf": "FAIL: stopped after 2 s", "next": "pass"}
    assert not any(map(is_running, awaited(tmp_path, "hangs")["pids"]))
    assert "Fatal Python error: Aborted" in (tmp_path / "log.txt").read_text()


def test_what_does_not_fit_into_the_time_is_left_out(tmp_path: Path) -> None:
    runner = started(tmp_path, ("first", FINDS, 30), ("long", FINDS, 90), seconds=60)
    runner.communicate(timeout=60)
    assert runner.returncode == 0
    assert verdicts(tmp_path) == {"first": "pass", "long": "left out: no time is left for it"}


def test_a_part_ends_as_its_exit_status_says(tmp_path: Path) -> None:
    fails, lacks = (f"print('because'); raise SystemExit({status})" for status in (5, LEFT_OUT))
    runner = started(tmp_path, ("fails", fails, 30), ("lacks", lacks, 30))
    said, _ = runner.communicate(timeout=60)
    assert runner.returncode == 1
    assert verdicts(tmp_path) == {"fails": "FAIL: exit status 5", "lacks": "left out: because"}
    summary = said.partition("== summary")[2].splitlines()[1:]
    assert [line.split()[0] for line in summary] == ["fails", "lacks"]


# The command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["FOLDER", "soon"], "expected FOLDER and a number of minutes, got 'soon'"),
        (["FOLDER", "-1"], "number of minutes, got '-1'"),
        (["FOLDER", "0"], "number of minutes, got '0'"),
        (["FOLDER", "1", "2"], "number of minutes, got '1 2'"),
        (["--again", "FOLDER"], "expected parts of about, preflight"),
        (["--again", "FOLDER", "steps", "stepps"], "got 'stepps'"),
        ([], "required: FOLDER"),
    ],
)
def test_an_argument_that_is_no_good_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    folder = tmp_path / "folder"
    given = [str(folder) if one == "FOLDER" else one for one in arguments]
    try:
        status = check.main(given)
    except SystemExit as error:  # argparse's
        status = error.code
    assert status == 2
    assert words in capsys.readouterr().err
    assert not folder.exists()


def test_facts_that_are_there_are_not_mixed_with_another_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Facts(tmp_path / "facts.jsonl").add("found")
    assert check.main([str(tmp_path)]) == 2
    assert "holds facts already: choose another, or --again" in capsys.readouterr().err


EMULATED = """
import sys
sys.path.insert(0, {root!r})
from tests import emulator
emulator.install({devices})
{more}
"""
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="emulated kernels are compiled by g++"
)
NO_NVMATH = "sys.modules.update({name: None for name in sys.modules if 'nvmath' in name})"


def run_check(
    tmp_path: Path, *arguments: str, emulated: bool = True, devices: int = 2, more: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the script, short, on an emulated GPU, which each of its processes finds in its place."""
    environment = dict(os.environ)
    if emulated:
        (tmp_path / "site").mkdir()
        code = EMULATED.format(root=str(ROOT), devices=devices, more=more)
        (tmp_path / "site/sitecustomize.py").write_text(code)
        environment["PYTHONPATH"] = str(tmp_path / "site")
    return subprocess.run(
        [SCRIPT, "--short", *arguments],
        env=environment | {"PYTHON": sys.executable}, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip


def test_without_a_gpu_it_refuses_at_once(tmp_path: Path) -> None:
    done = run_check(tmp_path, "out", devices=0)
    assert done.returncode == 2
    assert done.stderr.startswith("gpu_check.sh: error: device 'gpu:0'")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@needs_compiler
def test_a_preflight_that_fails_keeps_the_rest_of_the_time(tmp_path: Path) -> None:
    done = run_check(tmp_path, "out", more=NO_NVMATH)
    assert done.returncode == 3, done.stdout + done.stderr
    found = facts.read(tmp_path / "out/facts.jsonl")
    (reason,) = [fact for fact in found if fact.get("check") == "nvmath"]
    assert not reason["passed"]
    assert reason["found"].startswith("ModuleNotFoundError, module nvmath")
    assert verdicts(tmp_path / "out") == {"about": "pass", "preflight": "FAIL: exit status 1"}
    assert [fact["passed"] for fact in found if fact.get("check") == "recorder"] == [True]


@pytest.mark.gpu
def test_a_gpu_passes_the_preflight(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    emulated = request.config.getoption("--emulated-gpu")
    done = run_check(tmp_path, "--again", "out", "about", "preflight", emulated=emulated)
    assert done.returncode == 0, done.stdout + done.stderr
    found = facts.read(tmp_path / "out/facts.jsonl")
    assert all(fact["passed"] for fact in found if fact["fact"] == "preflight")
    ways = [fact for fact in found if fact["fact"] == "product"]
    assert {(way["m"], way["k"], way["n"]) for way in ways} >= {
        (100, 784, 50), (100, 50, 10), (784, 100, 50), (50, 100, 10), (100, 10, 50),
    }  # fmt: skip
    assert all(way["plain"] for way in ways)


@pytest.mark.gpu
def test_replayed_steps_that_end_with_other_bits_do_not_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preflight, "STEPS", 12)
    weights = iter((1.0, 2.0))
    monkeypatch.setattr(parity, "kept", lambda trainer: {"1.W": np.full(3, next(weights))})
    with pytest.raises(preflight.UnfitError, match=r"replayed steps differ from eager ones: 1\.W"):
        preflight.trained("two")


@needs_compiler
@pytest.mark.slow
@pytest.mark.mnist
def test_a_whole_check_finds_all_its_facts(tmp_path: Path) -> None:
    done = run_check(tmp_path, "out")
    out = tmp_path / "out"
    found = facts.read(out / "facts.jsonl")
    assert done.returncode == 0, done.stdout + done.stderr
    lacking = {"kernels"} if gpu_trace.unfit() else set()
    for name, verdict in verdicts(out).items():
        assert verdict.startswith("left out: PyTorch" if name in lacking else "pass"), name
    assert {fact["fact"] for fact in found} >= {
        "about", "preflight", "product", "step", "left out", "seed", "tests", "parity", "memory",
        "demonstration",
    }  # fmt: skip
    assert {path.name for path in out.iterdir()} == {"facts.jsonl", "log.txt", "gallery.zip"}
    assert all(line in done.stdout for line in ("== summary", "left out: PyTorch"))
    assert gpu_results.main([str(out), "--out", str(tmp_path / "results")]) == 0


# What parts are made of -----------------------------------------------------------------------


def test_a_check_that_fails_is_told_from_one_that_breaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def unfit() -> str:
        raise preflight.UnfitError("bits differ")

    kept = Facts(tmp_path / "f")
    assert preflight.attempt("good", lambda: "fine", kept)
    assert not preflight.attempt("unfit", unfit, kept)
    assert not preflight.attempt("broken", lambda: str(1 // 0), kept)
    found = [(fact["passed"], fact["found"]) for fact in facts.read(tmp_path / "f")]
    assert found == [
        (True, "fine"), (False, "bits differ"),
        (False, "ZeroDivisionError: integer division or modulo by zero"),
    ]  # fmt: skip
    assert "1 // 0" in capsys.readouterr().out  # where it broke


def test_demonstrations_leave_figures_and_one_archive_of_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "facts.jsonl"
    options = ["--device", "cpu", "--quick", "--facts", str(kept)]
    assert demonstrations.main([*options, "xor_gate", "perceptron_gates"]) == 0
    shown = facts.read(kept)
    assert [(one["name"], one["pass"]) for one in shown] == [
        ("perceptron_gates", True), ("xor_gate", True),
    ]  # fmt: skip
    with zipfile.ZipFile(tmp_path / "gallery.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [name for one in shown for name in one["pictures"]]
    assert capsys.readouterr().out.endswith("all show what they should\n")


TESTS = """
import pytest

@pytest.mark.parametrize("value", range(4))
def test_it(value):
    assert value != 2
"""


@pytest.mark.parametrize(
    "workers", [(), pytest.param(("-p", "xdist", "-n", "2"), marks=pytest.mark.slow)]
)
def test_each_test_that_fails_is_a_fact(tmp_path: Path, workers: Sequence[str]) -> None:
    if workers:
        pytest.importorskip("xdist")
    (tmp_path / "test_it.py").write_text(TESTS)
    options = ["-q", "-p", "no:cacheprovider", "-p", pytest_facts.__name__, *workers]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--facts={tmp_path / 'f'}", tmp_path],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    failed, counts = facts.read(tmp_path / "f")
    assert (failed["fact"], failed["when"]) == ("failed test", "call")
    assert failed["test"].endswith("test_it[2]")
    assert "assert 2 != 2" in failed["said"]
    assert counts == {"fact": "tests", "exit_status": 1, "passed": 3, "failed": 1}
