"""xpnet, with numba and without."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from itertools import count
from typing import Any, ClassVar, Literal

import numpy as np

import xpnet
from scripts.bench.contenders.base import Contender, Slots
from xpnet.data import Batches
from xpnet.training.stats import Stats


class Xpnet(Contender):
    """xpnet with everything that makes it fast."""

    needs: ClassVar[dict[str, str]] = {"numba": "numba"}
    graph: ClassVar[Literal["on", "off", "auto"]] = "auto"

    def setup(self, slots: Slots, steps: int) -> None:
        """Make a trainer."""
        self.start = {path: values.copy() for path, values in self.net.params.items()}
        optimizer = self.workload.optimizer()
        optimizer.load_state(slots, steps)
        loss = xpnet.SoftmaxCrossEntropy(label_smoothing=self.workload.smoothing)
        self.trainer = xpnet.Trainer(self.net, loss, optimizer, graph=self.graph)
        self.steps, self.asked = self.long_fit(), optimizer.steps

    def long_fit(self) -> Iterator[None]:
        """Make the steps of a fit that does not end, one whenever the next is asked for."""
        batches = Batches(self.data, self.workload.batch_size, drop_last=True)
        runner = self.trainer._runner(batches, None, sys.maxsize)
        answers = self.trainer.loss.answers(self.net.output_shape, self.data.t, self.data.classes)
        for epoch in count():
            stats = Stats(self.net.device, answers)
            yield from runner.epoch(epoch, [1.0] * len(batches), stats, "never")

    def step(self) -> None:
        """Make the next update, or as many as are launched together."""
        next(self.steps)

    def run(self, steps: int) -> None:
        """Make a number of steps, or of passes over the test images."""
        if self.workload.infers:
            super().run(steps)
            return
        self.asked += steps  # of which some may have been made, with the ones before
        while self.trainer.optimizer.steps < self.asked:
            self.step()

    def fit(self, epochs: int, schedule: xpnet.schedules.Schedule, seed: int) -> None:
        """Train for a number of epochs."""
        self.trainer.schedule, self.trainer.seed = schedule, seed
        self.trainer.fit(self.data, epochs, self.workload.batch_size, drop_last=True)

    def infer(self, x: np.ndarray) -> Any:
        """Predict."""
        return self.net.predict(x, batch_size=self.workload.batch_size)

    def reset(self) -> None:
        """Copy the weights back."""
        for path, values in self.start.items():
            self.net.params[path] = values

    def limit(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which the network runs fastest."""
        return self.net.threads(self.threads)


class XpnetEager(Xpnet):
    """xpnet with everything but recorded steps."""

    graph: ClassVar[Literal["on", "off", "auto"]] = "off"


class XpnetPlain(Xpnet):
    """xpnet on NumPy alone."""

    needs: ClassVar[dict[str, str]] = {}
    environment: ClassVar[dict[str, str]] = {"XPNET_NUMBA": "0"}
