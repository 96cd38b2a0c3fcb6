"""Planned steps: runs of layers that one op computes together.

A :class:`~xpnet.layers.Sequential` finds the runs when it is built.  The layers keep their
parameters and paths; a run only borrows them, and is left out where a hook wants to see a layer's
own output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from xpnet import ops
from xpnet.arrays import Array, namespace
from xpnet.layers.activation import ReLU
from xpnet.layers.base import Layer
from xpnet.layers.conv import Conv2d
from xpnet.layers.fit import check_dtype
from xpnet.layers.linear import Linear
from xpnet.layers.network import Hook, Step
from xpnet.layers.pool import MaxPool2d

__all__ = ["FUSIONS", "ConvReLUPool", "Hooked", "LinearReLU", "Plan", "plan"]


class _Run:
    """A planned run; what its forward pass keeps is kept here, not in its layers."""

    def __init__(self, first: Layer) -> None:
        self._first = first
        self._cache: Any = None

    def keep(self, values: Any) -> None:
        self._cache = values

    def take(self) -> Any:
        cache, self._cache = self._cache, None
        return self._first.take() if cache is None else cache  # its take() says what is missing


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
            check_dtype(self.relu, x)
            self._seen = x.dtype
        W, b = layer.own.operands["W"], layer.params.get("b")
        y, kept = ops.linear.linear_relu(layer.rows(x), W, b, precision=layer.own.precision)
        if train:
            self._cache = (kept, x.shape)
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients and return dx."""
        kept, shape = self.take()
        layer, grads = self.linear, self.linear.grads
        dx = ops.linear.linear_relu_backward(
            dy, kept, layer.own.operands["W"], grads["W"], grads.get("b"), need_dx=need_dx,
            precision=layer.own.precision,
        )  # fmt: skip
        return dx if dx is None or len(shape) == 2 else namespace(dx).reshape(dx, shape)


class ConvReLUPool(_Run):
    """Conv2d, then ReLU, then perhaps MaxPool2d."""

    def __init__(self, conv: Conv2d, relu: ReLU, pool: MaxPool2d | None = None) -> None:
        super().__init__(conv)
        self.conv = conv
        self.window = None if pool is None else pool.window

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the pooled, rectified responses."""
        layer = self.conv
        layer.check(x)
        W, b = layer.own.operands["W"], layer.params.get("b")
        y, kept = ops.conv.conv_relu_pool(
            x, W, b, stride=layer.stride, pad=layer.pad, window=self.window,
            precision=layer.own.precision,
        )  # fmt: skip
        if train:
            self._cache = kept
        return y

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients and return dx."""
        kept, layer = self.take(), self.conv
        W, dW, db = layer.own.operands["W"], layer.grads["W"], layer.grads.get("b")
        return ops.conv.conv_relu_pool_backward(
            dy, kept, W, dW, db, stride=layer.stride, pad=layer.pad, window=self.window,
            need_dx=need_dx, precision=layer.own.precision,
        )  # fmt: skip


FUSIONS: list[tuple[tuple[type[Layer], ...], Callable[..., Step]]] = [
    ((Conv2d, ReLU, MaxPool2d), ConvReLUPool),
    ((Conv2d, ReLU), ConvReLUPool),
    ((Linear, ReLU), LinearReLU),
]
"""Layers that one step computes, by their very classes, and the step; longer runs come first."""


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

    def keep(self, values: Any) -> None:
        """Let the layer keep or forget."""
        self.layer.keep(values)


class Plan(NamedTuple):
    """The steps that compute layers one after the other.

    Attributes
    ----------
    steps : list of Step
    spans : list of range
        The indices of the layers of each step.
    first : int
        The first step that learns: what lies below has no parameters, or frozen ones.
    idle : list of Step
        All below it, and what they are made of: what they keep is to be forgotten.
    learns : list of bool
        Whether each step has parameters that are not frozen.
    """

    steps: list[Step]
    spans: list[range]
    first: int
    idle: list[Step]
    learns: list[bool]


def plan(layers: Sequence[Layer], hooks: Mapping[int, Sequence[Hook]]) -> Plan:
    """Return the steps that compute layers, those with hooks by themselves."""
    steps: list[Step] = []
    spans: list[range] = []
    i = 0
    while i < len(layers):
        length, step = _next(layers[i:], [j - i for j in hooks if j >= i])
        steps.append(Hooked(layers[i], hooks[i]) if i in hooks else step)
        spans.append(range(i, i + length))
        i += length
    learns = [any(layers[i].learns for i in span) for span in spans]
    first = learns.index(True) if True in learns else 0
    parts = (layers[i].walk(innermost=False) for span in spans[:first] for i in span)
    idle: list[Step] = [step for step in steps[:first] if not isinstance(step, Layer)]
    idle += [layer for part in parts for _, layer in part]
    return Plan(steps, spans, first, idle, learns)


def _next(layers: Sequence[Layer], hooked: Sequence[int]) -> tuple[int, Step]:
    """Return the step that computes the first of some layers, and how many it computes."""
    free = min(hooked, default=len(layers))
    for kinds, fused in FUSIONS:
        n = len(kinds)
        if n <= free and tuple(map(type, layers[:n])) == kinds:
            return n, fused(*layers[:n])
    return 1, layers[0]
