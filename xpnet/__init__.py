"""xpnet: neural networks written once against the array API standard."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from xpnet.checks import nearest
from xpnet.devices import Device, DeviceError, device
from xpnet.gradients import gradient_check, gradient_descent, numerical_gradient
from xpnet.layers import Sequential
from xpnet.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from xpnet.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop
from xpnet.serialize import load
from xpnet.threadpool import threads
from xpnet.training import Trainer, warm_up

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
    "warm_up",
]


_LATER = ("book", "plots")
"""Modules that are imported when they are asked for: they need more than a network does."""


if TYPE_CHECKING:
    from xpnet import book as book
    from xpnet import plots as plots
else:

    def __getattr__(name: str) -> Any:
        """Import what is imported later, and tell where else a name is, or the nearest one."""
        if name in _LATER:
            return import_module(f"xpnet.{name}")
        for module in (data, layers, losses, optimizers, training, schedules, initializers, models):
            if name in module.__all__:
                raise AttributeError(f"xpnet has no {name!r}: write {module.__name__}.{name}")
        raise AttributeError(f"xpnet has no {name!r}{nearest(name, [*__all__, *_LATER])}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*globals(), *_LATER])
