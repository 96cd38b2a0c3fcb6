"""The gallery on a GPU: figures are added to the facts, pictures to gallery.zip beside them."""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

from scripts.bench.facts import Facts
from scripts.gallery import __main__ as gallery
from scripts.gallery import harness


def main(argv: list[str] | None = None) -> int:
    """Run demonstrations, all if none is named; return 1 if one does not show what it should."""
    p = harness.parser(prog="python -m scripts.bench.gpu_check.demonstrations", description=__doc__)
    p.add_argument("names", nargs="*", metavar="name", help="names or row ids")
    p.add_argument("--facts", type=Facts, default=Facts(), metavar="FILE")
    args = p.parse_args(argv)
    found = gallery.discover("scripts.gallery")
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        args.out = Path(folder)
        for name, module in (gallery.chosen(found, args.names) if args.names else found).items():
            row = gallery.attempt(module, harness.demo_of(args))
            args.facts.add("demonstration", **row)
            if args.facts.path is not None:
                keep(args.out, args.facts.path.with_name("gallery.zip"))
            if not row["pass"]:
                missed.append(name)
    print(f"missed: {', '.join(missed)}" if missed else "all show what they should")
    return 1 if missed else 0


def keep(folder: Path, archive: Path) -> None:
    """Move a folder's files into an archive, which is whole again before the next ones come."""
    with zipfile.ZipFile(archive, "a") as into:
        for path in sorted(folder.iterdir()):
            into.write(path, path.name)
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
