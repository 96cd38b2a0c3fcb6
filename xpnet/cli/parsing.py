"""The grammar that all commands share: what arguments are, and the nearest name for a mistake."""

from __future__ import annotations

import argparse
import contextlib
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from xpnet.checks import nearest

__all__ = [
    "NOT_NEGATIVE",
    "POSITIVE",
    "SEED",
    "SHARE",
    "WHOLE",
    "Parser",
    "add_choice",
    "add_common",
    "add_device",
    "comma_separated",
    "sizes",
]

EXITS = """\
exit status:
  0 all is done; 2 an argument, a file or a device is not as it should be, and a sentence says what
  to do; 1 xpnet itself has failed; 130 after Ctrl-C, 143 after SIGTERM
"""


class Parser(argparse.ArgumentParser):
    """A command's grammar: what it does not know is told the nearest name, in one sentence.

    Parameters
    ----------
    prog : str
        What the command is called.
    description : str
    examples : str
        For the end of the help.
    usage_first : bool
        Whether the usage stands before a sentence of what is wrong, and options may be shortened.

    Attributes
    ----------
    origin : str
        Where the arguments come from, if not from the command line.
    """

    def __init__(
        self, prog: str, description: str, examples: str = "", *, usage_first: bool = False
    ) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"{examples}\n{EXITS}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=usage_first,
        )
        self._usage_first = usage_first
        self.origin = ""

    def error(self, message: str) -> NoReturn:
        """End the command with a sentence."""
        unknown = re.match(r"unrecognized arguments: (-[^\s=]+)", message)
        if unknown:
            message += nearest(unknown[1], self._option_string_actions)
        if self._usage_first:
            super().error(self.origin + message)
        self.exit(2, f"{self.prog}: error: {self.origin}{message}\n")


def _checked(
    kind: type[float], wanted: str, fits: Callable[[float], bool]
) -> Callable[[str], float]:
    """Return an argument type: numbers of a kind that fit, or one sentence of what was wanted."""

    def read(text: str) -> float:
        with contextlib.suppress(ValueError):
            value = kind(text)
            if fits(value):
                return value
        raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}")

    return read


WHOLE = _checked(int, "a whole number >= 1", lambda v: v >= 1)
SEED = _checked(int, "a whole number >= 0", lambda v: v >= 0)
POSITIVE = _checked(float, "a number above 0", lambda v: 0 < v < math.inf)
NOT_NEGATIVE = _checked(float, "a number >= 0", lambda v: 0 <= v < math.inf)
SHARE = _checked(float, "a share of at least 0 and below 1", lambda v: 0 <= v < 1)


def sizes(text: str) -> list[int]:
    """Return whole numbers above 0 that commas or crosses divide, such as those of 1,28,28."""
    with contextlib.suppress(ValueError):
        numbers = [int(one) for one in re.split("[,x]", text)]
        if min(numbers) > 0:
            return numbers
    raise argparse.ArgumentTypeError(
        f"expected whole numbers >= 1 with commas between, such as 1,28,28, got {text!r}"
    )


def comma_separated(text: str) -> list[str]:
    """Return the words that commas divide."""
    return [one.strip() for one in text.split(",")]


def add_choice(group: Any, option: str, names: Iterable[str], **options: Any) -> None:
    """Add an argument that takes one of several names, and tells the nearest for another."""
    known = list(names)

    def read(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(
                f"invalid choice: {text!r} (choose from {', '.join(map(repr, known))})"
                f"{nearest(text, known)}"
            )
        return text

    group.add_argument(option, type=read, choices=known, **options)


def add_device(group: Any, default: str | None = "cpu", what: str = "") -> None:
    """Add --device."""
    names = "cpu (the default, NumPy), gpu or gpu:N (CuPy), torch:cpu, torch:cuda:N, or auto"
    group.add_argument("--device", default=default, metavar="NAME", help=what or names)


def add_common(group: Any, quiet: str) -> None:
    """Add --json and --quiet; ``quiet`` says what the latter leaves."""
    group.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object for programs, and all that is for people on standard error",
    )
    group.add_argument("--quiet", action="store_true", help=quiet)
