"""Every demonstration shows its figures from any seed, and at its usual length."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

import xpnet
from scripts.gallery import __main__ as gallery
from scripts.gallery import harness

pytest.importorskip("matplotlib")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.mnist,
    pytest.mark.skipif("XPNET_DATA" not in os.environ, reason="XPNET_DATA is not set"),
]
NAMES = list(gallery.discover("scripts.gallery"))


def missed(name: str, seed: int, mode: harness.Mode, out: Path) -> list[dict]:
    """Run a demonstration; return the figures that are not as expected."""
    demo = harness.Demo(xpnet.device("cpu"), seed, 1, out, None, mode)
    row = harness.show(importlib.import_module(f"scripts.gallery.{name}"), demo)
    assert row["figures"]
    return [figure for figure in row["figures"] if not figure["pass"]]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", NAMES)
def test_the_quick_run_shows_its_figures(name: str, seed: int, tmp_path: Path) -> None:
    assert missed(name, seed, "quick", tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_usual_run_shows_its_figures(name: str, tmp_path: Path) -> None:
    assert missed(name, 0, "default", tmp_path) == []
