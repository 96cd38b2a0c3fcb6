"""The command ``xpnet`` as a module, of this checkout: ``python -m tests.parallel.command ...``."""

import sys

from xpnet.cli import entry

if __name__ == "__main__":
    sys.exit(entry())
