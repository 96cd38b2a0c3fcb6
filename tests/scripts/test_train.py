"""The train command: what it prints and writes, what it refuses, and how well its runs do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xpnet
from scripts import train
from tests.conftest import HAS_TORCH
from tests.published import cifar, emnist, published
from xpnet import models, optimizers, schedules
from xpnet.cli import train as code
from xpnet.data.layouts import CifarArchive
from xpnet.devices import DeviceError
from xpnet.ops.dispatch import load_bodies
from xpnet.training import History

ROOT = Path(__file__).parents[2]
SUMMARY = {
    "test_accuracy", "test_loss", "epochs", "steps", "train_seconds", "samples_per_second",
    "parameters", "dataset", "model", "device", "backend", "versions", "seed", "dtype",
    "optimizer", "schedule", "batch_size", "train_samples",
    "replayed", "not_replayed", "precision", "bits_depend_on",
}  # fmt: skip

needs_mnist = pytest.mark.skipif(
    not os.environ.get("XPNET_DATA"), reason="XPNET_DATA names no folder"
)


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, in a process of its own."""
    return python("scripts/train.py", *arguments, **environment)


def python(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def accuracy_of(output: str) -> float:
    (found,) = re.findall(r"^test accuracy (\d\.\d{4}), loss \d+\.\d{4}, trained", output, re.M)
    return float(found)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A run of three epochs, shared by the tests of what it leaves."""
    out = tmp_path_factory.mktemp("runs") / "first"
    return command("--epochs", 3, "--out", out, "--validation-split", 0.1), out


class TestARun:
    def test_it_ends_well_and_quietly(self, run):
        done, _ = run
        assert done.returncode == 0
        assert done.stderr == ""

    def test_it_prints_data_network_a_row_an_epoch_and_the_result(self, run):
        text = run[0].stdout
        assert "digits: 1,293 training images, 144 for validation, 360 test images" in text
        assert "mlp on cpu:" in text
        assert "replayed" not in text
        assert re.search(r"^total +235,146", text, re.M)
        rows = re.findall(r"^ +(\d)  +\d\.\d{4}  +\d\.\d{4}  +\d\.\d{4}  +\d\.\d{4} ", text, re.M)
        assert rows == ["1", "2", "3"]
        assert accuracy_of(text) > 0.9
        assert text.splitlines()[-1] == f"written to {run[1]}"

    def test_it_writes_five_files_and_nothing_else(self, run):
        assert sorted(p.name for p in run[1].iterdir()) == [
            "config.json", "curves.png", "history.jsonl", "model.safetensors", "summary.json"
        ]  # fmt: skip
        assert (run[1] / "curves.png").read_bytes().startswith(b"\x89PNG\r\n")

    def test_the_history_has_a_row_an_epoch(self, run):
        history = History.load(run[1] / "history.jsonl")
        assert history["epoch"] == [1, 2, 3]
        assert history["steps"] == [13, 26, 39]
        assert all(0 < value <= 1 for value in history["validation_accuracy"])

    def test_the_summary_says_what_ran_where_and_how_well(self, run):
        summary = json.loads((run[1] / "summary.json").read_text())
        assert summary.keys() >= SUMMARY
        assert summary["test_accuracy"] == pytest.approx(accuracy_of(run[0].stdout), abs=5e-5)
        expected = {
            "epochs": 3, "steps": 39, "parameters": 235_146, "dataset": "digits", "model": "mlp",
            "device": "cpu", "backend": "numpy", "seed": 0, "train_samples": 1293,
            "batch_size": 100, "schedule": "one-cycle", "dtype": "float32",
            "replayed": False, "precision": "float32",
        }  # fmt: skip
        assert {name: summary[name] for name in expected} == expected
        assert summary["not_replayed"].startswith("39 steps are fewer than are worth recording")
        assert summary["train_seconds"] > 0
        seconds = History.load(run[1] / "history.jsonl")["seconds"]
        assert summary["samples_per_second"] == pytest.approx(3 * 1293 / sum(seconds))
        assert summary["versions"]["xpnet"] == xpnet.__version__
        assert summary["versions"].keys() >= {"python", "numpy", "hardware"}
        assert summary["bits_depend_on"]["threads"] >= 1
        assert summary["bits_depend_on"]["bodies"]["numpy"] == summary["versions"]["numpy"]

    def test_the_network_predicts_as_well_as_the_summary_says(self, run):
        net = xpnet.load(run[1] / "model.safetensors")
        test = xpnet.data.load("digits")[1]
        accuracy = (net.predict(test.x).argmax(axis=1) == test.t).mean()
        summary = json.loads((run[1] / "summary.json").read_text())
        assert accuracy == summary["test_accuracy"]


def test_by_default_the_digits_are_learned():
    done = command()
    assert done.returncode == 0
    assert accuracy_of(done.stdout) >= 0.97


def test_quiet_prints_one_line(tmp_path):
    done = command("--quiet", "--epochs", 1, "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    accuracy_of(done.stdout)


@pytest.mark.faster_bodies  # a process of its own takes them anyway
@pytest.mark.parametrize(
    "arguments",
    [
        "--epochs 2",
        "--epochs 2 --model simple-convnet --limit-train 500",
        "--epochs 1 --model deep-convnet --limit-train 200",
    ],
)
def test_the_same_command_gives_the_same_bytes(tmp_path, arguments):
    done = command("--quiet", *arguments.split(), "--out", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert train.main(["--quiet", *arguments.split(), "--out", str(tmp_path / "b")]) == 0
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
    assert one == other


class TestDataSets:
    """Every model takes the channels, the size and the classes that a data set has."""

    @pytest.fixture
    def data_dir(self, tmp_path, monkeypatch) -> Path:
        rng = np.random.default_rng(0)
        for folder in ("emnist", "cifar-10"):
            (tmp_path / folder).mkdir()
        path = tmp_path / "emnist/gzip.zip"
        part = rng.integers(0, 256, (6, 28, 28), np.uint8), np.array([0, 46, 1, 2, 3, 4], np.uint8)
        emnist(path, "balanced", {"train": part, "test": part})
        published(monkeypatch, "emnist-balanced", path)
        path = tmp_path / "cifar-10/cifar-10-binary.tar.gz"
        batch = bytes([9, *rng.integers(0, 256, 3072).tolist()])
        cifar(path, dict.fromkeys([*CifarArchive.TRAIN, CifarArchive.TEST], batch))
        published(monkeypatch, "cifar-10", path, rows=1)
        return tmp_path

    @pytest.mark.parametrize("model", models.BY_NAME)
    @pytest.mark.parametrize(
        ("name", "shape", "classes"),
        [("emnist-balanced", (1, 28, 28), 47), ("cifar-10", (3, 32, 32), 10)],
    )
    def test_every_model_is_trained_on_it(self, data_dir, name, shape, classes, model):
        options = f"--dataset {name} --model {model} --epochs 1 --batch-size 5 --quiet".split()
        out = ["--data-dir", str(data_dir), "--out", str(data_dir / "out")]
        assert train.main([*options, *out]) == 0
        net = xpnet.load(data_dir / "out/model.safetensors")
        assert (net.input_shape, net.output_shape) == (shape, (classes,))


class TestProfile:
    """A table first, then the run as it would have been."""

    @pytest.mark.parametrize("how", ["", " layers"])
    def test_the_table_is_printed_and_the_run_is_the_same(self, tmp_path, capsys, how):
        common = ["--quiet", "--limit-train", "20", "--batch-size", "4", "--epochs", "1"]
        common += ["--model", "deep-convnet", "--out"]
        assert train.main([*common, str(tmp_path / "a")]) == 0
        capsys.readouterr()
        assert train.main([*common, str(tmp_path / "b"), *f"--profile{how}".split()]) == 0
        out, err = capsys.readouterr()
        header, *table, result = out.splitlines()
        assert err == ""
        assert header.split()[:2] == ["path", "layer"]
        names = [re.sub(r"^[\d-]+ ", "", line).split()[0] for line in table if line]
        assert [name for name in names if name in ("gather", "loss", "update", "total")] == [
            "gather", "loss", "update", "total"
        ]  # fmt: skip
        assert "Dropout" in names
        assert ("Conv2d+ReLU" in names) is (how != " layers")
        assert accuracy_of(result)
        one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
        assert one == other

    def test_by_default_it_shows_the_steps_as_they_run(self):
        modes = [train.parser().parse_args(line.split()).profile for line in ("--profile", "")]
        assert modes == ["steps", None]

    def test_it_stands_between_the_summary_and_the_epochs(self, capsys):
        assert train.main(["--limit-train", "50", "--epochs", "1", "--profile"]) == 0
        text = capsys.readouterr().out
        assert re.search(
            r"^total +235,146.*^path +layer.*^medians of 20 steps of 50 samples on cpu; .*"
            r"^ +epoch +train loss.*^test accuracy", text, re.M | re.S
        )  # fmt: skip


class TestUserErrors:
    """One sentence on standard error, exit status 2, no traceback."""

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            ("--model resnet", r"argument --model: invalid choice: 'resnet' \(choose from .*mlp"),
            ("--dataset cifar", r"argument --dataset: invalid choice: 'cifar'"),
            ("--optimizer lion", r"argument --optimizer: invalid choice: 'lion'"),
            ("--schedule linear", r"argument --schedule: invalid choice: 'linear'"),
            ("--dtype float16", r"argument --dtype: invalid choice: 'float16'"),
            ("--epochs 0", r"argument --epochs: expected a whole number >= 1, got '0'"),
            ("--epochs many", r"argument --epochs: expected a whole number >= 1, got 'many'"),
            ("--batch-size 1.5", r"argument --batch-size: expected a whole number >= 1, got '1.5'"),
            ("--lr 0", r"argument --lr: expected a number above 0, got '0'"),
            ("--lr nan", r"argument --lr: expected a number above 0, got 'nan'"),
            ("--lr inf", r"argument --lr: expected a number above 0, got 'inf'"),
            ("--weight-decay=-1", r"argument --weight-decay: expected a number >= 0, got '-1'"),
            ("--seed=-1", r"argument --seed: expected a whole number >= 0, got '-1'"),
            ("--validation-split 1", r"expected a share of at least 0 and below 1, got '1'"),
            ("--limit-train 5000", r"--limit-train: digits has 1437 training images, got 5000"),
            (
                "--validation-split 0.0001",
                r"leaves both parts of 1437 samples at least one, got 0.0001",
            ),
            ("--device abacus", r"device: expected 'cpu', 'gpu', .*, got 'abacus'"),
            ("--device gpu:x", r"device: expected 'cpu', 'gpu', .*, got 'gpu:x'"),
            ("--graph maybe", r"argument --graph: invalid choice: 'maybe'"),
            ("--precision half", r"argument --precision: invalid choice: 'half'"),
            (
                "--precision bf16 --dtype float64",
                r"precision 'bf16' is of float32 numbers, the net",
            ),
            ("--out pyproject.toml", r"--out pyproject\.toml: expected a folder, got a file"),
            ("--profile functions", r"argument --profile: invalid choice: 'functions'"),
            ("--colour", r"unrecognized arguments: --colour"),
        ],
    )
    def test_a_bad_argument(self, arguments, sentence, capsys, monkeypatch):
        monkeypatch.chdir(ROOT)
        try:
            status = train.main(arguments.split())
        except SystemExit as left:
            status = left.code
        out, err = capsys.readouterr()
        assert (status, out) == (2, "")
        assert re.match(r"train\.py: error: .", err.splitlines()[-1])
        assert re.search(sentence, err.splitlines()[-1])

    @pytest.mark.parametrize("arguments", ["--model resnet", "--device abacus"])
    def test_the_program_ends_without_a_traceback(self, arguments):
        done = command(*arguments.split())
        assert (done.returncode, done.stdout) == (2, "")
        assert "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("train.py: error: ")

    def test_a_gpu_without_cupy_is_told_at_once(self):
        try:
            xpnet.device("gpu")
        except DeviceError as error:
            if "CuPy" not in str(error):
                pytest.skip(str(error))
        else:
            pytest.skip("there is a GPU")
        began = os.times()
        done = command("--device", "gpu", "--dataset", "mnist", "--data-dir", "nowhere")
        ended = os.times()  # of the processor, so that a busy machine does not fail it
        assert ended.children_user - began.children_user < 2
        assert (done.returncode, done.stdout) == (2, "")
        (sentence,) = done.stderr.splitlines()
        assert sentence.startswith("train.py: error: device 'gpu:0' needs CuPy, which is not")
        assert "pip install 'cupy-cuda13x[ctk]'" in sentence
        assert not (ROOT / "nowhere").exists()

    def test_a_gpu_that_is_hidden_is_told_in_one_sentence(self):
        program = (
            "import runpy, sys; sys.argv[0] = 'train.py'\n"
            "from tests import emulator; emulator.install(devices=0)\n"
            "runpy.run_path('scripts/train.py', run_name='__main__')"
        )
        done = python("-c", program, "--device", "gpu")
        assert (done.returncode, done.stdout) == (2, "")
        (sentence,) = done.stderr.splitlines()
        assert re.match(r"train\.py: error: device 'gpu:0': the NVIDIA driver finds no", sentence)

    def test_missing_data_offline_says_what_to_put_where(self, tmp_path):
        closed = "http://127.0.0.1:9"
        done = command(
            "--dataset", "mnist", "--data-dir", tmp_path, "--out", tmp_path / "out",
            HTTP_PROXY=closed, HTTPS_PROXY=closed, http_proxy=closed, https_proxy=closed,
            NO_PROXY="", no_proxy="",
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert "Traceback" not in done.stderr
        assert done.stderr.startswith("train.py: error: mnist: could not download train-images")
        assert f"Put these files into {tmp_path / 'mnist'}" in done.stderr

    def test_without_matplotlib_everything_but_the_picture_is_written(
        self, tmp_path, capsys, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        options = ["--quiet", "--limit-train", "50", "--epochs", "1", "--out", str(tmp_path)]
        assert train.main(options) == 0
        assert re.match(
            r"no curves\.png: pictures need matplotlib: run .*\n$", capsys.readouterr().err
        )
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            "config.json", "history.jsonl", "model.safetensors", "summary.json"
        ]  # fmt: skip

    def test_ctrl_c_ends_it_without_a_traceback(self, capsys, monkeypatch):
        def interrupted(*arguments, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr(xpnet.Trainer, "fit", interrupted)
        assert train.main(["--quiet"]) == 130
        assert capsys.readouterr().err == "\ntrain.py: interrupted\n"

    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    @pytest.mark.parametrize("rate", ["1", "1e3", "1e6"])
    def test_a_run_that_learned_nothing_says_so(self, rate, capsys):
        few = ["--limit-train", "300", "--epochs", "2", "--quiet"]
        assert train.main([*few, "--lr", rate]) == 0
        out, err = capsys.readouterr()
        assert out.startswith("test accuracy 0.")
        assert re.match(r"train\.py: the network has learned nothing: .* best constant answer", err)

    def test_a_run_that_diverges_says_so(self, capsys):
        assert train.main(["--quiet", "--optimizer", "sgd", "--lr", "1e30", "--epochs", "2"]) == 2
        assert "train.py: error: the loss became" in capsys.readouterr().err


def quick(*arguments: object) -> list[str]:
    return ["--quiet", "--limit-train", "100", "--epochs", "1", *map(str, arguments)]


def summary_of(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


class TestOptions:
    def test_help_mentions_every_option(self, capsys):
        with pytest.raises(SystemExit) as left:
            train.main(["--help"])
        assert left.value.code == 0
        text = capsys.readouterr().out
        for name in (
            "dataset", "data-dir", "limit-train", "validation-split", "model", "epochs",
            "batch-size", "optimizer", "lr", "schedule", "weight-decay", "seed", "dtype", "device",
            "out", "quiet", "profile", "graph", "precision",
        ):  # fmt: skip
            assert f"--{name}" in text
        for choice in (*models.BY_NAME, *code.OPTIMIZERS, *schedules.NAMES, *xpnet.data.NAMES):
            assert choice in text

    def test_every_option_is_explained(self):
        for action in train.parser()._actions:
            assert action.help, action.option_strings

    @pytest.mark.parametrize("name", code.OPTIMIZERS)
    def test_every_optimizer_runs(self, tmp_path, name):
        assert train.main(quick("--optimizer", name, "--out", tmp_path)) == 0
        kind, lr = code.OPTIMIZERS[name]
        assert summary_of(tmp_path)["optimizer"] == repr(kind(lr=lr))

    def test_every_optimizer_of_the_library_is_offered(self):
        assert {kind.__name__ for kind, _ in code.OPTIMIZERS.values()} == set(
            optimizers.__all__
        ) - {"Optimizer"}

    @pytest.mark.parametrize("name", schedules.NAMES)
    def test_every_schedule_runs(self, tmp_path, name):
        arguments = quick("--schedule", name, "--batch-size", 20, "--lr", 0.01, "--out", tmp_path)
        assert train.main(arguments) == 0
        (rate,) = History.load(tmp_path / "history.jsonl")["lr"]
        assert rate == pytest.approx(0.01 * schedules.schedule(name)(4, 5))

    @pytest.mark.parametrize("name", models.BY_NAME)
    def test_every_model_runs(self, tmp_path, name):
        arguments = ["--quiet", "--limit-train", "20", "--epochs", "1", "--model", name]
        assert train.main([*arguments, "--out", str(tmp_path)]) == 0
        assert summary_of(tmp_path)["model"] == name
        assert xpnet.load(tmp_path / "model.safetensors").output_shape == (10,)

    def test_a_validation_split_is_held_out_by_the_seed(self, tmp_path):
        arguments = quick("--validation-split", 0.2, "--seed", 5, "--out", tmp_path)
        assert train.main(arguments) == 0
        summary, history = summary_of(tmp_path), History.load(tmp_path / "history.jsonl")
        assert (summary["train_samples"], summary["steps"], summary["seed"]) == (80, 1, 5)
        assert (history["validation_accuracy"][0] * 20) % 1 == pytest.approx(0)

    def test_the_seed_makes_the_run(self, tmp_path):
        for name, seed in (("a", 0), ("b", 1)):
            train.main(quick("--seed", seed, "--out", tmp_path / name))
        assert summary_of(tmp_path / "a")["test_loss"] != summary_of(tmp_path / "b")["test_loss"]

    def test_float64_makes_a_network_of_float64(self, tmp_path):
        assert train.main(quick("--dtype", "float64", "--out", tmp_path)) == 0
        net = xpnet.load(tmp_path / "model.safetensors")
        assert {str(a.dtype) for a in net.params.values()} == {"float64"}

    @pytest.mark.parametrize(
        ("options", "decay"),
        [
            ("", 0.0),
            ("--weight-decay 0.25", 0.25),
            ("--optimizer adamw", 0.01),
            ("--optimizer adamw --weight-decay 0", 0.0),
        ],
    )
    def test_weight_decay_reaches_the_optimizer(self, options, decay):
        arguments = train.parser().parse_args(options.split())
        assert code.make_optimizer(arguments).weight_decay == decay

    @pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
    def test_torch_runs(self, tmp_path):
        assert train.main(quick("--device", "torch:cpu", "--out", tmp_path)) == 0
        summary = summary_of(tmp_path)
        assert (summary["device"], summary["backend"]) == ("torch:cpu", "torch")
        assert "torch" in summary["versions"]


@pytest.mark.faster_bodies
def test_a_processor_replays_steps_where_that_is_asked_for(tmp_path):
    if not load_bodies("numba"):
        pytest.skip("needs numba (the fast extra), and XPNET_NUMBA not 0")
    arguments = ["--limit-train", "250", "--epochs", "2", "--graph", "on", "--out", str(tmp_path)]
    assert train.main(arguments) == 0
    summary = summary_of(tmp_path)
    assert (summary["replayed"], summary["not_replayed"]) == (True, None)


@pytest.mark.gpu
class TestReplayedSteps:
    """On a GPU the command says whether steps are replayed, and the results are the same."""

    def run(self, out: Path, *options: object) -> dict:
        arguments = ["--limit-train", "250", "--epochs", "2", "--device", "gpu"]
        assert train.main([*arguments, *map(str, options), "--out", str(out)]) == 0
        return summary_of(out)

    @pytest.mark.parametrize("graph", ["auto", "on"])
    def test_they_are_replayed_unless_that_is_declined(self, tmp_path, capsys, graph):
        summary = self.run(tmp_path / "a", "--graph", graph)
        assert (summary["replayed"], summary["not_replayed"]) == (True, None)
        lines = capsys.readouterr().out.splitlines()
        assert lines.count("steps were recorded and replayed") == 1
        summary = self.run(tmp_path / "b", "--graph", "off")
        reason = "graph='off' asks for it"
        assert (summary["replayed"], summary["not_replayed"]) == (False, reason)
        lines = capsys.readouterr().out.splitlines()
        assert lines.count(f"steps were not replayed: {reason}") == 1
        one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
        assert one == other

    def test_quiet_does_not_say_it(self, tmp_path, capsys):
        assert self.run(tmp_path, "--quiet")["replayed"] is True
        assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("graph", ["auto", "on", "off"])
def test_graph_reaches_the_trainer(monkeypatch, capsys, graph):
    made = []

    class Seen(xpnet.Trainer):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(self.graph)
            self.graph = "off"

    monkeypatch.setattr(xpnet, "Trainer", Seen)
    monkeypatch.setattr(code, "not_recordable", lambda net: None)
    assert train.main(quick("--graph", graph)) == 0
    assert made == [graph]
    assert "replayed" not in capsys.readouterr().out


def test_a_run_that_cannot_be_replayed_as_asked_changes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(code, "not_recordable", lambda net: "the network is of another kind")
    assert train.main(quick("--out", tmp_path)) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert train.main(quick("--out", tmp_path, "--graph", "on")) == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert "--graph on: the network is of another kind" in capsys.readouterr().err


@pytest.mark.mnist
@needs_mnist
@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
def test_libraries_agree_on_an_epoch_of_mnist_in_float64(tmp_path):
    histories = []
    for device in ("cpu", "torch:cpu"):
        out = tmp_path / device.replace(":", "-")
        arguments = "--quiet --dataset mnist --limit-train 6000 --epochs 1 --dtype float64"
        assert train.main([*arguments.split(), "--device", device, "--out", str(out)]) == 0
        histories.append(History.load(out / "history.jsonl"))
    assert histories[0]["train_loss"] == pytest.approx(histories[1]["train_loss"], rel=0, abs=1e-9)
    assert histories[0]["train_accuracy"] == histories[1]["train_accuracy"]


@pytest.mark.slow
@pytest.mark.mnist
@needs_mnist
@pytest.mark.parametrize(
    ("model", "epochs", "floor"),
    [("mlp", 5, 0.982), ("simple-convnet", 3, 0.987), ("deep-convnet", 2, 0.989)],
)
def test_mnist_is_learned(capsys, model, epochs, floor):
    arguments = f"--quiet --dataset mnist --model {model} --epochs {epochs}"
    assert train.main(arguments.split()) == 0
    assert accuracy_of(capsys.readouterr().out) >= floor


def test_a_run_that_diverges_leaves_earlier_results_as_they_were(tmp_path, capsys):
    common = ["--limit-train", "200", "--out", str(tmp_path), "--quiet"]
    assert train.main(["--epochs", "1", *common]) == 0
    earlier = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    capsys.readouterr()
    assert train.main(["--optimizer", "sgd", "--lr", "1e9", *common]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"train.py: error: the loss became (nan|inf) .*\n", err)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == earlier
