"""``xpnet resume``: a run that was interrupted ends with the bits of one that was not."""

from __future__ import annotations

import signal

import pytest

import xpnet
from tests.cli.tasks import invoke, put_images, refused
from xpnet.cli import runs
from xpnet.cli.process import Interrupted

LINE = (
    "--limit-train", 100, "--epochs", 3, "--average-weights", "--early-stopping", 3,
    "--validation-split", 0.1, "--clip-norm", 1,
)  # fmt: skip


@pytest.fixture
def interrupted(monkeypatch):
    """Let a run end after the second epoch, as a signal does."""

    class Stop(xpnet.training.Callback):
        def epoch_ends(self, trainer, row):
            if trainer.epoch == 2:
                raise Interrupted(signal.SIGTERM)

    def begin(capsys, *arguments):
        with monkeypatch.context() as patch:
            steering = xpnet.cli.train.steering
            patch.setattr(xpnet.cli.train, "steering", lambda args: [*steering(args), Stop()])
            return invoke(capsys, "train", *arguments)

    return begin


def test_the_run_goes_on_to_the_same_bits(tmp_path, capsys, interrupted):
    assert invoke(capsys, "train", *LINE, "--out", tmp_path / "whole", "--quiet").status == 0
    ran = interrupted(capsys, *LINE, "--out", tmp_path / "run", "--quiet")
    assert ran.status == 143
    assert ran.err.endswith(
        f"\nxpnet train: interrupted: go on with xpnet resume {tmp_path / 'run'}\n"
    )
    ran = invoke(capsys, "resume", tmp_path / "run", "--json")
    assert (ran.status, ran.json["epochs"]) == (0, 3)
    for name in ("model.safetensors", "config.json"):
        one, other = ((tmp_path / run / name).read_bytes() for run in ("whole", "run"))
        assert one == other
    ran = invoke(capsys, "resume", tmp_path / "run", "--json")
    assert ran.json["epochs"] == 3
    assert ran.err.startswith("finished before: test accuracy 0.")


def test_a_run_that_is_not_finished_can_be_used(tmp_path, capsys, interrupted):
    folder = put_images(tmp_path / "pets")
    line = ("--dataset", folder, "--epochs", 9, "--batch-size", 8, "--out", tmp_path / "run")
    assert interrupted(capsys, *line).status == 143
    assert (tmp_path / "run" / runs.CHECKPOINT).exists()
    rows = invoke(capsys, "evaluate", tmp_path / "run", "--json").json["classes"]
    assert [row["class"] for row in rows] == ["cat", "dog"]
    ran = invoke(capsys, "predict", tmp_path / "run", folder, "--json")
    assert len(ran.json["predictions"]) == 24


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("nowhere", "nowhere: holds no run: xpnet train --out begins one"),
        ("nowhere --device cpu", "nowhere: holds no run: xpnet train --out begins one"),
        ("", "the following arguments are required: DIR"),
        ("nowhere --jsn", "did you mean '--json'?"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    refused(invoke(capsys, "resume", *arguments.split()), sentence, "xpnet resume")
    assert list(tmp_path.iterdir()) == []


def test_another_device_than_before_is_refused(tmp_path, capsys, interrupted):
    assert interrupted(capsys, *LINE, "--out", tmp_path).status == 143
    ran = invoke(capsys, "resume", tmp_path, "--device", "auto")
    refused(ran, f"--device: the run in {tmp_path} has 'cpu', got 'auto'", "xpnet resume")
