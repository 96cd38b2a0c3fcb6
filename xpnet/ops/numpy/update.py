"""What comes before an update, in NumPy: a norm by one product."""

from __future__ import annotations

import math

import numpy as np

from xpnet.arrays import Array
from xpnet.ops.update import clip_norm

LEAST, MOST = 2.0**-80, 2.0**80
"""Between which a sum of squares has lost nothing: neither numbers that matter, nor itself."""


@clip_norm.register("numpy")
def _clip_norm(g: Array, *, max_norm: float) -> None:
    square = float(np.vdot(g, g).real)
    if not LEAST < square < MOST:
        return NotImplemented
    norm = math.sqrt(square)
    if norm > max_norm:
        g *= max_norm / norm
    return None
