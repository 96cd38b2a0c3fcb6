"""What a training step takes in memory, measured before there is one.

Which arrays a step makes depends on the bodies that serve it: what is compiled keeps less than
NumPy's, and those less than the generic ones.  So a copy of the network makes steps of a few
samples while the device counts.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from xpnet.arrays import Array, dtype_name
from xpnet.devices import Device
from xpnet.devices.base import Allocations
from xpnet.layers.buffers import ArrayMap, OwnArrays, Shape, itemsize
from xpnet.optimizers import Optimizer
from xpnet.tables import aligned, readable_bytes

__all__ = ["StepMemory", "step_memory"]

MEASURED_BYTES = 2**28
"""What the layers of a measured step may keep by their own count: larger ones are extrapolated."""

LEAST_SAMPLES = 4


class StepMemory(NamedTuple):
    """The memory of a training step, in bytes; ``str`` makes a table of it.

    Attributes
    ----------
    parameters : int
        With the narrow copy of a network whose products are of lower precision.
    gradients : int
    slots : int
        What the optimizer remembers.
    kept : int
        What lies between forward and backward pass: the batch, what the layers keep, the scores.
    peak : int
        The most that is in use at once: parameters, gradients and slots, and at the worst moment
        of forward pass, backward pass or update what is kept and worked with.
    batch_size : int
    device : str
        Its name.
    optimizer : str
        The name of its class; empty where there is none.
    """

    parameters: int
    gradients: int
    slots: int
    kept: int
    peak: int
    batch_size: int
    device: str
    optimizer: str = ""

    def rows(self) -> list[tuple[str, str]]:
        """Return names and readable numbers."""
        slots = [(f"what {self.optimizer} remembers", self.slots)] if self.optimizer else []
        rows = [
            ("parameters", self.parameters),
            ("gradients", self.gradients),
            *slots,
            ("kept for the backward pass", self.kept),
            ("peak of a step", self.peak),
        ]
        return [(name, readable_bytes(number)) for name, number in rows]

    @property
    def title(self) -> str:
        """What the numbers are of."""
        return f"memory of a training step of {self.batch_size:,} samples on {self.device}"

    def __str__(self) -> str:
        return "\n".join([self.title, *aligned(self.rows(), left=1)])


class Trainable(Protocol):
    """A network: what is asked of it here."""

    dtype: str
    input_shape: Shape
    learns: bool
    own: OwnArrays

    @property
    def device(self) -> Device:
        """Where its arrays lie."""

    @property
    def params(self) -> ArrayMap:
        """The learned arrays."""

    @property
    def grads(self) -> ArrayMap:
        """Their gradients."""

    def asinput(self, x: Any) -> Array:
        """Return samples as it takes them."""

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the output."""

    def backward(self, dy: Array) -> Array | None:
        """Fill every gradient."""

    def parts(self) -> Sequence[Any]:
        """Return what is run one after the other."""

    def threads(self) -> AbstractContextManager[int]:
        """Return the context in which it runs fastest."""

    def cache_bytes(self) -> int:
        """Return the layers' own count of what they keep of a sample."""


def step_memory(net: Trainable, batch_size: int, optimizer: Optimizer | None = None) -> StepMemory:
    """Return the memory that a training step takes, measured on a copy of the network.

    Parameters
    ----------
    net : Network
    batch_size : int
        Steps whose layers keep more than some 256 MiB are extrapolated from two smaller ones: what
        each part of a step takes is a straight line in the number of samples.
    optimizer : Optimizer, optional
        Without one no update is made.

    Raises
    ------
    DeviceError
        The network's device does not count its memory.
    """
    net, optimizer = copy.deepcopy((net, optimizer))
    numbers = math.prod(net.input_shape) * itemsize(net.dtype) + net.cache_bytes()
    most = min(batch_size, max(LEAST_SAMPLES, MEASURED_BYTES // numbers))
    sizes = [most] if most == batch_size else [most // 2, most]
    with net.device.scope(), net.threads(), net.device.allocations() as memory:
        step = _MeasuredStep(net, optimizer, memory)
        step(sizes[0])  # compiles, imports, and binds the slots
        found = [step(size) for size in sizes]
    kept, *peaks = (_at(batch_size, sizes, numbers) for numbers in zip(*found, strict=True))
    flat: Any = net.params.flat
    parameters = gradients = flat.shape[0] * itemsize(net.dtype)
    if net.own.precision in ("bf16", "fp16"):
        parameters += flat.shape[0] * 2
    buffers = [] if optimizer is None else optimizer.buffers
    slots = sum(buffer.shape[0] * itemsize(dtype_name(buffer)) for buffer in buffers)
    peak = parameters + gradients + slots + max(peaks)
    name = "" if optimizer is None else type(optimizer).__name__
    return StepMemory(
        parameters, gradients, slots, kept, peak, batch_size, net.device.name, optimizer=name
    )


def _at(size: int, sizes: Sequence[int], numbers: Sequence[int]) -> int:
    """Return the last number, or where the straight line through both is at a size."""
    if len(sizes) == 1:
        return numbers[0]
    slope = (numbers[1] - numbers[0]) / (sizes[1] - sizes[0])
    return round(numbers[1] + slope * (size - sizes[1]))


class _MeasuredStep:
    """A step that notes the most memory which each of its parts has in use."""

    def __init__(self, net: Trainable, optimizer: Optimizer | None, memory: Allocations) -> None:
        self._net, self._optimizer, self._memory = net, optimizer, memory
        self._noted: list[int] = []
        self._before = 0
        for part in net.parts():
            for method in ("forward", "backward"):
                setattr(part.step, method, self._noting(getattr(part.step, method)))

    def __call__(self, samples: int) -> list[int]:
        """Make the step; return the bytes kept after its forward pass, and the peaks."""
        net, place, memory = self._net, self._net.device, self._memory
        self._noted, self._before = [], memory.held
        x = place.zeros((samples, *net.input_shape), "uint8")
        x += 1
        x = net.asinput(x)  # bytes for a first layer that takes them, such as Rescale
        y = net.forward(x, train=True)
        kept = memory.held - self._before
        if net.learns:
            net.backward(place.zeros(tuple(y.shape), dtype_name(y)))  # beside the scores
            if self._optimizer is not None:
                self._optimizer.update(net.params, net.grads)
                self._note()
        return [kept, *self._noted]

    def _noting(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **options: Any) -> Any:
            result = call(*arguments, **options)
            self._note()
            return result

        return noted

    def _note(self) -> None:
        self._noted.append(self._memory.peak - self._before)
        self._memory.restart()
