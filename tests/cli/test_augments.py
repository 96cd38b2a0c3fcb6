"""Changes of images in words: each of the library's has one, and the run is what Python makes."""

from __future__ import annotations

import argparse
import json

import pytest

import xpnet
from tests.cli.tasks import invoke
from xpnet import SoftmaxCrossEntropy, Trainer, models, schedules
from xpnet.cli.augments import BY_NAME, augmenting, words
from xpnet.data import augment
from xpnet.data.augment import Flip, Rotate, Scale, Shift


def test_every_change_of_the_library_has_a_name():
    abstract = {"Augment", "Augmentation"}
    assert {kind.__name__ for kind in BY_NAME.values()} == set(augment.__all__) - abstract


def test_numbers_and_words_stand_for_arguments():
    made = augmenting(["shift=3", "scale=0.8:1.3", "flip=vertical:0.25", "rotate"])
    expected = [Shift(3), Scale(0.8, 1.3), Flip("vertical", 0.25), Rotate()]
    assert list(map(repr, made)) == list(map(repr, expected))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("shfit=2", "invalid choice: 'shfit' .*: did you mean 'shift'?"),
        ("shift=far", "pixels: expected a whole number"),
        ("shift=1:2:3", r"Shift: expected \(pixels\) by position"),
        ("mix-up,shift", "expected MixUp once, as the last one"),
    ],
)
def test_a_mistake_is_one_sentence(text, sentence):
    with pytest.raises(argparse.ArgumentTypeError, match=sentence):
        words(text)


def test_the_run_is_the_one_that_python_makes(tmp_path, capsys):
    line = ("--limit-train", 100, "--epochs", 2, "--augment", "shift=2,rotate=15", "--seed", 3)
    assert invoke(capsys, "train", *line, "--out", tmp_path / "a", "--quiet").status == 0
    data = xpnet.data.load("digits")[0].take(100).augmented(Shift(2), Rotate(15), seed=3)
    trainer = Trainer(
        models.mlp(seed=3),
        SoftmaxCrossEntropy(),
        xpnet.Adam(lr=0.003),
        schedule=schedules.schedule("one-cycle"),
        seed=3,
    )
    trainer.fit(data, 2)
    saved = xpnet.load(tmp_path / "a/model.safetensors")
    assert (saved.params.flat == trainer.net.params.flat).all()
    assert json.loads((tmp_path / "a/config.json").read_text())["augment"] == [
        "shift=2", "rotate=15"
    ]  # fmt: skip
    again = ("--config", tmp_path / "a", "--out", tmp_path / "b", "--quiet")
    assert invoke(capsys, "train", *again).status == 0
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
    assert one == other


def test_rows_of_numbers_are_no_images(table, capsys):
    line = ("--target", "species", "--drop", "id", "--augment", "flip")
    ran = invoke(capsys, "train", "--dataset", table[0], *line)
    assert ran.status == 2
    assert "augmented expects images" in ran.err
