"""The command as a process: exit statuses, signals, pipes and faults."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import xpnet
from tests.cli.tasks import invoke, process
from xpnet.cli import predict
from xpnet.cli.process import print_json

pytestmark = pytest.mark.faster_bodies  # processes of their own take them anyway


def test_the_module_is_the_command():
    ran = process("train", "--quiet", "--limit-train", 50, "--epochs", 1)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("test accuracy 0.")
    ran = process("train", "--epoch", 1)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        "xpnet train: error: unrecognized arguments: --epoch 1: did you mean '--epochs'?\n"
    )


def test_importing_xpnet_imports_no_command():
    program = "import sys, xpnet; print([m for m in sys.modules if 'cli' in m or m == 'argparse'])"
    found = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert "xpnet.cli" not in found


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_signal_ends_it_with_a_sentence(number, status, tmp_path):
    line = [sys.executable, "-m", "xpnet", "train", "--epochs", "100000", "--out", str(tmp_path)]
    running = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    running.stdout.readline()
    while not (tmp_path / "checkpoint.safetensors").exists():
        time.sleep(0.01)
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    assert running.returncode == status
    assert err == f"\nxpnet train: interrupted: go on with xpnet resume {tmp_path}\n"


def test_a_reader_that_has_enough_is_no_fault():
    line = f"{sys.executable} -m xpnet data list | head -1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("name")
    assert done.stderr == ""


class TestFaults:
    """Of xpnet itself: one sentence, status 1, and the traceback for who asks for it."""

    @pytest.fixture(autouse=True)
    def _broken(self, monkeypatch):
        def broken(*_):
            raise ZeroDivisionError("it is\nbroken")

        monkeypatch.setattr(predict, "predict", broken)

    def test_they_are_told_in_a_sentence(self, capsys):
        ran = invoke(capsys, "predict", "model", "file.png")
        assert (ran.status, ran.out) == (1, "")
        (line,) = ran.err.splitlines()
        assert "xpnet itself has failed (ZeroDivisionError: it is broken)" in line

    def test_the_environment_asks_for_the_traceback(self, capsys, monkeypatch):
        monkeypatch.setenv("XPNET_TRACEBACK", "1")
        with pytest.raises(ZeroDivisionError):
            invoke(capsys, "predict", "model", "file.png")


def test_ctrl_c_outside_of_a_fit_is_130(capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "predict", interrupted)
    ran = invoke(capsys, "predict", "model", "file.png")
    assert (ran.status, ran.err) == (130, "\nxpnet predict: interrupted\n")


def test_json_has_no_nan(capsys):
    print_json({"a": [float("nan"), 1.5], "b": {"c": float("inf")}})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5], "b": {"c": None}}


def test_a_disk_that_is_full_leaves_no_half_of_a_table(digits, tmp_path, capsys, monkeypatch):
    import numpy as np

    np.save(tmp_path / "a.npy", xpnet.data.load("digits")[1].x[:3])

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    (tmp_path / "p.csv").write_text("before")
    ran = invoke(capsys, "predict", digits, tmp_path / "a.npy", "--out", tmp_path / "p.csv")
    assert (ran.status, (tmp_path / "p.csv").read_text()) == (2, "before")
    assert "No space left on device" in ran.err
