"""What the side-by-side benchmark times: networks, data, and how fast xpnet shall be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

import xpnet
from xpnet import models
from xpnet.data import Dataset
from xpnet.layers import Sequential
from xpnet.optimizers import Optimizer

SUBSET = 2000
"""Images that a network is trained on until it knows them."""

BATCHES = (100, 1000)
"""How many images inference may compute at a time; each contender does what suits it better."""


@dataclass(frozen=True)
class Workload:
    """A network and how it is trained, or that it is asked for the scores of the test images.

    ``smoothing`` is that of the labels; ``targets`` hold, for a contender, the multiple of
    the fastest other library's time that it may take at most.
    """

    net: Callable[[], Sequential]
    batch_size: int = 1000
    optimizer: Callable[[], Optimizer] = xpnet.Adam
    targets: dict[str, float] = field(default_factory=dict)
    infers: bool = False
    smoothing: float = 0.0

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes to choose from."""
        return BATCHES if self.infers else (self.batch_size,)

    @property
    def stretch(self) -> int:
        """Steps, or passes over the test images, that are timed together."""
        return 1 if self.infers else 10


def _sgd() -> Optimizer:
    return xpnet.SGD(0.1)


def _quick_adam() -> Optimizer:
    return xpnet.Adam(0.008, beta1=0.7, beta2=0.9)


def _bn() -> Sequential:
    return models.mlp((100,) * 5, batch_norm=True, dropout=0.2)


def _targets(xpnet: float) -> dict[str, float]:
    return {"xpnet": xpnet}


WORKLOADS: dict[str, Workload] = {
    "two": Workload(lambda: models.mlp((50,)), 100, _sgd, _targets(0.50)),
    "multi": Workload(lambda: models.mlp((100,) * 4), 128, targets=_targets(0.60)),
    "wide": Workload(lambda: models.mlp((1024, 1024)), 512, targets=_targets(0.97)),
    "bn": Workload(_bn, 100, _sgd, _targets(0.65)),
    "simple": Workload(models.simple_convnet, 100, targets=_targets(0.30)),
    "deep": Workload(models.deep_convnet, 100, targets=_targets(0.75)),
    "infer-mlp": Workload(models.mlp, targets=_targets(0.85), infers=True),
    "infer-simple": Workload(models.simple_convnet, targets=_targets(0.50), infers=True),
    "infer-deep": Workload(models.deep_convnet, targets=_targets(0.80), infers=True),
    "fast": Workload(models.fast_convnet, 200, _quick_adam, smoothing=0.1),
}

RECIPE, EPOCHS, PEAK = "fast", 1, 0.3
"""The time to accuracy: a workload, the epochs, and where in the run the rate is highest."""


def load(data_dir: str | None, quick: bool = False) -> tuple[Dataset, Dataset]:
    """Return training and test images: MNIST, or without a folder noise of the same shapes."""
    if data_dir is not None:
        train, test = xpnet.data.load("mnist", data_dir)
    else:
        draws = np.random.default_rng(0)
        train, test = (
            Dataset(
                draws.integers(0, 256, (n, 1, 28, 28), dtype=np.uint8),
                draws.integers(0, 10, n),
                classes=10,
                name="noise",
            )
            for n in ((2000, 1000) if quick else (60_000, 10_000))
        )
    return (train.take(2000), test.take(1000)) if quick else (train, test)


def known(data: Dataset) -> Dataset:
    """Return as many images as ``data`` has, its first few again and again."""
    return data.select(np.arange(len(data)) % min(SUBSET, len(data)))
