"""Runs that the tests of the command share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.tasks import put_images, put_table
from xpnet import cli


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run on the digits."""
    out = tmp_path_factory.mktemp("digits") / "run"
    assert cli.main(["train", "--out", str(out), "--quiet", "--epochs", "8"]) == 0
    return out


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a CSV file and the folder of a run on it."""
    folder = tmp_path_factory.mktemp("table")
    path, out = put_table(folder / "train.csv"), folder / "run"
    line = ["--target", "species", "--drop", "id", "--quiet", "--batch-size", "20"]
    assert cli.main(["train", "--dataset", str(path), *line, "--out", str(out)]) == 0
    return path, out


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a folder of images in two parts, and that of a run on it."""
    folder = tmp_path_factory.mktemp("images")
    for part in ("train", "test"):
        put_images(folder / "pets" / part)
    out = folder / "run"
    line = ["--size", "16", "--epochs", "20", "--batch-size", "8", "--quiet"]
    assert cli.main(["train", "--dataset", str(folder / "pets"), *line, "--out", str(out)]) == 0
    return folder / "pets", out
