"""The matrix products alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from scripts.bench.contenders.base import Contender, Slots
from scripts.bench.workloads import Workload
from xpnet.layers import Conv2d, Linear, Sequential


class Gemm(Contender):
    """The step's matrix products alone, NumPy's, and nothing around them: the bound.

    A convolution's are those of its windows as the rows of a matrix.  At inference a convolution
    has the images in hundreds.
    """

    only_fresh = True

    def setup(self, slots: Slots, steps: int) -> None:
        """Make the matrices."""
        draws = np.random.default_rng(0)
        self.products = []
        for times, shapes in products(self.workload, self.net, len(self.data)):
            for n, k, m in shapes:
                a, b = (draws.random(shape, dtype=np.float32) for shape in ((n, k), (k, m)))
                self.products.append((times, a, b, np.empty((n, m), np.float32)))

    def step(self) -> None:
        """Multiply."""
        for times, a, b, out in self.products:
            for _ in range(times):
                np.matmul(a, b, out=out)

    def infer(self, x: np.ndarray) -> Any:
        """Multiply."""
        self.step()

    def reset(self) -> None:
        """Leave all as it is."""


def products(
    workload: Workload, net: Sequential, n: int
) -> Iterator[tuple[int, list[tuple[int, int, int]]]]:
    """Yield (times, [(rows, inner, columns), ...]) of each layer's products in a step."""
    first = True
    for layer in net.layers:
        batch = workload.batch_size
        match layer:
            case Conv2d():
                batch = min(batch, 100) if workload.infers else batch
                rows = batch * math.prod(layer.output_shape[1:])
                d, units = layer.input_shape[0] * math.prod(layer.size), layer.filters
            case Linear():
                rows, d, units = batch, math.prod(layer.input_shape), layer.units
            case _:
                continue
        shapes = [(rows, d, units)]
        if not workload.infers:
            shapes += [(d, rows, units)] + ([] if first else [(rows, units, d)])
        first = False
        yield (n // batch if workload.infers else 1), shapes
