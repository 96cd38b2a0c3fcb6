"""Ready-made networks."""

from collections.abc import Callable

from xpnet.layers import Sequential
from xpnet.models.convnet import deep_convnet, simple_convnet
from xpnet.models.mlp import mlp

__all__ = ["BY_NAME", "deep_convnet", "mlp", "simple_convnet"]

BY_NAME: dict[str, Callable[..., Sequential]] = {
    "mlp": mlp,
    "simple-convnet": simple_convnet,
    "deep-convnet": deep_convnet,
}
"""The networks that programs offer by name; each takes input_shape, classes, seed and dtype."""
