"""Show how the time and the memory of training grow: with images, batches, layers and ranks.

samples        a step of mlp, and the anonymous memory of its process, from 1,000 to 8,000,000
               images of 784 bytes in files, of which a mapped set is trained on in the order of
               blocks; the files, 6.3 GB, are made of the digits that there are (MNIST where
               XPNET_DATA says), each image changed at random in its own way
batch, width,  a step in one process from the smallest to the largest, beside the time that it would
depth          take if that grew as the floating-point operations do
ranks          shards on two ranks beside shards, and the whole batch, on one process; eight shards
               beside the whole batch on one core; sums over ranks; and a model of what a step costs
               on 1 to 1,024 ranks

Each measurement has a process of its own; rounds go by turns; a figure is the median over rounds,
its spread the largest less the smallest.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from scripts.bench.cpu import machine, versions, write
from scripts.bench.scale import ranks, samples, sizes
from scripts.bench.scale.found import Found, Settings
from scripts.bench.scale.jobs import ROOT, Row
from xpnet import plots
from xpnet.cli.parsing import WHOLE

PARTS: dict[str, Callable[[Settings], Found]] = {
    "samples": samples.measure,
    **{name: partial(sizes.measure, name) for name in sizes.PARTS},
    "ranks": ranks.measure,
}
TASKS: dict[str, Callable[[dict[str, Any]], Row | None]] = {
    **samples.TASKS,
    **sizes.TASKS,
    **ranks.TASKS,
}
"""By name: what a process of the benchmark does."""

RESULTS = ROOT / "scripts/bench/results"
PACKAGES = ("xpnet", "numpy", "numba", "mpi4py", "threadpoolctl")


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    p = argparse.ArgumentParser(
        prog="python -m scripts.bench.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("parts", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    p.add_argument("--quick", action="store_true", help="few sizes, and a moment of each")
    p.add_argument("--rounds", type=WHOLE, metavar="N", help="(5; 1 with --quick)")
    p.add_argument(
        "--threads", type=WHOLE, default=1, metavar="N",
        help="of a process, where the part does not say (1)",
    )  # fmt: skip
    p.add_argument(
        "--data", type=Path, metavar="FOLDER",
        help="keep the files of images there, or take those that are there",
    )  # fmt: skip
    p.add_argument(
        "--cold", action="store_true",
        help="stream images once more, after their files have left the system's cache",
    )  # fmt: skip
    p.add_argument("--out", type=Path, metavar="FOLDER", help="draw pictures there")
    p.add_argument("--json", action="store_true", help="print JSON lines instead of tables")
    p.add_argument("--save", action="store_true", help="write a file of results of each part")
    return p


def one(task: str, job: str) -> None:
    """Print what a task finds out, where it says something: of ranks the first does."""
    found = TASKS[task](json.loads(job))
    if found is not None:
        print(json.dumps(found))


def main(argv: list[str] | None = None) -> int:
    """Measure what is asked for, print it and write it down; return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--one"]:
        one(*argv[1:])
        return 0
    p = parser()
    args = p.parse_args(argv)
    rounds = args.rounds or (1 if args.quick else 5)
    settings = Settings(args.quick, rounds, args.threads, args.data, args.cold)
    date = datetime.date.today().isoformat()
    about = {"date": date, "versions": versions(PACKAGES), "machine": machine()}
    try:
        if args.out is not None:
            plots.new_figure()  # or the end of all would be that there is no matplotlib
        for name in dict.fromkeys(args.parts):
            found = PARTS[name](settings)
            figures = {"part": name, **about, "rounds": rounds, **found.figures}
            print(json.dumps(figures) if args.json else f"{found.text}\n", flush=True)
            if args.save:
                write(RESULTS / f"scale-{name}-{date}.json", figures)
            if args.out is not None:
                for title, picture in found.pictures.items():
                    picture.draw(args.out / f"scale-{title}.png")
    except (RuntimeError, OSError, plots.PlotError) as error:
        print(f"{p.prog}: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
