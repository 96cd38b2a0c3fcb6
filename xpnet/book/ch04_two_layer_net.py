"""The book's first two-layer network, with sigmoid (``ch04/two_layer_net.py``)."""

from __future__ import annotations

from xpnet.arrays import Array
from xpnet.book import two_layer_net
from xpnet.book.functions import softmax
from xpnet.book.layers import Sigmoid

__all__ = ["TwoLayerNet"]


class TwoLayerNet(two_layer_net.TwoLayerNet):
    """Affine, sigmoid, affine, softmax; predicts probabilities.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
    weight_init_std : float
        The standard deviation of the initial weights.
    """

    activation = Sigmoid

    def predict(self, x: Array, train_flg: bool = False) -> Array:
        """Return the probabilities of a batch, shape (n, k)."""
        return softmax(self._scores(x, train_flg))
