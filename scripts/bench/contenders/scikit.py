"""scikit-learn."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

import xpnet
from scripts.bench.contenders.base import Contender, Slots
from xpnet.layers import Flatten, Layer, Linear, ReLU, Rescale


class Sklearn(Contender):
    """scikit-learn's MLPClassifier, fed a batch at a time."""

    needs: ClassVar[dict[str, str]] = {"sklearn": "scikit-learn"}
    only_fresh = True

    @classmethod
    def misses(cls, kinds: set[type[Layer]]) -> str | None:
        """Return which layers it does not have."""
        names = sorted(k.__name__ for k in kinds - {Rescale, Flatten, Linear, ReLU})
        return f"has no {', '.join(names)}" if names else None

    def setup(self, slots: Slots, steps: int) -> None:
        """Make the classifier; its first batch makes the weights, Glorot's."""
        from sklearn.neural_network import MLPClassifier

        rule, batch = self.workload.optimizer(), self.workload.batch_size
        adam = isinstance(rule, xpnet.Adam)
        self.classifier = MLPClassifier(
            [layer.units for layer in self.net.layers if isinstance(layer, Linear)][:-1],
            solver="adam" if adam else "sgd",
            alpha=0,
            batch_size=batch,
            learning_rate_init=rule.lr,
            momentum=0,
            random_state=0,
        )
        self.x, self.t = self.data.x.reshape(len(self.data), -1), self.data.t
        first = self.pixels(self.x[:batch]), self.t[:batch]
        self.classifier.partial_fit(*first, classes=np.arange(10))
        own = self.classifier
        self.start = [a.copy() for a in (*own.coefs_, *own.intercepts_)]
        self.order = self.orders()

    def pixels(self, x: np.ndarray) -> np.ndarray:
        """Return bytes as numbers from 0 to 1."""
        numbers: np.ndarray = np.multiply(x, np.float32(1 / 255), dtype=np.float32)
        return numbers

    def step(self) -> None:
        """Make one update from the next batch."""
        chosen = next(self.order)
        self.classifier.partial_fit(self.pixels(self.x[chosen]), self.t[chosen])

    def infer(self, x: np.ndarray) -> Any:
        """Compute probabilities in batches."""
        x, size = x.reshape(len(x), -1), self.workload.batch_size
        parts = (self.pixels(x[i : i + size]) for i in range(0, len(x), size))
        return np.concatenate([self.classifier.predict_proba(part) for part in parts])

    def reset(self) -> None:
        """Copy the weights back."""
        own = self.classifier
        for array, values in zip((*own.coefs_, *own.intercepts_), self.start, strict=True):
            array[...] = values
