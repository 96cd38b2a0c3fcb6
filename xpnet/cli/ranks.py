"""A command that several processes run together: the first speaks and writes for all."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from xpnet import parallel
from xpnet.cli.parsing import WHOLE, add_choice
from xpnet.cli.process import EXIT, Interrupted, told
from xpnet.parallel import Processes
from xpnet.parallel.mpi import UNTIL_ENDED

__all__ = ["add_processes", "all_ready", "connected", "first_speaks", "own_device", "together"]

PATIENCE = 0.5
"""Seconds that others wait for the first to say what went wrong, if it did so everywhere."""


def add_processes(group: Any) -> None:
    """Add --processes and --shards."""
    add_choice(
        group,
        "--processes",
        list(get_args(parallel.Engine)),
        default="auto",
        help="what joins the processes of a run: MPI where mpirun or srun started them (auto, the "
        "default), MPI, NCCL between the GPUs of processes that MPI started, or nothing: one "
        "process, whose batches are cut as those of several",
    )
    group.add_argument(
        "--shards",
        type=WHOLE,
        metavar="N",
        help="parts that batches of a run on several processes are cut into, a power of two: the "
        "same number gives the same bits on any number of processes up to it (as many as there "
        "are processes)",
    )


def connected(engine: parallel.Engine, shards: int | None) -> Processes | None:
    """Return the processes of a command; None for one alone whose batches are not cut."""
    if engine == "auto" and shards is None and parallel.launched() is None:
        return None
    return parallel.connect(engine, shards=shards)


def own_device(name: str, processes: Processes | None) -> str:
    """Return the device of this process: of GPUs that have no number, one each on a machine."""
    if processes is None or processes.size == 1 or name not in {"gpu", "torch:cuda"}:
        return name
    return f"{name}:{processes.local_rank}"


@contextlib.contextmanager
def first_speaks() -> Iterator[None]:
    """Let the first process alone say what is wrong with arguments: they are those of all."""
    if not parallel.launched():
        yield
        return
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


@contextlib.contextmanager
def together(processes: Processes | None, prog: str) -> Iterator[None]:
    """Let the first process alone print, and what goes wrong on one of them end all."""
    if processes is None or processes.size == 1:
        yield
        return
    first = processes.rank == 0
    with contextlib.ExitStack() as stack:
        if not first:
            nowhere = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        try:
            yield
        except Interrupted as signalled:  # all were
            if first:
                raise
            sys.exit(EXIT[signalled.number])
        except Exception as error:
            if not first:
                time.sleep(PATIENCE)
            status = told(prog, error)
            sys.stderr.flush()
            processes.abort(status)
            sys.exit(status)


@contextlib.contextmanager
def all_ready(processes: Processes | None) -> Iterator[None]:
    """Make sure that what is done here succeeds on all processes, or end them all.

    The first one that failed says why.
    """
    error = None
    try:
        yield
    except Exception as failure:
        error = failure
    failed = [error is not None] if processes is None else processes.exchange(error is not None)
    if not any(failed):
        return
    if error is None or (processes is not None and processes.rank != failed.index(True)):
        time.sleep(UNTIL_ENDED)  # its launcher ends all as soon as one has ended
        sys.exit(2)
    raise error
