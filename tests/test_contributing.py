"""What CONTRIBUTING.md says is true: its drawing, its paths and its commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from scripts.bench import cpu
from tests.test_architecture import RANKS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / ".github/CONTRIBUTING.md").read_text(encoding="utf-8")


def block(language: str) -> list[str]:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return found.splitlines()


def test_the_drawing_is_the_order_of_imports() -> None:
    assert [set(line.split()) for line in reversed(block("text"))] == RANKS


def test_every_path_exists() -> None:
    text = re.sub(r"^```.*?^```", "", PAGE, flags=re.DOTALL | re.MULTILINE)
    paths = set(re.findall(r"`((?:xpnet|tests|scripts|\.ci)/[\w./]*)", text))
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_five_commands_run_what_exists() -> None:
    install, everything, some, check, bench = (shlex.split(c, comments=True) for c in block("sh"))
    assert install[-1] == ".[dev]"
    assert everything == ["python", "-m", "pytest"]
    assert all((ROOT / path).exists() for path in (some[3], check[0]))
    assert some[-1] in (ROOT / some[3]).read_text()
    assert bench[:3] == ["python", "-m", cpu.__name__]
    assert set(cpu.parser().parse_args(bench[3:]).workloads) <= set(cpu.WORKLOADS)
