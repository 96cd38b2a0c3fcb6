"""PyTorch: eager in two memory layouts, with a fused update, compiled."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

import xpnet
from scripts.bench.contenders.base import Contender, Slots, numbered
from xpnet.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)
from xpnet.optimizers import Optimizer


class Torch(Contender):
    """PyTorch, eager, images in the usual layout."""

    needs: ClassVar[dict[str, str]] = {"torch": "torch"}
    channels_last = False
    fused: bool | None = None

    def setup(self, slots: Slots, steps: int) -> None:
        """Make the modules, the optimizer and tensors of all images."""
        import torch

        torch.set_num_threads(self.threads)
        self.torch = torch
        self.layout = torch.channels_last if self.channels_last else torch.contiguous_format
        self.module = network(self.net).to(memory_format=self.layout)
        self.loss = torch.nn.CrossEntropyLoss(label_smoothing=self.workload.smoothing)
        self.optimizer = optimizer(self.workload.optimizer(), self.module, self.fused)
        if slots:
            self.take(slots, steps)
        self.x = torch.from_numpy(self.data.x)
        self.t = torch.from_numpy(self.data.t)
        self.start = [p.detach().clone() for p in self.module.parameters()]
        self.order = self.deal()

    def take(self, slots: Slots, steps: int) -> None:
        """Give the optimizer what it would remember after a number of steps of Adam."""
        for path, p in parameters(self.net, self.module).items():
            self.optimizer.state[p] = {"step": self.torch.tensor(float(steps))}
            for slot, name in (("m", "exp_avg"), ("v", "exp_avg_sq")):
                values = self.torch.from_numpy(_turned(slots[f"{slot}/{path}"]))
                self.optimizer.state[p][name] = self.torch.zeros_like(p.detach()).copy_(values)

    def deal(self) -> Iterator[Any]:
        """Yield the indices of batches for ever."""
        size = self.workload.batch_size
        while True:
            order = self.torch.randperm(len(self.x)).split(size)
            yield from order[: len(self.x) // size]

    def pixels(self, x: Any) -> Any:
        """Return bytes as numbers from 0 to 1 in the network's layout."""
        return x.float().div_(255).contiguous(memory_format=self.layout)

    def cost(self, x: Any, t: Any) -> Any:
        """Return the loss of a batch."""
        return self.loss(self.module(x), t)

    def step(self) -> None:
        """Make one update from the next batch."""
        chosen = next(self.order)
        self.optimizer.zero_grad(set_to_none=True)
        self.cost(self.pixels(self.x[chosen]), self.t[chosen]).backward()
        self.optimizer.step()

    def fit(self, epochs: int, schedule: xpnet.schedules.Schedule, seed: int) -> None:
        """Train for a number of epochs."""
        self.torch.manual_seed(seed)
        rate = self.optimizer.defaults["lr"]
        total = epochs * (len(self.x) // self.workload.batch_size)
        for k in range(total):
            self.optimizer.param_groups[0]["lr"] = rate * schedule(k, total)
            self.step()

    def infer(self, x: np.ndarray) -> Any:
        """Compute scores in batches."""
        self.module.eval()
        with self.torch.inference_mode():
            parts = self.torch.from_numpy(x).split(self.workload.batch_size)
            return self.torch.cat([self.module(self.pixels(part)) for part in parts]).numpy()

    def limit(self) -> contextlib.AbstractContextManager[Any]:
        """Return no context: it was told at setup."""
        return contextlib.nullcontext()

    def reset(self) -> None:
        """Copy the weights back."""
        with self.torch.no_grad():
            for p, values in zip(self.module.parameters(), self.start, strict=True):
                p.copy_(values)


class TorchChannelsLast(Torch):
    """PyTorch, eager, the channels of a pixel side by side."""

    channels_last = True

    @classmethod
    def misses(cls, kinds: set[type[Layer]]) -> str | None:
        """Return that there are no channels, where there are none."""
        return None if Conv2d in kinds else "has no channels here"


class TorchFused(Torch):
    """PyTorch, eager, the update of all parameters in one call, which it does when told to."""

    fused = True


class TorchCompile(Torch):
    """PyTorch, network and loss compiled."""

    def setup(self, slots: Slots, steps: int) -> None:
        """Compile."""
        super().setup(slots, steps)
        if self.workload.infers:
            self.module = self.torch.compile(self.module)
        else:
            self.cost = self.torch.compile(super().cost)  # type: ignore[method-assign]


def network(net: Sequential) -> Any:
    """Return PyTorch's modules for a network, which take numbers from 0 to 1, with its weights."""
    import torch

    module = torch.nn.Sequential(*(_made(layer) for _, layer in numbered(net)))
    with torch.no_grad():
        for path, p in parameters(net, module).items():
            p.copy_(torch.from_numpy(_turned(net.params[path])))
    for (_, layer), made in zip(numbered(net), module, strict=True):
        if isinstance(layer, BatchNorm):
            made.running_mean.copy_(torch.from_numpy(layer.state["mean"]))
            made.running_var.copy_(torch.from_numpy(layer.state["var"]))
    return module


def parameters(net: Sequential, module: Any) -> dict[str, Any]:
    """Return a module's parameters under the paths that they have in xpnet's network."""
    names = {"W": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}
    return {
        f"{index}.{name}": getattr(made, names[name])
        for (index, layer), made in zip(numbered(net), module, strict=True)
        for name in layer.params
    }


def optimizer(like: Optimizer, module: Any, fused: bool | None) -> Any:
    """Return PyTorch's optimizer of the same rule and numbers."""
    from torch.optim import SGD, Adam

    weights = module.parameters()
    if isinstance(like, xpnet.Adam):
        betas = (like.beta1, like.beta2)
        return Adam(weights, lr=like.lr, betas=betas, eps=like.eps, fused=fused)
    return SGD(weights, lr=like.lr, fused=fused)


def _turned(values: np.ndarray) -> np.ndarray:
    """Return weights as PyTorch has them: those of Linear the other way round."""
    return np.array(values.T if values.ndim == 2 else values, order="C")


def _made(layer: Layer) -> Any:
    from torch import nn

    match layer:
        case Conv2d():
            channels = layer.input_shape[0]
            return nn.Conv2d(channels, layer.filters, layer.size, layer.stride, layer.pad)
        case Linear():
            return nn.Linear(math.prod(layer.input_shape), layer.units)
        case MaxPool2d():
            return nn.MaxPool2d(layer.size, layer.stride, layer.pad)
        case BatchNorm():
            return nn.BatchNorm1d(layer.input_shape[0], layer.eps, 1 - layer.momentum)
        case Dropout():
            return nn.Dropout(layer.rate)
        case ReLU():
            return nn.ReLU()
        case Flatten():
            return nn.Flatten()
    raise TypeError(f"no module for {layer!r}")
