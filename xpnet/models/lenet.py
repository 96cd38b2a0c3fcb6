"""LeNet-5."""

from __future__ import annotations

from xpnet.layers import AvgPool2d, Conv2d, Flatten, Layer, Linear, Rescale, Sequential, Sigmoid
from xpnet.layers.base import Shape

__all__ = ["lenet5"]


def lenet5(
    classes: int = 10,
    *,
    input_shape: Shape = (1, 28, 28),
    rescale: float | None = 1 / 255,
    seed: int = 0,
    dtype: str = "float32",
) -> Sequential:
    """Return LeNet-5: two convolutions with subsampling, a third and two linear layers.

    Parameters
    ----------
    classes : int
        Outputs.
    input_shape : (c, h, w)
        Square images of at most 32 pixels, with an even frame to spare: smaller ones are framed
        with zeros to 32x32.
    rescale : float, optional
        What the pixels are multiplied by first.
    seed, dtype
        As those of :class:`~xpnet.layers.Sequential`.

    Raises
    ------
    ValueError
        The images cannot be framed to 32x32.

    Notes
    -----
    Sigmoid units throughout; subsampling takes the mean of 2x2 pixels.  The paper's third layer
    sees six chosen subsets of channels and its last one measures distances; here the one sees all
    channels and the other is linear, for softmax.  The paper's factor and bias for each subsampled
    map are left to the weights around it.  He's initial weights: from the smaller ones of Xavier,
    sigmoids, a quarter as steep as ReLU, take long to start.
    LeCun et al., "Gradient-based learning applied to document recognition", 1998.
    """
    fits = len(input_shape) == 3 and input_shape[1] == input_shape[2] <= 32
    if not fits or input_shape[1] % 2:
        raise ValueError(
            f"input_shape: expected (c, h, h) with an even h of at most 32, got {input_shape}"
        )
    layers: list[Layer] = [] if rescale is None else [Rescale(rescale)]
    layers += [
        Conv2d(6, 5, pad=(32 - input_shape[1]) // 2, init="he"),
        Sigmoid(),
        AvgPool2d(2),
        Conv2d(16, 5, init="he"),
        Sigmoid(),
        AvgPool2d(2),
        Conv2d(120, 5, init="he"),
        Sigmoid(),
        Flatten(),
        Linear(84, init="he"),
        Sigmoid(),
        Linear(classes, init="he"),
    ]
    return Sequential(layers, input_shape=input_shape, seed=seed, dtype=dtype)
