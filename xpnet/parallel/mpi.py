"""Processes that MPI has started, on one machine or many."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from xpnet.arrays import Array, HostArray, to_numpy
from xpnet.devices import CPU, Device, device_of
from xpnet.parallel.processes import Processes

__all__ = ["MPI", "UNTIL_ENDED", "launched"]

UNTIL_ENDED = 10.0
"""Seconds that ranks wait to be ended by the one that says what went wrong: as soon as one has
ended, a launcher ends all."""

RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")
"""Variables in which mpirun and its kin give a rank to each process they start."""


def launched(environment: Mapping[str, str] = os.environ) -> int | None:
    """Return the rank that a launcher of MPI's, mpirun or Slurm's srun, gave to this process.

    None where none has started it.
    """
    found = [name for name in RANKS if name in environment]
    if found == ["SLURM_PROCID"] and environment.get("SLURM_NTASKS", "1") == "1":
        return None  # as in a batch script itself
    return int(environment[found[0]]) if found else None


def _end_all_on_an_error(processes: Processes) -> None:
    """Let an error that nobody caught end all ranks: the others would wait for this one."""
    before = sys.excepthook
    if getattr(before, "ends_all", False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if getattr(error, "everywhere", False) and processes.rank:
            time.sleep(UNTIL_ENDED)  # the first says it
            return
        before(kind, error, trace)
        sys.stderr.flush()
        if not issubclass(kind, KeyboardInterrupt):
            processes.abort()

    hook.ends_all = True  # type: ignore[attr-defined]
    sys.excepthook = hook


class MPI(Processes):
    """The ranks of MPI's world communicator, through mpi4py.

    Parameters
    ----------
    shards : int, optional
    exact : bool

    Raises
    ------
    ImportError
        mpi4py, or an MPI library that it can load, is missing.

    Notes
    -----
    An error that nobody catches on one rank ends all, after its traceback.
    Arrays of a GPU go by page-locked memory of the host: no pointer of a device goes to MPI.
    """

    name = "mpi"

    def __init__(self, *, shards: int | None = None, exact: bool = True) -> None:
        try:
            from mpi4py import MPI as library  # noqa: N811 - its name is also ours
        except (ImportError, RuntimeError) as error:
            raise ImportError(
                f"processes='mpi' needs mpi4py and an MPI library ({error}): install "
                f'"xpnet[mpi]", or on a cluster mpi4py built for the MPI that is there'
            ) from error
        self._library = library
        self._world = library.COMM_WORLD
        super().__init__(self._world.Get_rank(), self._world.Get_size(), shards=shards, exact=exact)
        self._host: dict[tuple[Any, ...], HostArray] = {}
        self.local_rank = self._world.Split_type(library.COMM_TYPE_SHARED).Get_rank()
        if self.size > 1:
            _end_all_on_an_error(self)

    def all_reduce(self, a: Array) -> None:
        """Add them by MPI's Allreduce."""
        place = device_of(a)
        total: HostArray = a if place == CPU else self._copied(place, a)
        self._world.Allreduce(self._library.IN_PLACE, total)
        if total is not a:
            a[...] = place.asarray(total)

    def _copied(self, place: Device, a: Array) -> HostArray:
        """Return an array's values in memory of the host that is kept for it."""
        key = (place.name, tuple(a.shape), str(a.dtype))
        if key not in self._host:
            self._host = {key: place.host_memory(a)}  # in a run all are of one size
        place.copy_to_host(a, self._host[key])
        return self._host[key]

    def all_gather(self, pieces: Array, counts: Sequence[int]) -> Array:
        """Gather them by MPI's Allgatherv."""
        host = np.ascontiguousarray(to_numpy(pieces))
        rows = np.empty((sum(counts), *host.shape[1:]), host.dtype)
        size = math.prod(host.shape[1:])
        self._world.Allgatherv(host, (rows, [size * n for n in counts]))
        return device_of(pieces).asarray(rows)

    def exchange(self, value: Any) -> list[Any]:
        """Exchange them by MPI's allgather."""
        return list(self._world.allgather(value))

    def abort(self, status: int = 1) -> None:
        """End all ranks by MPI's Abort."""
        if self.size > 1:
            self._world.Abort(status)
