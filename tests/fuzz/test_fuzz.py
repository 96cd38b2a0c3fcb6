"""Damaged files for every reader: read, or refused by one sentence with the path."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import READERS, damaged, files, verdict

ROOT = Path(__file__).parents[2]
MANY = dict.fromkeys(READERS, 100_000) | dict.fromkeys(
    ("xlsx", "model", "checkpoint", "emnist", "cifar", "png", "jpeg"), 20_000
)
every_kind = pytest.mark.parametrize("kind", READERS)


@every_kind
def test_some_hundred_damaged_files(kind, tmp_path):
    came = [verdict(kind, path) for path in files(kind, tmp_path, 300)]
    assert set(came) <= {"read", "refused"}
    assert came.count("refused") > 100  # that much damage is no accident


@every_kind
def test_whole_files_are_read(kind, tmp_path):
    reader = READERS[kind]
    for sample in reader.samples(tmp_path):
        path = tmp_path / f"whole{reader.suffix}"
        for raw in (sample, reader.inside(sample, bytes)):
            path.write_bytes(raw)
            assert verdict(kind, path) == "read"


@every_kind
def test_equal_seeds_give_equal_damage(kind, tmp_path):
    samples = READERS[kind].samples(tmp_path)
    one, two = ([damaged(random.Random(i), samples, READERS[kind]) for i in range(9)] for _ in "ab")
    assert one == two


@pytest.mark.parametrize("error", [KeyError("a"), RecursionError(), ValueError("of no file")])
def test_an_unclean_error_is_called_one(error, tmp_path, monkeypatch):
    def broken(path: Path) -> None:
        raise error

    monkeypatch.setitem(READERS, "csv", READERS["csv"]._replace(read=broken))
    assert verdict("csv", tmp_path / "a.csv").startswith(f"{type(error).__name__}: ")


@pytest.mark.slow
@every_kind
def test_very_many_damaged_files_under_a_limit_of_memory(kind):
    command = [sys.executable, "-m", "tests.fuzz", kind, f"--count={MANY[kind]}", "--seed=1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
