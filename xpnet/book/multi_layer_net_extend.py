"""The same with batch normalisation and dropout (``common/multi_layer_net_extend.py``)."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from collections.abc import Sequence

from xpnet.arrays import Array
from xpnet.book import layers
from xpnet.book._globals import zeros
from xpnet.book._network import through
from xpnet.book.gradient import numerical_gradient
from xpnet.book.layers import *  # noqa: F403  (a star import brings them in turn)
from xpnet.book.layers import BatchNormalization, Dropout
from xpnet.book.multi_layer_net import MultiLayerNet

__all__ = ["MultiLayerNetExtend", "OrderedDict", "numerical_gradient", "os", "sys"]
__all__ += layers.__all__


class MultiLayerNetExtend(MultiLayerNet):
    """Affine layers with an activation between them, normalised and thinned out at will.

    Parameters
    ----------
    input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda
        As those of :class:`~xpnet.book.multi_layer_net.MultiLayerNet`.
    use_dropout : bool
        Whether dropout follows each activation.
    dropout_ration : float
        The share of zeros (the spelling is the book's).
    use_batchnorm : bool
        Whether each hidden affine layer is normalised.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
        use_dropout: bool = False,
        dropout_ration: float = 0.5,
        use_batchnorm: bool = False,
    ) -> None:
        self.use_dropout = use_dropout
        self.dropout_ration = dropout_ration
        self.use_batchnorm = use_batchnorm
        super().__init__(
            input_size,
            hidden_size_list,
            output_size,
            activation,
            weight_init_std,
            weight_decay_lambda,
        )

    def _after_affine(self, i: int) -> None:
        if self.use_batchnorm:
            units = self.hidden_size_list[i - 1]
            gamma = self.params[f"gamma{i}"] = zeros(units) + 1.0
            beta = self.params[f"beta{i}"] = zeros(units)
            self.layers[f"BatchNorm{i}"] = BatchNormalization(gamma, beta)
            self.params.bind(f"BatchNorm{i}", gamma=f"gamma{i}", beta=f"beta{i}")

    def _after_activation(self, i: int) -> None:
        if self.use_dropout:
            self.layers[f"Dropout{i}"] = Dropout(self.dropout_ration)

    def predict(self, x: Array, train_flg: bool = False) -> Array:
        """Return the scores of a batch, shape (n, k)."""
        return through(self._in_order(), x, train_flg)

    def loss(self, x: Array, t: Array, train_flg: bool = False) -> Array:
        """Return the loss of a batch with its targets, labels or one-hot; with weight decay."""
        return self._penalised(self.last_layer.forward(self.predict(x, train_flg), t))

    def _training_loss(self, x: Array, t: Array) -> Array:
        return self.loss(x, t, train_flg=True)
