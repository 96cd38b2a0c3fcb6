"""What every library does in the GPU benchmark."""

from __future__ import annotations

import importlib.util
import statistics
import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from scripts.bench.gpu_trace import Event, Profile
from scripts.bench.workloads import Workload
from xpnet.data import Dataset
from xpnet.layers import Sequential

Figures = dict[str, Any]
"""Of one measurement: ``step_us``, ``epoch_us`` and, where known, ``loss`` and ``launches``."""

WARM = 3
"""Steps before others are looked at: they choose algorithms and make the optimizer's memory."""


class Contender(ABC):
    """A library at a workload.

    Parameters
    ----------
    workload : Workload
    net : Sequential
        The network to train, with its weights, on the host.
    data : Dataset
        Images in bytes, and labels, on the host.
    precision : "float32", "tf32" or "bf16"
        Of matrix products and convolutions.
    """

    needs: ClassVar[dict[str, str]] = {}
    """Modules that must be there, and what installs them."""
    environment: ClassVar[dict[str, str]] = {}
    """Environment variables of its process."""
    precisions: ClassVar[tuple[str, ...]] = ("float32", "tf32")
    """That it knows."""
    compiles_for_long = False
    """Whether it is left out at batch sizes that were not asked for."""

    def __init__(
        self, workload: Workload, net: Sequential, data: Dataset, precision: str = "float32"
    ) -> None:
        self.workload, self.net, self.data, self.precision = workload, net, data, precision
        self.setup()

    @classmethod
    def lacks(cls, precision: str) -> str | None:
        """Return which package it needs that is not installed, or that it lacks the precision."""
        for module, package in cls.needs.items():
            if importlib.util.find_spec(module) is None:
                return f"{package} is not installed"
        return None if precision in cls.precisions else f"no {precision} here"

    @classmethod
    def unfit(cls) -> str | None:
        """Return why its library cannot use a GPU, or None if it can; imports the library."""
        return None

    @abstractmethod
    def setup(self) -> None:
        """Make the network and its optimizer."""

    @abstractmethod
    def measure(self, seconds: float) -> Figures:
        """Train an epoch to get ready, then time whole epochs for so long, at least one."""

    def launches(self) -> float | None:
        """Return the pieces of work (kernels, copies) of a step, if they can be counted."""
        return None

    def kernels(self, steps: int) -> list[Event]:
        """Return the pieces of the GPU's work of some steps, made after others."""
        raise NotImplementedError

    def fit(self, epochs: int, schedule: Any, seed: int) -> None:
        """Train for a number of epochs, and wait for the last update."""
        raise NotImplementedError

    def accuracy(self, test: Dataset) -> float:
        """Return the share of images that are told right."""
        raise NotImplementedError


class Looping(Contender):
    """A library whose steps are asked for one after the other by a loop of the user's."""

    @abstractmethod
    def begin_epoch(self) -> None:
        """Draw a new order on the device."""

    @abstractmethod
    def step(self) -> Any:
        """Make one update from the next batch; return its loss, which may stay on the device."""

    @abstractmethod
    def mark(self) -> Any:
        """Return a mark in the queue of work."""

    @abstractmethod
    def passed(self, start: Any, end: Any) -> float:
        """Return the seconds between two marks, the last of which was waited for."""

    @abstractmethod
    def wait(self) -> None:
        """Wait until all work is done."""

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return len(self.data) // self.workload.batch_size

    def kernels(self, steps: int) -> list[Event]:
        """Return the pieces of the GPU's work of some steps, made after others."""
        self.begin_epoch()
        for _ in range(WARM):
            self.step()
        self.begin_epoch()
        with Profile() as seen:
            for _ in range(steps):
                self.step()
        return seen.events

    def measure(self, seconds: float) -> Figures:
        """Train an epoch to get ready, then time whole epochs for so long, at least one."""
        self.begin_epoch()
        total: Any = 0.0
        for _ in range(self.steps):
            loss = self.step()
            total = None if loss is None else total + loss
        self.wait()
        spans: list[float] = []
        walls: list[float] = []
        until = time.perf_counter() + seconds
        while not spans or time.perf_counter() < until:
            before = time.perf_counter()
            self.begin_epoch()
            start = self.mark()
            for _ in range(self.steps):
                self.step()
            end = self.mark()
            self.wait()
            walls.append(time.perf_counter() - before)
            spans.append(self.passed(start, end))
        return {
            "step_us": 1e6 * statistics.median(spans) / self.steps,
            "epoch_us": 1e6 * statistics.median(walls) / self.steps,
            "epochs": len(spans),
            "loss": None if total is None else float(total) / self.steps,
        }
