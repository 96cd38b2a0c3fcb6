"""The book's first two-layer network, with sigmoid (``ch04/two_layer_net.py``)."""

from __future__ import annotations

import os
import sys

from xpnet.arrays import Array
from xpnet.book import functions, two_layer_net
from xpnet.book.functions import *  # noqa: F403  (a star import brings them in turn)
from xpnet.book.functions import softmax
from xpnet.book.gradient import numerical_gradient
from xpnet.book.layers import Sigmoid

__all__ = ["TwoLayerNet", "numerical_gradient", "os", "sys"]
__all__ += functions.__all__


class TwoLayerNet(two_layer_net.TwoLayerNet):
    """Affine, sigmoid, affine, softmax; predicts probabilities.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
    weight_init_std : float
        The standard deviation of the initial weights.
    """

    activation = Sigmoid

    def predict(self, x: Array) -> Array:
        """Return the probabilities of a batch, shape (n, k), or of one sample, shape (k,)."""
        return softmax(self._scores(x))

    def loss(self, x: Array, t: Array) -> Array:
        """Return the loss of a batch, or of one sample, with its targets."""
        return self.last_layer.forward(self._scores(x), t)

    def _scores(self, x: Array) -> Array:
        if x.ndim == 1:
            return super().predict(x[None, ...])[0, ...]
        return super().predict(x)
