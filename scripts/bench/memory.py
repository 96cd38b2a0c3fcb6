"""Compare the memory that ``net.summary(batch_size=...)`` tells of a step with what one takes.

Each row is a process of its own: it makes one step of a trainer and reads from Linux how far the
process's resident memory rose above what it was before, with the network, its optimizer and all
compiled code in place.  Then the summary tells the same of that network.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

import xpnet
from xpnet.tables import aligned, readable_bytes

BODIES = {"compiled": "cpu", "plain": "cpu", "torch": "torch:cpu"}
"""The devices of the bodies that serve a step."""

WORKLOADS = {"mlp": 20_000, "simple-convnet": 1_000, "deep-convnet": 300}
"""Networks, and batches so large that what they take rises above all noise."""


class Row(NamedTuple):
    """The memory of a step, in bytes: what is told, and what was measured."""

    network: str
    bodies: str
    batch_size: int
    fixed: int  # parameters, gradients and slots, which are there before
    kept: int
    peak: int
    measured: int

    @property
    def ratio(self) -> float:
        """What is told over what was measured."""
        return self.peak / self.measured


def measure(network: str, bodies: str, batch_size: int) -> Row:
    """Return a row, made in a process of its own."""
    row = ["--row", network, bodies, str(batch_size)]
    environment = {
        **os.environ,
        "XPNET_NUMBA": str(int(bodies == "compiled")),
        "MALLOC_MMAP_THRESHOLD_": "65536",  # what is freed goes back at once
    }
    out = subprocess.check_output(
        [sys.executable, "-m", "scripts.bench.memory", *row], text=True, env=environment, cwd=ROOT
    )
    return Row(*json.loads(out))


ROOT = Path(__file__).resolve().parents[2]


def _row(network: str, bodies: str, batch_size: int) -> Row:
    net = xpnet.models.BY_NAME[network]().to(BODIES[bodies])
    optimizer = xpnet.Adam()
    trainer = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), optimizer)
    _step(trainer, 8)
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest is what it is now
    _step(trainer, batch_size)
    measured = _resident("VmHWM") - before
    told = net.summary(batch_size=batch_size, optimizer=optimizer).memory
    assert told is not None
    fixed = told.parameters + told.gradients + told.slots
    return Row(network, bodies, batch_size, fixed, told.kept, told.peak, measured + fixed)


def _step(trainer: xpnet.Trainer, samples: int) -> None:
    net, rng = trainer.net, np.random.default_rng(0)
    x = net.asinput(rng.integers(0, 256, (samples, *net.input_shape), dtype=np.uint8))
    t = net.device.asarray(np.arange(samples) % 10)
    with net.threads():
        trainer.step(x, t)


def _resident(which: str) -> int:
    """Return the bytes of memory that this process has, or had at most."""
    found = re.search(rf"{which}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=WORKLOADS, default=[*WORKLOADS])
    parser.add_argument("--bodies", nargs="+", choices=BODIES, default=[*BODIES])
    parser.add_argument("--row", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.row:
        network, bodies, batch_size = chosen.row
        print(json.dumps(_row(network, bodies, int(batch_size))))
        return
    cells = [("network", "bodies", "batch", "kept", "peak", "measured", "told / measured")]
    for network in chosen.networks:
        for bodies in chosen.bodies:
            row = measure(network, bodies, WORKLOADS[network])
            told = [readable_bytes(number) for number in (row.kept, row.peak, row.measured)]
            cells.append((network, bodies, f"{row.batch_size:,}", *told, f"{row.ratio:.3f}"))
    print("\n".join(aligned(cells, left=2)))


if __name__ == "__main__":
    main()
