"""Multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xpnet.checks import one_of
from xpnet.initializers import Init
from xpnet.layers import (
    BatchNorm,
    Dropout,
    Flatten,
    Layer,
    LeakyReLU,
    Linear,
    ReLU,
    Rescale,
    Sequential,
    Sigmoid,
    Swish,
    Tanh,
)
from xpnet.layers.base import Shape

__all__ = ["ACTIVATIONS", "mlp"]

ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    "relu": ReLU,
    "leaky-relu": LeakyReLU,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "swish": Swish,
}


def mlp(
    hidden: Sequence[int] = (256, 128),
    classes: int = 10,
    *,
    input_shape: Shape = (1, 28, 28),
    activation: str = "relu",
    init: Init | None = None,
    batch_norm: bool = False,
    dropout: float = 0.0,
    rescale: float | None = 1 / 255,
    seed: int = 0,
    dtype: str = "float32",
) -> Sequential:
    """Return fully connected layers of any sizes.

    Parameters
    ----------
    hidden : sequence of int
        Units of each hidden layer; empty for a linear classifier.
    classes : int
        Outputs.
    input_shape : tuple of int
        The shape of one sample.
    activation : str
        ``"relu"``, ``"leaky-relu"``, ``"sigmoid"``, ``"tanh"`` or ``"swish"``.
    init : str, float or function, optional
        Initial weights; by default He's for the relatives of ReLU, else Xavier's.
    batch_norm : bool
        Whether each hidden layer is normalised before its activation.
    dropout : float
        The share of each hidden layer's outputs zeroed in training.
    rescale : float, optional
        What the input is multiplied by first, 1 / 255 for pixels; None for numbers as they are.
    seed, dtype
        As those of :class:`~xpnet.layers.Sequential`.
    """
    one_of("activation", activation, ACTIVATIONS)
    if not isinstance(hidden, Sequence):
        raise ValueError(
            f"hidden: expected units for each hidden layer, such as (100,), got {hidden!r}"
        )
    if init is None:
        init = "xavier" if activation in ("sigmoid", "tanh") else "he"
    layers: list[Layer] = [] if rescale is None else [Rescale(rescale)]
    layers.append(Flatten())
    for units in hidden:
        layers.append(Linear(units, init=init))
        if batch_norm:
            layers.append(BatchNorm())
        layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(Dropout(dropout))
    layers.append(Linear(classes, init=init))
    return Sequential(layers, input_shape=input_shape, seed=seed, dtype=dtype)
