"""What every demonstration shares: its options, its figures and its exit status.

A demonstration is a module with ``ROWS`` (the ids of what it shows), ``TITLE`` (one line) and
``run(demo)``, and ends with ``if __name__ == "__main__": harness.main(sys.modules[__name__])``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import xpnet
from xpnet.devices import Device
from xpnet.plots import PlotError
from xpnet.training import Evaluation

Mode = Literal["quick", "default", "full"]
Band = tuple[float, float]
"""The ends between which a figure shall lie."""

USER_ERRORS = (ValueError, OSError, xpnet.DeviceError, PlotError)
"""What a program says in one sentence, with exit status 2."""


@dataclass
class Demo:
    """A run of one demonstration.

    Attributes
    ----------
    device : Device
        Where to compute.
    seed, seeds : int
        The first seed, and how many seeds where a figure is a mean over several.
    out : Path
        The folder of the pictures.
    data_dir : str or None
        Where data sets lie.
    mode : "quick", "default" or "full"
        Seconds, a minute or two, or the whole length.
    began : float
        When it began, by ``time.perf_counter``.
    """

    device: Device
    seed: int
    seeds: int
    out: Path
    data_dir: str | None
    mode: Mode
    figures: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def pick(self, quick: Any, default: Any, full: Any = None) -> Any:
        """Return what suits the mode: a length, a band; the whole length's is the default's."""
        whole = default if full is None else full
        return {"quick": quick, "default": default, "full": whole}[self.mode]

    def figure(self, name: str, value: Any, expected: str, passed: bool) -> None:
        """Print and keep a figure beside what it should be.

        Parameters
        ----------
        name : str
        value : number, text, or nested lists of them
        expected : str
            In words: ``"at least .968"``.
        passed : bool
        """
        shown = _rounded(value)
        verdict = "" if passed else "  MISSED"
        print(f"{name}: {shown}  (expected {expected}){verdict}", flush=True)
        self.figures.append(
            {"name": name, "value": shown, "expected": expected, "pass": bool(passed)}
        )

    def at_least(self, name: str, value: float, least: float) -> None:
        """Print and keep a number that is to reach another."""
        self.figure(name, value, f"at least {least:g}", value >= least)

    def at_most(self, name: str, value: float, most: float) -> None:
        """Print and keep a number that is not to pass another."""
        self.figure(name, value, f"at most {most:g}", value <= most)

    def between(self, name: str, value: float, band: Band) -> None:
        """Print and keep a number that is to lie within a band, its ends included."""
        low, high = band
        self.figure(name, value, f"{low:g} to {high:g}", low <= value <= high)

    def note(self, name: str, value: Any) -> None:
        """Print and keep a figure that nothing is expected of."""
        shown = _rounded(value)
        print(f"{name}: {shown}", flush=True)
        self.figures.append({"name": name, "value": shown, "expected": None, "pass": True})

    def picture(self, name: str) -> Path:
        """Return the path for a picture of this demonstration, ``<out>/<name>.png``."""
        path = self.out / f"{name}.png"
        self.pictures.append(path.name)
        return path

    @property
    def passed(self) -> bool:
        """Whether every figure is as expected; a demonstration without figures shows nothing."""
        return bool(self.figures) and all(figure["pass"] for figure in self.figures)


def parser(**about: Any) -> argparse.ArgumentParser:
    """Return the options that every demonstration takes."""
    p = argparse.ArgumentParser(**about)
    p.add_argument("--device", default="cpu", help="cpu (the default), gpu, torch:cpu ...")
    p.add_argument("--seed", type=_whole(0), default=0, help="the first seed (default 0)")
    p.add_argument(
        "--seeds",
        type=_whole(1),
        default=1,
        help="how many seeds, where a figure is a mean over seeds (default 1)",
    )
    p.add_argument("--out", type=Path, default=Path("runs/gallery"), help="folder of the pictures")
    p.add_argument("--data-dir", help="where data sets lie; by default $XPNET_DATA, else the cache")
    length = p.add_mutually_exclusive_group()
    for mode, words in (("quick", "seconds instead of minutes"), ("full", "the whole length")):
        length.add_argument(f"--{mode}", action="store_const", const=mode, dest="mode", help=words)
    p.set_defaults(mode="default")
    return p


def mean(values: Sequence[float]) -> float:
    """Return the mean of some numbers."""
    return sum(values) / len(values)


def accuracy(found: Evaluation) -> float:
    """Return the share of samples that a classifier got right: no regression comes here."""
    assert found.accuracy is not None
    return found.accuracy


def _whole(least: int) -> Callable[[str], int]:
    """Return an argument type: whole numbers of at least ``least``."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number >= {least}, got {text!r}")
        return int(text)

    return read


def demo_of(args: argparse.Namespace) -> Demo:
    """Return the run that the options describe."""
    args.out.mkdir(parents=True, exist_ok=True)
    return Demo(
        xpnet.device(args.device), args.seed, args.seeds, args.out, args.data_dir, args.mode
    )


def show(module: ModuleType, demo: Demo) -> dict[str, Any]:
    """Run one demonstration and return its row of ``gallery.json``."""
    print(f"# {', '.join(module.ROWS)}: {module.TITLE}", flush=True)
    module.run(demo)
    return row_of(module, demo)


def row_of(module: ModuleType, demo: Demo) -> dict[str, Any]:
    """Return the row of ``gallery.json`` of what a demonstration has shown so far."""
    return {
        "id": list(module.ROWS),
        "name": module.__name__.rpartition(".")[2],
        "title": module.TITLE,
        "figures": demo.figures,
        "pictures": demo.pictures,
        "seconds": round(time.perf_counter() - demo.began, 2),
        "pass": demo.passed,
    }


def main(module: ModuleType, argv: Sequence[str] | None = None) -> None:
    """Run one demonstration as a program; exit 0 if its figures are as expected, else 1."""
    spec = module.__spec__
    name = spec.name if spec else Path(str(module.__file__)).stem
    p = parser(prog=f"python -m {name}", description=module.__doc__)
    args = p.parse_args(argv)
    try:
        row = show(module, demo_of(args))
    except USER_ERRORS as error:
        print(f"{p.prog}: error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0 if row["pass"] else 1)


def _rounded(value: Any) -> Any:
    """Return a value as JSON and people can read it."""
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    if hasattr(value, "tolist"):
        return _rounded(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else str(value)  # JSON has no NaN
    json.dumps(value)
    return value
