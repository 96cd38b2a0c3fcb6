"""What a process of the side-by-side benchmark does: one measurement."""

from __future__ import annotations

import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import xpnet
from scripts.bench.contenders import CONTENDERS
from scripts.bench.contenders.base import Slots
from scripts.bench.workloads import EPOCHS, PEAK, RECIPE, SUBSET, WORKLOADS, known, load
from xpnet import models, schedules

TRAINED = 1e-4
"""The loss at which a network knows its images."""


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Return the milliseconds of a step, the median over stretches of a few."""
    workload = replace(WORKLOADS[job["workload"]], batch_size=job["batch"])
    train, test = load(job["data_dir"], job["quick"])
    data = test if workload.infers else train if job["state"] == "fresh" else known(train)
    net, steps = workload.net(), 0
    slots: Slots = {}
    if job["state"] == "converged":
        slots, steps = _take_up(net, job["weights"])
    kind = CONTENDERS[job["contender"]]
    contender = kind(workload, net, data, job["threads"], slots, steps)
    times: list[float] = []
    with contender.limit():
        for _ in range(3):  # compiles, fills caches
            contender.run(workload.stretch)
        end = time.perf_counter() + job["seconds"]
        while len(times) < 3 or time.perf_counter() < end:
            if job["state"] == "fresh":
                contender.reset()
            before = time.perf_counter()
            contender.run(workload.stretch)
            times.append((time.perf_counter() - before) / workload.stretch)
    return {"ms": 1e3 * statistics.median(times)}


def converge(job: dict[str, Any]) -> dict[str, Any]:
    """Train a network until it knows its images, or time is up, and write it down."""
    workload = WORKLOADS[job["workload"]]
    train, _ = load(job["data_dir"], job["quick"])
    train = train.take(min(SUBSET, len(train)))
    trainer = xpnet.Trainer(workload.net(), xpnet.SoftmaxCrossEntropy(), workload.optimizer())
    end, loss = time.perf_counter() + job["seconds"], np.inf
    while loss >= TRAINED and time.perf_counter() < end:
        trainer.fit(train, 5, workload.batch_size)
        loss = trainer.evaluate(train).loss
    net, optimizer = trainer.net, trainer.optimizer
    arrays = {f"param/{path}": values for path, values in net.params.items()}
    arrays |= {f"state/{path}": values for path, values in net.state.items()}
    arrays |= {f"slot/{path}": values for path, values in optimizer.state().items()}
    np.savez(job["weights"], steps=optimizer.steps, **arrays)
    return {"loss": loss, "steps": optimizer.steps}


def _take_up(net: xpnet.Sequential, path: str) -> tuple[dict[str, np.ndarray], int]:
    """Give a network its trained weights; return the optimizer's slots and steps."""
    slots = {}
    with np.load(path) as arrays:
        for name in arrays:
            kind, _, rest = name.partition("/")
            if kind == "slot":
                slots[rest] = arrays[name]
            elif kind != "steps":
                (net.params if kind == "param" else net.state)[rest] = arrays[name]
        return slots, int(arrays["steps"])


def accuracy(job: dict[str, Any]) -> dict[str, Any]:
    """Train by the recipe; return the test accuracy and the seconds of training."""
    workload = WORKLOADS[RECIPE]
    train, test = load(job["data_dir"], job["quick"])
    began = time.perf_counter()
    net = models.fast_convnet(seed=job["seed"])
    contender = CONTENDERS[job["contender"]](workload, net, train, job["threads"], {}, 0)
    with contender.limit():
        contender.fit(EPOCHS, schedules.one_cycle(PEAK), job["seed"])
    seconds = time.perf_counter() - began
    right = contender.infer(test.x).argmax(axis=1) == test.t
    return {"accuracy": float(right.mean()), "seconds": seconds}


def memory(job: dict[str, Any]) -> dict[str, Any]:
    """Return the megabytes of the process after each number of steps."""
    workload = WORKLOADS["multi"]
    train, _ = load(job["data_dir"], job["quick"])
    found: dict[int, float] = {}

    class Look(xpnet.training.Callback):
        def step_ends(self, trainer: xpnet.Trainer) -> None:
            if trainer.optimizer.steps in job["steps"]:
                found[trainer.optimizer.steps] = resident()

    net = workload.net()
    trainer = xpnet.Trainer(
        net, xpnet.SoftmaxCrossEntropy(), workload.optimizer(), callbacks=[Look()]
    )
    each = -(-len(train) // workload.batch_size)
    trainer.fit(train, -(-max(job["steps"]) // each), workload.batch_size)
    return {"mb": [found[steps] for steps in job["steps"]]}


def resident() -> float:
    """Return the megabytes of memory that this process holds."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    except FileNotFoundError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1e6 if sys.platform == "darwin" else 1e3)


TASKS = {task.__name__: task for task in (measure, converge, accuracy, memory)}
"""By name: functions of a job, a dict, that return a dict."""
