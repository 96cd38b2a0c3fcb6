"""``xpnet predict``: say what images, arrays and rows of a table show."""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from xpnet import data, plots
from xpnet.arrays import HostArray, to_numpy
from xpnet.checks import nearest
from xpnet.cli.datasets import add_table, as_images
from xpnet.cli.parsing import WHOLE, Parser, add_common, add_device
from xpnet.cli.process import print_json, run, say
from xpnet.cli.saved import Saved, add_model
from xpnet.data.archives import npy_array, npz_arrays, npz_names
from xpnet.data.folders import image_header, image_pixels
from xpnet.files import listed, replacing
from xpnet.functions import softmax
from xpnet.tables import aligned

__all__ = ["main", "parser"]

PROG = "xpnet predict"

IMAGES = (".png", ".jpg", ".jpeg")
OTHERS = (".csv", ".npy", ".npz")

MOST_DRAWN = 100
"""The most samples in a picture."""

EXAMPLES = """\
examples:
  xpnet predict runs/first seven.png three.jpg         images, brought to the network's size
  xpnet predict runs/first scans/ --invert             a folder of dark digits on white paper
  xpnet predict runs/first test.csv --out predictions.csv
  xpnet predict runs/first images.npy --top 3 --picture grid.png
  xpnet predict runs/first photo.png --json            for a program
"""


class Sample(NamedTuple):
    """A sample, where it comes from and the classes that it may be, the likeliest first."""

    source: str
    x: HostArray
    guesses: list[tuple[str, float]]


def parser() -> Parser:
    """Return the command line's grammar."""
    p = Parser(PROG, "Say what images, arrays and rows of a table show.", EXAMPLES)
    add_model(p)
    p.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="PNG and JPEG images, .npy and .npz arrays, .csv tables, or folders of images",
    )
    p.add_argument(
        "--invert", action="store_true", help="of images: what is dark is to be bright (as it is)"
    )
    add_table(p)
    p.add_argument(
        "--array", metavar="NAME", help="of an .npz file: the array of the samples (its only one)"
    )
    p.add_argument(
        "--top", type=WHOLE, default=2, metavar="N", help="show the N likeliest classes (2)"
    )
    p.add_argument("--out", type=Path, metavar="FILE.csv", help="write the table there, too (no)")
    p.add_argument(
        "--picture",
        type=Path,
        metavar="FILE.png",
        help=f"draw the first {MOST_DRAWN} images with what they are taken for there (no)",
    )
    add_device(p)
    add_common(p, quiet="print nothing but what is wrong")
    return p


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    args = parser().parse_args(argv)
    return run(PROG, lambda: predict(args))


def predict(args: argparse.Namespace) -> None:
    """Print and write what the samples are taken for."""
    saved = Saved.read(args)
    if args.picture and saved.image is None:
        raise ValueError(f"--picture: {saved.path} takes no images, but {saved.net.input_shape}")
    found = [pair for file in args.files for pair in samples(file, saved, args)]
    x = numpy.stack([one for _, one in found])
    _warn_of_brightness(x, saved, args)
    scores = to_numpy(saved.net.predict(x))
    guesses = likeliest(scores, saved.class_names, args.top)
    results = [Sample(*pair, guess) for pair, guess in zip(found, guesses, strict=True)]
    if args.out:
        write(results, args.out)
    if args.picture:
        draw(results, args.picture)
    if args.json:
        print_json(described(results, saved))
    elif not args.quiet:
        say(False, table(results))


def samples(path: Path, saved: Saved, args: argparse.Namespace) -> Iterator[tuple[str, HostArray]]:
    """Yield the samples in a file or folder, each with the name of where it comes from."""
    kind = path.suffix.lower()
    if path.is_dir():
        yield from _in_folder(path, saved, args)
    elif kind in IMAGES:
        yield str(path), _image(path, saved, args)
    elif kind in OTHERS:
        x = _rows(path, saved, args) if kind == ".csv" else _array(path, saved, args)
        for number, one in enumerate(x):
            yield f"{path}:{number}", one
    else:
        raise ValueError(
            f"{path}: expected a folder or a file that ends with "
            f"{', '.join((*IMAGES, *OTHERS[:-1]))} or {OTHERS[-1]}, got {kind or 'no ending'!r}"
            f"{nearest(kind, (*IMAGES, *OTHERS))}"
        )


def _in_folder(
    path: Path, saved: Saved, args: argparse.Namespace
) -> Iterator[tuple[str, HostArray]]:
    files = sorted(one for one in path.rglob("*") if one.suffix.lower() in IMAGES)
    if not files:
        raise ValueError(f"{path}: expected images ({', '.join(IMAGES)}) in the folder, got none")
    for file in files:
        yield str(file), _image(file, saved, args)


def _image(path: Path, saved: Saved, args: argparse.Namespace) -> HostArray:
    if saved.image is None:
        raise ValueError(
            f"{path}: {saved.path} takes no images, but samples of shape {saved.net.input_shape}"
        )
    channels, size = saved.image
    image_header(path)  # whether its pixels may be read
    pixels = image_pixels(path, size, channels)
    return 255 - pixels if args.invert else pixels


def _rows(path: Path, saved: Saved, args: argparse.Namespace) -> HostArray:
    """Return the samples of a table, which may have the column of the classes too."""
    how = saved.reads(args)
    drop = list(how.drop)
    if args.drop is None:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            names = next(csv.reader(itertools.islice(file, 1), delimiter=how.delimiter), [])
        known = [how.target, *drop]
        numbered = len(names) == math.prod(saved.net.input_shape) + len(known)
        drop = [one for one in known if one in names or (numbered and isinstance(one, int))]
    x = data.from_csv(path, target=None, drop=drop, delimiter=how.delimiter, header=how.header)
    return _fitting(path, x, saved)


def _array(path: Path, saved: Saved, args: argparse.Namespace) -> HostArray:
    if path.suffix.lower() == ".npy":
        x = npy_array(path)
    else:
        names = npz_names(path)
        known = [args.array] if args.array else [n for n in ("x_test", "x") if n in names] or names
        if len(known) > 1:
            raise ValueError(f"{path}: expected one array, got {listed(names)}: name it by --array")
        (x,) = npz_arrays(path, known[:1])
    shape = saved.net.input_shape
    single = x.shape in (shape, shape[1:])
    return _fitting(path, x[None] if single else x, saved)


def _fitting(path: Path, x: HostArray, saved: Saved) -> HostArray:
    """Return samples in the shape that the network takes."""
    shape = saved.net.input_shape
    if x[:1].size != math.prod(shape) or len(x) == 0:
        raise ValueError(
            f"{path}: expected samples of shape {shape} for {saved.path}, got {len(x)} of "
            f"shape {x.shape[1:]}"
        )
    return as_images(x, shape)


def _warn_of_brightness(x: HostArray, saved: Saved, args: argparse.Namespace) -> None:
    """Say so where images are dark on white and those of the training were bright on black."""
    mean = saved.notes.get("mean")
    if args.invert or saved.image is None or x.dtype != numpy.uint8 or mean is None:
        return
    given = float(x.mean())
    if abs(given - mean) > abs(255 - given - mean) + 64:
        warnings.warn(
            f"the images are of a mean brightness of {given:.0f}, those of the training were of "
            f"{mean:.0f}: --invert turns dark on white into white on dark",
            RuntimeWarning,
            stacklevel=2,
        )


def likeliest(
    scores: HostArray, names: tuple[str, ...], count: int
) -> Iterator[list[tuple[str, float]]]:
    """Yield of each sample the likeliest classes and their probabilities, in that order."""
    for shares in to_numpy(softmax(scores)):
        order = numpy.argsort(-shares, kind="stable")[:count]
        yield [(names[k], float(shares[k])) for k in order]


def described(results: list[Sample], saved: Saved) -> dict[str, Any]:
    """Return the predictions for JSON."""
    return {
        "model": str(saved.path),
        "device": saved.net.device.name,
        "predictions": [
            {
                "file": one.source,
                "class": one.guesses[0][0],
                "probability": one.guesses[0][1],
                "top": [{"class": name, "probability": p} for name, p in one.guesses],
            }
            for one in results
        ],
    }


def titles(count: int) -> list[str]:
    """Return the columns' names, for so many classes."""
    return ["file", "class", "probability", *(["runner-up", "probability"] * (count - 1))]


def table(results: list[Sample]) -> str:
    """Return a table with a row a sample."""
    rows = [titles(len(results[0].guesses))]
    for one in results:
        cells = [cell for name, p in one.guesses for cell in (name, f"{p:.4f}")]
        rows.append([one.source, *cells])
    return "\n".join(line.rstrip() for line in aligned(rows, left=1))


def write(results: list[Sample], path: Path) -> None:
    """Write the predictions to a CSV file, whole or not at all."""
    count = len(results[0].guesses)
    numbered = [f"{name}_{k}" for k in range(2, count + 1) for name in ("class", "probability")]
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["file", "class", "probability", *numbered])
        for one in results:
            out.writerow([one.source, *itertools.chain.from_iterable(one.guesses)])


def draw(results: list[Sample], path: Path) -> None:
    """Draw the images with what they are taken for."""
    shown = [(f"{one.guesses[0][0]} {one.guesses[0][1]:.2f}", one.x) for one in results]
    plots.image_grid(shown[:MOST_DRAWN], path)
