"""What a process of the GPU benchmark does: the measurements of one contender, line by line."""

from __future__ import annotations

import gc
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import xpnet
from scripts.bench import gpu_trace
from scripts.bench.gpu_contenders import CONTENDERS
from scripts.bench.workloads import PEAK, RECIPE, WORKLOADS, Workload, load
from xpnet import models, schedules
from xpnet.data import Dataset
from xpnet.layers import Conv2d, Sequential
from xpnet.training import Callback

STEPS = 60
"""Steps of an epoch at least, for which images are repeated; but not for convolutions, whose
steps of as many images take long enough."""

PROFILED = 20
"""Steps whose kernels are looked at."""

FIRST, FURTHER = 1_000, 10_000
"""Steps after which memory is looked at, and further steps until it is again."""

Job = dict[str, Any]
Line = dict[str, Any]


def measure(job: Job) -> Iterator[Line]:
    """Yield the figures of each cell, a workload and a batch size."""
    for contender in _set_up(job):
        found = contender.measure(job["seconds"])
        del contender  # its memory is given back before the next one is made
        yield found


def launches(job: Job) -> Iterator[Line]:
    """Yield how many pieces of work a step is of, for each cell."""
    for contender in _set_up(job):
        found = contender.launches()
        del contender
        yield {"launches": found}


def kernels(job: Job) -> Iterator[Line]:
    """Yield for each cell where the time of a step goes, by the names of kernels."""
    steps = job.get("steps", PROFILED)
    for contender in _set_up(job | {"steps": steps}):
        events = contender.kernels(steps)
        del contender
        yield {"steps": steps} | gpu_trace.by_kernel(events, steps)


def _set_up(job: Job) -> Iterator[Any]:
    kind = CONTENDERS[job["contender"]]
    train, _ = load(job["data_dir"])
    least = job.get("steps", STEPS)
    if "images" in job:
        train = train.take(job["images"])
    for name, batch in job["cells"]:
        workload = replace(WORKLOADS[name], batch_size=batch)
        net = workload.net()
        data = enough(train, net, batch, least)
        yield kind(workload, net, data, job["precision"])
        del net, data
        tidy()


def enough(data: Dataset, net: Sequential, batch: int, least: int) -> Dataset:
    """Return the images again and again, as many as make an epoch of so many steps."""
    long = any(isinstance(layer, Conv2d) for layer in net.layers)
    wanted = batch if long else batch * least
    return data if wanted <= len(data) else data.select(np.arange(wanted) % len(data))


def tidy() -> None:
    """Give the memory of what is no more back to the device, for the next one to measure."""
    gc.collect()
    if "cupy" in sys.modules:
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        sys.modules["torch"].cuda.empty_cache()


def train(job: Job) -> Iterator[Line]:
    """Yield the seconds until all was ready to begin; for each seed test accuracy and seconds.

    The clock of a seed begins with the images in the host's memory, in bytes, and ends when the
    last update is done and waited for: it includes making the network, its weights and the
    trainer, bringing images and weights to the GPU, and, at the first seed of the process,
    everything that is compiled or loaded once.  The evaluation comes after it.
    """
    images, test = load(job["data_dir"])
    if "images" in job:
        images, test = images.take(job["images"]), test.take(job["images"])
    if job["contender"].startswith("xpnet"):
        xpnet.device("gpu").synchronize()
    else:
        import torch

        torch.ones(1, device="cuda").cpu()
    yield {"ready_s": time.time() - job["spawned"]}
    workload, build, schedule = recipe(job["recipe"])
    kind = CONTENDERS[job["contender"]]
    began = time.perf_counter()
    for seed in itertools.count():
        before = time.perf_counter()
        if seed >= job["seeds"] and before - began >= job["seed_seconds"]:
            return
        contender = kind(workload, build(seed), images, job["precision"])
        contender.fit(job["epochs"], schedule, seed)
        seconds = time.perf_counter() - before
        yield {"seed": seed, "seconds": seconds, "accuracy": contender.accuracy(test)}


def recipe(name: str) -> tuple[Workload, Callable[[int], Sequential], Any]:
    """Return a workload, what makes its network from a seed, and the schedule of the rate."""
    if name == "deep":
        return WORKLOADS["deep"], lambda seed: models.deep_convnet(seed=seed), None
    return WORKLOADS[RECIPE], lambda seed: models.fast_convnet(seed=seed), schedules.one_cycle(PEAK)


def memory(job: Job) -> Iterator[Line]:
    """Yield the bytes in use after some steps of a fit, and after many more of the same fit."""
    images, _ = load(job["data_dir"])
    if "images" in job:
        images = images.take(job["images"])
    workload, net = WORKLOADS["multi"], WORKLOADS["multi"].net()
    contender: Any = CONTENDERS[job["contender"]](workload, net, images, job["precision"])
    place = net.device
    pool, runtime = place.xp.get_default_memory_pool(), place.xp.cuda.runtime
    seen: list[Line] = []
    first, further = job.get("counts", (FIRST, FURTHER))

    class Look(Callback):
        def epoch_ends(self, trainer: xpnet.Trainer, row: dict[str, Any]) -> None:
            steps = trainer.optimizer.steps
            if steps >= (seen[0]["steps"] + further if seen else first):
                place.synchronize()
                free, total = runtime.memGetInfo()
                seen.append(
                    {
                        "steps": steps,
                        "pool_used": pool.used_bytes(),
                        "pool_total": pool.total_bytes(),
                        "device_used": total - free,
                    }
                )
                if len(seen) == 2:
                    trainer.stop()

    contender.trainer.callbacks = [Look()]
    contender.trainer.fit(images, 10**6, workload.batch_size, drop_last=True)
    yield from seen


def unfit(task: str, job: Job) -> str | None:
    """Return why a task cannot be done by the job's contender here, or None if it can."""
    reason = CONTENDERS[job["contender"]].unfit()
    return gpu_trace.unfit() if reason is None and task in ("kernels", "launches") else reason


TASKS: dict[str, Callable[[Job], Iterator[Line]]] = {
    task.__name__: task for task in (measure, launches, kernels, train, memory)
}
"""By name: functions of a job, a dict, that yield dicts."""
