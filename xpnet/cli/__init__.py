"""The command ``xpnet``: its parts by name, each in a module of its own."""

from __future__ import annotations

import signal
import sys
from importlib import import_module

import xpnet
from xpnet.cli.parsing import Parser, add_choice
from xpnet.cli.process import EXIT, leaving

__all__ = ["COMMANDS", "entry", "main", "parser"]

COMMANDS = {
    "train": "train a network on a data set, a CSV file or a folder of images",
    "resume": "go on with a training that was interrupted",
    "evaluate": "say how well a saved network does, class by class",
    "predict": "say what images, arrays and rows of a table show",
    "data": "list, download and look at data sets",
}

EXAMPLES = """\
commands:
{commands}

examples:
  xpnet train --out runs/first                train on the digits that come with xpnet
  xpnet evaluate runs/first                   how well it does, class by class
  xpnet predict runs/first photo.png          what a picture shows
  xpnet data list                             which data sets there are
  xpnet train --help                          all that a command takes; each has examples
"""


def parser() -> Parser:
    """Return the grammar of what comes before a command's own arguments."""
    lines = "\n".join(f"  {name:<10}{what}" for name, what in COMMANDS.items())
    p = Parser(
        "xpnet",
        "Train neural networks and use them.",
        EXAMPLES.format(commands=lines),
    )
    add_choice(p, "command", COMMANDS, metavar="COMMAND", help="as below")
    p.add_argument("--version", action="version", version=f"xpnet {xpnet.__version__}")
    return p


def main(argv: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        parser().print_help()
        return 0
    args = parser().parse_args(argv[:1])
    status: int = import_module(f"xpnet.cli.{args.command}").main(argv[1:])
    return status


def entry() -> int:
    """Run the command as this process; return its exit status."""
    for number in EXIT:  # outside of a fit there is nothing to lose
        signal.signal(number, leaving("xpnet"))
    status = main()
    for number in EXIT:  # all is done
        signal.signal(number, signal.SIG_IGN)
    return status
