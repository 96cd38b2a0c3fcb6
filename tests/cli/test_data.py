"""``xpnet data``: what the catalog and one's own files hold."""

from __future__ import annotations

import numpy as np
import pytest

import xpnet
from tests.cli.tasks import invoke, refused
from tests.published import emnist, published
from xpnet.data.catalog import SOURCES


def test_the_list_names_all_and_says_which_are_here(tmp_path, capsys):
    ran = invoke(capsys, "data", "list", "--data-dir", tmp_path, "--json")
    rows = {row["name"]: row for row in ran.json["datasets"]}
    assert tuple(rows) == xpnet.data.NAMES
    assert rows["digits"]["where"] == "comes with xpnet"
    assert {rows[name]["where"] for name in SOURCES} == {"to be downloaded"}
    assert (rows["emnist-letters"]["classes"], rows["cifar-10"]["shape"]) == (26, [3, 32, 32])
    lines = invoke(capsys, "data", "list", "--data-dir", tmp_path).out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *xpnet.data.NAMES]


def test_what_lies_in_the_folder_is_here_and_verified(tmp_path, capsys, monkeypatch):
    (tmp_path / "emnist").mkdir()
    path = tmp_path / "emnist/gzip.zip"
    rng = np.random.default_rng(0)
    part = rng.integers(0, 256, (6, 28, 28), np.uint8), np.array([0, 46, 1, 2, 3, 4], np.uint8)
    emnist(path, "balanced", {"train": part, "test": part})
    published(monkeypatch, "emnist-balanced", path)
    rows = invoke(capsys, "data", "list", "--data-dir", tmp_path, "--json").json["datasets"]
    assert "emnist-balanced" in [row["name"] for row in rows if row["where"] == "here"]
    ran = invoke(capsys, "data", "get", "emnist-balanced", "--data-dir", tmp_path)
    assert ran.out == (f"emnist-balanced: 6 train images, 6 test images: whole, in {tmp_path}\n")
    path.write_bytes(path.read_bytes()[:-9])
    ran = invoke(capsys, "data", "get", "emnist-balanced", "--data-dir", tmp_path)
    refused(ran, "gzip.zip", "xpnet data")


def test_a_data_set_is_described_as_it_is(capsys):
    train, test = xpnet.data.load("digits")
    about = invoke(capsys, "data", "show", "digits", "--json").json
    assert about["class_names"] == [str(k) for k in range(10)]
    for name, part in (("train", train), ("test", test)):
        row = about["parts"][name]
        assert (row["samples"], row["shape"], row["dtype"]) == (len(part), [1, 28, 28], "uint8")
        assert row["counts"] == [int((part.t == k).sum()) for k in range(10)]
        assert row["mean"] == pytest.approx(part.x.mean())
    text = invoke(capsys, "data", "show", "digits").out
    assert text.startswith("train: 1,437 samples of 1 x 28 x 28, uint8 of 0 to 255, mean 57.12")


def test_ones_own_data_are_shown_as_training_reads_them(table, images, capsys):
    line = ("--target", "species", "--drop", "id", "--json")
    about = invoke(capsys, "data", "show", table[0], *line).json
    assert about["class_names"] == ["setosa", "versicolor", "virginica"]
    assert about["parts"]["train"]["counts"] == [50, 50, 50]
    about = invoke(capsys, "data", "show", images[0], "--json").json
    assert (about["class_names"], about["parts"]["test"]["samples"]) == (["cat", "dog"], 24)


def test_some_images_of_each_class_are_drawn(images, tmp_path, capsys):
    line = ("--picture", tmp_path / "p.png", "--per-class", 20, "--quiet")  # more than there are
    ran = invoke(capsys, "data", "show", images[0], *line)
    assert (ran.status, ran.out) == (0, "")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("lst", "invalid choice: 'lst' (choose from 'list', 'get', 'show'): did you mean 'list'?"),
        ("get", "get: say which data set: xpnet data list names them"),
        ("show minst", "did you mean 'mnist'?"),
        ("get {table}", "is here already: xpnet data show says what it holds"),
        ("show {table} --target species --drop id --picture p.png", "holds no images"),
        ("show digits --device tpu", "device: expected 'cpu', 'gpu'"),
        ("list --device tpu", "device: expected 'cpu', 'gpu'"),
        ("show digits --pictures p.png", "did you mean '--picture'?"),
    ],
)
def test_a_mistake_is_one_sentence(table, capsys, arguments, sentence):
    line = arguments.format(table=table[0]).split()
    refused(invoke(capsys, "data", *line), sentence, "xpnet data")
