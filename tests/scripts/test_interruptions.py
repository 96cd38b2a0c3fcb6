"""The train command, ended at any instant: what it leaves, and that it can be finished."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import xpnet
from scripts import train
from xpnet import SGD, SoftmaxCrossEntropy, Trainer
from xpnet.cli import runs
from xpnet.cli.process import Interrupted
from xpnet.files import versions
from xpnet.layers import Linear, Sequential

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.faster_bodies  # processes of their own take them anyway

RUN = (
    "--epochs", "4", "--limit-train", "600", "--batch-size", "5", "--model", "mlp",
    "--validation-split", "0.1", "--checkpoint-seconds", "0.05",
)  # fmt: skip
RESULTS = ["config.json", "curves.png", "history.jsonl", "model.safetensors", "summary.json"]
TIMES = {"seconds", "samples_per_second", "train_seconds"}
KILLS = [pytest.param(1, id="one"), pytest.param(200, id="many", marks=pytest.mark.slow)]
SIGNALS = [pytest.param(2, id="some"), pytest.param(50, id="many", marks=pytest.mark.slow)]


class Process:
    """The command in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "scripts/train.py", *arguments],
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=0,
        )

    def wait_for_a_line(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline()

    def ended(self) -> tuple[int, str, str]:
        """Return exit status, output and errors."""
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


def run(*arguments: str) -> tuple[int, str, str]:
    return Process(*arguments).ended()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def outcome(folder: Path) -> dict[str, Any]:
    """Return all that a run leaves but for the times."""
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    summary = json.loads((folder / "summary.json").read_text())
    return {
        "names": names(folder),
        "model": (folder / "model.safetensors").read_bytes(),
        "history": [{k: v for k, v in row.items() if k not in TIMES} for row in rows],
        "summary": {k: v for k, v in summary.items() if k not in TIMES},
    }


class Whole(NamedTuple):
    """What a run that is left alone leaves; its seconds, and those after its first line."""

    outcome: dict[str, Any]
    seconds: float
    after_a_line: float


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Whole:
    folder = tmp_path_factory.mktemp("whole") / "run"
    began = time.perf_counter()
    process = Process(*RUN, "--out", str(folder))
    process.wait_for_a_line()
    spoke = time.perf_counter()
    status, _, errors = process.ended()
    assert (status, errors) == (0, "")
    found = outcome(folder)
    assert found["names"] == RESULTS
    return Whole(found, time.perf_counter() - began, time.perf_counter() - spoke)


def finished(folder: Path) -> dict[str, Any]:
    """Go on with a run until it is done; return what it leaves."""
    status, _, errors = run(*RUN, "--out", str(folder), "--resume")
    assert status == 0, errors
    assert "Traceback" not in errors
    return outcome(folder)


@pytest.mark.parametrize("kills", KILLS)
def test_a_run_that_was_killed_is_finished_to_the_same_bits(tmp_path, whole, kills):
    instants = random.Random(kills)
    for number in range(kills):
        folder, killed = tmp_path / str(number), Process(*RUN, "--out", str(tmp_path / str(number)))
        time.sleep(instants.uniform(0.2, 1) * whole.seconds)
        killed.process.kill()
        killed.ended()
        assert finished(folder) == whole.outcome, number


@pytest.mark.parametrize("times", SIGNALS)
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_signal_ends_a_run_between_two_steps(tmp_path, whole, number, status, times):
    instants, interrupted = random.Random(times), 0
    for k in range(times):
        folder = tmp_path / f"{k}"
        folder.mkdir()
        for name in RESULTS:
            (folder / name).write_text(f"an earlier {name}")
        signalled = Process(*RUN, "--out", str(folder))
        signalled.wait_for_a_line()
        time.sleep(instants.uniform(0, 0.9) * whole.after_a_line if k else 0)
        signalled.process.send_signal(number)
        ended, _, errors = signalled.ended()
        if ended == 0:  # it came when all was done
            assert outcome(folder) == whole.outcome
            continue
        interrupted += 1
        assert (ended, "Traceback" in errors) == (status, False), errors
        assert [(folder / n).read_text(errors="replace") for n in RESULTS] == [
            f"an earlier {n}" for n in RESULTS
        ]
        if "go on with" in errors:
            assert f"train.py: interrupted: go on with --resume {folder}" in errors
            assert runs.CHECKPOINT in names(folder)
        assert finished_after(folder) == whole.outcome
    assert interrupted


def finished_after(folder: Path) -> dict[str, Any]:
    """Go on with a run in a folder of earlier results, if it has begun, else begin it."""
    begun = runs.CHECKPOINT in names(folder)
    how: Sequence[str] = ("--resume", str(folder)) if begun else (*RUN, "--out", str(folder))
    status, _, errors = run(*how)
    assert status == 0, errors
    return outcome(folder)


class TestTheFolder:
    def test_a_second_run_is_told(self, tmp_path):
        first = Process(*RUN, "--out", str(tmp_path))
        first.wait_for_a_line()
        status, _, errors = run(*RUN, "--out", str(tmp_path))
        assert status == 2
        assert errors == (
            f"train.py: error: --out: another train.py is writing to {tmp_path}: wait for it, or "
            f"name another folder\n"
        )
        assert first.ended()[0] == 0
        assert names(tmp_path) == RESULTS

    def test_a_run_that_was_interrupted_is_not_overwritten_unasked(self, tmp_path, capsys):
        arguments = ["--limit-train", "50", "--epochs", "1", "--quiet", "--out", str(tmp_path)]
        interrupted(tmp_path)
        kept = (tmp_path / runs.CHECKPOINT).read_bytes()
        assert train.main(arguments) == 2
        assert capsys.readouterr().err == (
            f"train.py: error: --out {tmp_path}: holds a run that is not finished: go on with "
            f"--resume {tmp_path}, or begin anew with --overwrite\n"
        )
        assert (tmp_path / runs.CHECKPOINT).read_bytes() == kept
        assert train.main([*arguments, "--overwrite"]) == 0
        assert names(tmp_path) == RESULTS

    def test_where_the_data_lie_is_remembered_and_the_folder_quoted(
        self, tmp_path, monkeypatch, capsys
    ):
        out, seen, fit = tmp_path / "a run", [], xpnet.Trainer.fit
        load = xpnet.data.load

        def look(name: str, folder: str | None) -> Any:
            seen.append(folder)
            return load(name, folder)

        def interrupted(self: Any, *arguments: Any, **options: Any) -> None:
            fit(self, *arguments, **options)
            raise Interrupted(signal.SIGINT)

        monkeypatch.setattr(xpnet.data, "load", look)
        monkeypatch.chdir(tmp_path)
        arguments = ["--limit-train", "50", "--epochs", "1", "--data-dir", "here"]
        with monkeypatch.context() as patch:
            patch.setattr(xpnet.Trainer, "fit", interrupted)
            assert train.main([*arguments, "--out", str(out)]) == 130
        assert capsys.readouterr().err.endswith(f"go on with --resume '{out}'\n")
        assert train.main(["--resume", str(out)]) == 0
        assert seen == [str(tmp_path / "here")] * 2
        assert names(out) == RESULTS

    @pytest.mark.parametrize("number", [None, signal.SIGINT], ids=["fit", "signal"])
    def test_a_disk_that_is_full_is_named_and_the_last_whole_checkpoint_stays(
        self, tmp_path, monkeypatch, capsys, number
    ):
        write = xpnet.training.Checkpoint._save

        def save(self: Any, trainer: Any) -> None:
            if trainer.optimizer.steps > 3:
                if number:
                    signal.raise_signal(number)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            write(self, trainer)

        monkeypatch.setattr(xpnet.training.Checkpoint, "_save", save)
        arguments = ["--limit-train", "50", "--epochs", "3", "--quiet", "--out", str(tmp_path)]
        more = ["--batch-size", "25", "--checkpoint-seconds", "1e-9"]
        assert train.main([*arguments, *more]) == (130 if number else 2)
        errors = capsys.readouterr().err
        assert (
            f"error: [Errno 28] No space left on device: '{tmp_path / runs.CHECKPOINT}'" in errors
        )
        assert f"go on with --resume {tmp_path}" in errors
        monkeypatch.undo()
        assert train.main(["--resume", str(tmp_path)]) == 0
        assert names(tmp_path) == RESULTS

    @pytest.mark.parametrize("below", ["", "further/down"])
    def test_a_file_is_no_folder(self, tmp_path, capsys, below):
        (tmp_path / "file").touch()
        assert train.main(["--out", str(tmp_path / "file" / below)]) == 2
        assert "expected a folder, got a file: name another\n" in capsys.readouterr().err

    @pytest.mark.parametrize("text", ["{", "[]", "{}", '{"arguments": {}, "test_accuracy": "?"}'])
    def test_a_summary_that_is_none_is_refused(self, tmp_path, capsys, text):
        (tmp_path / "summary.json").write_text(text)
        assert train.main(["--resume", str(tmp_path)]) == 2
        assert "summary.json: no summary of a run (" in capsys.readouterr().err

    def test_a_checkpoint_of_another_program_is_refused(self, tmp_path, capsys):
        net = Sequential([Linear(2)], input_shape=(2,))
        trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(lr=0.1))
        trainer.save(tmp_path / runs.CHECKPOINT)
        assert train.main(["--resume", str(tmp_path)]) == 2
        assert f"{runs.CHECKPOINT}: no checkpoint of this command" in capsys.readouterr().err

    def test_a_damaged_checkpoint_is_told_once(self, tmp_path, capsys):
        interrupted(tmp_path)
        newest = tmp_path / runs.CHECKPOINT
        if len(versions(newest)) < 2:  # it was interrupted so early
            shutil.copy(newest, tmp_path / "checkpoint.1.safetensors")
        newest.write_bytes(newest.read_bytes()[:-9])
        assert train.main(["--resume", str(tmp_path), "--quiet"]) == 0
        assert capsys.readouterr().err.count("going on from the version before it") == 1

    def test_a_run_that_is_finished_is_finished(self, tmp_path, capsys):
        arguments = ["--limit-train", "50", "--epochs", "1", "--out", str(tmp_path)]
        assert train.main(arguments) == 0
        before = outcome(tmp_path)
        capsys.readouterr()
        assert train.main(["--resume", str(tmp_path)]) == 0
        assert capsys.readouterr().out.startswith("finished before: test accuracy 0.")
        assert outcome(tmp_path) == before

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            ("--resume {out} --epochs 9", "--epochs: the run in {out} has 4, got 9: leave it out"),
            ("--resume {out} --lr 0.5", "--lr: the run in {out} has None, got 0.5: leave it out"),
            ("--resume {out}x", "--resume {out}x: holds no run: give the arguments of a new one"),
            ("--resume {out} --out b", "--resume {out}: expected the folder of --out, b"),
            ("--resume", "--resume: expected a folder, here or as --out"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, tmp_path, capsys, arguments, sentence):
        interrupted(tmp_path)
        kept = (tmp_path / runs.CHECKPOINT).read_bytes()
        assert train.main(arguments.format(out=tmp_path).split()) == 2
        errors = capsys.readouterr().err
        assert errors.startswith(f"train.py: error: {sentence.format(out=tmp_path)}"), errors
        assert (tmp_path / runs.CHECKPOINT).read_bytes() == kept


def interrupted(folder: Path) -> None:
    """Leave a run in a folder that was interrupted in its first epoch."""
    process = Process(*RUN, "--out", str(folder))
    timer = threading.Timer(60, process.process.kill)
    timer.start()
    while not (folder / runs.CHECKPOINT).exists():
        time.sleep(0.01)
    process.process.send_signal(signal.SIGINT)
    assert process.ended()[0] == 130
    timer.cancel()
