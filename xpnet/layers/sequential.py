"""Layers one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import get_ident
from typing import Any

from xpnet.arrays import Array
from xpnet.layers.base import Layer, Shape, unbuilt
from xpnet.layers.network import Network, Part, Step
from xpnet.layers.plan import Plan, plan
from xpnet.layers.shape import Rescale
from xpnet.random import Stream

__all__ = ["Sequential"]


class Sequential(Network):
    """Layers one after the other; with an input shape, a network.

    Forward: each layer takes the output of the one before.  Backward: the other way round, down
    to the first layer that learns, which has parameters and is not frozen.

    Parameters
    ----------
    layers : sequence of Layer
        None of them built before.
    input_shape : tuple of int, optional
        The shape of one sample.  Given, the layers are built at once and this is a network; left
        out, the layer that this one stands in builds it.
    seed : int or Stream
        The weights, masks and nothing else depend on it.
    dtype : str
        ``"float32"``, ``"float64"``, ``"complex64"`` or ``"complex128"``.

    Raises
    ------
    ValueError
        A layer does not fit the shape before it; the message names the layer.

    Notes
    -----
    Parameters are addressed by path: ``net.params["1.W"]``.  Kept for backward: what the layers
    keep.
    """

    accepts = ("real", "complex")
    cure = "write Sequential([Linear(50), ReLU(), Linear(10)], input_shape=(784,), seed=0)"

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        input_shape: Shape | None = None,
        seed: int | Stream = 0,
        dtype: str = "float32",
    ) -> None:
        super().__init__(seed)
        if not isinstance(layers, (list, tuple)):
            raise ValueError(f"Sequential: expected a list of layers, got {layers!r}")
        if not layers:
            raise ValueError("Sequential: expected at least one layer, got none")
        if len({id(layer) for layer in layers}) < len(layers):
            raise ValueError("Sequential: the same layer object stands in it twice")
        self.layers: list[Layer] = [
            unbuilt("Sequential: expected layers", layer) for layer in layers
        ]
        if input_shape is not None:
            self.stand_alone(input_shape, dtype)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments; those of a network include shape, seed and dtype."""
        about: dict[str, Any] = {"layers": self.layers}
        if self.is_root:
            about |= {"input_shape": self.input_shape, "seed": self.seed, "dtype": self.dtype}
        return about

    def setup(self, input_shape: Shape, rng: Stream) -> Shape:
        """Build the layers one after the other."""
        shape = input_shape
        for i, layer in enumerate(self.layers):
            shape = layer.build(shape, rng.child(i), self.dtype)
        self.replan()
        return shape

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Yield ("0", first layer), ("1", second layer) ..."""
        for i, layer in enumerate(self.layers):
            yield str(i), layer

    def replan(self) -> None:
        """Plan the steps anew, so that hooks see what they look at."""
        hooks = {int(name): functions for name, functions in self._hooks.items()}
        self.plan: Plan = plan(self.layers, hooks)
        self._starts = {span[0]: k for k, span in enumerate(self.plan.spans)}

    def run(self, x: Array, *, train: bool, start: int = 0) -> Array:
        """Return the last layer's output, from layer number ``start``."""
        if not self._built:
            self.check(x)
        plan = self.plan
        if train:
            self._cache = None
        for step in plan.steps[self._step_of(start) :] if start else plan.steps:
            x = step.forward(x, train=train)
        if train:
            # the way back takes the same steps, whatever is hooked by then
            self._cache = (plan, tuple(x.shape), get_ident())
        return x

    def parts(self, start: int = 0) -> list[Part]:
        """Return the planned steps, from layer number ``start``."""
        plan = self.plan
        labels = [", ".join(self.layers[i].label for i in span) for span in plan.spans]
        return list(map(Part, labels, plan.steps, plan.learns))[self._step_of(start) :]

    def _step_of(self, start: int) -> int:
        if start not in self._starts:
            raise ValueError(
                f"start: expected the number of a layer that steps begin with "
                f"({', '.join(map(str, self._starts))}), got {start!r}"
            )
        return self._starts[start]

    def _unreached(self) -> list[Step]:
        """Return what lies below the first layer that learns."""
        return self.plan.idle

    def run_back(self, dy: Array, *, need_dx: bool) -> Array | None:
        """Fill every gradient, from the last layer's to the first's; return dx if it is needed."""
        plan, shape, thread = kept = self.take()
        if thread != get_ident():
            self._cache = kept
            raise RuntimeError(
                f"{self.label}: the forward pass before this backward was another thread's: train "
                f"a network in one thread, or a copy in each (copy.deepcopy)"
            )
        came = tuple(dy.shape) if hasattr(dy, "shape") else type(dy).__name__
        if came != shape:
            self._cache = kept
            raise ValueError(f"{self.label}: expected dy of shape {shape}, got {came}")
        lowest = 0 if need_dx else plan.first
        for step in reversed(plan.steps[lowest + 1 :]):
            dy = step.backward(dy)
        dx: Array | None = plan.steps[lowest].backward(dy, need_dx=need_dx)
        if lowest:
            for step in plan.idle:
                step.keep(None)
        return dx

    def keep(self, values: Any) -> None:
        """Keep what the way back needs; None forgets it, and what planned runs keep."""
        super().keep(values)
        if values is None and self._built:
            for step in self.plan.steps:
                if not isinstance(step, Layer):
                    step.keep(None)

    @property
    def input_scale(self) -> float | None:
        """What the first layer multiplies its input by, if it does nothing else."""
        first = self.layers[0]
        plain = type(first) is Rescale and not first.shift and "0" not in self._hooks
        return first.scale if plain and len(self.layers) > 1 else None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the planned runs: a copy plans its own."""
        return super().__getstate__() | {"plan": None}

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Layer:
        try:
            return self.layers[index]
        except IndexError:
            last = len(self) - 1
            raise IndexError(f"{self.label}: has layers 0 to {last}, got index {index}") from None

    def __repr__(self) -> str:
        rows = "\n".join(f"{i}: {layer!r}" for i, layer in enumerate(self.layers))
        inner = rows.replace("\n", "\n  ")
        where = f", {self.dtype} on {self.device.name}" if self.is_root else ""
        shapes = f" {self.input_shape} -> {self.output_shape}" if self._built else ""
        return f"Sequential{shapes}{where}\n  {inner}"
