"""Single numbers, in NumPy's words."""

from __future__ import annotations

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.elementwise import relu, relu_backward


@relu.register("numpy")
def _relu(x: Array) -> Array:
    return np.maximum(x, 0) if x.ndim and x.dtype.kind == "f" else NotImplemented


@relu_backward.register("numpy")
def _relu_backward(dy: Array, y: Array) -> Array:
    return dy * (y > 0) if dy.ndim and dy.dtype.kind == "f" else NotImplemented
