"""From a laptop to a cluster: a run on several processes, with the bits of a run on one.

A program that trains needs one word more, and a launcher that starts it several times::

    processes = xpnet.parallel.connect("mpi", shards=8)
    trainer = xpnet.Trainer(net, loss, optimizer, processes=processes)

    mpirun -n 4 python train.py

and so does the command: ``mpirun -n 4 xpnet train --shards 8``.  Each process, a rank, does
everything that the program says; the trainer alone shares its work.

What is promised
----------------
- A batch is cut into ``shards``, whatever the number of ranks.  Gradients of shards are sums over
  samples; they are added as a balanced binary tree and divided once.  Dropout draws a mask a shard,
  a layer's running statistics are averages over shards, and BatchNorm normalises each shard by
  itself, ``BatchNorm(sync=True)`` by the statistics of the whole batch.  So parameters, optimizer,
  history and checkpoints have the same bits on any number of ranks up to the shards, as long as the
  processors and libraries round alike.
- A checkpoint goes on with fewer or more ranks.  The shards are part of it.
- Ranks share the batches of a fit's validation, and find what one rank finds.
- The first rank alone prints and writes.  Ranks that were started with other data, arguments or
  weights are found before the first step, and those that drift apart as an epoch ends.
- An error, or a signal, on one rank ends all: an error at once, a signal after the same step.

What breaks it
--------------
- A program that does on some ranks what it does not on others: draws numbers without a seed,
  evaluates, changes a rate.  Callbacks that print or write are called on the first rank alone
  (``rank_zero_only``); all others on each.
- Other threads: a rank works with one unless :func:`xpnet.threads` says more, which must be the
  same for each.
- ``exact=False``, which lets MPI add in an order of its own.

What it costs
-------------
A sum over all ranks once a step, of the size of the parameters; and shards are small batches, whose
passes take longer than those of one large one.  Take no more shards than ranks that you may want.

``BatchNorm(sync=True)`` costs two exchanges a layer and step, one on the way forward and one back,
each of some numbers a channel and shard; ranks wait for one another each time.  The shards of a
rank then advance together: it keeps at once what the layers of all of them keep, and gradients for
each.  With a rank for each shard there is nothing more to keep.

MPI's sums are compared with the tree's as a run begins: where MPI adds in another order, or the
ranks are no power of two, the sums of shards are gathered on each rank, which costs more.

GPUs, one for each process, add by NCCL where the engine is ``"nccl"``: sums are then part of a
recorded step as all its work is.  Otherwise they go through page-locked memory of the host, and
steps are not recorded.

On a laptop ``pip install "xpnet[mpi]"`` brings MPI along.  On a cluster, take its own, and mpi4py
built for it.  For Slurm::

    #!/bin/bash
    #SBATCH --ntasks=64 --cpus-per-task=1 --time=4:00:00 --signal=TERM@60
    srun xpnet train --dataset mnist --shards 64 --out runs/first --resume

which goes on where the last job was ended.  Kubernetes' MPI job (``kind: MPIJob``) takes ``mpirun
-n 64 xpnet train ...`` as its launcher's command, and a volume that all workers share as ``--out``.
More ranks than cores wait busily for one another: Open MPI wants ``--oversubscribe``, and ``--mca
mpi_yield_when_idle 1``; in a container, where all is done as root, ``--allow-run-as-root`` too.
"""

from __future__ import annotations

from typing import Literal, get_args

from xpnet.checks import came, one_of
from xpnet.parallel.mpi import MPI, launched
from xpnet.parallel.nccl import NCCL
from xpnet.parallel.processes import Processes, Single

__all__ = [
    "MPI",
    "NCCL",
    "Engine",
    "Processes",
    "Single",
    "checked_processes",
    "connect",
    "launched",
]

Engine = Literal["auto", "mpi", "nccl", "single"]
"""What brings processes together."""


def connect(engine: Engine, *, shards: int | None = None, exact: bool = True) -> Processes:
    """Return the processes of this run.

    Parameters
    ----------
    engine : "auto", "mpi", "nccl" or "single"
        "auto": MPI where its launcher has started this process, else this process alone.
        "nccl": processes that MPI started with a GPU each, between which NCCL adds.
    shards : int, optional
        As :class:`Processes` takes it.
    exact : bool
        As :class:`Processes` takes it.
    """
    one_of("processes", engine, get_args(Engine))
    if engine == "single" or (engine == "auto" and launched() is None):
        return Single(shards=shards, exact=exact)
    joined = MPI(shards=shards, exact=exact)
    return NCCL(joined) if engine == "nccl" else joined


def checked_processes(name: str, given: Processes | Engine | None) -> Processes | None:
    """Return processes as a trainer has them; None for a run that is not cut into shards."""
    if given is None or isinstance(given, Processes):
        return given
    if not isinstance(given, str):
        raise TypeError(
            f"{name}: expected 'auto', 'mpi', 'nccl', 'single', what xpnet.parallel.connect "
            f"returns, or None, got {came(given)}"
        )
    return connect(given)
