"""``python -m xpnet``: the command."""

import sys

from xpnet.cli import entry

if __name__ == "__main__":
    sys.exit(entry())
