"""xpnet, with numba and without."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import count
from typing import Any, ClassVar

import numpy as np

import xpnet
from scripts.bench.contenders.base import Contender, Slots
from xpnet.data import Batches


class Xpnet(Contender):
    """xpnet with everything that makes it fast."""

    needs: ClassVar[dict[str, str]] = {"numba": "numba"}

    def setup(self, slots: Slots, steps: int) -> None:
        """Make a trainer."""
        self.start = {path: values.copy() for path, values in self.net.params.items()}
        optimizer = self.workload.optimizer()
        optimizer.load_state(slots, steps)
        loss = xpnet.SoftmaxCrossEntropy(label_smoothing=self.workload.smoothing)
        self.trainer = xpnet.Trainer(self.net, loss, optimizer)
        self.batches = self.deal()

    def deal(self) -> Iterator[tuple[Any, Any]]:
        """Yield batches for ever."""
        batches = Batches(self.data, self.workload.batch_size, drop_last=True)
        for epoch in count():
            yield from batches.epoch(epoch)

    def step(self) -> None:
        """Make one update from the next batch."""
        self.trainer.step(*next(self.batches))

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


class XpnetPlain(Xpnet):
    """xpnet on NumPy alone."""

    needs: ClassVar[dict[str, str]] = {}
    environment: ClassVar[dict[str, str]] = {"XPNET_NUMBA": "0"}
