"""Small tasks in files, as users bring them, and the command as they run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import xpnet
from xpnet import cli

SPECIES = ("setosa", "versicolor", "virginica")
CENTRES = np.array([[5.0, 340.0, 0.015], [5.9, 280.0, 0.043], [6.6, 300.0, 0.055]])
"""Of columns that are of scales far apart."""


class Ran:
    """What a command has left: its exit status, standard output and standard error."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def invoke(capsys: pytest.CaptureFixture[str], *arguments: object) -> Ran:
    """Run the command in this process."""
    capsys.readouterr()
    try:
        status = cli.main([str(one) for one in arguments])
    except SystemExit as left:
        status = int(left.code or 0)
    return Ran(status, *capsys.readouterr())


def process(*arguments: object, **environment: str) -> Ran:
    """Run the command as a user does, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "xpnet", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def refused(ran: Ran, sentence: str, prog: str) -> None:
    """Assert that a command has said one sentence, and nothing else."""
    assert (ran.status, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert line.startswith(f"{prog}: error: ")
    assert sentence in line


def put_table(path: Path, rows: int = 150) -> Path:
    """Write a table of three species, with a column that says nothing."""
    rng = np.random.default_rng(0)
    lines = ["id,length,width,weight,species"]
    for row in range(rows):
        values = CENTRES[row % 3] * rng.normal(1, 0.04, 3)
        lines.append(f"r{row}," + ",".join(f"{v:.4f}" for v in values) + f",{SPECIES[row % 3]}")
    path.write_text("\n".join(lines) + "\n")
    return path


def put_images(folder: Path, count: int = 12) -> Path:
    """Write colour images of two classes, a bright band in one of them."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for k in range(count):
            pixels = rng.integers(0, 80, (20, 24, 3), np.uint8)
            pixels[5:12] += 120 if name == "dog" else 0
            Image.fromarray(pixels).save(folder / name / f"{k:02}.png")
    return folder


def put_digits(folder: Path, *, paper: bool = False) -> list[tuple[Path, int]]:
    """Write scans of digits, four times as large; on white paper they are in colour and JPEG."""
    _, test = xpnet.data.load("digits")
    folder.mkdir(exist_ok=True)
    written = []
    for k in range(8):
        image = Image.fromarray(255 - test.x[k, 0] if paper else test.x[k, 0]).resize((112, 112))
        path = folder / f"{k}.{'jpg' if paper else 'png'}"
        (image.convert("RGB") if paper else image).save(path)
        written.append((path, int(test.t[k])))
    return written
