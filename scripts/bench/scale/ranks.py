"""The part ``ranks``: steps whose shards lie on several ranks, the sums between them, and a model.

All is measured by turns on one machine: more ranks than it has cores take turns on them, and each
waits busily for the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

import xpnet
from scripts.bench import steps
from scripts.bench.cpu import cores, verdict
from scripts.bench.scale.cost import Cost, fitted_reduce, fitted_shards
from scripts.bench.scale.found import Found, Picture, Settings, line
from scripts.bench.scale.jobs import Clock, Job, Row, by_turns, launcher, middle, run, spread
from xpnet import models
from xpnet.arrays import Array
from xpnet.layers import Sequential
from xpnet.parallel import MPI, Single
from xpnet.tables import aligned, readable_bytes

__all__ = ["TASKS", "Run", "measure"]

NETWORKS: dict[str, Callable[[], Sequential]] = {
    "multi": lambda: models.mlp((100,) * 4),
    "simple": models.simple_convnet,
}
STEPS = {"multi": 1_000, "simple": 100}
"""Those that are counted; a fifth where ranks share cores."""
EPOCH = 20
"""Steps in an epoch; those of the first are not counted."""

BATCH, SHARDS = 100, 8
TARGET = 1.15
"""How many times as long as on one process with as many threads a step on two ranks may take."""

SIZES = tuple(2**k for k in range(10, 25, 2))
"""The bytes of sums, 1 KiB to 16 MiB."""
REPEATS = 200
"""Sums of each size; fewer of more than 1 MiB."""

PAPER_SHARDS = 1024
"""Shards of the step, and so the most ranks, that are computed on paper."""


class Run(NamedTuple):
    """How a step is shared.

    Attributes
    ----------
    ranks : int
        0 for one process that nothing launches.
    threads : int
        Of each process.
    shards : int or None
        None for a batch that is not cut.
    batch : int
    """

    ranks: int
    threads: int
    shards: int | None
    batch: int = BATCH

    def __str__(self) -> str:
        where = f"{self.ranks} ranks" if self.ranks else f"{self.threads} threads"
        if not self.ranks and self.threads == 1:
            where = "1 thread"
        return f"{where}, {'whole batch' if self.shards is None else f'{self.shards} shards'}"


TWO_RANKS = Run(2, 1, 2)
BESIDE = (Run(0, 2, 2), Run(0, 2, None))
"""What two ranks are compared with."""
WHOLE, CUT = Run(0, 1, None), Run(0, 1, SHARDS)
FEWER = tuple(Run(0, 1, shards, BATCH * shards // SHARDS) for shards in (SHARDS // 2, SHARDS // 4))
"""Smaller batches, of shards of one size."""
MORE_RANKS = tuple(Run(ranks, 1, SHARDS) for ranks in (2, 4, 8))


class Clocked(MPI):
    """MPI's ranks, and the seconds of each sum over them, in which one may wait for another."""

    def __init__(self, shards: int) -> None:
        super().__init__(shards=shards)
        self.spent: list[float] = []
        self.bytes = 0

    def all_reduce(self, a: Array) -> None:
        """Add, and note the time."""
        before = time.perf_counter()
        super().all_reduce(a)
        self._note(before, a)

    def all_gather(self, pieces: Array, counts: Sequence[int]) -> Array:
        """Gather, where MPI adds in another order than the tree, and note the time."""
        before = time.perf_counter()
        rows = super().all_gather(pieces, counts)
        self._note(before, rows)
        return rows

    def _note(self, before: float, a: Array) -> None:
        self.spent.append(time.perf_counter() - before)
        self.bytes = a.nbytes


def share(job: Job) -> Row | None:
    """Return, on the first rank, what a step of a fit takes, and of it the sum over the ranks."""
    how = Run(*job["run"])
    processes: Clocked | Single | None = None
    if how.shards is not None:
        processes = Clocked(how.shards) if how.ranks else Single(shards=how.shards)
    net, clock = NETWORKS[job["network"]](), Clock()
    trainer = xpnet.Trainer(
        net, xpnet.SoftmaxCrossEntropy(), xpnet.Adam(), callbacks=[clock], processes=processes
    )
    data = steps.noise(net, EPOCH * how.batch)
    with xpnet.threads(how.threads):
        trainer.fit(data, 1 + -(-job["steps"] // EPOCH), how.batch)
    if processes is not None and processes.rank:
        return None
    found = {"ms": 1e3 * clock.mean(EPOCH)}
    if isinstance(processes, Clocked):
        found["sum_ms"] = 1e3 * float(np.mean(processes.spent[-job["steps"] :]))
        found["bytes"] = processes.bytes
    return found


def sums(job: Job) -> Row | None:
    """Return, on the first rank, the least microseconds of a sum over ranks of each size.

    A sum has taken as long as on the rank where it took longest.
    """
    processes, found = MPI(), []
    for size in job["sizes"]:
        a, own = np.zeros(size // 4, np.float32), []
        for _ in range(max(1, job["repeats"] * 2**20 // max(size, 2**20))):
            processes.exchange(None)  # so that they begin together
            before = time.perf_counter()
            processes.all_reduce(a)
            own.append(time.perf_counter() - before)
        found.append(1e6 * min(map(max, zip(*processes.exchange(own), strict=True))))
    return None if processes.rank else {"us": found}


TASKS = {"share": share, "sums": sums}


def measure(settings: Settings) -> Found:
    """Time all runs of both networks by turns.

    Raises
    ------
    RuntimeError
        MPI is missing.
    """
    launcher(2)
    ranks = MORE_RANKS[:1] if settings.quick else MORE_RANKS
    runs = (TWO_RANKS, *BESIDE, WHOLE, CUT, *FEWER, *ranks)
    cases = {
        (network, how): partial(_one, network, how, settings.quick)
        for network in NETWORKS
        for how in runs
    }
    job = {"sizes": SIZES, "repeats": 5 if settings.quick else REPEATS}
    found: dict[Any, list[Row]] = by_turns(
        {"sums": partial(run, "sums", job, ranks=2), **cases}, settings.rounds
    )
    least = np.min([row["us"] for row in found.pop("sums")], axis=0)
    rows = [
        {
            "network": network, **how._asdict(), "step_ms": middle(own, "ms"),
            "spread_ms": spread(own, "ms"),
        }
        | ({"sum_ms": middle(own, "sum_ms"), "bytes": own[0]["bytes"]} if how.ranks else {})
        for (network, how), own in found.items()
    ]  # fmt: skip
    return summed_up(rows, dict(zip(SIZES, map(float, least), strict=True)), cores())


def _one(network: str, how: Run, quick: bool) -> Row:
    count = EPOCH if quick else STEPS[network]
    if how.ranks > cores():
        count = max(EPOCH, count // 5)
    job = {"network": network, "run": how, "steps": count}
    return run("share", job, threads=how.threads, ranks=how.ranks)


def summed_up(rows: list[Row], least_us: dict[int, float], own_cores: int) -> Found:
    """Return the tables of what was measured, and the model that is fitted to it.

    Parameters
    ----------
    rows : list of dict
        Of each network and run.
    least_us : dict
        Microseconds of a sum on two ranks, by its bytes.
    own_cores : int
        Of the machine.
    """
    latency, bandwidth = fitted_reduce({size: us / 1e6 for size, us in least_us.items()})
    texts, costs, pictures = [], {}, {}
    for network in dict.fromkeys(row["network"] for row in rows):
        by_run = {
            Run(*(row[key] for key in Run._fields)): row
            for row in rows
            if row["network"] == network
        }
        shard, rest = fitted_shards(
            {how.shards or 1: by_run[how]["step_ms"] / 1e3 for how in (CUT, *FEWER)}
        )
        cost = Cost(shard, rest, latency, bandwidth, by_run[TWO_RANKS]["bytes"])
        costs[network] = cost
        on_ranks = {1: by_run[CUT]} | {
            how.ranks: row for how, row in by_run.items() if how.ranks and how.shards == SHARDS
        }
        texts += [
            f"{network}, batches of {BATCH}, Adam", *_beside(by_run), _part_of_sum(by_run, cost),
            "", f"{network}, {SHARDS} shards on several ranks, {own_cores} cores",
            *_modelled(on_ranks, cost, own_cores), _parameters(cost), "",
            f"{network} on paper: {PAPER_SHARDS} shards of {BATCH / SHARDS} images, a core a rank",
            *_on_paper(cost), "",
        ]  # fmt: skip
        pictures[f"ranks-{network}"] = _picture(on_ranks, cost, own_cores)
    texts += ["the least time of a sum on 2 ranks", *_sums(least_us, latency, bandwidth)]
    pictures["ranks-sums"] = _picture_of_sums(least_us, latency, bandwidth)
    figures = {
        "rows": rows,
        "sums_us": least_us,
        "cost": {network: vars(cost) for network, cost in costs.items()},
    }
    return Found("\n".join(texts), figures, pictures)


def _beside(by_run: dict[Run, Row]) -> list[str]:
    """Return the rows of two ranks beside one process, and of shards beside the whole batch."""
    cells = [("run", "step, ms", "spread", "times", "target")]
    pairs = [(TWO_RANKS, other, TARGET) for other in BESIDE] + [(CUT, WHOLE, None)]
    for how in dict.fromkeys(chain.from_iterable(pair[:2] for pair in pairs)):
        row = by_run[how]
        cells.append((str(how), f"{row['step_ms']:.3f}", f"{row['spread_ms']:.3f}", "", ""))
    for how, other, target in pairs:
        ratio = by_run[how]["step_ms"] / by_run[other]["step_ms"]
        cells.append((f"{how} / {other}", "", "", f"{ratio:.2f}", verdict(ratio, target)))
    return aligned(cells, left=1)


def _part_of_sum(by_run: dict[Run, Row], cost: Cost) -> str:
    row = by_run[TWO_RANKS]
    least = 1e3 * cost.all_reduce(2, cost.bytes)
    return (
        f"of a step on 2 ranks the sum of {readable_bytes(cost.bytes)} is {row['sum_ms']:.3f} ms, "
        f"{100 * row['sum_ms'] / row['step_ms']:.0f} %, waiting for the other rank included; "
        f"by the model {least:.3f} ms"
    )


def _modelled(on_ranks: dict[int, Row], cost: Cost, own_cores: int) -> list[str]:
    cells = [("ranks", "step, ms", "spread", "model", "a core a rank", "")]
    for ranks, row in on_ranks.items():
        shared, apart = cost.step(ranks, SHARDS, own_cores), cost.step(ranks, SHARDS)
        cells.append(
            (
                str(ranks), f"{row['step_ms']:.3f}", f"{row['spread_ms']:.3f}",
                f"{1e3 * shared:.3f}", f"{1e3 * apart:.3f}",
                "ranks take turns on the cores" if ranks > own_cores else "",
            )
        )  # fmt: skip
    return aligned(cells, left=0)


def _parameters(cost: Cost) -> str:
    return (
        f"model: a shard {1e3 * cost.shard:.3f} ms, the rest of a step {1e3 * cost.rest:.3f} ms, "
        f"latency {1e6 * cost.latency:.1f} us, bandwidth {cost.bandwidth / 1e9:.2f} GB/s"
    )


def _on_paper(cost: Cost) -> list[str]:
    cells = [("ranks", "shards each", "step, ms", "images/s", "efficiency")]
    alone, images = cost.step(1, PAPER_SHARDS), PAPER_SHARDS * BATCH / SHARDS
    for ranks in _doubled(PAPER_SHARDS):
        seconds = cost.step(ranks, PAPER_SHARDS)
        cells.append(
            (
                str(ranks), str(PAPER_SHARDS // ranks), f"{1e3 * seconds:.3f}",
                f"{images / seconds:,.0f}", f"{alone / seconds / ranks:.2f}",
            )
        )  # fmt: skip
    return aligned(cells, left=0)


def _sums(least_us: dict[int, float], latency: float, bandwidth: float) -> list[str]:
    cells = [("bytes", "us", "model")]
    for size, us in least_us.items():
        cells.append((f"{size:,}", f"{us:.1f}", f"{1e6 * (latency + size / bandwidth):.1f}"))
    return aligned(cells, left=0)


def _doubled(most: int) -> list[int]:
    return [2**k for k in range(most.bit_length())]


def _picture(on_ranks: dict[int, Row], cost: Cost, own_cores: int) -> Picture:
    few, many = list(on_ranks), _doubled(PAPER_SHARDS)
    measured = [row["step_ms"] for row in on_ranks.values()]
    told = [1e3 * cost.step(ranks, SHARDS, own_cores) for ranks in few]
    apart = [1e3 * cost.step(ranks, SHARDS) for ranks in few]
    paper = [1e3 * cost.step(ranks, PAPER_SHARDS) for ranks in many]
    panels = {
        f"ms a step of {SHARDS} shards": {
            "measured": line(few, measured),
            f"model, {own_cores} cores": line(few, told),
            "model, a core a rank": line(few, apart),
            "ideal": line(few, [measured[0] / ranks for ranks in few]),
        },
        f"ms a step of {PAPER_SHARDS} shards": {
            "model, a core a rank": line(many, paper),
            "ideal": line(many, [paper[0] / ranks for ranks in many]),
        },
    }
    return Picture(panels, "ranks")


def _picture_of_sums(least_us: dict[int, float], latency: float, bandwidth: float) -> Picture:
    sizes = list(least_us)
    told = [1e6 * (latency + size / bandwidth) for size in sizes]
    lines = {"least": line(sizes, list(least_us.values())), "model": line(sizes, told)}
    return Picture({"us of a sum on 2 ranks": lines}, "bytes")
