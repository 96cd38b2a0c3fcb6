"""Time xpnet beside PyTorch, JAX, scikit-learn and the bare matrix products, on a processor.

A step is: gather a batch of bytes, turn it into numbers, forward, loss, backward, update, in
float32 on the same cores for all.  All contenders at a workload have the same network and the
same weights (scikit-learn draws its own).  Each measurement has a process of its own; rounds
alternate between contenders, each at the number of threads, one or all cores, at which it was
faster in a first round (and at inference the batch size, 100 or 1000).  A figure is the median
over rounds, its spread the largest less the smallest; a ratio is to the fastest of the other
libraries, PyTorch as it comes and compiled, in both memory layouts, and JAX.  BLAS has its full
width: what the environment says of OpenBLAS's kernels is left out of it.  Where the times of the
bare products spread, something else was running, and no figure counts for much: it is said.

State "fresh": the weights go back to where they began every ten steps.  State "converged": the
network was trained until it knew its images, so that most gradients are next to nothing, and the
optimizer goes on with what it remembers.  Both have as many images in memory.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.bench import tasks
from scripts.bench.contenders import CONTENDERS
from scripts.bench.workloads import RECIPE, SUBSET, WORKLOADS
from xpnet.files import replacing

STATES = ("fresh", "converged")
STATE_TARGET = 1.1
"""How many times as long as from fresh weights a step from converged ones may take."""
MEMORY_TARGET = 5.0
"""Megabytes by which a process may grow in 100 000 steps."""
STARTUP_TARGETS = {"xpnet-plain": 1.0, "xpnet": 2.0}
"""Seconds from before the import to the end of the first step."""

PEERS = ("torch", "torch-cl", "torch-fused", "torch-compile", "jax")
"""The libraries of which the fastest is what a time is a multiple of."""
BUSY = 0.15
"""The share of their time by which the products alone may spread on a quiet machine."""
NARROWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Environment variables that choose other kernels of OpenBLAS than the processor's own."""

GAP = 0.5
"""Seconds between two measurements."""
PACKAGES = ("xpnet", "numpy", "numba", "torch", "jax", "scikit-learn", "threadpoolctl")

STARTUP = """
import time
began = time.perf_counter()
import numpy, xpnet
trainer = xpnet.Trainer(xpnet.models.mlp(), xpnet.SoftmaxCrossEntropy(), xpnet.Adam())
x = numpy.zeros((100, 1, 28, 28), numpy.uint8)
trainer.fit(xpnet.data.Dataset(x, numpy.arange(100) % 10, classes=10), 1)
print(time.perf_counter() - began)
"""

Job = dict[str, Any]
Row = dict[str, Any]


def child(task: str, job: Job) -> dict[str, Any]:
    """Run a task in a process of its own, after an idle gap.

    Raises
    ------
    RuntimeError
        It failed; the message is its last words.
    """
    time.sleep(0 if job["quick"] else GAP)
    command = [sys.executable, "-m", "scripts.bench.cpu", "--one", task, json.dumps(job)]
    found: dict[str, Any] = json.loads(last_line(command, job.get("contender", "xpnet")))
    return found


def last_line(command: list[str], contender: str) -> str:
    """Return the last line that a command prints in a contender's environment."""
    wide = {key: value for key, value in os.environ.items() if key not in NARROWING}
    environment = wide | CONTENDERS[contender].environment
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"failed: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return done.stdout.splitlines()[-1]


@contextlib.contextmanager
def neighbour() -> Iterator[subprocess.Popen[bytes]]:
    """Keep one core busy with a process of its own for as long as this context is open."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def enlist(job: Job, contenders: list[str]) -> dict[str, Row]:
    """Return how each contender is fastest at a workload: its threads, batch and milliseconds.

    Those that take no part are left out, and why is printed.
    """
    found: dict[str, Row] = {}
    workload = WORKLOADS[job["workload"]]
    for contender in contenders:
        reason = CONTENDERS[contender].lacks(workload, job["state"])
        if reason is None:
            tries = [
                {"contender": contender, "threads": n, "batch": batch}
                for n in sorted({1, cores()})
                for batch in workload.batches
            ]
            try:
                timed = [t | child("measure", job | t) for t in tries]
                found[contender] = min(timed, key=lambda one: one["ms"])
                continue
            except RuntimeError as error:
                reason = str(error)
        print(f"{job['workload']} {job['state']}: no {contender}: {reason}", flush=True)
    return found


def compare(job: Job, contenders: list[str], rounds: int) -> list[Row]:
    """Return the rows of one workload in one state."""
    found = enlist(job, contenders)
    times: dict[str, list[float]] = {contender: [] for contender in found}
    for _ in range(rounds):
        for contender, own in times.items():
            own.append(child("measure", job | found[contender])["ms"])
    rows = [
        {
            "workload": job["workload"],
            "state": job["state"],
            "contender": contender,
            "step_ms": statistics.median(own),
            "spread_ms": max(own) - min(own),
            "threads": found[contender]["threads"],
            "batch": found[contender]["batch"],
        }
        for contender, own in times.items()
    ]
    warning = was_busy(rows)
    if warning is not None:
        print(warning, flush=True)
    return with_ratios(rows)


def with_ratios(rows: list[Row]) -> list[Row]:
    """Return rows of one workload and state with their ratios to the fastest other library."""
    peers = [row["step_ms"] for row in rows if row["contender"] in PEERS]
    return [row | {"ratio": row["step_ms"] / min(peers) if peers else None} for row in rows]


def was_busy(rows: list[Row]) -> str | None:
    """Return a warning where the products alone took now more and now less time, or None."""
    for row in rows:
        share = row["spread_ms"] / row["step_ms"]
        if row["contender"] == "gemm" and share > BUSY:
            return (
                f"{row['workload']} {row['state']}: the machine was busy: the products alone "
                f"spread by {100 * share:.0f} % of their time, expected {100 * BUSY:.0f} at most"
            )
    return None


def verdict(value: float | None, target: float | None) -> str:
    """Return a target in words, and by how much a figure misses it."""
    if target is None:
        return ""
    if value is None or value <= target:
        return f"{target:.2f}"
    return f"{target:.2f}, missed by {100 * (value / target - 1):.0f} %"


def table(rows: list[Row]) -> str:
    """Return the rows in columns."""
    layout = "{:12}  {:9}  {:13}  {:>9}  {:>9}  {:>7}  {:>5}  {:>5}  {}"
    names = (
        "workload",
        "state",
        "contender",
        "step_ms",
        "spread_ms",
        "threads",
        "batch",
        "ratio",
        "target",
    )
    lines = [layout.format(*names)]
    for row in rows:
        target = WORKLOADS[row["workload"]].targets.get(row["contender"])
        cells = row | {
            "step_ms": f"{row['step_ms']:.3f}",
            "spread_ms": f"{row['spread_ms']:.3f}",
            "ratio": "" if row["ratio"] is None else f"{row['ratio']:.2f}",
            "target": verdict(row["ratio"], target),
        }
        lines.append(layout.format(*(cells[name] for name in names)).rstrip())
    return "\n".join(lines)


def state_ratios(rows: list[Row]) -> dict[str, float]:
    """Return how many times as long as a fresh step of xpnet a converged one takes."""
    ms = {(r["workload"], r["state"]): r["step_ms"] for r in rows if r["contender"] == "xpnet"}
    return {
        name: ms[name, "converged"] / ms[name, "fresh"]
        for name in WORKLOADS
        if {(name, "fresh"), (name, "converged")} <= ms.keys()
    }


def time_steps(args: argparse.Namespace, job: Job, figures: dict[str, Any]) -> None:
    """Time the workloads in all states; print the figures and write down those there are."""
    rows = figures["rows"]
    with tempfile.TemporaryDirectory() as folder:
        for name in args.workloads:
            for state in args.states:
                if WORKLOADS[name].infers and state != "fresh":
                    continue
                job = job | {"workload": name, "state": state}
                try:
                    if state == "converged":
                        job["weights"] = str(Path(folder) / f"{name}.npz")
                        converge(job | {"seconds": args.converge_seconds})
                    found = compare(job, args.contenders, args.rounds)
                except RuntimeError as error:
                    print(f"{name} {state}: {error}", flush=True)
                    continue
                print(table(found), flush=True)
                rows += found
                write(args.json, figures)
    print("\n" + table(rows))
    for name, value in state_ratios(rows).items():
        words = verdict(value, STATE_TARGET)
        print(f"{name}: xpnet converged to fresh {value:.2f}, target {words}")


def converge(job: Job) -> None:
    """Have a network trained until it knows its images; say how far it came."""
    done = child("converge", job)
    print(
        f"{job['workload']}: trained {done['steps']:,} steps on {SUBSET:,} images to a loss of "
        f"{done['loss']:.1e}"
    )


def write(path: Path | None, figures: dict[str, Any]) -> None:
    """Write the figures to a file, if there is to be one."""
    if path is not None:
        with replacing(path) as part:
            part.write_text(json.dumps(figures, indent=1) + "\n")


def time_startup(args: argparse.Namespace) -> Row:
    """Print and return the seconds from before the import to the end of the first step."""
    found = {}
    for contender, target in STARTUP_TARGETS.items():
        reason = CONTENDERS[contender].lacks(WORKLOADS["infer-mlp"], "fresh")
        if reason is not None:
            print(f"startup: no {contender}: {reason}")
            continue
        # the first one writes what numba keeps on disk
        seconds = [
            float(last_line([sys.executable, "-c", STARTUP], contender))
            for _ in range(args.rounds + 1)
        ]
        found[contender] = statistics.median(seconds[1:])
        words = verdict(found[contender], target)
        print(f"startup: {contender} {found[contender]:.2f} s to the first step, target {words}")
    return found


def watch_memory(args: argparse.Namespace, job: Job) -> Row:
    """Print and return the megabytes of a process after few and after many steps."""
    steps = [10, 100] if args.quick else [1_000, 100_000]
    before, after = child("memory", job | {"steps": steps})["mb"]
    print(
        f"memory: {before:.1f} MB after {steps[0]:,} steps of multi, {after:.1f} MB after "
        f"{steps[1]:,}, grown by {after - before:.1f}, target "
        f"{verdict(after - before, MEMORY_TARGET)}"
    )
    return {"steps": steps, "mb": [before, after]}


def time_accuracy(args: argparse.Namespace, job: Job) -> list[Row]:
    """Print and return the test accuracy and the time of training by the recipe.

    The clock runs from the images in memory, in bytes, to the last update: it includes making
    the network and everything that is done once, but neither imports nor the evaluation.
    """
    found = enlist(
        job | {"workload": RECIPE, "state": "fresh"},
        [c for c in ("xpnet", "xpnet-plain", "torch", "torch-cl") if c in args.contenders],
    )
    eager = [contender for contender in ("torch", "torch-cl") if contender in found]
    if len(eager) == 2:
        del found[max(eager, key=lambda contender: found[contender]["ms"])]
    runs: dict[str, list[dict[str, float]]] = {contender: [] for contender in found}
    for seed in range(args.seeds):
        for contender, fastest in found.items():
            runs[contender].append(child("accuracy", job | fastest | {"seed": seed}))
    rows = []
    for contender, own in runs.items():
        row: Row = {
            "contender": contender,
            "threads": found[contender]["threads"],
            "seeds": len(own),
        }
        for key in ("accuracy", "seconds"):
            values = [run[key] for run in own]
            row |= {key: statistics.mean(values), f"{key}_min": min(values)}
            row[f"{key}_max"] = max(values)
        rows.append(row)
        print(
            f"accuracy: {contender:11} {row['accuracy']:.4f} ({row['accuracy_min']:.4f} to "
            f"{row['accuracy_max']:.4f}) in {row['seconds']:.2f} s ({row['seconds_min']:.2f} to "
            f"{row['seconds_max']:.2f}), {row['threads']} threads, mean of {row['seeds']} seeds"
        )
    return rows


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of what is compared."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Return what the figures depend on beside versions."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
    return {"processor": name, "cores": cores(), "system": platform.system()}


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    p = argparse.ArgumentParser(
        prog="python -m scripts.bench.cpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [name for name in WORKLOADS if name != RECIPE]
    p.add_argument("--data-dir", metavar="DIR", help="where MNIST lies; without it, noise")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    p.add_argument("--rounds", type=int, default=5, help="(5)")
    p.add_argument("--seconds", type=float, default=2.0, help="of each measurement (2)")
    p.add_argument(
        "--workloads", nargs="+", choices=list(WORKLOADS), metavar="NAME",
        help=f"by default {', '.join(names)}, unless one of the following is asked for",
    )  # fmt: skip
    p.add_argument(
        "--busy", action="store_true", help="while another process keeps one of the cores busy"
    )
    p.add_argument("--accuracy", action="store_true", help="time to accuracy on MNIST")
    p.add_argument("--memory", action="store_true", help="growth over 100 000 steps")
    p.add_argument("--startup", action="store_true", help="time to the first step")
    p.add_argument(
        "--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS),
        metavar="NAME", help=f"by default all: {', '.join(CONTENDERS)}",
    )  # fmt: skip
    p.add_argument(
        "--states", nargs="+", choices=STATES, default=list(STATES), metavar="NAME",
        help=f"of the weights, by default {' and '.join(STATES)}",
    )  # fmt: skip
    p.add_argument(
        "--converge-seconds", type=float, default=300.0, metavar="S",
        help="after which a network is taken as converged anyway (300)",
    )  # fmt: skip
    p.add_argument("--seeds", type=int, default=10, help="of the time to accuracy (10)")
    p.add_argument("--quick", action="store_true", help="few images and one short round: a test")
    p.add_argument("--one", nargs=2, metavar=("TASK", "JOB"), help=argparse.SUPPRESS)
    return p


def main(argv: list[str] | None = None) -> None:
    """Time what is asked for, print it and write it down."""
    args = parser().parse_args(argv)
    if args.one:
        print(json.dumps(tasks.TASKS[args.one[0]](json.loads(args.one[1]))))
        return
    if args.quick:
        args.rounds, args.seconds, args.converge_seconds = 1, 0.02, 0.2
    others = args.accuracy or args.memory or args.startup
    if args.workloads is None:
        args.workloads = [] if others else [name for name in WORKLOADS if name != RECIPE]
    if args.data_dir is None:
        print("no --data-dir: noise in place of MNIST")
    about = {"versions": versions(), "machine": machine()}
    for group in about.values():
        print(", ".join(f"{key} {value}" for key, value in group.items()))
    job = {"data_dir": args.data_dir, "quick": args.quick, "seconds": args.seconds}
    figures: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        **about,
        "data": "noise" if args.data_dir is None else "MNIST",
        "busy": args.busy,
        "rows": [],
    }
    if args.workloads:
        with neighbour() if args.busy else contextlib.nullcontext():
            time_steps(args, job, figures)
    if args.startup:
        figures["startup"] = time_startup(args)
    if args.memory:
        figures["memory"] = watch_memory(args, job)
    if args.accuracy:
        figures["accuracy"] = time_accuracy(args, job)
    write(args.json, figures)


if __name__ == "__main__":
    main()
