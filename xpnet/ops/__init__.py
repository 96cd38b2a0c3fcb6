"""Hot operations: generic bodies that define them, and faster ones for single libraries.

Each module holds one family; ``dispatch.py`` chooses between bodies.  The folders hold those of a
library, by the same families: ``numpy`` and ``numba`` NumPy's, ``cupy`` CuPy's.
"""

from xpnet.ops import (
    batch,
    conv,
    dropout,
    elementwise,
    image,
    linear,
    loss,
    norm,
    pool,
    precision,
    update,
)  # fmt: skip
from xpnet.ops.dispatch import BODIES, Op, generic_only, not_narrow, not_recordable, op, serving
from xpnet.ops.window import Window

__all__ = [
    "BODIES",
    "Op",
    "Window",
    "batch",
    "conv",
    "dropout",
    "elementwise",
    "generic_only",
    "image",
    "linear",
    "loss",
    "norm",
    "not_narrow",
    "not_recordable",
    "op",
    "pool",
    "precision",
    "serving",
    "update",
]
