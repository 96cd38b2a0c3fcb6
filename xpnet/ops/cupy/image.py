"""Images changed as bytes, by CUDA kernels."""

from __future__ import annotations

import math
from typing import Any

import cupy
import numpy as np

from xpnet.arrays import Array
from xpnet.ops.cupy import launch
from xpnet.ops.image import add_noise, cut_out, mix, strength, warp


def _launched(name: str, x: Array, inputs: tuple[Any, ...], threads: int, *args: int) -> Array:
    """Return what a kernel makes of bytes; NotImplemented of all else."""
    if x.dtype != np.uint8 or x.size >= launch.LIMIT:
        return NotImplemented
    y = cupy.empty(x.shape, x.dtype)
    dense = (a if a is None else launch.dense(a) for a in (x, *inputs))
    launch.each(name, "f", threads, *dense, y, threads, *args)
    return y


@warp.register("cupy")
def _warp(x: Array, matrices: Array, nodes: Array | None, *, fill: int) -> Array:
    n, channels, h, w = x.shape
    k = 0 if nodes is None else nodes.shape[2]
    return _launched("warp_bytes", x, (matrices, nodes), n * h * w, channels, h, w, k, fill)


@cut_out.register("cupy")
def _cut_out(x: Array, boxes: Array, *, fill: int) -> Array:
    return _launched("cut_out_bytes", x, (boxes,), x.size, *x.shape[1:], fill)


@add_noise.register("cupy")
def _add_noise(x: Array, keys: Array, *, std: float) -> Array:
    return _launched("noise_bytes", x, (keys,), x.size, math.prod(x.shape[1:]), strength(std))


@mix.register("cupy")
def _mix(x: Array, partners: Array, shares: Array) -> Array:
    if partners.dtype != x.dtype:
        return NotImplemented
    return _launched("mix_bytes", x, (partners, shares), x.size, math.prod(x.shape[1:]))
