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
    parallel,
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
    "parallel",
    "random",
    "schedules",
    "threads",
    "to_numpy",
    "training",
    "warm_up",
]


_MODULES = (
    data, layers, losses, optimizers, training, training.metrics, schedules, initializers, models,
    functions, devices,
)  # fmt: skip
"""Where a name may be that is not here."""

_ELSEWHERE = {
    "accuracy": "write xpnet.Trainer(net, loss, optimizer).evaluate(Dataset(x, t)).accuracy",
    "callbacks": "write xpnet.training",
    "load_model": "write xpnet.load(path)",
    "metrics": "write xpnet.training.metrics",
    "nn": "write xpnet.layers",
    "optim": "write xpnet.optimizers",
    "save": "write net.save(path)",
}
"""What to write instead of names that other libraries have."""

_LATER = ("book", "plots", "sklearn")
"""Modules that are imported when they are asked for: they need more than a network does."""


if TYPE_CHECKING:
    from xpnet import book as book
    from xpnet import plots as plots
    from xpnet import sklearn as sklearn
else:

    def __getattr__(name: str) -> Any:
        """Import what is imported later, and tell where else a name is, or the nearest one."""
        if name in _LATER:
            return import_module(f"xpnet.{name}")
        for module in _MODULES:
            if name in module.__all__:
                raise AttributeError(f"xpnet has no {name!r}: write {module.__name__}.{name}")
        cure = _ELSEWHERE.get(name)
        told = f": {cure}" if cure else nearest(name, [*__all__, *_LATER])
        raise AttributeError(f"xpnet has no {name!r}{told}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*globals(), *_LATER])
