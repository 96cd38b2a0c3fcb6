"""Local response normalisation."""

from __future__ import annotations

import math

from xpnet.arrays import Array, namespace
from xpnet.checks import Hyperparameter, finite, not_negative, positive, whole_number
from xpnet.layers.base import Layer, Shape
from xpnet.layers.buffers import itemsize
from xpnet.layers.fit import image_shape
from xpnet.random import Stream

__all__ = ["LocalResponseNorm"]


def _odd(name: str, value: int) -> int:
    size = whole_number(name, value, 1)
    if size % 2 == 0:
        raise ValueError(f"{name}: expected an odd number of channels, got {size}")
    return size


class LocalResponseNorm(Layer):
    """Each pixel held down by the strength of its neighbours in other channels.

    Forward: ``y_c = x_c / s_c^beta``, ``s_c = k + alpha sum_j x_j^2``, j over the ``size``
    channels around c, fewer at the ends.
    Backward: ``dx_c = dy_c / s_c^beta - 2 alpha beta x_c sum_j dy_j y_j / s_j``.

    Parameters
    ----------
    size : int
        Channels in a window, an odd number.
    alpha, beta, k : float
        Constants of the formula, alpha not negative and k above 0; alpha multiplies the sum, as
        in the paper, not the mean (PyTorch's alpha is ``size`` times this one).

    Notes
    -----
    Input and output (n, c, h, w).  Kept for backward: x and y (not copied), s and s^-beta, two
    numbers for each of the input.
    Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", 2012.
    """

    size = Hyperparameter(_odd)
    alpha = Hyperparameter(not_negative)
    beta = Hyperparameter(finite)
    k = Hyperparameter(positive)

    def __init__(
        self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
    ) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def setup(self, input_shape: Shape, rng: Stream) -> Shape:
        """Check that these are images."""
        return image_shape(self, input_shape)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the normalised images."""
        self.check(x)
        s = self._summed(x * x)
        s *= self.alpha
        s += self.k
        shrink = self._power(s)
        y = x * shrink
        if train:
            self.keep((x, y, s, shrink))
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Return dx."""
        x, y, s, shrink = self.take()
        if not need_dx:
            return None
        pull = dy * y
        pull /= s
        pull = self._summed(pull)
        pull *= x
        pull *= -2 * self.alpha * self.beta
        pull += dy * shrink
        return pull

    def _summed(self, a: Array) -> Array:
        """Return for each channel the sum over its window: one addition for each neighbour."""
        c, reach = a.shape[1], self.size // 2
        total = namespace(a).asarray(a, copy=True)
        for step in range(1, min(reach, c - 1) + 1):
            total[:, step:, ...] += a[:, : c - step, ...]
            total[:, : c - step, ...] += a[:, step:, ...]
        return total

    def _power(self, s: Array) -> Array:
        """Return ``s^-beta``."""
        xp = namespace(s)
        if self.beta == 0.75:  # the paper's: two roots cost a fraction of a power
            root = xp.sqrt(s)
            return 1.0 / (root * xp.sqrt(root))
        return s**-self.beta

    def flops(self) -> int:
        """About ``size`` + 6 for each number."""
        return (self.size + 6) * math.prod(self.input_shape)

    def cache_bytes(self) -> int:
        """Two arrays of the input's size."""
        return 2 * math.prod(self.input_shape) * itemsize(self.dtype)
