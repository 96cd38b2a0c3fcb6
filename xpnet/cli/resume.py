"""``xpnet resume``: go on with a training that was interrupted."""

from __future__ import annotations

from pathlib import Path

from xpnet.cli import runs, train
from xpnet.cli.parsing import POSITIVE, Parser, add_common, add_device
from xpnet.cli.process import run

__all__ = ["main", "parser"]

PROG = "xpnet resume"

EXAMPLES = """\
examples:
  xpnet train --dataset mnist --epochs 20 --out runs/first      Ctrl-C after a while
  xpnet resume runs/first                                       to the same bits
"""


def parser() -> Parser:
    """Return the command line's grammar."""
    p = Parser(
        PROG,
        "Go on with a training from the step where it was interrupted; it ends with the bits of "
        "one that never was.  All arguments are those that it began with.",
        EXAMPLES,
    )
    p.add_argument("folder", type=Path, metavar="DIR", help="the run's --out")
    p.add_argument("--data-dir", metavar="DIR", help="where data sets lie (where they lay)")
    add_device(p, default=None, what="must be the one that the run began with (it is)")
    p.add_argument(
        "--checkpoint-seconds",
        type=POSITIVE,
        metavar="S",
        help="seconds between two checkpoints within an epoch (as before)",
    )
    add_common(p, quiet="print the final accuracy alone")
    return p


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    args = parser().parse_args(argv)

    def check() -> None:
        if runs.saved_arguments(args.folder) is None:
            raise ValueError(f"{args.folder}: holds no run: xpnet train --out begins one")

    line = ["--resume", str(args.folder)]
    for name in ("data_dir", "device", "checkpoint_seconds"):
        if getattr(args, name) is not None:
            line += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    line += [f"--{name}" for name in ("json", "quiet") if getattr(args, name)]
    return run(PROG, check) or train.main(line, prog=PROG)
