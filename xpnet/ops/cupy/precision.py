"""Operands of products in fewer bits, by CuPy."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from xpnet.arrays import Array
from xpnet.ops.cupy import launch, products
from xpnet.ops.precision import narrow_into, narrowed, rounded


@narrowed.register("cupy")
def _narrowed(a: Array, precision: str) -> Array:
    if precision not in products.NARROW or a.dtype != np.float32:
        return NotImplemented
    out = cupy.empty(a.shape, products.NARROW[precision])
    narrow_into(a, out, precision)
    return out


@narrow_into.register("cupy")
def _narrow_into(a: Array, out: Array, precision: str) -> Any:
    if precision not in products.NARROW or a.dtype != np.float32 or a.size >= launch.LIMIT:
        return NotImplemented
    if precision == "fp16":
        cupy.copyto(out, a, casting="same_kind")
    else:
        launch.each("to_bfloat16", "f", a.size, launch.dense(a), out, a.size)
    return None


@rounded.register("cupy")
def _rounded(a: Array, precision: str) -> Array:
    if precision not in products.NARROW:
        return NotImplemented
    if a.dtype != products.NARROW[precision]:
        a = narrowed(a, precision)
    if precision == "fp16":
        return a.astype(np.float32)
    return (a.astype(np.uint32) << 16).view(np.float32)
