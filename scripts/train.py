"""Train a network to tell images apart, from the command line: ``xpnet train``, in a clone."""

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__":  # while modules are imported there is nothing to lose, and no traceback

    def _leave(number: int, frame: object) -> None:
        os.write(2, b"\ntrain.py: interrupted\n")
        os._exit(128 + number)

    for _number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_number, _leave)

from xpnet.cli import train as command
from xpnet.cli.parsing import Parser

PROG = "train.py"


def parser() -> Parser:
    """Return the command line's grammar."""
    return command.parser(PROG)


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return command.main(argv, PROG)


if __name__ == "__main__":
    _status = main()
    for _number in (signal.SIGINT, signal.SIGTERM):  # all is done
        signal.signal(_number, signal.SIG_IGN)
    sys.exit(_status)
