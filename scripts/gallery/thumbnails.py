"""Make the README's table of the gallery, and its small pictures, from a run of all demonstrations.

    python -m scripts.gallery --all --out runs/gallery
    python -m scripts.gallery.thumbnails runs/gallery

The table stands between two comments; what is between them is made here alone.
"""

from __future__ import annotations

import argparse
import html
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
README, IMAGES = ROOT / "README.md", Path(__file__).parent / "images"
BEGIN = "<!-- gallery: made by python -m scripts.gallery.thumbnails -->"
END = "<!-- end of gallery -->"

COLUMNS = 3
WIDTH, HEIGHT = 360, 270
"""Pixels that a small picture has at the most; the page shows it at two thirds."""


def cell(row: dict[str, Any]) -> str:
    """Return one demonstration's cell of the table."""
    title = row["title"][0].upper() + row["title"][1:]
    return (
        f'<td align="center" valign="top"><img src="scripts/gallery/images/{row["name"]}.png" '
        f'width="240" alt=""><br><b>{html.escape(", ".join(row["id"]))}</b> '
        f"{html.escape(title, quote=False)}<br><code>{row['name']}</code></td>"
    )


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of all demonstrations."""
    lines = ["<table>"]
    for start in range(0, len(rows), COLUMNS):
        lines += ["<tr>", *map(cell, rows[start : start + COLUMNS]), "</tr>"]
    return "\n".join([*lines, "</table>"])


def filled(readme: str, rows: Sequence[dict[str, Any]]) -> str:
    """Return the README with the table between its comments.

    Raises
    ------
    ValueError
        The README has no such comments.
    """
    if BEGIN not in readme or END not in readme:
        raise ValueError(f"README.md: expected the comments {BEGIN} and {END}")
    before, rest = readme.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{table(rows)}\n{END}{rest.split(END, 1)[1]}"


def shrink(picture: Path, small: Path) -> None:
    """Write a picture small, in few colours."""
    from PIL import Image

    with Image.open(picture) as image:
        image.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        image.convert("RGB").quantize(32).save(small, optimize=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Read gallery.json of a run; write the small pictures and the table."""
    p = argparse.ArgumentParser(prog="python -m scripts.gallery.thumbnails", description=__doc__)
    p.add_argument("folder", type=Path, help="where --all wrote gallery.json and the pictures")
    folder = p.parse_args(argv).folder
    try:
        rows = json.loads((folder / "gallery.json").read_text(encoding="utf-8"))
        readme = filled(README.read_text(encoding="utf-8"), rows)
        for row in rows:
            shrink(folder / row["pictures"][0], IMAGES / f"{row['name']}.png")
    except (OSError, ValueError) as error:
        print(f"{p.prog}: error: {error}", file=sys.stderr)
        sys.exit(2)
    for stale in {path.stem for path in IMAGES.glob("*.png")} - {row["name"] for row in rows}:
        if stale != "curves":  # the README's own
            (IMAGES / f"{stale}.png").unlink()
    README.write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    main()
