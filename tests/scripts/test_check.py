"""scripts/check.sh: which checks it runs, in which order, and where it stops."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAST = ["ruff check .", "ruff format --check .", "mypy"]


@pytest.fixture
def check(tmp_path: Path):
    """A function that runs the script with a Python that notes its arguments, and may fail."""
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(f'#!/bin/sh\necho "$*" >> {log}\n[ "$2" != "$FAILING" ]\n')
    python.chmod(0o755)

    def run(*arguments: str, failing: str = "none"):
        done = subprocess.run(
            [ROOT / "scripts/check.sh", *arguments],
            env=os.environ | {"PYTHON": str(python), "FAILING": failing},
            capture_output=True,
            text=True,
            check=False,
        )
        lines = log.read_text().splitlines() if log.exists() else []
        return done, [line.removeprefix("-m ") for line in lines]

    return run


def test_fast_checks_come_before_the_tests(check) -> None:
    done, ran = check()
    assert done.returncode == 0
    assert ran[:3] == FAST
    assert [line.split()[0] for line in ran[3:]] in (["pytest"] * 2, ["pytest"] * 3)


def test_the_tests_can_be_left_out(check) -> None:
    done, ran = check("--fast")
    assert (done.returncode, ran) == (0, FAST)


def test_it_ends_at_the_first_part_that_fails_and_names_it(check) -> None:
    done, ran = check(failing="mypy")
    assert done.returncode == 1
    assert ran == FAST
    assert done.stderr.rstrip().endswith("-m mypy")


def test_help_explains_and_an_unknown_option_is_refused(check) -> None:
    done, ran = check("--help")
    assert (done.returncode, ran) == (0, [])
    assert "--fast leaves the tests out" in done.stdout
    done, ran = check("--slow")
    assert (done.returncode, ran) == (2, [])
    assert done.stderr == "usage: scripts/check.sh [--fast]\n"
