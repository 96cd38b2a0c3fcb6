"""The evaluate command, run as its users run it."""

from __future__ import annotations

from pathlib import Path

import pytest

import xpnet
from scripts import evaluate


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "mlp.safetensors"
    xpnet.models.mlp((16,)).save(path)
    return path


def test_it_says_what_a_trainer_would(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([str(saved)]) == 0
    net = xpnet.load(saved)
    _, test = xpnet.data.load("digits")
    right = (net.predict(test.x).argmax(axis=1) == test.t).mean()
    assert f"accuracy {right:.4f}" in capsys.readouterr().out


def test_it_takes_the_folder_that_train_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    xpnet.models.mlp((16,)).save(tmp_path / "model.safetensors")
    assert evaluate.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("accuracy ")


@pytest.mark.parametrize("damage", ["absent", "truncated", "other device"])
def test_it_refuses_with_one_sentence(
    saved: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, options = tmp_path / "bad.safetensors", []
    if damage == "truncated":
        path.write_bytes(saved.read_bytes()[:-10])
    if damage == "other device":
        path, options = saved, ["--device", "abacus"]
    assert evaluate.main([str(path), *options]) == 2
    err = capsys.readouterr().err
    assert err.startswith("evaluate.py: error: ")
    assert err.count("\n") == 1
