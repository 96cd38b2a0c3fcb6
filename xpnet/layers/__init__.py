"""The layers: see :class:`xpnet.layers.Layer` for what one is."""

from typing import TYPE_CHECKING

from xpnet.checks import names_in
from xpnet.layers.activation import LeakyReLU, ReLU, Sigmoid, Swish, Tanh
from xpnet.layers.arithmetic import Add, Multiply
from xpnet.layers.base import ArrayMap, Layer
from xpnet.layers.conv import Conv2d
from xpnet.layers.dropout import Dropout
from xpnet.layers.linear import Linear
from xpnet.layers.lrn import LocalResponseNorm
from xpnet.layers.network import Network
from xpnet.layers.norm import BatchNorm
from xpnet.layers.pool import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from xpnet.layers.residual import Residual
from xpnet.layers.sequential import Sequential
from xpnet.layers.shape import Flatten, Rescale
from xpnet.layers.transcendental import Exp, Log, LogSquare

__all__ = [
    "Add",
    "ArrayMap",
    "AvgPool2d",
    "BatchNorm",
    "Conv2d",
    "Dropout",
    "Exp",
    "Flatten",
    "GlobalAvgPool2d",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "Log",
    "LogSquare",
    "MaxPool2d",
    "Multiply",
    "Network",
    "ReLU",
    "Rescale",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Swish",
    "Tanh",
]

if not TYPE_CHECKING:  # which knows the names, and would know all with this
    __getattr__ = names_in(
        __name__,
        __all__,
        Affine="write Linear(units)",
        BatchNormalization="write BatchNorm()",
        Conv1d="write Conv2d(filters, (1, size))",
        Convolution="write Conv2d(filters, size)",
        Dense="write Linear(units)",
        Pooling="write MaxPool2d(size)",
        SyncBatchNorm="write BatchNorm(sync=True)",
        Softmax="the loss has it, SoftmaxCrossEntropy()",
    )
