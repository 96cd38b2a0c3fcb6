"""The part ``samples``: a set of images on a disk that grows from a thousand to millions."""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import xpnet
from scripts.bench.cpu import verdict
from scripts.bench.scale import images
from scripts.bench.scale.found import Found, Picture, Settings, line
from scripts.bench.scale.jobs import Clock, Job, Row, by_turns, middle, run, spread
from xpnet import models
from xpnet.tables import aligned

__all__ = ["TASKS", "measure"]

SIZES = (1_000, 10_000, 100_000, 1_000_000, 8_000_000)
BATCH = 100
WARM, STEPS = 100, 2_000
"""The steps that are not counted, and those that are."""

MEMORY_TARGET = 100.0
"""Megabytes of anonymous memory that most images may take beyond the fewest."""
TIME_TARGET = 1.2
"""How many times as long as one of the fewest an image of the most may take."""
FIRST_TARGET = 1.0
"""Seconds in which files are opened, checked and the first step is made."""

STATUS = Path("/proc/self/status")


def stream(job: Job) -> Row:
    """Train on images in files, in the order of blocks; return the figures.

    The first batch is timed from before the files are opened to the end of the first step, with
    all code compiled by another fit.
    """
    files: images.Files = [(Path(x), Path(t)) for x, t in job["files"]]
    for path in [path for both in files for path in both]:
        (_forget if job["cold"] else _read)(path)
    x, t = ([str(path) for path in paths] for paths in zip(*files, strict=True))
    with xpnet.threads(job["threads"]):
        _trainer().fit(xpnet.data.load("digits")[0], 1, BATCH, shuffle="blocks")
        steps = job["warm"] + job["steps"]
        clock = Clock(steps)
        with _most_anonymous() as most:
            began = time.perf_counter()
            data = xpnet.data.open(x, t, classes=10)
            epochs = -(-steps * BATCH // len(data)) + 1
            _trainer(clock).fit(data, epochs, BATCH, shuffle="blocks")
    return {
        "step_ms": 1e3 * clock.mean(job["warm"]),
        "first_ms": 1e3 * (clock.epochs[0][0] - began),
        "anonymous_mb": max(most),
    }


TASKS = {"stream": stream}


def _trainer(*callbacks: Clock) -> xpnet.Trainer:
    return xpnet.Trainer(
        models.mlp(), xpnet.SoftmaxCrossEntropy(), xpnet.Adam(), callbacks=callbacks
    )


def _read(path: Path) -> None:
    """Bring a file into the system's cache."""
    buffer = bytearray(2**20)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _forget(path: Path) -> None:
    """Let a file go from the system's cache."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _most_anonymous() -> Iterator[list[float]]:
    """Give the megabytes of anonymous memory of this process, a thread looking on."""
    found, ended = [_anonymous()], threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            found[:] = [max(found[0], _anonymous())]

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def _anonymous() -> float:
    told = re.search(r"RssAnon:\s+(\d+) kB", STATUS.read_text())
    assert told is not None
    return 1.024e-3 * int(told[1])


def measure(settings: Settings) -> Found:
    """Stream sets of all sizes by turns.

    Raises
    ------
    RuntimeError
        The system does not tell anonymous memory, or there is no room for the files.
    """
    if not STATUS.exists() or "RssAnon" not in STATUS.read_text():
        raise RuntimeError(f"samples: expected Linux, which tells memory in {STATUS}")
    sizes = SIZES[:3] if settings.quick else SIZES
    steps = 200 if settings.quick else STEPS
    kept = settings.data
    with tempfile.TemporaryDirectory() if kept is None else nullcontext(kept) as folder:
        files = images.write(Path(folder), sizes, images.source())
        cases = {
            (n, cold): partial(_one, files[n], settings, cold, steps)
            for cold in ([False, True] if settings.cold else [False])
            for n in sizes
        }
        found = by_turns(cases, settings.rounds)
    return summed_up([_row(n, cold, figures) for (n, cold), figures in found.items()])


def _one(files: images.Files, settings: Settings, cold: bool, steps: int) -> Row:
    job = {
        "files": [[str(path.absolute()) for path in both] for both in files],
        "cold": cold,
        "threads": settings.threads,
        "warm": WARM,
        "steps": steps,
    }
    return run("stream", job, threads=settings.threads)


def _row(n: int, cold: bool, figures: list[Row]) -> Row:
    step = middle(figures, "step_ms")
    return {
        "images": n,
        "cache": "cold" if cold else "warm",
        "step_ms": step,
        "spread_ms": spread(figures, "step_ms"),
        "samples_per_second": 1e3 * BATCH / step,
        "first_ms": middle(figures, "first_ms"),
        "anonymous_mb": middle(figures, "anonymous_mb"),
    }


def summed_up(rows: Sequence[Row]) -> Found:
    """Return the table of sets of images, with what is wanted of the largest."""
    cells = [
        ("cache", "images", "step, ms", "spread", "images/s", "first batch, ms", "anonymous, MB")
    ]
    for row in rows:
        numbers = (row["step_ms"], row["spread_ms"])
        cells.append(
            (
                row["cache"], f"{row['images']:,}", *(f"{number:.3f}" for number in numbers),
                f"{row['samples_per_second']:,.0f}", f"{row['first_ms']:.1f}",
                f"{row['anonymous_mb']:.1f}",
            )
        )  # fmt: skip
    warm = [row for row in rows if row["cache"] == "warm"]
    few, many = warm[0], warm[-1]
    grown = many["anonymous_mb"] - few["anonymous_mb"]
    ratio = many["step_ms"] / few["step_ms"]
    first = max(row["first_ms"] for row in warm) / 1e3
    text = [
        f"mlp, Adam, {BATCH} images a step, in the order of blocks", *aligned(cells, left=1),
        f"from {few['images']:,} to {many['images']:,} images: anonymous memory {grown:+.1f} MB, "
        f"target {verdict(grown, MEMORY_TARGET)}; time {ratio:.2f} times, target "
        f"{verdict(ratio, TIME_TARGET)}; the first batch within {first:.3f} s, target "
        f"{verdict(first, FIRST_TARGET)}",
    ]  # fmt: skip
    return Found("\n".join(text), {"rows": list(rows)}, {"samples": _picture(rows)})


def _picture(rows: Sequence[Row]) -> Picture:
    """Draw each figure, and as a line that does not rise that of the fewest images."""
    panels = {}
    for title, key in {
        "ms a step": "step_ms",
        "anonymous memory, MB": "anonymous_mb",
        "ms to the first batch": "first_ms",
    }.items():
        lines = {}
        for cache in dict.fromkeys(row["cache"] for row in rows):
            own = [row for row in rows if row["cache"] == cache]
            x = [row["images"] for row in own]
            lines[f"cache {cache}"] = line(x, [row[key] for row in own])
            if cache == "warm":
                lines["as of the fewest"] = line(x, [own[0][key]] * len(own))
        panels[title] = lines
    return Picture(panels, "images", level=True)
