"""xpnet: neural networks written once against the array API standard."""

from xpnet import (
    arrays,
    data,
    devices,
    functions,
    gradients,
    initializers,
    layers,
    losses,
    models,
    optimizers,
    random,
    schedules,
    training,
)
from xpnet.arrays import to_numpy
from xpnet.devices import Device, DeviceError, device
from xpnet.gradients import gradient_check, gradient_descent, numerical_gradient
from xpnet.layers import Sequential
from xpnet.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from xpnet.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop
from xpnet.serialize import load
from xpnet.threadpool import threads
from xpnet.training import Trainer

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Device",
    "DeviceError",
    "Momentum",
    "Nesterov",
    "RMSprop",
    "Sequential",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "Trainer",
    "arrays",
    "data",
    "device",
    "devices",
    "functions",
    "gradient_check",
    "gradient_descent",
    "gradients",
    "initializers",
    "layers",
    "load",
    "losses",
    "models",
    "numerical_gradient",
    "optimizers",
    "random",
    "schedules",
    "threads",
    "to_numpy",
    "training",
]
