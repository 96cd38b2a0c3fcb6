"""The book's simple convolutional network (``ch07/simple_convnet.py``)."""

from __future__ import annotations

import os
import pickle
import sys
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType

from xpnet.book import layers
from xpnet.book._globals import weights, zeros
from xpnet.book._network import Network
from xpnet.book.gradient import numerical_gradient
from xpnet.book.layers import *  # noqa: F403  (a star import brings them in turn)
from xpnet.book.layers import Affine, Convolution, Pooling, Relu
from xpnet.ops.window import Window

__all__ = ["OrderedDict", "SimpleConvNet", "numerical_gradient", "os", "pickle", "sys"]
__all__ += layers.__all__

_CONV = MappingProxyType({"filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1})


class SimpleConvNet(Network):
    """Convolution, ReLU, pooling, affine, ReLU, affine.

    Parameters
    ----------
    input_dim : (c, h, w)
    conv_param : mapping
        ``filter_num``, ``filter_size``, ``pad`` and ``stride``.
    hidden_size, output_size : int
    weight_init_std : float
        The standard deviation of the initial weights.
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (1, 28, 28),
        conv_param: Mapping[str, int] = _CONV,
        hidden_size: int = 100,
        output_size: int = 10,
        weight_init_std: float = 0.01,
    ) -> None:
        super().__init__()
        filters, size = conv_param["filter_num"], conv_param["filter_size"]
        stride, pad = conv_param["stride"], conv_param["pad"]
        rows, cols = Window(size, size, stride, pad).positions(input_dim)
        flat = filters * (rows // 2) * (cols // 2)
        params = self.params
        params["W1"] = weights(weight_init_std, (filters, input_dim[0], size, size))
        params["b1"] = zeros(filters)
        params["W2"] = weights(weight_init_std, (flat, hidden_size))
        params["b2"] = zeros(hidden_size)
        params["W3"] = weights(weight_init_std, (hidden_size, output_size))
        params["b3"] = zeros(output_size)
        self.layers["Conv1"] = Convolution(params["W1"], params["b1"], stride, pad)
        self.layers["Relu1"] = Relu()
        self.layers["Pool1"] = Pooling(pool_h=2, pool_w=2, stride=2)
        self.layers["Affine1"] = Affine(params["W2"], params["b2"])
        self.layers["Relu2"] = Relu()
        self.layers["Affine2"] = Affine(params["W3"], params["b3"])
        for i, name in enumerate(("Conv1", "Affine1", "Affine2"), 1):
            params.bind(name, W=f"W{i}", b=f"b{i}")
