"""The book's deep convolutional network (``ch08/deep_convnet.py``)."""

from __future__ import annotations

import math
import os
import pickle
import sys
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from xpnet.arrays import Array
from xpnet.book import layers
from xpnet.book._globals import weights, zeros
from xpnet.book._network import Network, through
from xpnet.book.layers import *  # noqa: F403  (a star import brings them in turn)
from xpnet.book.layers import Affine, Convolution, Dropout, Pooling, Relu
from xpnet.ops.window import Window

__all__ = ["DeepConvNet", "OrderedDict", "os", "pickle", "sys"]
__all__ += layers.__all__

ConvParam: TypeAlias = Mapping[str, int]


def _conv(filter_num: int, pad: int = 1) -> ConvParam:
    return MappingProxyType({"filter_num": filter_num, "filter_size": 3, "pad": pad, "stride": 1})


_1 = _2 = _conv(16)
_3, _4 = _conv(32), _conv(32, pad=2)
_5 = _6 = _conv(64)

# The book writes down what a convolution's neurons are connected to, whatever its conv_param.
_FAN_IN = (1 * 9, 16 * 9, 16 * 9, 32 * 9, 32 * 9, 64 * 9)


class DeepConvNet(Network):
    """Three times convolution, ReLU, convolution, ReLU, pooling; then two affine layers.

    Behind the first affine layer come ReLU and dropout, behind the second dropout.  ``layers``
    is a list.  Initial weights have the standard deviation ``sqrt(2 / fan_in)``; a convolution's
    fan_in is that of the default network, as in the book.

    Parameters
    ----------
    input_dim : (c, h, w)
    conv_param_1, ..., conv_param_6 : mapping
        ``filter_num``, ``filter_size``, ``pad`` and ``stride``.
    hidden_size, output_size : int
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (1, 28, 28),
        conv_param_1: ConvParam = _1,
        conv_param_2: ConvParam = _2,
        conv_param_3: ConvParam = _3,
        conv_param_4: ConvParam = _4,
        conv_param_5: ConvParam = _5,
        conv_param_6: ConvParam = _6,
        hidden_size: int = 50,
        output_size: int = 10,
    ) -> None:
        super().__init__()
        self.layers = []
        channels, rows, cols = input_dim
        convolutions = (
            *(conv_param_1, conv_param_2, conv_param_3),
            *(conv_param_4, conv_param_5, conv_param_6),
        )
        for i, (param, fan_in) in enumerate(zip(convolutions, _FAN_IN, strict=True), 1):
            filters, size = param["filter_num"], param["filter_size"]
            stride, pad = param["stride"], param["pad"]
            W, b = self._drawn(i, (filters, channels, size, size), fan_in, filters)
            self._add(i, Convolution(W, b, stride, pad))
            self.layers.append(Relu())
            channels = filters
            rows, cols = Window(size, size, stride, pad).positions((rows, cols))
            if i % 2 == 0:
                self.layers.append(Pooling(pool_h=2, pool_w=2, stride=2))
                rows, cols = rows // 2, cols // 2
        flat = channels * rows * cols
        self._add(7, Affine(*self._drawn(7, (flat, hidden_size), flat, hidden_size)))
        self.layers += [Relu(), Dropout(0.5)]
        self._add(8, Affine(*self._drawn(8, (hidden_size, output_size), hidden_size, output_size)))
        self.layers.append(Dropout(0.5))

    def _drawn(
        self, i: int, shape: tuple[int, ...], fan_in: int, units: int
    ) -> tuple[Array, Array]:
        self.params[f"W{i}"] = weights(math.sqrt(2 / fan_in), shape)
        self.params[f"b{i}"] = zeros(units)
        return self.params[f"W{i}"], self.params[f"b{i}"]

    def _add(self, i: int, layer: Any) -> None:
        self.params.bind(len(self.layers), W=f"W{i}", b=f"b{i}")
        self.layers.append(layer)

    def predict(self, x: Array, train_flg: bool = False) -> Array:
        """Return the scores of a batch, shape (n, k)."""
        return through(self.layers, x, train_flg)

    def loss(self, x: Array, t: Array) -> Array:
        """Return the loss of a batch in training: with dropout."""
        return self.last_layer.forward(self.predict(x, train_flg=True), t)
