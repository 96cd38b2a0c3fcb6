"""LeNet-5, and AlexNet in its own size and in one for small images."""

from __future__ import annotations

from xpnet.checks import positive
from xpnet.layers import (
    AvgPool2d,
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
    Sigmoid,
)
from xpnet.layers.base import Shape

__all__ = ["alexnet", "lenet5", "small_alexnet"]


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
    factor = positive("width", width)

    def scaled(count: int) -> int:
        if round(count * factor) < 1:
            raise ValueError(f"width: expected a factor that leaves filters, got {width!r}")
        return round(count * factor)

    size, stride, pad = stem
    layers: list[Layer] = [] if rescale is None else [Rescale(rescale)]
    layers += [
        Conv2d(scaled(96), size, stride=stride, pad=pad),
        ReLU(),
        LocalResponseNorm(),
        MaxPool2d(3, stride=2),
        Conv2d(scaled(256), 5, pad=2),
        ReLU(),
        LocalResponseNorm(),
        MaxPool2d(3, stride=2),
        Conv2d(scaled(384), 3, pad=1),
        ReLU(),
        Conv2d(scaled(384), 3, pad=1),
        ReLU(),
        Conv2d(scaled(256), 3, pad=1),
        ReLU(),
        MaxPool2d(3, stride=2),
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
