"""Layers one after the other, and layers around which the input takes a shortcut."""

from __future__ import annotations

import contextlib
import math
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xpnet import ops
from xpnet.arrays import Array, dtype_kind, namespace, to_numpy
from xpnet.checks import whole_number
from xpnet.layers.base import Layer, Shape, adopt
from xpnet.layers.plan import Hook, Step, plan
from xpnet.layers.shape import Rescale
from xpnet.random import Stream
from xpnet.tables import ruled
from xpnet.threadpool import threads

__all__ = ["Residual", "Sequential"]


class Sequential(Layer):
    """Layers one after the other; with an input shape, a network.

    Forward: each layer takes the output of the one before.  Backward: the other way round, down
    to the first layer with parameters: what lies below it has nothing to learn.

    Parameters
    ----------
    layers : sequence of Layer
        None of them built before.
    input_shape : tuple of int, optional
        The shape of one sample.  Given, the layers are built at once and this is a network; left
        out, a parent builds it.
    seed : int
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

    replayable = True
    accepts_complex = True

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        input_shape: Shape | None = None,
        seed: int = 0,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        if not layers:
            raise ValueError("Sequential: expected at least one layer, got none")
        for layer in layers:
            if not isinstance(layer, Layer):
                raise ValueError(f"Sequential: expected layers, got {type(layer).__name__}")
        if len({id(layer) for layer in layers}) < len(layers):
            raise ValueError("Sequential: the same layer object stands in it twice")
        self.layers = [adopt(layer) for layer in layers]
        self.seed = whole_number("seed", seed)
        self._hooks: dict[int, list[Hook]] = {}
        self._copy: Array | None = None  # of all parameters, narrowed
        if input_shape is not None:
            self.build(input_shape, Stream(seed), dtype)
            self.to("cpu")

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments; those of a network include shape, seed and dtype."""
        about: dict[str, Any] = {"layers": self.layers}
        if self._built and not self._has_parent:
            about |= {"input_shape": self.input_shape, "seed": self.seed, "dtype": self.dtype}
        return about

    def setup(self, input_shape: Shape, rng: Stream) -> Shape:
        """Build the layers one after the other."""
        shape = input_shape
        for i, layer in enumerate(self.layers):
            shape = layer.build(shape, rng.child(i), self.dtype)
        self._replan()
        return shape

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Yield ("0", first layer), ("1", second layer) ..."""
        for i, layer in enumerate(self.layers):
            yield str(i), layer

    def _replan(self) -> None:
        steps = plan(self.layers, self._hooks)
        learning = next(
            (
                k
                for k, (_, indices) in enumerate(steps)
                if any(leaf._params for i in indices for _, leaf in self.layers[i].walk())
            ),
            0,
        )
        self._plan: tuple[list[Step], int] = ([step for step, _ in steps], learning)
        self._first_step = {indices[0]: k for k, (_, indices) in enumerate(steps)}

    def forward(self, x: Array, *, train: bool = False, start: int = 0) -> Array:
        """Return the last layer's output.

        Parameters
        ----------
        x : array, shape (n, *input_shape)
            On the network's device; in its dtype unless the first layer is Rescale.
        train : bool
            Whether a backward pass will follow; layers such as Dropout behave accordingly.
        start : int
            The layer to begin with, where x is its input and the work of those before it is done:
            a layer that learns nothing, or that no backward pass shall reach.
        """
        if not self._built:
            self.check(x)
        if start not in self._first_step:
            raise ValueError(
                f"start: expected the number of a layer that steps begin with "
                f"({', '.join(map(str, self._first_step))}), got {start!r}"
            )
        first = self._first_step[start]
        if self._packed is None:
            return self._run(x, train, first)
        with self._packed[0].scope():
            if self._copy is not None:
                ops.precision.narrow_into(self._packed[1].flat, self._copy, self.precision)
            return self._run(x, train, first)

    def _set_precision(self, precision: str) -> None:
        """Let products take narrow copies of the parameters, that each forward pass renews."""
        super()._set_precision(precision)
        copies: dict[str, Array] = {}
        self._copy = None
        if precision in ("bf16", "fp16") and self._packed is not None:
            place, params, _ = self._packed
            with place.scope():
                self._copy = ops.precision.narrowed(params.flat, precision)
                copies = params.views_of(self._copy)
        for path, leaf in self.walk():
            leaf._narrowed = {
                name: copies[f"{path}.{name}" if path else name] for name in leaf._params if copies
            }

    def _run(self, x: Array, train: bool, first: int) -> Array:
        plan = self._plan
        if train:
            self._cache = None
        for step in plan[0][first:] if first else plan[0]:
            x = step.forward(x, train=train)
        if train:
            # the way back takes the same steps, whatever is hooked by then
            self._cache = (*plan, tuple(x.shape))
        return x

    def backward(self, dy: Array, *, need_dx: bool | None = None) -> Array | None:
        """Fill every gradient, given that of the output of the last training pass.

        Parameters
        ----------
        dy : array, shape (n, *output_shape)
        need_dx : bool, optional
            Whether to return the gradient of the input; by default only a nested Sequential does.

        Raises
        ------
        RuntimeError
            No ``forward(x, train=True)`` came before, or its backward pass is done already.
        """
        steps, learning, shape = kept = self.take()
        if tuple(dy.shape) != shape:
            self._cache = kept
            raise ValueError(f"{self.label}: expected dy of shape {shape}, got {tuple(dy.shape)}")
        if need_dx is None:
            need_dx = self._has_parent
        if self._packed is None:
            return self._run_back(dy, steps, 0 if need_dx else learning, need_dx)
        with self._packed[0].scope():
            return self._run_back(dy, steps, 0 if need_dx else learning, need_dx)

    def _run_back(self, dy: Array, steps: list[Step], lowest: int, need_dx: bool) -> Array | None:
        for step in reversed(steps[lowest + 1 :]):
            dy = step.backward(dy)
        dx = steps[lowest].backward(dy, need_dx=need_dx)
        for step in steps[:lowest]:
            step.forget()
        return dx

    def forget(self) -> None:
        """Drop what a forward pass kept for a backward pass that will not come."""
        super().forget()
        for step in self._plan[0] if self._built else ():
            step.forget()

    def entrance(self) -> float | None:
        """Return what the network does first, if it is to multiply its input by a number.

        Whoever takes samples from a data set may do it then, and call ``forward`` with
        ``start=1``.
        """
        first = self.layers[0]
        plain = type(first) is Rescale and not first.shift and 0 not in self._hooks
        return first.scale if plain and len(self.layers) > 1 else None

    @contextlib.contextmanager
    def hook(self, path: str, function: Hook) -> Iterator[None]:
        """Call ``function(path, x, y)`` after each forward pass of a layer, within this context.

        Parameters
        ----------
        path : str
            The layer's path, such as ``"3"`` or ``"4.body.0"``.
        function : callable
            Gets the path, the layer's input and its output.
        """
        parent, index = self._locate(path)
        parent._hooks.setdefault(index, []).append(function)
        parent._replan()
        try:
            yield
        finally:
            parent._hooks[index].remove(function)
            if not parent._hooks[index]:
                del parent._hooks[index]
            parent._replan()

    def _locate(self, path: str) -> tuple[Sequential, int]:
        layer: Layer = self
        found: tuple[Sequential, int] | None = None
        for name in path.split("."):
            children = dict(layer.children())
            if name not in children:
                raise ValueError(f"hook: there is no layer {path!r} in this network")
            found = (layer, int(name)) if isinstance(layer, Sequential) else None
            layer = children[name]
        if found is None:
            raise ValueError(f"hook: {path!r} is not a layer of a Sequential")
        return found

    def threads(self, n: int | None = None) -> contextlib.AbstractContextManager[int]:
        """Return the context in which this network runs fastest on a processor's cores.

        The trainer and :meth:`predict` open it; a loop by hand may.

        Parameters
        ----------
        n : int, optional
            As that of :func:`xpnet.threads`.
        """
        return threads(n, blas=1 if any(leaf.spreads for _, leaf in self.walk()) else None)

    def predict(self, x: Array, *, batch_size: int = 1000) -> Any:
        """Return the network's outputs for samples from anywhere, as a NumPy array.

        Parameters
        ----------
        x : array, shape (n, *input_shape)
            Of any library and floating or integer dtype.
        batch_size : int
            Samples moved and computed at a time.

        Returns
        -------
        numpy.ndarray, shape (n, *output_shape)
        """
        batch_size = whole_number("batch_size", batch_size, 1)
        if not hasattr(x, "shape"):
            x = to_numpy(x)
        n = x.shape[0]
        with self.threads():
            parts = [
                to_numpy(self.forward(self.asinput(x[start : min(start + batch_size, n), ...])))
                for start in range(0, max(n, 1), batch_size)
            ]
        host = namespace(parts[0])
        return parts[0] if len(parts) == 1 else host.concat(parts)

    def asinput(self, x: Array) -> Array:
        """Return samples on the network's device, real numbers in its dtype."""
        x = self.device.asarray(x)
        kind = dtype_kind(namespace(x), x.dtype)
        if kind == "real" and self.dtype.startswith("float"):
            x = self.device.asarray(x, self.dtype)
        return x

    def save(self, path: str | Path) -> None:
        """Write the network to one safetensors file; :func:`xpnet.load` reads it back."""
        from xpnet.serialize import save

        save(self, path)

    def summary(self) -> str:
        """Return a table of the layers: shapes, parameters, FLOPs and bytes kept, per sample."""
        rows: list[tuple[str, ...]] = [("layer", "output", "parameters", "FLOPs", "bytes kept")]
        totals = [0, 0, 0]
        for path, leaf in self.walk():
            numbers = [_count(leaf), leaf.flops(), leaf.cache_bytes()]
            totals = [a + b for a, b in zip(totals, numbers, strict=True)]
            rows.append(
                (
                    f"{path} {type(leaf).__name__}",
                    " x ".join(map(str, leaf.output_shape)),
                    *(f"{number:,}" for number in numbers),
                )
            )
        rows.append(("total", "", *(f"{number:,}" for number in totals)))
        return ruled(rows, left=2)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Layer:
        return self.layers[index]

    def __repr__(self) -> str:
        rows = "\n".join(f"{i}: {layer!r}" for i, layer in enumerate(self.layers))
        inner = textwrap.indent(rows, "  ")
        where = f", {self.dtype} on {self.device.name}" if self._packed else ""
        shapes = f" {self.input_shape} -> {self.output_shape}" if self._built else ""
        return f"Sequential{shapes}{where}\n{inner}"


def _count(leaf: Layer) -> int:
    return sum(math.prod(array.shape) for array in leaf._params.values())


class Residual(Layer):
    """Layers with a shortcut around them.

    Forward: ``y = body(x) + shortcut(x)``.  Backward: ``dx`` is the sum of both ways.

    Parameters
    ----------
    body : Sequential or sequence of Layer
    shortcut : Layer, optional
        By default the identity, which needs a body that keeps the shape.

    Notes
    -----
    Parameters lie under ``"body"`` and ``"shortcut"``.  Kept for backward: what the parts keep.
    He et al., "Deep residual learning for image recognition", 2016.
    """

    replayable = True
    accepts_complex = True

    def __init__(self, body: Sequential | Sequence[Layer], shortcut: Layer | None = None) -> None:
        super().__init__()
        self.body = adopt(body if isinstance(body, Sequential) else Sequential(body))
        self.shortcut = None if shortcut is None else adopt(shortcut)

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Yield the body and, where there is one, the shortcut."""
        yield "body", self.body
        if self.shortcut is not None:
            yield "shortcut", self.shortcut

    def setup(self, input_shape: Shape, rng: Stream) -> Shape:
        """Build both ways; they must end in one shape."""
        shape = self.body.build(input_shape, rng.child("body"), self.dtype)
        short = input_shape
        if self.shortcut is not None:
            short = self.shortcut.build(input_shape, rng.child("shortcut"), self.dtype)
        if shape != short:
            raise ValueError(
                f"{self.label}: the body makes {shape} and the shortcut {short}: "
                f"give a shortcut that makes {shape}"
            )
        return shape

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the sum of both ways."""
        self.check(x)
        if train:
            self._cache = True
        short = x if self.shortcut is None else self.shortcut.forward(x, train=train)
        return self.body.forward(x, train=train) + short

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients of both ways; return dx."""
        self.take()
        short: Any = dy
        if self.shortcut is not None:
            short = self.shortcut.backward(dy, need_dx=need_dx)
        dx = self.body.backward(dy, need_dx=need_dx)
        return dx + short if need_dx else None

    def flops(self) -> int:
        """Those of both ways, and one for each number of the sum."""
        return super().flops() + math.prod(self.output_shape)
