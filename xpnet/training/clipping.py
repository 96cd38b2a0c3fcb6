"""Gradients kept within bounds, between backward and update."""

from __future__ import annotations

from typing import Any

from xpnet import ops
from xpnet.arrays import is_complex, namespace
from xpnet.checks import Hyperparameter, positive
from xpnet.config import Configurable
from xpnet.layers import ArrayMap
from xpnet.training.callbacks import Callback

__all__ = ["ClipNorm", "ClipValue"]


class ClipNorm(Configurable, Callback):
    """All gradients together, shortened to a length where they are longer; their direction stays.

    Parameters
    ----------
    max_norm : float
        The largest L2 norm of all gradients as one vector.

    Notes
    -----
    Pascanu et al., "On the difficulty of training recurrent neural networks", 2013.
    """

    max_norm = Hyperparameter(positive)

    def __init__(self, max_norm: float = 1.0) -> None:
        self.max_norm = max_norm

    def after_backward(self, grads: ArrayMap) -> None:
        """Shorten the gradients."""
        flat: Any = grads.flat
        ops.update.clip_norm(flat, max_norm=self.max_norm)


class ClipValue(Configurable, Callback):
    """Each gradient by itself, cut to a range; the direction of all together may change.

    Parameters
    ----------
    max_value : float
        Gradients are cut to -max_value ... max_value.
    """

    max_value = Hyperparameter(positive)

    def __init__(self, max_value: float = 1.0) -> None:
        self.max_value = max_value

    def after_backward(self, grads: ArrayMap) -> None:
        """Cut the gradients.

        Raises
        ------
        ValueError
            They are complex.
        """
        flat: Any = grads.flat
        if is_complex(flat):
            raise ValueError("ClipValue: expected real gradients, got complex ones: use ClipNorm")
        xp = namespace(flat)
        flat[...] = xp.minimum(xp.maximum(flat, -self.max_value), self.max_value)
