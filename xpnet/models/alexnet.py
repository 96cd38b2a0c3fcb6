"""AlexNet, in its own size and in one for small images."""

from __future__ import annotations

import math

from xpnet.layers import (
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Rescale,
    Sequential,
)
from xpnet.layers.base import Shape

__all__ = ["alexnet", "small_alexnet"]


def alexnet(
    classes: int = 1000,
    *,
    input_shape: Shape = (3, 227, 227),
    stem: tuple[int, int, int] = (11, 4, 0),
    width: float = 1.0,
    dropout: float = 0.5,
    rescale: float | None = 1 / 255,
    seed: int = 0,
    dtype: str = "float32",
) -> Sequential:
    """Return five convolutions, two of them with local response normalisation, and three linear.

    Parameters
    ----------
    classes : int
        Outputs.
    input_shape : (c, h, w)
    stem : (int, int, int)
        Size, stride and padding of the first convolution, in pixels.
    width : float
        What the filters and hidden units are multiplied by, above 0.
    dropout : float
        The share of each hidden linear layer's outputs zeroed in training.
    rescale : float, optional
        What the pixels are multiplied by first.
    seed, dtype
        As those of :class:`~xpnet.layers.Sequential`.

    Raises
    ------
    ValueError
        The width leaves a layer without filters, or the images are too small for the windows.

    Notes
    -----
    The paper's network on one device: its second, fourth and fifth convolutions, cut in two
    halves for two GPUs, are whole here (62.4 million parameters instead of 61.0).  He's initial
    weights, zero biases.
    Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", 2012.
    """

    def scaled(count: int) -> int:
        if not 0 < width < math.inf or round(count * width) < 1:
            raise ValueError(f"width: expected a factor that leaves filters, got {width!r}")
        return round(count * width)

    size, stride, pad = stem
    layers: list[Layer] = [] if rescale is None else [Rescale(rescale)]
    layers += [
        Conv2d(scaled(96), size, stride, pad),
        ReLU(),
        LocalResponseNorm(),
        MaxPool2d(3, 2),
        Conv2d(scaled(256), 5, pad=2),
        ReLU(),
        LocalResponseNorm(),
        MaxPool2d(3, 2),
        Conv2d(scaled(384), 3, pad=1),
        ReLU(),
        Conv2d(scaled(384), 3, pad=1),
        ReLU(),
        Conv2d(scaled(256), 3, pad=1),
        ReLU(),
        MaxPool2d(3, 2),
        Flatten(),
    ]
    for _ in range(2):
        layers += [Linear(scaled(4096)), ReLU(), Dropout(dropout)]
    layers.append(Linear(classes))
    return Sequential(layers, input_shape=input_shape, seed=seed, dtype=dtype)


def small_alexnet(
    classes: int = 10,
    *,
    input_shape: Shape = (1, 28, 28),
    width: float = 0.25,
    dropout: float = 0.5,
    rescale: float | None = 1 / 255,
    seed: int = 0,
    dtype: str = "float32",
) -> Sequential:
    """Return AlexNet for small images: a 3x3 stem of stride 1, a quarter of the widths.

    Parameters
    ----------
    classes, input_shape, width, dropout, rescale, seed, dtype
        As those of :func:`alexnet`.
    """
    return alexnet(
        classes,
        input_shape=input_shape,
        stem=(3, 1, 1),
        width=width,
        dropout=dropout,
        rescale=rescale,
        seed=seed,
        dtype=dtype,
    )
