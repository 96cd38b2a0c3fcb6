"""Everything that needs a GPU, what is worth most first; each fact is written as it comes.

FOLDER gets facts.jsonl, one line a fact, log.txt, all that was printed, and gallery.zip, the
pictures; the end of each part's output is printed.  A part that fails does not keep the next one
from running, but for the preflight: what it finds wrong would make nothing of the others.  A part
that no longer fits into MINUTES is left out.  `python -m scripts.bench.gpu_results FOLDER` makes a
results file of the facts.  XPNET_DATA is the folder of MNIST.

The exit status is 0 if nothing failed, 1 if a part did, 2 if no GPU can be used or an argument is
no good, 3 if the preflight failed, 130 if it was interrupted.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.bench.gpu_check.parts import MINUTES, Part, parts
from scripts.bench.gpu_check.runner import REFUSED, ROOT, Runner

PROG = "gpu_check.sh"
IS_THERE = """
import sys, xpnet
try:
    xpnet.device("gpu")
except xpnet.DeviceError as error:
    sys.exit(f"gpu_check.sh: error: {error}")
"""


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    p = argparse.ArgumentParser(
        prog=PROG,
        usage=f"{PROG} FOLDER [MINUTES]\n       {PROG} --again FOLDER PART...",
        description=__doc__,
        epilog=f"parts: {_listed(extra=False)}; by name alone: {_listed(extra=True)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("folder", type=Path, metavar="FOLDER")
    p.add_argument("rest", nargs="*", metavar="MINUTES or PART", help=f"minutes: {MINUTES:g}")
    p.add_argument(
        "--again", action="store_true", help="run single parts, and add to what is in FOLDER"
    )
    p.add_argument("--short", action="store_true", help="as little of each part as shows it works")
    return p


def _listed(extra: bool) -> str:
    own = [part for part in parts(Path()) if part.extra is extra]
    return ", ".join(f"{part.name} {part.limit:.0f} s" for part in own)


def chosen(found: Sequence[Part], wanted: Sequence[str]) -> list[Part]:
    """Return the parts of some names, in the order of the names.

    Raises
    ------
    ValueError
        There is no such part.
    """
    by_name = {part.name: part for part in found}
    for name in wanted or [""]:
        if name not in by_name:
            raise ValueError(f"expected parts of {', '.join(by_name)}, got {name!r}")
    return [by_name[name] for name in wanted]


def minutes(rest: Sequence[str]) -> float:
    """Return the minutes that are asked for.

    Raises
    ------
    ValueError
        They are no number above 0.
    """
    try:
        [value] = [float(text) for text in rest or [str(MINUTES)]]
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"expected FOLDER and a number of minutes, got {' '.join(rest)!r}")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for; return the exit status."""
    args = parser().parse_args(argv)
    folder = args.folder.resolve()
    found, seconds = parts(folder, args.short), math.inf
    try:
        if args.again:
            found = chosen(found, args.rest)
        else:
            seconds = 60 * minutes(args.rest)
            found = [part for part in found if not part.extra]
            if (folder / "facts.jsonl").exists():
                raise ValueError(f"{folder} holds facts already: choose another, or --again")
    except ValueError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return REFUSED
    runner = Runner(folder, seconds)
    # in another process: this one is to hold nothing of the GPU's
    if subprocess.run([sys.executable, "-c", IS_THERE], cwd=ROOT).returncode:
        return REFUSED
    folder.mkdir(parents=True, exist_ok=True)
    runner.facts.mend()
    print(f"facts and logs in {folder}", flush=True)
    return runner.run(found)


if __name__ == "__main__":
    sys.exit(main())
