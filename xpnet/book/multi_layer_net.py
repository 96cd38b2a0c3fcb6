"""The book's network of any number of affine layers (``common/multi_layer_net.py``)."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from xpnet.arrays import Array, namespace
from xpnet.book import layers
from xpnet.book._globals import weights, zeros
from xpnet.book._network import Network
from xpnet.book.gradient import numerical_gradient
from xpnet.book.layers import *  # noqa: F403  (a star import brings them in turn)
from xpnet.book.layers import Affine, Relu, Sigmoid

__all__ = ["MultiLayerNet", "OrderedDict", "numerical_gradient", "os", "sys"]
__all__ += layers.__all__

_ACTIVATIONS = {"relu": Relu, "sigmoid": Sigmoid}
_RULES = {"relu": "he", "he": "he", "sigmoid": "xavier", "xavier": "xavier"}


class MultiLayerNet(Network):
    """Affine layers with an activation between them.

    Parameters
    ----------
    input_size : int
    hidden_size_list : sequence of int
    output_size : int
    activation : "relu" or "sigmoid"
    weight_init_std : float or str
        The standard deviation of the initial weights; ``"relu"`` or ``"he"`` for
        ``sqrt(2 / fan_in)``, ``"sigmoid"`` or ``"xavier"`` for ``sqrt(1 / fan_in)``.
    weight_decay_lambda : float
        The strength of the L2 penalty on the weights.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.output_size = output_size
        self.hidden_size_list = hidden_size_list
        self.hidden_layer_num = len(hidden_size_list)
        self.weight_decay_lambda = weight_decay_lambda
        self._draw(weight_init_std)
        for i in range(1, self.hidden_layer_num + 1):
            self._add_affine(i)
            self._after_affine(i)
            self.layers[f"Activation_function{i}"] = _ACTIVATIONS[activation.lower()]()
            self._after_activation(i)
        self._add_affine(self.hidden_layer_num + 1)

    def _draw(self, weight_init_std: float | str) -> None:
        init: str | float
        if isinstance(weight_init_std, str):
            init = _RULES.get(weight_init_std.lower(), weight_init_std)
        else:
            init = float(weight_init_std)
        sizes = [self.input_size, *self.hidden_size_list, self.output_size]
        for i, (fan_in, units) in enumerate(pairwise(sizes), 1):
            self.params[f"W{i}"] = weights(init, (fan_in, units))
            self.params[f"b{i}"] = zeros(units)

    def _add_affine(self, i: int) -> None:
        self.layers[f"Affine{i}"] = Affine(self.params[f"W{i}"], self.params[f"b{i}"])
        self.params.bind(f"Affine{i}", W=f"W{i}", b=f"b{i}")

    def _after_affine(self, i: int) -> None:
        """Add what stands between an affine layer and its activation: here nothing."""

    def _after_activation(self, i: int) -> None:
        """Add what stands behind an activation: here nothing."""

    def loss(self, x: Array, t: Array) -> Array:
        """Return the loss of a batch with its targets, labels or one-hot; with weight decay."""
        return self._penalised(super().loss(x, t))

    def _penalised(self, loss: Array) -> Array:
        if self.weight_decay_lambda:
            for name, W in self.params.items():
                if name[0] == "W":
                    loss = loss + 0.5 * self.weight_decay_lambda * namespace(W).sum(W * W)
        return loss

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """Return the gradient of the loss in training, by backpropagation, for each parameter."""
        grads = super().gradient(x, t)
        if self.weight_decay_lambda:
            for name, (layer, _) in self.params.owners().items():
                if name[0] == "W":
                    grads[name] = grads[name] + self.weight_decay_lambda * layer.W
        return grads
