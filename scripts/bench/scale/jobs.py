"""Measurements in processes of their own, by turns: one process, or the ranks that MPI starts."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from scripts.bench.cpu import cores
from scripts.bench.sklearn import THREADS
from xpnet.training import Callback

__all__ = ["Clock", "Job", "Row", "by_turns", "launcher", "middle", "run", "spread"]

K = TypeVar("K")
T = TypeVar("T")
Job = dict[str, Any]
Row = dict[str, Any]

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT = 900.0
"""The seconds after which a measurement is given up."""


class Clock(Callback):
    """When the steps of a fit ended.

    Parameters
    ----------
    most : int, optional
        After how many it ends the fit.

    Attributes
    ----------
    epochs : list of list of float
        The seconds at which the steps of each epoch ended.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.epochs: list[list[float]] = []

    def epoch_begins(self, trainer: Any) -> None:
        """Begin a list."""
        self.epochs.append([])

    def step_ends(self, trainer: Any) -> None:
        """Note the time."""
        self.epochs[-1].append(time.perf_counter())
        if sum(map(len, self.epochs)) == self.most:
            trainer.stop()

    def mean(self, skip: int) -> float:
        """Return the mean seconds from the end of one step to that of the next, within epochs.

        The first steps, which compile and fill caches, are left out.
        """
        taken, count = 0.0, 0
        for ends in self.epochs:
            own, skip = ends[skip:], max(0, skip - len(ends))
            if own:
                taken, count = taken + own[-1] - own[0], count + len(own) - 1
        return taken / count


def run(task: str, job: Job, *, threads: int = 1, ranks: int = 0) -> dict[str, Any]:
    """Return what a task finds out in a process of its own, or on the first of some ranks.

    Parameters
    ----------
    task : str
        A name in the command's ``TASKS``.
    job : dict
        What it is given, as JSON can hold it.
    threads : int
        That BLAS has in each process.
    ranks : int
        Those that MPI starts; 0 for one process that nothing launches.

    Raises
    ------
    RuntimeError
        It failed; the message is its last words.
    """
    command = [*(launcher(ranks) if ranks else []), sys.executable, "-m", "scripts.bench.scale"]
    more = dict.fromkeys(THREADS, str(threads))
    if ranks > cores():
        more["OMPI_MCA_mpi_yield_when_idle"] = "1"
    process = subprocess.Popen(
        [*command, "--one", task, json.dumps(job)], env=os.environ | more, cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        try:
            output, errors = process.communicate(timeout=TIMEOUT)
        except BaseException:
            process.terminate()  # and so its ranks, which would wait on busily
            raise
    if process.returncode:
        raise RuntimeError(f"{task} failed: {(errors.strip().splitlines() or ['no word'])[-1]}")
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def launcher(ranks: int) -> list[str]:
    """Return the words that start some ranks of what follows.

    Raises
    ------
    RuntimeError
        MPI's launcher, or mpi4py, is missing.
    """
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    mpiexec = shutil.which("mpiexec", path=places)
    if mpiexec is None or importlib.util.find_spec("mpi4py") is None:
        missing = "mpiexec" if mpiexec is None else "mpi4py"
        raise RuntimeError(f'ranks: {missing} is missing: pip install "xpnet[mpi]" mpich')
    told = subprocess.run([mpiexec, "--version"], capture_output=True, text=True, check=False)
    open_mpi = ["--oversubscribe", "--allow-run-as-root"] if "Open MPI" in told.stdout else []
    return [mpiexec, *open_mpi, "-n", str(ranks)]


def by_turns(cases: Mapping[K, Callable[[], T]], rounds: int) -> dict[K, list[T]]:
    """Return what each case gives in each of some rounds, in which all have their turn."""
    found: dict[K, list[T]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, measure in cases.items():
            found[name].append(measure())
    return found


def middle(found: list[Row], key: str) -> float:
    """Return the median of a figure over rounds."""
    return float(statistics.median(row[key] for row in found))


def spread(found: list[Row], key: str) -> float:
    """Return the largest less the smallest of a figure over rounds."""
    values = [row[key] for row in found]
    return float(max(values) - min(values))
