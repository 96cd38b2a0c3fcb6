"""What every library does in the side-by-side benchmark."""

from __future__ import annotations

import contextlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from scripts.bench.workloads import Workload
from xpnet.data import Dataset
from xpnet.layers import Layer, Rescale, Sequential
from xpnet.schedules import Schedule

Slots = dict[str, np.ndarray]


class Contender(ABC):
    """A library at a workload.

    Parameters
    ----------
    workload : Workload
    net : Sequential
        The network to train or to ask, with its weights.
    data : Dataset
        Images in bytes, and labels.
    threads : int
    slots : dict of arrays
        What the optimizer remembers, as :meth:`xpnet.optimizers.Optimizer.state` gives it.
    steps : int
        Updates that the optimizer has made.
    """

    needs: ClassVar[dict[str, str]] = {}
    """Modules that must be there, and what installs them."""
    environment: ClassVar[dict[str, str]] = {}
    """Environment variables of its process."""
    only_fresh = False
    """Whether a trained network with the optimizer's memory cannot be given to it."""

    def __init__(
        self,
        workload: Workload,
        net: Sequential,
        data: Dataset,
        threads: int,
        slots: Slots,
        steps: int,
    ) -> None:
        self.workload, self.net, self.data, self.threads = workload, net, data, threads
        self.setup(slots, steps)

    @classmethod
    def lacks(cls, workload: Workload, state: str) -> str | None:
        """Return why it does not take part in a workload, or None if it does."""
        for module, package in cls.needs.items():
            if importlib.util.find_spec(module) is None:
                return f"{package} is not installed"
        if cls.only_fresh and state != "fresh":
            return "takes no trained network"
        return cls.misses({type(layer) for layer in workload.net().layers})

    @classmethod
    def misses(cls, kinds: set[type[Layer]]) -> str | None:
        """Return what of a network it does not have, if anything."""
        return None

    @abstractmethod
    def setup(self, slots: Slots, steps: int) -> None:
        """Make the network and its optimizer."""

    @abstractmethod
    def step(self) -> None:
        """Make one update from the next batch."""

    def fit(self, epochs: int, schedule: Schedule, seed: int) -> None:
        """Train for a number of epochs, where that is measured."""
        raise NotImplementedError(f"{type(self).__name__} is not trained by epochs")

    @abstractmethod
    def infer(self, x: np.ndarray) -> Any:
        """Return the scores of images in bytes as a NumPy array."""

    @abstractmethod
    def reset(self) -> None:
        """Put the weights back that it was made with."""

    def run(self, steps: int) -> None:
        """Make a number of steps, or of passes over the test images, and wait for the last."""
        for _ in range(steps):
            self.infer(self.data.x) if self.workload.infers else self.step()

    def limit(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context that holds it to its number of threads: here that of BLAS."""
        from threadpoolctl import threadpool_limits

        limit: contextlib.AbstractContextManager[Any] = threadpool_limits(self.threads)
        return limit

    def orders(self) -> Iterator[np.ndarray]:
        """Yield the indices of whole batches for ever."""
        draws, n, size = np.random.default_rng(0), len(self.data), self.workload.batch_size
        while True:
            order = draws.permutation(n)
            yield from (order[i : i + size] for i in range(0, n - size + 1, size))


def numbered(net: Sequential) -> list[tuple[int, Layer]]:
    """Return the layers with their numbers, but for the one that takes bytes to numbers."""
    return [(k, layer) for k, layer in enumerate(net.layers) if not isinstance(layer, Rescale)]
