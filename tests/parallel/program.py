"""A run to be started by MPI: ``python -m tests.parallel.program FOLDER WHAT``.

Each rank prints a line: its rank, and what it came to.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

from tests import emulator
from tests.training.test_sharded import augmented, digits, outcome, trainer
from xpnet.parallel import connect
from xpnet.training import Callback, Checkpoint, Trainer

SHARDS = 8


class Fails(Callback):
    """An error on one rank."""

    def step_ends(self, made: Trainer) -> None:
        assert made.processes is not None
        if made.processes.rank == 1 and made.optimizer.steps == 3:
            raise RuntimeError("this rank has failed")


class Slow(Callback):
    """Time to interrupt a run in; a line when it has begun."""

    def step_ends(self, made: Trainer) -> None:
        time.sleep(0.1)
        if made.optimizer.steps == 1:
            print("begun", flush=True)


def main(folder: Path, what: str = "whole") -> None:
    processes = connect("auto", shards=SHARDS)
    extra: dict[str, tuple[Callback, ...]] = {"fails": (Fails(),), "slow": (Slow(),)}
    saving = Checkpoint(folder / "run.safetensors", every_seconds=1e-3)
    device = "cpu"
    if what == "emulated-gpu":
        emulator.install(devices=processes.size)
        device = f"gpu:{processes.rank}"
    made = trainer(processes, device=device, callbacks=(*extra.get(what, ()), saving))
    if what == "goes-on":
        made.restore(folder / "run.safetensors")
    data = digits()
    if what == "differs" and processes.rank == 1:
        data = data.take(50)
    made.fit(augmented(data), 3, batch_size=40)
    digest, rows = outcome(made)
    history = hashlib.blake2b(json.dumps(rows).encode(), digest_size=8).hexdigest()
    print(f"rank {processes.rank}: {digest} {history}\n", end="", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
