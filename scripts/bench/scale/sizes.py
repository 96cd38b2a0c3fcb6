"""The parts ``batch``, ``width`` and ``depth``: a step in one process, beside its work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import xpnet
from scripts.bench import steps
from scripts.bench.scale.found import Found, Picture, Settings, line
from scripts.bench.scale.jobs import Job, Row, by_turns, middle, run, spread
from xpnet import models
from xpnet.layers import Sequential
from xpnet.tables import aligned

__all__ = ["PARTS", "TASKS", "Part", "measure"]

BATCH = 100
SECONDS = 1.0
"""Of each measurement, at the least."""


class Part(NamedTuple):
    """What grows.

    Attributes
    ----------
    what : str
    sizes : tuple of int
    quick : int
        How many of them, the first, are measured quickly.
    net : callable
        Returns the network of a size.
    batch : callable
        Returns the samples in its batches.
    """

    what: str
    sizes: tuple[int, ...]
    quick: int
    net: Callable[[int], Sequential]
    batch: Callable[[int], int]

    def work(self, size: int) -> int:
        """Return the floating-point operations of a step's forward pass."""
        flops = sum(leaf.flops() for _, leaf in self.net(size).walk())
        return self.batch(size) * flops


PARTS = {
    "batch": Part(
        "samples a batch", (1, 4, 16, 64, 256, 1024, 4096), 5, lambda _: models.mlp(), lambda n: n
    ),
    "width": Part(
        "units in each of 2 hidden layers", (16, 64, 256, 1024, 4096), 3,
        lambda n: models.mlp((n, n)), lambda _: BATCH,
    ),
    "depth": Part(
        "hidden layers of 100 units", (1, 2, 4, 8, 16, 32, 64), 4,
        lambda n: models.mlp((100,) * n), lambda _: BATCH,
    ),
}  # fmt: skip


def step(job: Job) -> Row:
    """Return the milliseconds of a step, with Adam, of a part's size."""
    part, size = PARTS[job["part"]], job["size"]
    net, batch = part.net(size), part.batch(size)
    data = steps.noise(net, max(5 * batch, 2_000))
    with xpnet.threads(job["threads"]):
        return {"ms": 1e3 * steps.step_seconds(net, xpnet.Adam(), data, batch, job["seconds"])}


TASKS = {"step": step}


def measure(name: str, settings: Settings) -> Found:
    """Time steps of all sizes by turns."""
    part = PARTS[name]
    sizes = part.sizes[: part.quick] if settings.quick else part.sizes
    job = {
        "part": name,
        "seconds": 0.05 if settings.quick else SECONDS,
        "threads": settings.threads,
    }
    cases = {n: partial(run, "step", job | {"size": n}, threads=settings.threads) for n in sizes}
    found = by_turns(cases, settings.rounds)
    largest = sizes[-1]
    per_work = middle(found[largest], "ms") / part.work(largest)
    rows = [
        {
            "size": n,
            "step_ms": middle(own, "ms"),
            "spread_ms": spread(own, "ms"),
            "samples_per_second": 1e3 * part.batch(n) / middle(own, "ms"),
            "expected_ms": per_work * part.work(n),
        }
        for n, own in found.items()
    ]
    return summed_up(name, rows)


def summed_up(name: str, rows: Sequence[Row]) -> Found:
    """Return the table of a part, beside it the time as its work is to that of the largest."""
    cells = [(name, "step, ms", "spread", "samples/s", "by work, ms", "times")]
    for row in rows:
        cells.append(
            (
                f"{row['size']:,}", f"{row['step_ms']:.3f}", f"{row['spread_ms']:.3f}",
                f"{row['samples_per_second']:,.0f}", f"{row['expected_ms']:.3f}",
                f"{row['step_ms'] / row['expected_ms']:.2f}",
            )
        )  # fmt: skip
    what = PARTS[name].what
    text = "\n".join([f"mlp, Adam: {what}", *aligned(cells, left=0)])
    x = [row["size"] for row in rows]
    seconds = {
        "measured": [row["step_ms"] for row in rows],
        "as the work grows": [row["expected_ms"] for row in rows],
    }
    batches = [PARTS[name].batch(n) for n in x]
    panels = {
        "ms a step": {label: line(x, values) for label, values in seconds.items()},
        "samples a second": {
            label: line(x, [1e3 * n / ms for n, ms in zip(batches, values, strict=True)])
            for label, values in seconds.items()
        },
    }
    return Found(text, {"rows": list(rows)}, {name: Picture(panels, what)})
