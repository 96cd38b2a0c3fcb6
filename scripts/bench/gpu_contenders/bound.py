"""What a step cannot do without: its matrix products, and the bytes that it moves."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

import xpnet
from scripts.bench.contenders.gemm import products
from scripts.bench.gpu_contenders.base import Contender, Figures
from scripts.bench.workloads import Workload
from xpnet.layers import Sequential

COPIED = 2**29
"""Bytes that are copied to see how fast memory is: more than any cache holds."""
TOGETHER = 20
"""Times that the products are done, or the bytes copied, between two events."""

Shape = tuple[int, int, int]
Timer = Callable[[Callable[[], None]], float]
"""Does a piece of work some times and returns the microseconds of one, by events."""


class Products(Contender):
    """The step's matrix products alone, cuBLAS's, one after the other.

    PyTorch records them as one CUDA graph.  Without PyTorch CuPy asks for them one by one, which
    at small sizes takes longer than doing them.  A convolution's products are those of its
    windows as the columns of a matrix.
    """

    needs: ClassVar[dict[str, str]] = {"cupy": "CuPy"}

    def setup(self) -> None:
        """Note the shapes."""
        found = products(self.workload, self.net, len(self.data))
        self.shapes = [shape for _, shapes in found for shape in enumerate(shapes)]
        """(which, (rows, inner, columns)) with 0 forward, 1 the weights', 2 the input's slope."""

    def measure(self, seconds: float) -> Figures:
        """Return the microseconds of the products, and of what is bound by memory."""
        by, timer, work, copy, size = self._by_torch() or self._by_cupy()
        bandwidth = 2 * size / timer(copy)  # bytes a microsecond: read, and written
        times = [timer(work)]
        until = time.perf_counter() + seconds
        while len(times) < 2 or time.perf_counter() < until:
            times.append(timer(work))
        moved = bytes_of_a_step(self.workload, self.net)
        return {
            "step_us": statistics.median(times[1:]),
            "epoch_us": None,
            "loss": None,
            "by": by,
            "bytes": moved,
            "bytes_us": moved / bandwidth,
            "copied_gb_per_s": bandwidth / 1e3,
        }

    def _by_torch(self) -> tuple[str, Timer, Callable[[], None], Callable[[], None], int] | None:
        try:
            import torch
        except ImportError:
            return None
        if not torch.cuda.is_available():
            return None
        torch.backends.cuda.matmul.allow_tf32 = self.precision == "tf32"

        def draw(rows: int, columns: int) -> Any:
            return torch.randn(rows, columns, device="cuda")

        ready = [(*operands(which, shape, draw), draw(shape[0], shape[2]))
                 for which, shape in self.shapes]  # fmt: skip

        def multiply() -> None:
            for a, b, out in ready:
                torch.mm(a, b, out=out)

        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            multiply()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            multiply()
        source = torch.ones(COPIED, dtype=torch.uint8, device="cuda")
        target = torch.empty_like(source)

        def timer(work: Callable[[], None]) -> float:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            work()
            start.record()
            for _ in range(TOGETHER):
                work()
            end.record()
            end.synchronize()
            return 1e3 * float(start.elapsed_time(end)) / TOGETHER

        return "torch, recorded", timer, graph.replay, lambda: target.copy_(source), COPIED

    def _by_cupy(self) -> tuple[str, Timer, Callable[[], None], Callable[[], None], int]:
        import cupy

        few = cupy.asarray(np.random.default_rng(0).standard_normal(2**16, dtype=np.float32))

        def draw(rows: int, columns: int) -> Any:
            size = rows * columns
            return cupy.tile(few, -(-size // few.size))[:size].reshape(rows, columns)

        ready = [(*operands(which, shape, draw), draw(shape[0], shape[2]))
                 for which, shape in self.shapes]  # fmt: skip

        def multiply() -> None:
            for a, b, out in ready:
                cupy.matmul(a, b, out=out)

        # no more than a quarter of what is free, which may be little
        size = min(COPIED, cupy.cuda.runtime.memGetInfo()[0] // 8)
        source = cupy.ones(size, dtype=np.uint8)
        target = cupy.empty_like(source)

        def timer(work: Callable[[], None]) -> float:
            start, end = cupy.cuda.Event(), cupy.cuda.Event()
            work()
            start.record()
            for _ in range(TOGETHER):
                work()
            end.record()
            end.synchronize()
            return 1e3 * float(cupy.cuda.get_elapsed_time(start, end)) / TOGETHER

        return "cupy, one by one", timer, multiply, lambda: cupy.copyto(target, source), size


def operands(which: int, shape: Shape, draw: Callable[[int, int], Any]) -> tuple[Any, Any]:
    """Return a product's matrices as they lie in a step: one of a slope's is a transpose."""
    rows, inner, columns = shape
    if which == 1:
        return draw(inner, rows).T, draw(inner, columns)
    if which == 2:
        return draw(rows, inner), draw(columns, inner).T
    return draw(rows, inner), draw(inner, columns)


def bytes_of_a_step(workload: Workload, net: Sequential) -> int:
    """Return the bytes that gathering a batch and updating the weights read and write."""
    pixels = workload.batch_size * int(np.prod(net.input_shape))
    weights = sum(int(values.size) for values in net.params.values())
    # gradient and weight are read, and the weight written; Adam has two more, read and written
    each = 7 if isinstance(workload.optimizer(), xpnet.Adam) else 3
    return pixels * (1 + 4) + weights * 4 * each
