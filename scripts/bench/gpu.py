"""Time xpnet beside PyTorch, JAX and the bare matrix products, on a GPU.

A step is: gather a batch of bytes, which lie on the GPU, by an order that lies there too, turn it
into numbers, forward, loss, backward, update.  All contenders at a workload have the same network,
the same first weights, the same update rule and the same precision of products.

One process holds one contender for one round, and goes through all workloads and batch sizes;
rounds alternate between contenders (--apart gives each measurement a process of its own).  Each
measurement trains an epoch to get ready, then times whole epochs.  step_us is the time of a step
within an epoch by events on the GPU, epoch_us that of an epoch by the wall clock, all it does
included (the drawing of the order, which xpnet does on the host), divided by its steps.  A figure
is the median over rounds, its spread the largest less the smallest.

xpnet replays recorded steps, xpnet-eager asks for each piece of work; torch is PyTorch as it comes
(with cuDNN trying its algorithms out), torch-graph its whole step as one CUDA graph with a fused
update.  Beside each figure stand the pieces of work of a step ("launches", of which a recorded
step needs one or less), the ratios to both, and two bounds: the step's matrix products alone by
cuBLAS, and the bytes that gathering and updating move at the speed of a large copy.  JAX and
torch-compile take part at a workload's own batch size, and at those asked for by --batches.

--kernels shows where the time of a step goes, by the names of the kernels, as CUPTI sees it.  What
is measured is added to the facts at once, and an interrupted run still prints what it has.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import xpnet
from scripts.bench import cpu, gpu_tasks, gpu_trace
from scripts.bench.facts import LEFT_OUT, Facts
from scripts.bench.gpu_check.about import about
from scripts.bench.gpu_contenders import BOUND, CONTENDERS, DEFAULT
from scripts.bench.workloads import WORKLOADS

Cell = tuple[str, int]
Row = dict[str, Any]

NAMES = ("two", "multi", "bn", "wide", "simple", "deep")
BATCHES = (100, 1000, 10_000)
PRECISIONS = ("float32", "tf32", "bf16")
EAGER, GRAPHS = ("torch", "torch-cl"), ("torch-graph",)
"""What ratios are to: the fastest of these that was measured."""
PROFILED = ("xpnet", "torch-graph")
"""Whose kernels are looked at."""
PATIENCE = 300.0
"""Seconds without a word after which a process is ended."""

MEMORY_TARGET = 2**20
"""Bytes by which memory may grow in 10 000 steps."""
ACCURACY_TARGETS = {1: (0.99, 0.76)}
"""For epochs of the recipe the mean accuracy to reach, and seconds; 0.30 is what is aimed at."""
HIGHER = 0.994
DEEP_TARGET, DEEP_EPOCHS = 20.0, 20


class Target(NamedTuple):
    """The multiple of another's time that a contender may take at a cell."""

    workload: str
    batch: int
    contender: str
    against: str
    at_most: float


TARGETS = (
    *(Target(name, 100, "xpnet", "torch", 0.25) for name in ("two", "multi", "bn")),
    *(Target(name, 100, "xpnet-eager", "torch", 0.8) for name in ("two", "multi", "bn")),
    *(Target(name, 100, "xpnet", "torch", 0.5) for name in ("simple", "deep")),
    *(Target(name, 100, "xpnet-eager", "torch", 1.0) for name in ("simple", "deep")),
    *(Target(name, 100, "xpnet", "torch-graph", 1.0) for name in NAMES),
    Target("wide", 10_000, "xpnet", BOUND, 1.2),
)


class UnfitError(RuntimeError):
    """A contender cannot use the GPU at all."""


def child(task: str, job: Row) -> Iterator[Row]:
    """Run a task in a process of its own; yield what it finds as it finds it.

    Raises
    ------
    UnfitError
        The contender's library cannot use the GPU.
    RuntimeError
        It failed; the message is its last words.
    """
    job = job | {"spawned": time.time()}
    command = [sys.executable, "-m", "scripts.bench.gpu", "--one", task, json.dumps(job)]
    environment = os.environ | CONTENDERS[job["contender"]].environment
    if "cache" in job:
        environment |= {"JAX_COMPILATION_CACHE_DIR": job["cache"]}
    if job["precision"] == "tf32":
        environment |= {"CUPY_TF32": "1"}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in _patiently(process):
                if not line.startswith("{"):
                    continue  # a library that talks
                found = json.loads(line)
                if "unfit" in found:
                    raise UnfitError(found["unfit"])
                yield found
        finally:
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.kill()
        if process.wait():
            errors.seek(0)
            words = [line.strip() for line in errors.read().splitlines() if line.strip()]
            status = process.returncode
            how = "failed" if status > 0 else f"ended by signal {-status}"
            raise RuntimeError(f"{how}: {(words or [f'status {status}'])[-1]}")


def _patiently(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield the lines of a process, which is ended when it says nothing for too long."""
    assert process.stdout is not None
    while True:
        watch = threading.Timer(PATIENCE, process.kill)
        watch.start()
        try:
            line = process.stdout.readline()
        finally:
            watch.cancel()
        if not line:
            return
        yield line


def cells_of(args: argparse.Namespace) -> dict[str, list[Cell]]:
    """Return the cells that each contender is measured at."""
    found: dict[str, list[Cell]] = {}
    for contender in args.contenders:
        found[contender] = []
        for name in args.workloads:
            own = WORKLOADS[name].batch_size
            if args.batches is not None:
                sizes = set(args.batches)
            elif args.quick:
                large = name == "wide" and not CONTENDERS[contender].compiles_for_long
                sizes = {100, 10_000} if large else {100}
            elif CONTENDERS[contender].compiles_for_long:
                sizes = {own}
            else:
                sizes = {own, *BATCHES}
            found[contender] += [(name, size) for size in sorted(sizes)]
    return found


def through(
    task: str,
    job: Row,
    cells: Sequence[Cell],
    apart: bool,
    say: Callable[[str], None],
    note: Callable[[Cell, Row], None] = lambda cell, line: None,
    leave_out: Callable[[str, str], None] | None = None,
) -> dict[Cell, Row]:
    """Return what a task finds at each cell, noted as it comes; where it fails, it is said why.

    A cell at which the process fails is left out, and the rest goes on in a new process: after
    an error of the GPU the old one is of no more use.  The same words twice in a row end it.
    """
    found: dict[Cell, Row] = {}
    rest, before = list(cells), ""
    while rest:
        now = rest[:1] if apart else list(rest)
        try:
            for line in child(task, job | {"cells": list(now)}):
                cell = rest.pop(0)
                found[cell] = line
                note(cell, line)
                del now[0]
            if now:
                raise RuntimeError("its process ended before it was done")
        except UnfitError as error:
            if leave_out is None:
                say(f"no {job['contender']}: {error}")
            else:
                leave_out(job["contender"], str(error))
            return found
        except RuntimeError as error:
            if not rest:
                return found
            name, batch = rest.pop(0)
            say(f"no {job['contender']} at {name} {batch}: {error}")
            if str(error) == before:
                say(f"no {job['contender']} at what is left")
                return found
            before = str(error)
    return found


def taking_part(contenders: Sequence[str], args: argparse.Namespace) -> list[str]:
    """Return the contenders that can do what is asked for; for the others it is said why not."""
    found = []
    for contender in contenders:
        reason = CONTENDERS[contender].lacks(args.precision)
        if reason is None:
            found.append(contender)
        else:
            leave_out(args, contender, reason)
    return found


def leave_out(args: argparse.Namespace, contender: str, reason: str) -> None:
    """Say, and add to the facts, that a contender takes no part."""
    say(f"no {contender}: {reason}")
    args.left_out.append(reason)
    args.facts.add("left out", contender=contender, reason=reason)


def fail(args: argparse.Namespace, words: str) -> None:
    """Say, and add to the facts, what failed."""
    say(words)
    args.failed.append(words)
    args.facts.add("failed", words=words)


def time_steps(args: argparse.Namespace, job: Row, figures: Row) -> None:
    """Time the cells round by round; print the table and the targets, and keep the rounds."""
    cells, figures["rounds"] = cells_of(args), []
    counts: dict[tuple[str, str, int], float | None] = {}
    try:
        _time_rounds(args, job, {c: cells[c] for c in taking_part(list(cells), args)}, figures)
        if not args.quick:
            counts = _count_launches(job, figures["rounds"])
    finally:  # what was measured before an interruption is worth a table
        figures["rows"] = summary(figures["rounds"], counts)
        print("\n" + table(figures["rows"]), flush=True)
        report(figures["rows"], figures)


def _time_rounds(
    args: argparse.Namespace, job: Row, places: dict[str, list[Cell]], figures: Row
) -> None:
    def note(cell: Cell, line: Row) -> None:
        one = about | {"workload": cell[0], "batch": cell[1]} | line
        figures["rounds"].append(one)
        args.facts.add("step", precision=args.precision, **one)
        say(f"{contender:12} {cell[0]:6} at batch {cell[1]:6,}: {line['step_us']:9,.1f} us a step")

    with tempfile.TemporaryDirectory() as cache:
        for number in range(args.rounds):
            for contender, cells in places.items():
                began = time.perf_counter()
                about = {"round": number, "contender": contender}
                own = job | {"contender": contender, "cache": cache}
                done = through(
                    "measure", own, cells, args.apart, partial(fail, args), note,
                    partial(leave_out, args),
                )  # fmt: skip
                places[contender] = [cell for cell in cells if cell in done]
                if done:
                    seconds = time.perf_counter() - began
                    say(f"round {number + 1}: {contender}, {len(done)} cells, {seconds:.0f} s")
                write(args.json, figures)


def _count_launches(job: Row, rounds: list[Row]) -> dict[tuple[str, str, int], float | None]:
    """Return the pieces of work of PyTorch's steps, at the cells where they were timed."""
    counts: dict[tuple[str, str, int], float | None] = {}
    for contender in ("torch", "torch-graph"):
        timed = [(one["workload"], one["batch"]) for one in rounds if one["contender"] == contender]
        few = [cell for cell in dict.fromkeys(timed) if cell[1] == 100]
        seen = through("launches", job | {"contender": contender}, few, False, say)
        counts |= {(contender, *cell): line["launches"] for cell, line in seen.items()}
    return counts


def show_kernels(args: argparse.Namespace, job: Row, figures: Row) -> None:
    """Print where the time of a step goes, by the names of kernels."""
    figures["kernels"] = []

    def note(cell: Cell, line: Row) -> None:
        one = {"contender": contender, "workload": cell[0], "batch": cell[1]} | line
        figures["kernels"].append(one)
        args.facts.add("kernels", precision=args.precision, **one)
        say(gpu_trace.in_words(one))

    cells = [(name, size) for name in args.profiled for size in args.batches or [100]]
    if args.batches is None and "wide" in args.profiled:
        cells.append(("wide", 10_000))
    for contender in taking_part(args.contenders, args):
        through(
            "kernels", job | {"contender": contender}, cells, args.apart, partial(fail, args), note,
            partial(leave_out, args),
        )  # fmt: skip


def summary(rounds: list[Row], counts: dict[tuple[str, str, int], float | None]) -> list[Row]:
    """Return a row for each cell and contender: medians, ratios and bounds."""
    grouped: dict[tuple[str, int, str], list[Row]] = {}
    for one in rounds:
        grouped.setdefault((one["workload"], one["batch"], one["contender"]), []).append(one)
    medians = {
        key: statistics.median(one["step_us"] for one in own) for key, own in grouped.items()
    }
    order = {name: number for number, name in enumerate(NAMES)}
    rows = []
    for key in sorted(grouped, key=lambda key: (order[key[0]], key[1])):
        workload, batch, contender = key
        if contender == BOUND:
            continue
        own, bound = grouped[key], grouped.get((workload, batch, BOUND), [])
        times = [one["step_us"] for one in own]
        walls = [one["epoch_us"] for one in own if one.get("epoch_us") is not None]
        losses = [one["loss"] for one in own if one.get("loss") is not None]
        recorded = grouped.get((workload, batch, "xpnet"), [{}])[0].get("launches")
        known = own[0].get("launches", None) or counts.get((contender, workload, batch))
        row: Row = {
            "workload": workload,
            "batch": batch,
            "contender": contender,
            "step_us": medians[key],
            "spread_us": max(times) - min(times),
            "epoch_us": statistics.median(walls) if walls else None,
            "rounds": len(own),
            "loss": statistics.median(losses) if losses else None,
            # the same functions do the same work, recorded or not
            "launches": recorded if contender == "xpnet-eager" else known,
            "gemm_us": medians.get((workload, batch, BOUND)),
            "bytes_us": statistics.median(one["bytes_us"] for one in bound) if bound else None,
        }
        for name, others in (("to_torch", EAGER), ("to_graph", GRAPHS), ("to_gemm", (BOUND,))):
            found = [medians[workload, batch, o] for o in others if (workload, batch, o) in medians]
            row[name] = row["step_us"] / min(found) if found else None
        rows.append(row)
    return rows


COLUMNS = {
    "workload": "{}", "batch": "{}", "contender": "{}", "step_us": "{:,.1f}",
    "spread_us": "{:,.1f}", "epoch_us": "{:,.1f}", "launches": "{:.0f}", "to_torch": "{:.2f}",
    "to_graph": "{:.2f}", "gemm_us": "{:,.1f}", "to_gemm": "{:.2f}", "bytes_us": "{:,.2f}",
}  # fmt: skip
"""The table's columns, and how a figure is written."""


def table(rows: list[Row]) -> str:
    """Return the rows in columns, with "-" for what is not known."""
    lines = [list(COLUMNS)]
    for row in rows:
        lines.append(
            ["-" if row[c] is None else form.format(row[c]) for c, form in COLUMNS.items()]
        )
    widths = [max(len(line[k]) for line in lines) for k in range(len(COLUMNS))]
    left = [name in ("workload", "contender") for name in COLUMNS]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at_left else cell.rjust(width)
            for cell, width, at_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in lines
    )


AGAINST = {"torch": "to_torch", "torch-graph": "to_graph", BOUND: "to_gemm"}
WORDS = {"torch": "PyTorch, eager", "torch-graph": "PyTorch's graph", BOUND: "its products"}


def mark(value: float | None, at_most: float) -> str:
    """Return whether a figure keeps to its target, in five letters at most."""
    if value is None:
        return "-"
    return "pass" if value <= at_most else "FAIL"


def targets(rows: list[Row]) -> list[Row]:
    """Return the targets of the cells that were measured, each with its figure and mark."""
    by_cell = {(row["workload"], row["batch"], row["contender"]): row for row in rows}
    found = []
    for target in TARGETS:
        row = by_cell.get(target[:3])
        value = None if row is None else row[AGAINST[target.against]]
        if row is not None:
            found.append(target._asdict() | {"value": value, "mark": mark(value, target.at_most)})
    return found


def report(rows: list[Row], figures: Row) -> None:
    """Print the targets with their marks, and where a contender's loss is another's no more."""
    figures["targets"] = targets(rows)
    print()
    for one in figures["targets"]:
        value = "not measured" if one["value"] is None else f"{one['value']:.2f}"
        print(
            f"{one['mark']:4}  {one['workload']} at batch {one['batch']:,}: {one['contender']} to "
            f"{WORDS[one['against']]} {value}, at most {one['at_most']:.2f}"
        )
    for row in odd(rows):
        print(
            f"note  {row['workload']} at batch {row['batch']:,}: the first epoch's loss of "
            f"{row['contender']} is {row['loss']:.4f}, xpnet's {row['xpnet_loss']:.4f}"
        )


def odd(rows: list[Row]) -> list[Row]:
    """Return the rows whose first epoch's loss is a tenth off xpnet's: other work may be done.

    Orders differ, and what is dropped out, so losses do a little.
    """
    own = {(r["workload"], r["batch"]): r["loss"] for r in rows if r["contender"] == "xpnet"}
    found = []
    for row in rows:
        loss = own.get((row["workload"], row["batch"]))
        if loss is None or row["loss"] is None:
            continue
        if abs(row["loss"] - loss) > 0.1 * abs(loss):
            found.append(row | {"xpnet_loss": loss})
    return found


def watch_memory(args: argparse.Namespace, job: Row, figures: Row) -> None:
    """Print how much memory xpnet has after some steps of a fit, and after many more."""
    figures["memory"] = []
    if args.steps is not None:
        job = job | {"counts": (args.steps, args.steps)}
    for contender in ("xpnet", "xpnet-eager"):
        try:
            before, after = child("memory", job | {"contender": contender})
        except (RuntimeError, ValueError) as error:
            fail(args, f"memory: no {contender}: {error}")
            continue
        keys = ("pool_used", "pool_total", "device_used")
        grown = max(after[key] - before[key] for key in keys)
        for seen in (before, after):
            sizes = ", ".join(f"{key} {seen[key] / 2**20:.2f} MB" for key in keys)
            print(f"memory: {contender} after {seen['steps']:,} steps of multi: {sizes}")
        print(
            f"{mark(grown, MEMORY_TARGET):4}  {contender} grew by {grown / 2**20:.2f} MB, at most "
            f"{MEMORY_TARGET / 2**20:.0f}"
        )
        found = {"contender": contender, "before": before, "after": after, "grown": grown}
        figures["memory"].append(found)
        args.facts.add("memory", **found)


def time_accuracy(args: argparse.Namespace, job: Row, figures: Row) -> None:
    """Print test accuracy and seconds of the recipe, for each number of epochs and contender."""
    print(
        "accuracy: the clock runs from the images in the host's memory, as bytes, to the last "
        "update, done and waited for; making the network and the trainer and bringing the data "
        "over are within, imports, start of the GPU (\"ready\") and evaluation are not; the "
        "first seed compiles or loads what the process needs once (\"cold\")"
    )  # fmt: skip
    figures["accuracy"] = []
    trained = [c for c in args.contenders if c in ("xpnet", "xpnet-eager", "torch", "torch-cl")]
    for epochs in args.epochs:
        for contender in taking_part(trained if args.beside else ["xpnet"], args):
            about = {"contender": contender, "recipe": "fast", "epochs": epochs}
            row = train(args, job, about)
            if row is None:
                continue
            figures["accuracy"].append(about | row)
            print(in_words(f"{contender}, epochs {epochs}, {args.precision}", row), flush=True)
            aim = ACCURACY_TARGETS.get(epochs)
            if aim is not None and contender == "xpnet":
                good = row["mean"] >= aim[0] and row["seconds"] <= aim[1]
                print(
                    f"{'pass' if good else 'FAIL'}  a mean of {100 * aim[0]:.1f} % in "
                    f"{aim[1]:.2f} s: {100 * row['mean']:.2f} % in {row['seconds']:.3f} s "
                    f"(0.30 s is aimed at)"
                )


def train(args: argparse.Namespace, job: Row, about: Row) -> Row | None:
    """Train by a recipe from seed after seed; return the spread, or None if no seed was done.

    An interruption, too, ends with the spread of what was done.
    """
    lines: list[Row] = []
    own = job | about | {"seeds": args.seeds, "seed_seconds": args.seed_seconds}
    try:
        for line in child("train", own):
            lines.append(line)
            kind = "seed" if "seed" in line else "ready"
            args.facts.add(kind, precision=args.precision, **about, **line)
    except RuntimeError as error:
        fail(args, f"{about['recipe']}: no {about['contender']}: {error}")
    except KeyboardInterrupt:
        if len(lines) > 1:
            print(in_words("so far", spread_of(iter(lines))), flush=True)
        raise
    return spread_of(iter(lines)) if len(lines) > 1 else None


def spread_of(lines: Iterator[Row]) -> Row:
    """Return the figures of seeds: accuracies, and seconds of the first and of the others."""
    ready, *seeds = lines
    accuracies = [seed["accuracy"] for seed in seeds]
    warm = [seed["seconds"] for seed in seeds[1:]] or [seeds[0]["seconds"]]
    return {
        "ready_s": ready["ready_s"],
        "cold_s": seeds[0]["seconds"],
        "seconds": statistics.median(warm),
        "seconds_min": min(warm),
        "seconds_max": max(warm),
        "mean": statistics.mean(accuracies),
        "lowest": min(accuracies),
        "higher": sum(accuracy >= HIGHER for accuracy in accuracies),
        "seeds": seeds,
    }


def in_words(name: str, row: Row) -> str:
    """Return the figures of seeds as lines."""
    each = " ".join(f"{100 * seed['accuracy']:.2f}" for seed in row["seeds"])
    return (
        f"accuracy: {name}: mean {100 * row['mean']:.3f} %, lowest {100 * row['lowest']:.2f} %, "
        f"{row['higher']} of {len(row['seeds'])} seeds at {100 * HIGHER:.1f} % or above; median "
        f"{row['seconds']:.3f} s ({row['seconds_min']:.3f} to {row['seconds_max']:.3f}), cold "
        f"{row['cold_s']:.2f} s, ready {row['ready_s']:.2f} s\n  each, %: {each}"
    )


def time_deep(args: argparse.Namespace, job: Row, figures: Row) -> None:
    """Print test accuracy and seconds of 20 epochs of the deep convolutional network."""
    args.seeds, args.seed_seconds = 1, 0.0
    own = {"contender": "xpnet", "recipe": "deep", "epochs": DEEP_EPOCHS}
    row = train(args, job, own)
    if row is not None:
        figures["deep"] = row
        seconds = row["cold_s"]
        print(
            f"{mark(seconds, DEEP_TARGET):4}  deep, {DEEP_EPOCHS} epochs: {seconds:.2f} s, all "
            f"that is done once included, below {DEEP_TARGET:.0f}; test accuracy "
            f"{100 * row['mean']:.2f} %"
        )


def say(words: str) -> None:
    """Print at once."""
    print(words, flush=True)


def write(path: Path | None, figures: Row) -> None:
    """Write the figures to a file, if there is to be one."""
    cpu.write(path, figures)


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    p = argparse.ArgumentParser(
        prog="python -m scripts.bench.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--data-dir", metavar="DIR", default=os.environ.get("XPNET_DATA"),
        help="where MNIST lies, by default XPNET_DATA; without it, noise",
    )  # fmt: skip
    p.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    p.add_argument(
        "--facts", type=Facts, default=Facts(), metavar="FILE",
        help="add each figure to this file as it comes, one JSON object a line",
    )  # fmt: skip
    p.add_argument("--rounds", type=_whole, default=3, help="(3)")
    p.add_argument("--seconds", type=float, default=0.25, help="of each measurement (0.25)")
    p.add_argument(
        "--workloads", nargs="+", choices=NAMES, metavar="NAME",
        help=f"by default {', '.join(NAMES)}, unless one of the following is asked for",
    )  # fmt: skip
    p.add_argument(
        "--kernels", action="store_true",
        help=f"where steps go, by kernels, alone; by default of {' and '.join(PROFILED)}",
    )  # fmt: skip
    p.add_argument("--accuracy", action="store_true", help="time to accuracy on MNIST")
    p.add_argument("--deep", action="store_true", help="20 epochs of the deep network on MNIST")
    p.add_argument("--memory", action="store_true", help="growth over 10 000 steps")
    p.add_argument(
        "--batches", nargs="+", type=_whole, metavar="N",
        help="by default a workload's own, 100, 1000 and 10000",
    )  # fmt: skip
    p.add_argument(
        "--contenders", nargs="+", choices=list(CONTENDERS), metavar="NAME",
        help=f"of {', '.join(CONTENDERS)}; by default {', '.join(DEFAULT)}",
    )  # fmt: skip
    p.add_argument(
        "--precision", choices=PRECISIONS, default="float32",
        help="of matrix products and convolutions, for all that have it (float32)",
    )  # fmt: skip
    p.add_argument("--apart", action="store_true", help="a process for each measurement: slow")
    p.add_argument("--seeds", type=_whole, default=30, help="of the time to accuracy (30)")
    p.add_argument(
        "--seed-seconds", type=float, default=0.0, metavar="S",
        help="within which further seeds are begun (0)",
    )  # fmt: skip
    p.add_argument("--images", type=_whole, metavar="N", help="of those to train on, the first")
    p.add_argument("--steps", type=_whole, metavar="N", help="between two looks at the memory")
    p.add_argument(
        "--epochs", nargs="+", type=_whole, default=[1, 10], metavar="N",
        help="of the recipe for the time to accuracy, one run of all seeds for each (1 10)",
    )  # fmt: skip
    p.add_argument(
        "--beside", action="store_true",
        help="time to accuracy of the other contenders that train by the recipe, too",
    )  # fmt: skip
    p.add_argument("--quick", action="store_true", help="few cells, one short round")
    p.add_argument("--one", nargs=2, metavar=("TASK", "JOB"), help=argparse.SUPPRESS)
    return p


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return value


def checked(argv: list[str] | None) -> argparse.Namespace:
    """Return the arguments, with defaults that depend on others filled in."""
    p = parser()
    args = p.parse_args(argv)
    if (args.accuracy or args.deep) and args.data_dir is None and not args.one:
        p.error("--accuracy and --deep need MNIST: give --data-dir, or set XPNET_DATA")
    if not args.seconds > 0:
        p.error("--seconds: expected more than 0")
    if args.contenders is None:
        args.contenders = list(PROFILED if args.kernels else DEFAULT)
    args.failed, args.left_out = [], []
    args.profiled = args.workloads or list(NAMES)
    if args.kernels:
        args.workloads = []
    if args.quick:
        args.rounds, args.seconds = 1, 0.1
        args.seeds, args.epochs = min(args.seeds, 3), args.epochs[:1]
    if args.workloads is None:
        others = args.accuracy or args.deep or args.memory
        args.workloads = [] if others else list(NAMES)
    return args


def main(argv: list[str] | None = None) -> int:
    """Time what is asked for, print it and write it down; return the exit status."""
    args = checked(argv)
    if args.one:
        one(args.one[0], json.loads(args.one[1]))
        return 0
    began = time.perf_counter()
    figures: Row = {}
    if args.facts.path is None:  # else a check has looked already, and holds what it saw
        try:
            xpnet.device("gpu")
        except xpnet.DeviceError as error:
            print(error, file=sys.stderr)
            return 2
        figures = about()
        for group in figures.values():
            if isinstance(group, dict):
                print(", ".join(f"{key} {value}" for key, value in group.items()))
    others = Path, Facts
    figures["arguments"] = {
        k: str(v) if isinstance(v, others) else v for k, v in vars(args).items()
    }
    figures["data"] = "noise" if args.data_dir is None else "MNIST"
    say(f"{figures['data']}, products and convolutions in {args.precision}")
    job = {"data_dir": args.data_dir, "precision": args.precision, "seconds": args.seconds}
    if args.images is not None:
        job["images"] = args.images
    try:
        for name, task in TASKS.items():
            if getattr(args, name):
                task(args, job, figures)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    finally:
        figures["took_s"] = time.perf_counter() - began
        write(args.json, figures)
    say(f"took {figures['took_s']:.0f} s")
    if args.failed:
        return 1
    if args.left_out and not any(map(figures.get, ("rounds", "kernels", "accuracy"))):
        say(args.left_out[0])
        return LEFT_OUT
    return 0


TASKS: dict[str, Callable[[argparse.Namespace, Row, Row], None]] = {
    "workloads": time_steps,
    "kernels": show_kernels,
    "memory": watch_memory,
    "accuracy": time_accuracy,
    "deep": time_deep,
}
"""What each argument asks for."""


def one(task: str, job: Row) -> None:
    """Do a task of one process: print a line for each thing it finds."""
    reason = gpu_tasks.unfit(task, job)
    if reason is not None:
        print(json.dumps({"unfit": reason}), flush=True)
        return
    for line in gpu_tasks.TASKS[task](job):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
