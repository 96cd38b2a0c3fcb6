"""Time whole training steps: batch gather, forward, loss, backward, update.

Each workload runs in a process of its own; rounds alternate between workloads, and the median
over rounds is printed, with the smallest and largest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import cycle

import numpy as np

import xpnet
from xpnet import models
from xpnet.data import Batches, Dataset
from xpnet.data.augment import Elastic, Rotate, Scale, Shear, Shift
from xpnet.layers import Linear, ReLU, Sequential

Workload = tuple[Callable[[], Sequential], int, Callable[[], xpnet.optimizers.Optimizer]]

WORKLOADS: dict[str, Workload] = {
    # name: network, batch size, optimizer
    "tiny": (lambda: Sequential([Linear(3), ReLU(), Linear(2)], input_shape=(4,)), 10,
             lambda: xpnet.SGD(0.1)),
    "two": (lambda: models.mlp((50,)), 100, lambda: xpnet.SGD(0.1)),
    "multi": (lambda: models.mlp((100,) * 4), 128, xpnet.Adam),
    "wide": (lambda: models.mlp((1024, 1024)), 512, xpnet.Adam),
    "simple": (models.simple_convnet, 100, xpnet.Adam),
    "augmented": (models.simple_convnet, 100, xpnet.Adam),
    "deep": (models.deep_convnet, 100, xpnet.Adam),
}  # fmt: skip

AUGMENTS = {"augmented": (Rotate(12), Scale(0.9, 1.1), Shear(8), Elastic(1.0), Shift(1))}
"""What images are changed by, where they are: ``augmented`` is ``simple`` but for that."""


def measure(name: str, device: str, seconds: float) -> float:
    """Return the microseconds of a step of one workload, the median within a stretch of time."""
    build, batch_size, optimizer = WORKLOADS[name]
    net = build().to(device)
    data = noise(net, 20 * batch_size)
    if name in AUGMENTS:
        data = data.augmented(*AUGMENTS[name])
    return 1e6 * step_seconds(net, optimizer(), data, batch_size, seconds)


def noise(net: Sequential, n: int) -> Dataset:
    """Return as many samples and labels as are wanted, at random, bytes where they are images."""
    shape, classes = net.input_shape, net.output_shape[0]
    draws = xpnet.random.Stream(0, "bench").generator()
    x: np.ndarray
    if len(shape) == 1:
        x = draws.random((n, *shape), dtype="float32")
    else:
        x = draws.integers(0, 256, (n, *shape), dtype="uint8")
    return Dataset(x, draws.integers(0, classes, n), classes=classes)


def step_seconds(
    net: Sequential,
    optimizer: xpnet.optimizers.Optimizer,
    data: Dataset,
    batch_size: int,
    seconds: float,
) -> float:
    """Return the seconds of a step, the median over the epochs within a stretch of time."""
    batches = Batches(data, batch_size, device=net.device)
    trainer = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), optimizer)
    times, end = [], time.perf_counter() + seconds
    for epoch in cycle(range(10**6)):
        before = time.perf_counter()
        with net.threads():
            for x, t in batches.epoch(epoch):
                trainer.step(x, t)
        net.device.synchronize()
        times.append((time.perf_counter() - before) / len(batches))
        if time.perf_counter() > end and len(times) > 2:
            break
    return statistics.median(times[1:])


def main() -> None:
    """Run the rounds and print a table."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("workloads", nargs="*", default=list(WORKLOADS), help=", ".join(WORKLOADS))
    p.add_argument("--device", default="cpu")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    p.add_argument("--json", action="store_true", help="print JSON lines instead of a table")
    p.add_argument("--one", choices=WORKLOADS, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.one:
        print(measure(args.one, args.device, args.seconds))
        return
    figures: dict[str, list[float]] = {name: [] for name in args.workloads}
    for _ in range(args.rounds):
        for name in args.workloads:
            command = [sys.executable, "-m", "scripts.bench.steps", "--one", name]
            command += ["--device", args.device, "--seconds", str(args.seconds)]
            figures[name].append(float(subprocess.check_output(command, text=True)))
    about = xpnet.device(args.device).describe()
    if args.json:
        for name, values in figures.items():
            print(json.dumps({"workload": name, "us": values, **about}))
        return
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    print(f"{'us a step':>10}  {'median':>10}  {'min':>10}  {'max':>10}")
    for name, values in figures.items():
        middle = statistics.median(values)
        print(f"{name:>10}  {middle:10,.0f}  {min(values):10,.0f}  {max(values):10,.0f}")


if __name__ == "__main__":
    main()
