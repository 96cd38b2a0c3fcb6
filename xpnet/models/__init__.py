"""Ready-made networks."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from xpnet.checks import names_in
from xpnet.layers import Sequential
from xpnet.models.classics import alexnet, lenet5, small_alexnet
from xpnet.models.convnet import deep_convnet, fast_convnet, simple_convnet
from xpnet.models.dense import mlp
from xpnet.models.perceptron import Perceptron, logic_gate
from xpnet.models.quotient import learn_clipped, learn_linear, learn_operation, log_exp_network

__all__ = [
    "BY_NAME",
    "Perceptron",
    "alexnet",
    "deep_convnet",
    "fast_convnet",
    "learn_clipped",
    "learn_linear",
    "learn_operation",
    "lenet5",
    "log_exp_network",
    "logic_gate",
    "mlp",
    "simple_convnet",
    "small_alexnet",
]

BY_NAME: dict[str, Callable[..., Sequential]] = {
    "mlp": mlp,
    "simple-convnet": simple_convnet,
    "fast-convnet": fast_convnet,
    "deep-convnet": deep_convnet,
    "lenet-5": lenet5,
    "alexnet": small_alexnet,
}
"""The networks that programs offer by name; each takes input_shape, classes, seed and dtype."""

if not TYPE_CHECKING:  # which knows the names, and would know all with this
    __getattr__ = names_in(__name__, __all__)
