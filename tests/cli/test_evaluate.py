"""``xpnet evaluate``: what a trainer and counting by hand say, too."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xpnet
from tests.cli.tasks import invoke, put_table, refused


def test_it_says_what_the_training_said(digits, capsys):
    ran = invoke(capsys, "evaluate", digits, "--json")
    summary = json.loads((digits / "summary.json").read_text())
    assert ran.json["accuracy"] == summary["test_accuracy"]
    assert ran.json["loss"] == summary["test_loss"]
    assert (ran.json["samples"], ran.json["dataset"]) == (360, "digits")


def test_the_classes_are_counted(digits, capsys):
    rows = invoke(capsys, "evaluate", digits / "model.safetensors", "--json", "--quiet").json[
        "classes"
    ]
    _, test = xpnet.data.load("digits")
    guesses = xpnet.load(digits / "model.safetensors").predict(test.x).argmax(axis=1)
    for k, row in enumerate(rows):
        of_class = guesses[test.t == k]
        assert (row["class"], row["samples"]) == (str(k), len(of_class))
        assert row["recall"] == np.mean(of_class == k)
        assert row["precision"] == np.mean(test.t[guesses == k] == k)
        wrong = np.bincount(of_class[of_class != k], minlength=10)
        assert row["times"] == wrong.max()
        assert row["most_taken_for"] in [str(j) for j in np.flatnonzero(wrong == wrong.max())] + [
            None
        ]


def test_the_table_has_a_row_a_class(digits, capsys):
    ran = invoke(capsys, "evaluate", digits)
    first, titles, *rows = ran.out.splitlines()
    assert first.startswith("accuracy 0.")
    assert first.endswith(", 360 images")
    assert titles.split() == ["class", "samples", "recall", "precision", "most", "taken", "for"]
    assert [row.split()[0] for row in rows] == [str(k) for k in range(10)]


def test_quiet_is_one_line(digits, capsys):
    assert len(invoke(capsys, "evaluate", digits, "--quiet").out.splitlines()) == 1


def test_a_class_that_has_no_sample_has_no_share(table, tmp_path, capsys):
    path = put_table(tmp_path / "two.csv", rows=2)
    rows = invoke(capsys, "evaluate", table[1], "--dataset", path, "--json").json["classes"]
    assert (rows[2]["class"], rows[2]["samples"], rows[2]["recall"]) == ("virginica", 0, None)


@pytest.mark.parametrize("part", ["", "--train-part"])
def test_the_parts_of_a_run_on_a_table_are_found_again(table, capsys, part):
    ran = invoke(capsys, "evaluate", table[1], "--json", *part.split())
    assert ran.json["samples"] == (120 if part else 30)
    summary = json.loads((table[1] / "summary.json").read_text())
    assert part or ran.json["accuracy"] == summary["test_accuracy"]


def test_another_table_is_read_as_that_of_the_training_and_whole(table, tmp_path, capsys):
    path = put_table(tmp_path / "more.csv", rows=33)
    assert invoke(capsys, "evaluate", table[1], "--dataset", path, "--json").json["samples"] == 33


def test_a_folder_is_brought_to_the_size_of_the_network(images, capsys):
    ran = invoke(capsys, "evaluate", images[1], "--dataset", images[0] / "test", "--json")
    assert (ran.json["samples"], ran.json["accuracy"]) == (24, 1.0)
    assert [row["class"] for row in ran.json["classes"]] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("nowhere", "No such file or directory: 'nowhere'"),
        ("{out} --dataset mnsit", "did you mean 'mnist'?"),
        ("{out} --device abacus", "device: expected 'cpu', 'gpu'"),
        ("{out} --class-names a,b", "--class-names: expected 10 of"),
        ("{out} --class-names a,a", "expected names that differ, got 'a' twice"),
        ("{out} --trian-part", "did you mean '--train-part'?"),
        ("{out} --dataset {table} --target species --drop id", "expected one of 3 numbers"),
        ("", "the following arguments are required: MODEL"),
    ],
)
def test_a_mistake_is_one_sentence(digits, table, capsys, arguments, sentence):
    line = arguments.format(out=digits, table=table[0]).split()
    refused(invoke(capsys, "evaluate", *line), sentence, "xpnet evaluate")


def test_a_network_without_classes_is_refused(tmp_path, capsys):
    xpnet.models.mlp((4,), classes=1).save(tmp_path / "m.safetensors")
    ran = invoke(capsys, "evaluate", tmp_path / "m.safetensors")
    refused(ran, "expected a network with a score for each class", "xpnet evaluate")
