"""The book's two-layer network with ReLU (``ch05/two_layer_net.py``)."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from typing import Any

from xpnet.book import layers
from xpnet.book._globals import weights, zeros
from xpnet.book._network import Network
from xpnet.book.gradient import numerical_gradient
from xpnet.book.layers import *  # noqa: F403  (a star import brings them in turn)
from xpnet.book.layers import Affine, Relu

__all__ = ["OrderedDict", "TwoLayerNet", "numerical_gradient", "os", "sys"]
__all__ += layers.__all__


class TwoLayerNet(Network):
    """Affine, ReLU, affine; predicts scores.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
    weight_init_std : float
        The standard deviation of the initial weights.
    """

    activation: type = Relu

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int, weight_init_std: float = 0.01
    ) -> None:
        super().__init__()
        self.params["W1"] = weights(weight_init_std, (input_size, hidden_size))
        self.params["b1"] = zeros(hidden_size)
        self.params["W2"] = weights(weight_init_std, (hidden_size, output_size))
        self.params["b2"] = zeros(output_size)
        activation = self.activation
        self.layers["Affine1"] = Affine(self.params["W1"], self.params["b1"])
        self.layers[f"{activation.__name__}1"] = activation()
        self.layers["Affine2"] = Affine(self.params["W2"], self.params["b2"])
        self.params.bind("Affine1", W="W1", b="b1")
        self.params.bind("Affine2", W="W2", b="b2")

    @property
    def lastLayer(self) -> Any:  # noqa: N802  (the book's name)
        """The loss at the end, also ``last_layer``."""
        return self.last_layer

    @lastLayer.setter
    def lastLayer(self, layer: Any) -> None:  # noqa: N802
        self.last_layer = layer
