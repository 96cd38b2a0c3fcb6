"""``xpnet train``: what it learns from, how it is steered, and files of arguments.

What it shares with ``scripts/train.py`` is tested there.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import xpnet
from tests.cli.tasks import invoke, put_images, put_table, refused
from xpnet import cli
from xpnet.layers import BatchNorm
from xpnet.training import History

QUICK = ("--limit-train", 200, "--epochs", 2, "--quiet")


def config(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


def model(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


class TestOwnData:
    def test_a_table_is_learned_whatever_the_scales_of_its_columns(self, table):
        path, out = table
        summary = json.loads((out / "summary.json").read_text())
        assert summary["test_accuracy"] >= 0.9
        assert summary["train_samples"] == 120
        net = xpnet.load(out / "model.safetensors")
        assert (net.input_shape, net.output_shape) == ((3,), (3,))
        assert isinstance(net.layers[0], BatchNorm)
        assert config(out)["dataset"] == str(path)

    def test_a_table_of_pixels_is_one_of_images(self, tmp_path, capsys):
        train, _ = xpnet.data.load("digits")
        rows = np.column_stack([train.t[:150], train.x[:150].reshape(150, -1)])
        header = ",".join(["label", *(f"p{k}" for k in range(784))])
        np.savetxt(tmp_path / "d.csv", rows, "%d", ",", header=header, comments="")
        line = ("--shape", "1,28,28", "--model", "simple-convnet", "--epochs", 1, "--quiet")
        ran = invoke(
            capsys, "train", "--dataset", tmp_path / "d.csv", *line, "--out", tmp_path / "r"
        )
        assert ran.status == 0, ran.err
        net = xpnet.load(tmp_path / "r/model.safetensors")
        assert (net.input_shape, net.output_shape) == ((1, 28, 28), (10,))

    def test_a_folder_of_two_parts_is_tested_on_the_second(self, images):
        _, out = images
        summary = json.loads((out / "summary.json").read_text())
        assert (summary["train_samples"], summary["test_accuracy"]) == (24, 1.0)
        assert xpnet.load(out / "model.safetensors").input_shape == (3, 16, 16)

    def test_a_test_part_that_lacks_a_class_moves_no_other(self, tmp_path, capsys):
        for part in ("train", "test"):
            put_images(tmp_path / "pets" / part)
        shutil.rmtree(tmp_path / "pets/test/cat")
        line = ("--epochs", 20, "--batch-size", 8, "--quiet", "--json")
        ran = invoke(capsys, "train", "--dataset", tmp_path / "pets", *line)
        assert ran.json["test_accuracy"] == 1.0

    def test_a_folder_without_parts_is_divided(self, tmp_path, capsys):
        folder = put_images(tmp_path / "pets", count=10)
        ran = invoke(
            capsys, "train", "--dataset", folder, "--test-split", 0.3, "--epochs", 1, "--json"
        )
        assert ran.json["train_samples"] == 14

    def test_another_file_is_the_test_part(self, table, tmp_path, capsys):
        path, _ = table
        other = put_table(tmp_path / "test.csv", rows=12)
        line = ("--target", "species", "--drop", "id", "--epochs", 1)
        ran = invoke(capsys, "train", "--dataset", path, "--test-data", other, *line)
        assert "150 training samples, 12 test samples" in ran.out

    @pytest.mark.parametrize("names", [("x", "t"), ("x", "y"), ("x_train", "y_train")])
    def test_an_archive_says_by_names_what_it_holds(self, tmp_path, capsys, names):
        train, test = xpnet.data.load("digits")
        arrays = dict(zip(names, (train.x[:80, 0], train.t[:80]), strict=True))
        if names[0] == "x_train":
            arrays |= {"x_test": test.x[:9, 0], "y_test": test.t[:9]}
        np.savez(tmp_path / "d.npz", **arrays)
        ran = invoke(capsys, "train", "--dataset", tmp_path / "d.npz", "--epochs", 1)
        assert ran.status == 0, ran.err
        parts = (
            "80 training images, 9 test" if "x_test" in arrays else "64 training images, 16 test"
        )
        assert parts in ran.out
        assert "1 x 28 x 28" in ran.out

    def test_images_with_their_channels_last_are_turned(self, tmp_path, capsys):
        x = np.random.default_rng(0).integers(0, 255, (20, 8, 6, 3), np.uint8)
        np.savez(tmp_path / "d.npz", x=x, t=np.arange(20) % 2)
        ran = invoke(capsys, "train", "--dataset", tmp_path / "d.npz", "--epochs", 1)
        assert "3 x 8 x 6" in ran.out


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that nothing steers."""
    out = tmp_path_factory.mktemp("plain")
    assert cli.main(["train", *map(str, QUICK), "--out", str(out)]) == 0
    return out


class TestSteering:
    """Each option changes the run, and stands in its arguments."""

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("clip-norm", 0.01), ("average-weights", 0.9), ("class-weight", "balanced"),
            ("accumulate", 2),
        ],
    )  # fmt: skip
    def test_an_option_changes_the_network(self, plain, tmp_path, capsys, option, value):
        ran = invoke(capsys, "train", *QUICK, f"--{option}", value, "--out", tmp_path)
        assert ran.status == 0, ran.err
        assert model(tmp_path) != model(plain)
        assert config(tmp_path)[option.replace("-", "_")] == value

    def test_weights_are_averaged_by_default_over_a_thousand_steps(self, tmp_path, capsys):
        assert invoke(capsys, "train", *QUICK, "--average-weights", "--out", tmp_path).status == 0
        assert config(tmp_path)["average_weights"] == 0.999

    def test_training_stops_early_where_it_no_longer_helps(self, tmp_path, capsys):
        line = ("--validation-split", 0.2, "--early-stopping", 1, "--lr", 0.05, "--epochs", 40)
        ran = invoke(capsys, "train", "--limit-train", 200, *line, "--out", tmp_path, "--json")
        assert ran.status == 0, ran.err
        epochs = History.load(tmp_path / "history.jsonl")["epoch"][-1]
        assert epochs < 40
        assert ran.json["epochs"] == epochs


class TestFilesOfArguments:
    LINE = (*QUICK, "--model", "mlp", "--lr", 0.01, "--clip-norm", 2, "--validation-split", 0.1)

    def test_a_run_from_the_file_of_another_has_its_bits(self, tmp_path, capsys):
        assert invoke(capsys, "train", *self.LINE, "--out", tmp_path / "a").status == 0
        line = ("--config", tmp_path / "a/config.json", "--quiet", "--out", tmp_path / "b")
        assert invoke(capsys, "train", *line).status == 0
        assert model(tmp_path / "a") == model(tmp_path / "b")
        assert config(tmp_path / "a") == config(tmp_path / "b")

    def test_a_table_comes_back_from_its_file(self, table, tmp_path, capsys):
        _, out = table
        ran = invoke(capsys, "train", "--config", out, "--quiet", "--out", tmp_path / "again")
        assert ran.status == 0, ran.err
        assert model(tmp_path / "again") == model(out)

    def test_the_command_line_wins(self, tmp_path, capsys):
        (tmp_path / "c.json").write_text('{"epochs": 3, "batch-size": 7, "dataset": "gone.csv"}')
        line = ("--config", tmp_path / "c.json", "--epochs", 1, "--dataset", "digits")
        ran = invoke(capsys, "train", *line, "--limit-train", 20, "--json")
        assert ran.status == 0, ran.err
        assert (ran.json["epochs"], ran.json["batch_size"]) == (1, 7)

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ('{"epoch": 3}', "c.json: 'epoch' is no argument: did you mean 'epochs'?"),
            ('{"resume": "x"}', "c.json: 'resume' is no argument"),
            ('{"epochs": 0}', "c.json: argument --epochs: expected a whole number >= 1, got '0'"),
            ('{"model": "mpl"}', "c.json: argument --model: invalid choice: 'mpl'"),
            ("[1]", "c.json: no arguments of a run"),
            ("{", "c.json: no arguments of a run"),
        ],
    )
    def test_a_file_that_is_wrong_is_named(self, tmp_path, capsys, text, sentence):
        (tmp_path / "c.json").write_text(text)
        refused(invoke(capsys, "train", "--config", tmp_path / "c.json"), sentence, "xpnet train")

    def test_a_file_that_is_not_there_is_named(self, tmp_path, capsys):
        ran = invoke(capsys, "train", "--config", tmp_path / "c.json")
        refused(ran, f"No such file or directory: '{tmp_path / 'c.json'}'", "xpnet train")


class TestJson:
    def test_one_object_is_printed_and_all_else_is_on_standard_error(self, capsys):
        ran = invoke(capsys, "train", "--limit-train", 50, "--epochs", 1, "--json")
        assert ran.json["train_samples"] == 50
        assert "mlp on cpu:" in ran.err
        assert "test accuracy" in ran.err

    def test_quiet_leaves_the_object_alone(self, capsys):
        ran = invoke(capsys, "train", *QUICK, "--json")
        assert (ran.status, ran.err) == (0, "")
        assert ran.json["arguments"]["limit_train"] == 200


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--epoch 3", "unrecognized arguments: --epoch 3: did you mean '--epochs'?"),
        ("--colour", "unrecognized arguments: --colour"),
        ("--model simple-convent", "did you mean 'simple-convnet'?"),
        ("--dataset minst", "did you mean 'mnist'?"),
        ("--dataset train.csv", "or name a .csv or .npz file or a folder of images that is there)"),
        ("--dataset {table} --drop id", "expected a column 'label', got only id, length"),
        ("--dataset {table} --target spices", "did you mean 'species'?"),
        (
            "--dataset {table} --target length --drop id,species",
            "expected targets that are classes",
        ),
        ("--dataset {table} --target species --drop id --model alexnet", "take --model mlp"),
        ("--dataset {table} --target species", "column 'id'"),
        ("--dataset {images} --size 1,2,3", "--size: expected one size or H,W, got [1, 2, 3]"),
        ("--size 0", "argument --size: expected whole numbers >= 1 with commas between"),
        ("--early-stopping 3", "--early-stopping: needs data to watch: say --validation-split 0.1"),
        ("--class-weight equal", "invalid choice: 'equal' (choose from 'balanced')"),
        ("--clip-norm 0", "argument --clip-norm: expected a number above 0, got '0'"),
        ("--average-weights 1", "expected a share of at least 0 and below 1, got '1'"),
        ("--accumulate 0", "argument --accumulate: expected a whole number >= 1, got '0'"),
        ("--accumulate 2.5", "argument --accumulate: expected a whole number >= 1, got '2.5'"),
        ("--device gpuu", "device: expected 'cpu', 'gpu'"),
        ("--resume {table}.run", "holds no run: give the arguments of a new one"),
    ],
)
def test_a_mistake_is_one_sentence(table, images, capsys, arguments, sentence):
    line = arguments.format(table=table[0], images=images[0]).split()
    refused(invoke(capsys, "train", *line), sentence, "xpnet train")


def test_labels_that_are_too_many_are_no_labels(tmp_path, capsys):
    (tmp_path / "p.csv").write_text("size,label\n1.5,200000\n2.5,300000\n")
    ran = invoke(capsys, "train", "--dataset", tmp_path / "p.csv")
    refused(ran, "whole numbers of 0 to 999, got int64 of 200000 to 300000", "xpnet train")


def test_an_archive_of_other_names_is_told_which_are_known(tmp_path, capsys):
    np.savez(tmp_path / "d.npz", a=np.eye(3))
    ran = invoke(capsys, "train", "--dataset", tmp_path / "d.npz")
    refused(ran, "expected arrays x_train and y_train, or", "xpnet train")
