"""Images by the million, in files: the digits that there are, changed at random."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

import xpnet
from xpnet.arrays import HostArray
from xpnet.data import Batches, Dataset
from xpnet.data.augment import Rotate, Scale, Shear, Shift
from xpnet.files import replacing
from xpnet.tables import readable_bytes

__all__ = ["Files", "source", "write"]

Files = list[tuple[Path, Path]]
"""Those of the images, and those of their labels."""

AUGMENTS = (Rotate(15), Scale(0.85, 1.15), Shear(10), Shift(2))
LARGEST = 100_000
"""Images in a file, at the most."""
PIECE = 1_000
"""Images that are made at a time."""


def source() -> Dataset:
    """Return the images that others are made of: MNIST where XPNET_DATA says, else the digits."""
    return xpnet.data.load("mnist" if os.environ.get("XPNET_DATA") else "digits")[0]


class Stream:
    """Images without end: number i is that of number i % n in the source, as epoch i // n has it.

    So each is a function of its number alone.
    """

    def __init__(self, data: Dataset) -> None:
        self._n = len(data)
        self._batches = Batches(data.augmented(*AUGMENTS), PIECE, shuffle=False)

    def pieces(self, start: int, stop: int) -> Iterator[tuple[HostArray, HostArray]]:
        """Yield the images and labels of some numbers, in order, some at a time."""
        for epoch in range(start // self._n, -(-stop // self._n)):
            skipped = max(0, start - epoch * self._n) // PIECE
            first = epoch * self._n + skipped * PIECE
            for x, t in self._batches.epoch(epoch, start=skipped):
                own = slice(max(0, start - first), max(0, stop - first))
                if own.stop == 0:
                    return
                yield x[own], t[own]
                first += len(x)


def write(folder: Path, sizes: Sequence[int], data: Dataset) -> dict[int, Files]:
    """Return files that together hold so many images, for each size; write those not there yet.

    Files of a smaller size are the first of those of a larger one.

    Parameters
    ----------
    folder : path
    sizes : sequence of int
    data : Dataset
        What they are made of, by whose name files are called.

    Raises
    ------
    RuntimeError
        The folder has no room for them.
    """
    ends = sorted({0, *sizes, *range(LARGEST, max(sizes), LARGEST)})
    files = {
        (start, stop): (
            folder / f"{data.name}-{start:08}-{stop:08}-x.npy",
            folder / f"{data.name}-{start:08}-{stop:08}-t.npy",
        )
        for start, stop in pairwise(ends)
    }
    missing = [part for part, paths in files.items() if not all(path.exists() for path in paths)]
    _check_room(folder, data, sum(stop - start for start, stop in missing))
    stream = Stream(data)
    for start, stop in missing:
        _write(files[start, stop], stream, start, stop)
    return {n: [paths for (_, stop), paths in files.items() if stop <= n] for n in sizes}


def _check_room(folder: Path, data: Dataset, n: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = n * (data.x[0].nbytes + 1), shutil.disk_usage(folder).free
    if needed > free:
        raise RuntimeError(
            f"{folder}: expected {readable_bytes(needed)} of room for images, got "
            f"{readable_bytes(free)}: give another folder by --data"
        )
    if n:
        print(f"writing {n:,} images, {readable_bytes(needed)}, to {folder}", file=sys.stderr)


def _write(paths: tuple[Path, Path], stream: Stream, start: int, stop: int) -> None:
    """Write the images and labels of some numbers, which appear when they are whole."""
    with replacing(paths[0]) as images, replacing(paths[1]) as labels:
        x = t = None
        done = 0
        for some, classes in stream.pieces(start, stop):
            if x is None or t is None:
                shape = (stop - start, *some.shape[1:])
                x = np.lib.format.open_memmap(images, "w+", some.dtype, shape)
                t = np.lib.format.open_memmap(labels, "w+", np.uint8, shape[:1])
            x[done : done + len(some)] = some
            t[done : done + len(some)] = classes
            done += len(some)
