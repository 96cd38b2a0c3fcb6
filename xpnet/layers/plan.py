"""Planned steps: runs of layers that one op computes together.

A network's :class:`~xpnet.layers.Sequential` finds the runs when it is built.  The layers keep
their parameters and paths; a step only borrows them, and is left out where a hook wants to see
a layer's own output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from xpnet import ops
from xpnet.arrays import Array, dtype_kind, namespace
from xpnet.layers.activation import ReLU
from xpnet.layers.base import Layer
from xpnet.layers.conv import Conv2d
from xpnet.layers.linear import Linear
from xpnet.layers.pool import MaxPool2d

__all__ = ["ConvReLUPool", "Hook", "Hooked", "LinearReLU", "Step", "plan"]

Hook = Callable[[str, Array, Array], None]
"""Called with a layer's path, its input and its output after each forward pass."""


class Step(Protocol):
    """What a network runs one after the other: a layer, or a planned run of layers."""

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the step's output."""

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients and return dx."""

    def forget(self) -> None:
        """Drop what forward kept."""


class _Run:
    """A planned run; what its forward pass keeps is kept here, not in its layers."""

    def __init__(self, first: Layer) -> None:
        self._first = first
        self._cache: Any = None

    def take(self) -> Any:
        cache, self._cache = self._cache, None
        return self._first.take() if cache is None else cache  # its take() says what is missing

    def forget(self) -> None:
        self._cache = None


class LinearReLU(_Run):
    """Linear, then ReLU."""

    def __init__(self, linear: Linear, relu: ReLU) -> None:
        super().__init__(linear)
        self.linear = linear
        self.relu = relu
        self._seen: Any = None

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return ``max(x W + b, 0)``."""
        layer = self.linear
        layer.check(x)
        if x.dtype is not self._seen:  # the ReLU takes no complex numbers, the Linear does
            self.relu._inspect_dtype(x, dtype_kind(namespace(x), x.dtype))
            self._seen = x.dtype
        rows, b = layer.rows(x), layer._params.get("b")
        y = ops.linear.linear_relu(rows, layer.operand("W"), b, layer.precision)
        if train:
            self._cache = (rows, x.shape, y)
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients and return dx."""
        rows, shape, y = self.take()
        layer, grads = self.linear, self.linear._grads
        dx = ops.linear.linear_relu_backward(
            rows, layer.operand("W"), y, dy, grads["W"], grads.get("b"), need_dx, layer.precision
        )
        return dx if dx is None or len(shape) == 2 else namespace(dx).reshape(dx, shape)


class ConvReLUPool(_Run):
    """Conv2d, then ReLU, then perhaps MaxPool2d."""

    def __init__(self, conv: Conv2d, pool: MaxPool2d | None) -> None:
        super().__init__(conv)
        self.conv = conv
        self.window = None if pool is None else (*pool.size, pool.stride, pool.pad)

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the pooled, rectified responses."""
        layer = self.conv
        layer.check(x)
        W, b = layer.operand("W"), layer._params.get("b")
        y, kept = ops.conv.conv_relu_pool(
            x, W, b, layer.stride, layer.pad, self.window, layer.precision
        )
        if train:
            self._cache = kept
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients and return dx."""
        kept, layer = self.take(), self.conv
        W, dW, db = layer.operand("W"), layer._grads["W"], layer._grads.get("b")
        dx: Array | None = ops.conv.conv_relu_pool_backward(
            dy, kept, W, dW, db, layer.stride, layer.pad, self.window, need_dx, layer.precision
        )
        return dx


class Hooked:
    """A layer whose hooks see every forward pass."""

    def __init__(self, layer: Layer, hooks: Sequence[Hook]) -> None:
        self.layer = layer
        self.hooks = hooks

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Run the layer, then its hooks."""
        y = self.layer.forward(x, train=train)
        for hook in self.hooks:
            hook(self.layer.path, x, y)
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Run the layer's backward pass."""
        return self.layer.backward(dy, need_dx=need_dx)

    def forget(self) -> None:
        """Drop what forward kept."""
        self.layer.forget()


def plan(layers: Sequence[Layer], hooks: dict[int, list[Hook]]) -> list[tuple[Step, range]]:
    """Return the steps that compute the layers, and the indices of the layers of each."""
    steps: list[tuple[Step, range]] = []
    i = 0
    while i < len(layers):
        free = [None if j in hooks else type(layers[j]) for j in range(i, min(i + 3, len(layers)))]
        step: Step = Hooked(layers[i], hooks[i]) if i in hooks else layers[i]
        length = 1
        match layers[i], free:
            case Linear() as linear, [t, r, *_] if t is Linear and r is ReLU:
                step, length = LinearReLU(linear, layers[i + 1]), 2  # type: ignore[arg-type]
            case Conv2d() as conv, [t, r, p] if t is Conv2d and r is ReLU and p is MaxPool2d:
                pool = layers[i + 2]
                step, length = ConvReLUPool(conv, pool), 3  # type: ignore[arg-type]
            case Conv2d() as conv, [t, r, *_] if t is Conv2d and r is ReLU:
                step, length = ConvReLUPool(conv, None), 2
        steps.append((step, range(i, i + length)))
        i += length
    return steps
