"""``xpnet data``: which data sets there are, and what they hold."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy

from xpnet import data, plots
from xpnet.arrays import to_numpy
from xpnet.cli.datasets import Reading, add_options, add_shapes, located, read
from xpnet.cli.parsing import WHOLE, Parser, add_choice, add_common, add_device
from xpnet.cli.process import print_json, run, say
from xpnet.data import Dataset
from xpnet.data.catalog import SOURCES, data_folder, found_files
from xpnet.devices import device
from xpnet.tables import aligned

__all__ = ["main", "parser"]

PROG = "xpnet data"

EXAMPLES = """\
examples:
  xpnet data list                                   all names, and which are here
  xpnet data get fashion-mnist                      download and verify it
  xpnet data show fashion-mnist --picture p.png     shapes, classes, and some images of each
  xpnet data show train.csv --target species        the same of a file of your own
"""


def parser() -> Parser:
    """Return the command line's grammar."""
    p = Parser(PROG, "List, download and look at data sets.", EXAMPLES)
    add_choice(
        p,
        "action",
        ["list", "get", "show"],
        metavar="list|get|show",
        help="list all data sets, download and verify one, or say what one holds",
    )
    p.add_argument(
        "dataset",
        nargs="?",
        type=located,
        metavar="WHAT",
        help="a data set's name; to show also a .csv or .npz file or a folder of images",
    )
    add_options(p, target="label")
    add_shapes(p)
    p.add_argument("--picture", type=Path, metavar="FILE.png", help="draw images there (no)")
    p.add_argument(
        "--per-class", type=WHOLE, default=8, metavar="N", help="images of each class in it (8)"
    )
    add_device(p)
    add_common(p, quiet="print nothing but what is wrong")
    return p


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    args = parser().parse_args(argv)
    return run(PROG, lambda: ACTIONS[args.action](args))


def list_all(args: argparse.Namespace) -> None:
    """Print the names of the catalog."""
    device(args.device)
    rows = [
        {"name": "digits", "classes": 10, "shape": [1, 28, 28], "where": "comes with xpnet"},
        *(_row(name, args.data_dir) for name in SOURCES),
    ]
    _print(args, {"data_dir": str(data_folder(args.data_dir)), "datasets": rows}, _listed(rows))


def _row(name: str, data_dir: str | None) -> dict[str, Any]:
    source = SOURCES[name]
    here = len(found_files(source, data_folder(data_dir))) == len(source.files)
    return {
        "name": name, "classes": source.classes, "shape": list(source.shape),
        "where": "here" if here else "to be downloaded",
    }  # fmt: skip


def _listed(rows: list[dict[str, Any]]) -> list[str]:
    cells = [("name", "where", "classes", "shape")]
    cells += [
        (row["name"], row["where"], str(row["classes"]), " x ".join(map(str, row["shape"])))
        for row in rows
    ]
    return aligned(cells, left=2)


def get(args: argparse.Namespace) -> None:
    """Download a data set, if it is not here, and verify it."""
    name = _wanted(args)
    if name not in data.NAMES:
        raise ValueError(f"get: {name} is here already: xpnet data show says what it holds")
    parts = _parts(args)
    folder = None if name == "digits" else str(data_folder(args.data_dir))
    sizes = {part: len(one) for part, one in parts.items()}
    line = f"{name}: " + ", ".join(f"{n:,} {part} images" for part, n in sizes.items())
    where = "comes with xpnet" if folder is None else f"whole, in {folder}"
    _print(args, {"name": name, "data_dir": folder, "samples": sizes}, [f"{line}: {where}"])


def show(args: argparse.Namespace) -> None:
    """Print what a data set holds; draw some of it."""
    parts, place = _parts(args), device(args.device)
    if args.picture:
        draw(parts["train"], args)
    rows = {part: described(one) for part, one in parts.items()}
    for one in parts.values():
        one.to(place)  # whether it fits there
    lines = [_line(part, row) for part, row in rows.items()]
    names, counts = (
        _classes(parts["train"]),
        zip(*(row["counts"] for row in rows.values()), strict=True),
    )
    cells = [("class", *rows)]
    cells += [(name, *(f"{n:,}" for n in row)) for name, row in zip(names, counts, strict=True)]
    about = {"name": args.dataset, "device": place.name, "class_names": names, "parts": rows}
    _print(args, about, [*lines, "", *aligned(cells, left=1)])


def _wanted(args: argparse.Namespace) -> str:
    if args.dataset is None:
        raise ValueError(f"{args.action}: say which data set: xpnet data list names them")
    return str(args.dataset)


def _parts(args: argparse.Namespace) -> dict[str, Dataset]:
    train, test = read(_wanted(args), args.data_dir, Reading.asked(args))
    return {"train": train} if test is None else {"train": train, "test": test}


def _classes(found: Dataset) -> list[str]:
    return list(found.class_names or map(str, range(found.classes or 0)))


def described(found: Dataset) -> dict[str, Any]:
    """Return what a part holds, for JSON."""
    x, t = to_numpy(found.x), to_numpy(found.t)
    return {
        "samples": len(found), "shape": list(x.shape[1:]), "dtype": str(x.dtype),
        "least": float(x.min()), "most": float(x.max()), "mean": float(x.mean()),
        "bytes": x.nbytes, "counts": numpy.bincount(t, minlength=found.classes or 0).tolist(),
    }  # fmt: skip


def _line(part: str, row: dict[str, Any]) -> str:
    shape = " x ".join(map(str, row["shape"]))
    return (
        f"{part}: {row['samples']:,} samples of {shape}, {row['dtype']} of {row['least']:g} to "
        f"{row['most']:g}, mean {row['mean']:.4g}, {row['bytes'] / 2**20:.1f} MiB"
    )


def draw(part: Dataset, args: argparse.Namespace) -> None:
    """Draw the first images of each class, a row a class."""
    x, t, names = to_numpy(part.x), to_numpy(part.t), _classes(part)
    if x.ndim != 4:
        raise ValueError(
            f"--picture: {args.dataset} holds no images, but samples of shape {x.shape[1:]}: say "
            f"--shape 1,28,28 if these are pixels"
        )
    blank = numpy.zeros_like(x[0])
    cells: list[tuple[str, Any]] = []
    for k, name in enumerate(names):
        some = [(name, image) for image in x[t == k][: args.per_class]]
        cells += some + [("", blank)] * (args.per_class - len(some))
    plots.image_grid(cells, args.picture, columns=args.per_class, title=part.name)


def _print(args: argparse.Namespace, about: dict[str, Any], lines: list[str]) -> None:
    if args.json:
        print_json(about)
    elif not args.quiet:
        say(False, "\n".join(line.rstrip() for line in lines))


ACTIONS = {"list": list_all, "get": get, "show": show}
