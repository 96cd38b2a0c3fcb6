"""``xpnet predict``: images, arrays and tables, as the network itself sees them."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest

import xpnet
from tests.cli.tasks import SPECIES, invoke, put_digits, put_table, refused


def scores_of(run, x):
    return xpnet.load(run / "model.safetensors").predict(x)


class TestImages:
    def test_scans_are_named(self, digits, tmp_path, capsys):
        written = put_digits(tmp_path / "scans")
        ran = invoke(capsys, "predict", digits, *(path for path, _ in written))
        titles, *rows = ran.out.splitlines()
        assert titles.split() == ["file", "class", "probability", "runner-up", "probability"]
        named = [row.split()[:2] for row in rows]
        assert sum(name == str(label) for (_, name), (_, label) in zip(named, written)) >= 7  # noqa: B905
        assert [file for file, _ in named] == [str(path) for path, _ in written]

    def test_dark_digits_on_white_paper_are_inverted_on_request(self, digits, tmp_path, capsys):
        written = put_digits(tmp_path / "paper", paper=True)
        right = {}
        for options in ((), ("--invert",)):
            ran = invoke(capsys, "predict", digits, tmp_path / "paper", "--json", *options)
            named = [one["class"] for one in ran.json["predictions"]]
            labels = [str(label) for _, label in written]
            right[options] = sum(a == b for a, b in zip(named, labels, strict=True))
            told = "xpnet predict: the images are of a mean brightness of"
            assert ran.err.startswith(told) is (not options)
        assert right["--invert",] >= 7 > right[()]

    def test_an_image_of_the_networks_size_gets_its_own_probabilities(
        self, digits, tmp_path, capsys
    ):
        from PIL import Image

        _, test = xpnet.data.load("digits")
        Image.fromarray(test.x[0, 0]).save(tmp_path / "a.png")
        (one,) = invoke(capsys, "predict", digits, tmp_path / "a.png", "--json", "--top", 10).json[
            "predictions"
        ]
        scores = scores_of(digits, test.x[:1])[0].astype(float)
        expected = np.exp(scores) / np.exp(scores).sum()
        found = {entry["class"]: entry["probability"] for entry in one["top"]}
        assert [found[str(k)] for k in range(10)] == pytest.approx(expected.tolist(), rel=1e-4)
        assert one["probability"] == max(found.values())

    def test_a_folder_is_searched_and_classes_have_their_names(self, images, capsys):
        ran = invoke(capsys, "predict", images[1], images[0] / "test", "--json")
        found = ran.json["predictions"]
        assert len(found) == 24
        assert all(one["class"] in one["file"] for one in found)

    def test_the_names_of_classes_may_be_given(self, digits, tmp_path, capsys):
        put_digits(tmp_path / "scans")
        names = ",".join(f"number{k}" for k in range(10))
        ran = invoke(capsys, "predict", digits, tmp_path / "scans", "--class-names", names)
        assert "number" in ran.out.splitlines()[1].split()[1]

    def test_a_model_by_itself_knows_its_classes(self, images, tmp_path, capsys):
        alone = tmp_path / "m.safetensors"
        alone.write_bytes((images[1] / "model.safetensors").read_bytes())
        ran = invoke(capsys, "predict", alone, images[0] / "test/dog/00.png", "--json")
        assert ran.json["predictions"][0]["class"] == "dog"

    def test_without_pillow_one_sentence_says_what_to_install(
        self, digits, tmp_path, capsys, monkeypatch
    ):
        ((path, _), *_) = put_digits(tmp_path / "scans")
        monkeypatch.setitem(sys.modules, "PIL", None)
        ran = invoke(capsys, "predict", digits, path)
        refused(ran, "images are read with Pillow: run `pip install pillow`", "xpnet predict")


class TestArraysAndTables:
    @pytest.mark.parametrize("kind", ["npy", "npz", "single", "grey"])
    def test_an_array_is_predicted_as_the_network_does(self, digits, tmp_path, capsys, kind):
        _, test = xpnet.data.load("digits")
        x, path, line = test.x[:5], tmp_path / "a.npy", []
        if kind == "npz":
            path, line = tmp_path / "a.npz", ["--array", "pixels"]
            np.savez(path, pixels=x, other=np.eye(2))
        else:
            np.save(path, {"npy": x, "single": x[0, 0], "grey": x[:, 0]}[kind])
        ran = invoke(capsys, "predict", digits, path, *line, "--json")
        found = [int(one["class"]) for one in ran.json["predictions"]]
        expected = scores_of(digits, x).argmax(axis=1).tolist()
        assert found == expected[: len(found)]
        assert len(found) == (1 if kind == "single" else 5)
        assert ran.json["predictions"][0]["file"] == f"{path}:0"

    @pytest.mark.parametrize("labelled", [True, False])
    def test_a_table_may_have_the_column_of_the_classes(self, table, tmp_path, capsys, labelled):
        lines = table[0].read_text().splitlines()[:13]
        if not labelled:
            lines = [line.rpartition(",")[0] for line in lines]
        (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
        ran = invoke(capsys, "predict", table[1], tmp_path / "t.csv", "--json")
        found = [one["class"] for one in ran.json["predictions"]]
        assert len(found) == 12
        assert sum(name == SPECIES[k % 3] for k, name in enumerate(found)) >= 10

    def test_columns_may_have_numbers_alone(self, tmp_path, capsys):
        path = put_table(tmp_path / "named.csv")
        lines = [
            line.split(",", 1)[1].replace(",", ";") for line in path.read_text().splitlines()[1:]
        ]
        (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
        line = ("--dataset", tmp_path / "t.csv", "--target", 3, "--header", "no")
        more = ("--delimiter", ";", "--batch-size", 20, "--quiet", "--out", tmp_path / "run")
        assert invoke(capsys, "train", *line, *more).status == 0
        for columns in (4, 3):
            rows = [";".join(line.split(";")[:columns]) for line in lines[:12]]
            (tmp_path / "new.csv").write_text("\n".join(rows) + "\n")
            ran = invoke(capsys, "predict", tmp_path / "run", tmp_path / "new.csv", "--json")
            found = [one["class"] for one in ran.json["predictions"]]
            assert sum(name == SPECIES[k % 3] for k, name in enumerate(found)) >= 10

    def test_a_table_of_columns_to_drop(self, table, tmp_path, capsys):
        (tmp_path / "t.csv").write_text("length,more,width,weight\n5,1,340,0.015\n")
        ran = invoke(capsys, "predict", table[1], tmp_path / "t.csv", "--drop", "more", "--json")
        assert ran.json["predictions"][0]["class"] == "setosa"


class TestWhatItWrites:
    def test_the_file_holds_what_is_printed(self, digits, tmp_path, capsys):
        put_digits(tmp_path / "scans")
        line = ("--top", 3, "--out", tmp_path / "p.csv", "--json")
        ran = invoke(capsys, "predict", digits, tmp_path / "scans", *line)
        with (tmp_path / "p.csv").open(newline="") as file:
            titles, *rows = csv.reader(file)
        assert titles == [
            "file", "class", "probability", "class_2", "probability_2", "class_3", "probability_3"
        ]  # fmt: skip
        for row, one in zip(rows, ran.json["predictions"], strict=True):
            assert row[0] == one["file"]
            assert row[1::2] == [entry["class"] for entry in one["top"]]
            assert [float(p) for p in row[2::2]] == [entry["probability"] for entry in one["top"]]

    def test_the_picture_is_one(self, digits, tmp_path, capsys):
        put_digits(tmp_path / "scans")
        ran = invoke(
            capsys,
            "predict",
            digits,
            tmp_path / "scans",
            "--picture",
            tmp_path / "g.png",
            "--quiet",
        )
        assert (ran.status, ran.out, ran.err) == (0, "", "")
        assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("{out}", "the following arguments are required: FILE"),
        ("{out} a.pgn", "a.pgn: expected a folder or a file that ends with"),
        ("{out} a.png", "No such file or directory: 'a.png'"),
        ("{out} {folder}/text.png", "expected a PNG or JPEG image, got other bytes"),
        ("{out} {folder}/empty", "expected images (.png, .jpg, .jpeg) in the folder, got none"),
        ("{out} {folder}/text.npy", "no array of NumPy, or a damaged one"),
        ("{out} {folder}/objects.npy", "holds objects"),
        ("{out} {folder}/two.npz", "expected one array, got a, b: name it by --array"),
        ("{out} {folder}/two.npz --array c", "expected an array 'c', got only a, b"),
        ("{out} {folder}/eye.npy", "expected samples of shape (1, 28, 28) for"),
        ("{out} {folder}/empty.npy", "expected samples of shape (1, 28, 28) for"),
        ("{out} {table}", "column 'id'"),
        ("{out} {table} --drop id,species", "got 150 of shape (3,)"),
        ("{out} {folder}/eye.npy --top 0", "argument --top: expected a whole number >= 1"),
        ("{out} {folder}/eye.npy --invrt", "did you mean '--invert'?"),
        ("{of_table} {images}/test", "takes no images, but samples of shape (3,)"),
        ("{of_table} {table} --picture p.png", "--picture: "),
        ("nowhere a.png", "No such file or directory: 'nowhere'"),
        ("{out} a.png --device tpu", "device: expected 'cpu', 'gpu'"),
    ],
)
def test_a_mistake_is_one_sentence(digits, table, images, tmp_path, capsys, arguments, sentence):
    (tmp_path / "empty").mkdir()
    for name in ("text.png", "text.npy"):
        (tmp_path / name).write_text("text")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "eye.npy", np.eye(3))
    np.save(tmp_path / "empty.npy", np.zeros((0, 1, 28, 28)))
    np.savez(tmp_path / "two.npz", a=np.eye(3), b=np.eye(3))
    line = arguments.format(
        out=digits, folder=tmp_path, table=table[0], of_table=table[1], images=images[0]
    )
    refused(invoke(capsys, "predict", *line.split()), sentence, "xpnet predict")
