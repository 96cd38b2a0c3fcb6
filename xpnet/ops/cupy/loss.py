"""Softmax and cross entropy in one CUDA kernel."""

from __future__ import annotations

import cupy
import numpy as np

from xpnet.arrays import Array
from xpnet.ops.cupy import launch
from xpnet.ops.loss import smallest_kept, softmax_cross_entropy

ROWS_OF_ONE_BLOCK = 256
"""Samples whose losses one block adds up; more are spread over several."""


@softmax_cross_entropy.register("cupy")
def _softmax_cross_entropy(
    scores: Array, targets: Array, weights: Array | None, *, smoothing: float
) -> tuple[Array, Array]:
    kind, (n, k) = launch.filled_kind(scores), scores.shape
    if kind is None or k == 1 or targets.ndim != 1 or targets.dtype != np.int64:
        return NotImplemented
    if weights is not None:
        return NotImplemented
    dscores, loss = cupy.empty((n, k), scores.dtype), cupy.empty((), scores.dtype)
    blocks = 1 if n <= ROWS_OF_ONE_BLOCK else min(-(-n // 32), 1024)  # a row to each warp
    losses, arrived = loss, None
    if blocks > 1:
        losses, arrived = cupy.empty(blocks, scores.dtype), launch.arrived()
    least = smallest_kept(cupy, scores.dtype)
    launch.kernel("softmax_cross_entropy", kind)(
        (blocks,), (1024,),
        (launch.dense(scores), launch.dense(targets), dscores, losses, loss, arrived, n, k,
         float(smoothing), 1 / n, least),
    )  # fmt: skip
    return loss, dscores
