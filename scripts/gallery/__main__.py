"""List the demonstrations and run them: their figures, their pictures and a page of both.

Without arguments the demonstrations are listed; names (or row ids, such as B1) run those; --all
runs all of them and writes gallery.json and index.html beside the pictures.
"""

from __future__ import annotations

import html
import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from tqdm import tqdm

from scripts.gallery import harness
from xpnet.files import replacing


def discover(package: str) -> dict[str, ModuleType]:
    """Return the demonstrations of a package by name, in row order: its modules with ROWS."""
    folder = importlib.import_module(package).__path__
    names = [m.name for m in pkgutil.iter_modules(folder) if not m.name.startswith("_")]
    modules = {name: _module(package, name) for name in names}
    found = [(name, module) for name, module in modules.items() if hasattr(module, "ROWS")]
    return dict(sorted(found, key=lambda one: (_place(one[1].ROWS[0]), one[0])))


def _module(package: str, name: str) -> ModuleType:
    """Return a module; for one that does not import, one whose run says why."""
    try:
        return importlib.import_module(f"{package}.{name}")
    except Exception as error:
        stub, reason = ModuleType(f"{package}.{name}"), error

        def run(demo: harness.Demo) -> None:
            raise reason

        vars(stub).update(ROWS=("-",), TITLE="does not import", run=run)
        return stub


def _place(row: str) -> tuple[str, int]:
    """Return what sorts H9 before H10."""
    letters, number = re.fullmatch(r"(\D*)(\d*)", row).groups()  # type: ignore[union-attr]
    return letters, int(number or 0)


def chosen(found: dict[str, ModuleType], wanted: Sequence[str]) -> dict[str, ModuleType]:
    """Return the demonstrations of some names or row ids.

    Raises
    ------
    ValueError
        There is no such demonstration.
    """
    for name in wanted:
        if not any(name in (known, *module.ROWS) for known, module in found.items()):
            raise ValueError(f"expected demonstrations of {', '.join(found)}, got {name!r}")
    return {
        known: module
        for known, module in found.items()
        if any(name in (known, *module.ROWS) for name in wanted)
    }


def attempt(module: ModuleType, demo: harness.Demo) -> dict[str, Any]:
    """Return a demonstration's row; where it raises, a row that failed with its sentence."""
    try:
        return harness.show(module, demo)
    except Exception as error:  # whatever it is, the other demonstrations still run
        sentence = f"{type(error).__name__}: {error}"
        print(f"FAILED  {sentence}", flush=True)
        return harness.row_of(module, demo) | {"pass": False, "error": sentence}


def page(rows: Sequence[dict[str, Any]], command: str) -> str:
    """Return the page of the pictures and figures."""
    parts = []
    for row in rows:
        pictures = "".join(
            f'<img src="{html.escape(name)}" alt="{html.escape(row["title"])}" loading="lazy">'
            for name in row["pictures"]
        )
        figures = "".join(_table_row(figure) for figure in row["figures"])
        error = f'<p class="missed">{html.escape(row["error"])}</p>' if "error" in row else ""
        verdict = "" if row["pass"] else ' <span class="missed">missed</span>'
        parts.append(
            f'<section id="{html.escape(row["name"])}"><h2>{html.escape(", ".join(row["id"]))} '
            f"&middot; {html.escape(row['title'])}{verdict}</h2>{error}{pictures}"
            f"<table><tr><th>figure</th><th>measured</th><th>expected</th></tr>{figures}</table>"
            f'<p class="small">{html.escape(row["name"])}, {row["seconds"]:.1f} s</p></section>'
        )
    passed = sum(row["pass"] for row in rows)
    return PAGE.format(
        count=f"{passed} of {len(rows)} demonstrations show what they should.",
        command=html.escape(command),
        sections="\n".join(parts),
    )


def _table_row(figure: dict[str, Any]) -> str:
    value = figure["value"]
    cells = (figure["name"], value if isinstance(value, str) else json.dumps(value))
    kind = "" if figure["pass"] else ' class="missed"'
    text = "".join(f"<td>{html.escape(cell)}</td>" for cell in (*cells, figure["expected"] or ""))
    return f"<tr{kind}>{text}</tr>"


PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>xpnet gallery</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem;
       margin: 2rem auto; padding: 0 1rem; }}
h2 {{ margin: 3rem 0 .5rem; font-size: 1.25rem; border-top: 1px solid #ddd; padding-top: 1rem; }}
img {{ max-width: 100%; display: block; margin: .5rem 0; }}
table {{ border-collapse: collapse; font-size: .875rem; }}
th, td {{ text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0;
         border-bottom: 1px solid #eee; overflow-wrap: anywhere; }}
.missed {{ color: #b00020; }}
.small {{ font-size: .875rem; color: #666; }}
</style>
<h1>xpnet gallery</h1>
<p>{count}</p>
<p class="small">{command}</p>
{sections}
</html>
"""


def write(path: Path, text: str) -> None:
    """Write a text file that is whole or not there."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def main(argv: Sequence[str] | None = None, package: str = "scripts.gallery") -> None:
    """List or run demonstrations; exit 0 if every row passes, else 1, and 2 for a user's error."""
    p = harness.parser(prog=f"python -m {package}", description=__doc__)
    p.add_argument("names", nargs="*", metavar="name", help="what to run: names or row ids")
    p.add_argument("--all", action="store_true", help="run all, and write gallery.json, index.html")
    args = p.parse_args(argv)
    found = discover(package)
    try:
        wanted = found if args.all else chosen(found, args.names)
        if args.all and args.names:
            raise ValueError("expected names or --all, got both")
        harness.demo_of(args)  # a device or folder that cannot be used is said once
    except harness.USER_ERRORS as error:
        print(f"{p.prog}: error: {error}", file=sys.stderr)
        sys.exit(2)
    if not wanted:
        width = max(map(len, found), default=0)
        for name, module in found.items():
            print(f"{', '.join(module.ROWS):10} {name:{width}}  {module.TITLE}")
        sys.exit(0)
    rows = []
    bar = tqdm(wanted.items(), unit="demonstration", disable=None if args.all else True)
    for name, module in bar:
        bar.set_description(name)
        bar.clear()  # the figures go where the bar stood
        rows.append(attempt(module, harness.demo_of(args)))
        print(flush=True)
    if args.all:
        options = sys.argv[1:] if argv is None else argv
        write(args.out / "gallery.json", json.dumps(rows, indent=2) + "\n")
        write(args.out / "index.html", page(rows, " ".join([p.prog, *options])))
        print(f"wrote {args.out / 'gallery.json'} and {args.out / 'index.html'}")
    missed = [row["name"] for row in rows if not row["pass"]]
    if missed:
        print(f"missed: {', '.join(missed)}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
