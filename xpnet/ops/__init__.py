"""Hot operations: generic bodies that define them, and faster ones for single libraries.

Each module holds one family; ``op.py`` chooses between bodies; ``_numpy.py`` and
``_numba.py`` hold NumPy's.
"""

from xpnet.ops import conv, dropout, elementwise, linear, loss, norm, pool, update
from xpnet.ops.op import BODIES, Op, generic_only, op

__all__ = [
    "BODIES",
    "Op",
    "conv",
    "dropout",
    "elementwise",
    "generic_only",
    "linear",
    "loss",
    "norm",
    "op",
    "pool",
    "update",
]
