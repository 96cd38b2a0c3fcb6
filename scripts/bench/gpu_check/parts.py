"""The parts of a check: what each runs, for how long, and what it says beside its facts."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.bench.cpu import cores

MINUTES = 9.0
"""For which the whole is made."""
WORKERS = 8
"""Processes that share the GPU for its tests, at most."""


@dataclass(frozen=True)
class Part:
    """A program that finds facts.

    Attributes
    ----------
    limit : float
        Seconds after which it is stopped.
    command : sequence of str
        What the interpreter is given.
    shown : int
        Lines of the end of its output that are printed.
    vital : bool
        Whether nothing else is tried where it fails.
    lacks : str or None
        Why it is left out here.
    extra : bool
        Whether it runs only where it is asked for by name.
    """

    name: str
    limit: float
    command: Sequence[str]
    shown: int = 8
    vital: bool = False
    lacks: str | None = None
    extra: bool = False


def parts(folder: Path, short: bool = False) -> list[Part]:
    """Return the parts in their order, what is worth most first.

    Parameters
    ----------
    folder : Path
        Where facts go to.
    short : bool
        Whether each does as little as shows that it works.
    """
    facts = ["--facts", str(folder / "facts.jsonl")]
    here = "scripts.bench.gpu_check"
    about = ["-m", f"{here}.about", *facts]
    preflight = ["-m", f"{here}.preflight", *facts]
    bench = ["-m", "scripts.bench.gpu", *facts]
    steps, kernels, memory = [*bench, "--quick"], [*bench, "--kernels"], [*bench, "--memory"]
    seeds = [*bench, "--accuracy", "--epochs", "1", "--seeds", "1" if short else "10"]
    more = [] if short else ["--seed-seconds", "20"]
    # in one word, or pytest would take the file for what it is to test, and its folder for the root
    tests = ["-m", "pytest", "-m", "gpu and not slow", *_how_to_test(), "=".join(facts)]
    parity = ["-m", "scripts.bench.parity", "--device", "gpu", *facts]
    brief = [] if short else ["--quick"]
    shows = ["-m", f"{here}.demonstrations", "--device", "gpu", "--quick", *facts]
    if short:
        preflight += ["--networks", "two"]
        steps += ["--images", "1200", "--workloads", "two", "--contenders", "xpnet", "torch", "jax"]
        kernels += ["--images", "1200", "--workloads", "two"]
        seeds += ["--images", "400"]
        tests += ["tests/test_functions.py"]
        parity += ["--models", "mlp", "--dtype", "float32", "--steps", "4"]
        memory += ["--images", "512", "--steps", "4"]
        shows += ["xor_gate"]
    no_mnist = lacks_mnist()
    return [
        Part("about", 20, about, shown=12),
        Part("preflight", 50, preflight, shown=16, vital=True),
        Part("steps", 110, steps, shown=62),
        Part("kernels", 70, kernels, shown=84),
        Part("accuracy", 40, [*seeds, *more], lacks=no_mnist),
        Part("accuracy-tf32", 18, [*seeds, "--precision", "tf32"], 3, lacks=no_mnist),
        Part("accuracy-bf16", 18, [*seeds, "--precision", "bf16"], 3, lacks=no_mnist),
        Part("tests", 75, tests, 24, lacks=_lacks("pytest")),
        Part("parity", 30, [*parity, *brief], shown=18),
        Part("memory", 25, memory, shown=7),
        Part("gallery", 29, shows, shown=4, lacks=_lacks("matplotlib")),
        Part("steps-tf32", 110, [*steps, "--precision", "tf32"], 62, extra=True),
        Part("parity-long", 150, parity, 18, extra=True),
        Part("deep", 60, [*bench, "--deep"], 4, lacks=no_mnist, extra=True),
    ]


def _how_to_test() -> list[str]:
    options = ["-q", "-p", "no:cacheprovider", "-p", "scripts.bench.gpu_check.pytest_facts"]
    # a GPU that broke down fails every test that comes after
    options += ["-W", "default", "--durations=15", "--tb=short", "--maxfail=50"]
    return options if _lacks("xdist") else [*options, "-n", str(min(WORKERS, cores()))]


def _lacks(module: str) -> str | None:
    found = importlib.util.find_spec(module)
    return None if found is not None else f"{module} is not installed"


def lacks_mnist() -> str | None:
    """Return why MNIST is not at hand, or None if it is."""
    folder = os.environ.get("XPNET_DATA")
    if not folder:
        return "needs MNIST: XPNET_DATA names no folder"
    return None if Path(folder).is_dir() else f"needs MNIST: XPNET_DATA, {folder}, is no folder"
