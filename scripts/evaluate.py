"""Say how well a saved network does on a data set's test images: ``xpnet evaluate``, in a clone."""

from __future__ import annotations

import sys

from xpnet.cli import evaluate as command


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return command.main(argv, "evaluate.py", dataset="digits", quiet=True)


if __name__ == "__main__":
    sys.exit(main())
