"""The network: a layer that stands by itself, and owns the arrays of all within it."""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

from xpnet import html, ops
from xpnet.arrayfiles import write_arrays
from xpnet.arrays import Array, namespace, to_numpy
from xpnet.checks import came, instance, nearest, whole_number
from xpnet.checks import function as check_function
from xpnet.convert import as_array
from xpnet.devices import Device, device
from xpnet.layers.base import Layer, Shape
from xpnet.layers.buffers import ArrayMap, Buffers, Layout, packed
from xpnet.layers.fit import with_batch
from xpnet.layers.inputs import as_samples, warn_of_scale
from xpnet.layers.memory import step_memory
from xpnet.layers.summary import Summary
from xpnet.optimizers import Optimizer
from xpnet.random import Stream
from xpnet.threadpool import threads

__all__ = ["Hook", "Network", "Part", "Step", "described"]


SHOWN = 60
"""The layers that a notebook shows."""


class Step(Protocol):
    """What a network runs one after the other: a layer, or a planned run of layers."""

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return the step's output."""

    def backward(self, dy: Array, *, need_dx: bool = True) -> Array | None:
        """Fill the gradients and return dx."""

    def keep(self, values: Any) -> None:
        """Keep what ``backward`` needs; None forgets it."""


class Part(NamedTuple):
    """A step of a network, the layers it computes by name, and whether it learns."""

    label: str
    step: Step
    learns: bool


Hook = Callable[[str, Array, Array], None]
"""Called with a layer's path, its input and its output after each forward pass."""


class Network(Layer):
    """A layer of layers that may be a network: the root, to which all arrays belong.

    Given an input shape it is built at once: all parameters lie in one flat buffer, all gradients
    in another, on one device.  Without one it is a part of some other layer, which builds it, and
    what is a network's own (``to``, ``predict``, ``save``, ``summary`` ...) is not to be had.

    A subclass defines ``run`` and ``run_back`` in the place of ``forward`` and ``backward``, and
    ``replan`` if hooks shall look at its layers.

    Attributes
    ----------
    device : Device
        Where the arrays lie.
    seed : int
        Of weights and masks.  The constructor also takes the stream that draws them.
    frozen : list of str
        The paths of the layers that :meth:`freeze` keeps as they are.
    """

    remakes = False  # it would be built

    def __init__(self, seed: int | Stream = 0) -> None:
        super().__init__()
        self._stream = seed if isinstance(seed, Stream) else Stream(whole_number("seed", seed))
        self.seed = self._stream.seed
        self._buffers: Buffers | None = None
        self._layout: Layout | None = None
        self._narrow: Array | None = None  # a copy of all parameters, as products take them
        self._owned = False
        self._cleared: dict[bool, list[tuple[int, int]]] = {}  # by whether dx is needed
        self._hooks: dict[str, list[Hook]] = {}  # by the name of the layer within

    def stand_alone(self, input_shape: Shape, dtype: str) -> None:
        """Become a network: build for an input shape, and own all arrays."""
        self.build(input_shape, self._stream, dtype)
        self._stream = Stream(self.seed)  # whatever that one held is free again
        self.to("cpu")

    # Forward and backward

    @abstractmethod
    def run(self, x: Array, *, train: bool, start: int = 0) -> Array:
        """Return the output of the layers, from number ``start``."""

    @abstractmethod
    def run_back(self, dy: Array, *, need_dx: bool) -> Array | None:
        """Fill every gradient; return dx where it is needed."""

    def forward(self, x: Array, *, train: bool = False, start: int = 0) -> Array:
        """Return the network's output.

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
        if self._buffers is None:
            return self.run(x, train=train, start=start)
        with self._buffers.device.work():
            self.refresh()
            return self.run(x, train=train, start=start)

    def refresh(self) -> None:
        """Bring the narrow copy of the parameters up to date, where products take one."""
        if self._narrow is not None and self._buffers is not None:
            ops.precision.narrow_into(self._buffers.params.flat, self._narrow, self.own.precision)

    def parts(self, start: int = 0) -> list[Part]:
        """Return what a forward pass runs one after the other, from layer number ``start``."""
        return [Part(self.label, self, True)]

    def backward(self, dy: Array, *, need_dx: bool | None = None) -> Array | None:
        """Fill every gradient, given that of the output of the last training pass.

        Those of frozen layers are 0.

        Parameters
        ----------
        dy : array, shape (n, *output_shape)
        need_dx : bool, optional
            Whether to return the gradient of the input; by default only a part of a network does.

        Raises
        ------
        RuntimeError
            No ``forward(x, train=True)`` came before, or its backward pass is done already.
        ValueError
            All layers with parameters are frozen, and dx is not needed.
        """
        if self._buffers is None:
            return self.run_back(dy, need_dx=need_dx is not False)
        if not (self.learns or need_dx):
            self.check_learns("backward")
        with self._buffers.device.work():
            dx = self.run_back(dy, need_dx=bool(need_dx))
            self._clear_frozen(need_dx=bool(need_dx))
            return dx

    @property
    def input_scale(self) -> float | None:
        """What the network's first layer multiplies its input by, if it does nothing else.

        Whoever takes samples from a data set may do it then, and call ``forward`` with
        ``start=1``.
        """
        return None

    # Arrays, device and precision

    @property
    def is_root(self) -> bool:
        """Whether this is a network, and no part of one."""
        return self._buffers is not None

    @property
    def params(self) -> ArrayMap:
        """The learned arrays by path."""
        return super().params if self._buffers is None else self._buffers.params

    @property
    def grads(self) -> ArrayMap:
        """The gradients, under the keys of ``params``."""
        return super().grads if self._buffers is None else self._buffers.grads

    @property
    def device(self) -> Device:
        """Where the network's arrays lie."""
        return self._root("device").device

    def _root(self, wanted: str) -> Buffers:
        if self._buffers is None:
            why = "is part of a network" if self._built else "is not built: give it an input_shape"
            cure = f": call {wanted} of the network" if self._built else ""
            raise ValueError(f"{self.label} {why}{cure}")
        return self._buffers

    def to(self, where: str | Device, *, precision: str | None = None) -> Self:
        """Move parameters, gradients and state to a device; return the network itself.

        Parameters
        ----------
        where : str or Device
        precision : str, optional
            Of the products of a float32 network's matrices: ``"float32"``, or rounded to
            ``"tf32"``, ``"bf16"`` or ``"fp16"``, which GPUs compute faster; by default as it was.
            Parameters and all else stay float32; each forward pass begins with a narrow copy of
            all parameters.

        Raises
        ------
        ValueError
            This is part of a network, which owns its arrays; or it cannot have the precision.
        DeviceError
            The device cannot be used.
        """
        if self._owned or not self._built:
            self._root("to()")
        place, precision = device(where), precision or self.own.precision
        ops.precision.check(precision, self.dtype, "the network")
        reason = ops.not_narrow(place.library) if precision != "float32" else None
        if reason:
            raise ValueError(f"precision {precision!r}: {reason}")
        if self._buffers is None or self._buffers.device != place:
            self._pack(place)
        elif precision == self.own.precision:
            return self
        self._set_precision(precision)
        return self

    def _pack(self, place: Device) -> None:
        """Move every parameter into one flat buffer on a device and every gradient into another."""
        layers = [(path and f"{path}.", layer) for path, layer in self.walk(innermost=False)]
        params: dict[str, tuple[ArrayMap, str]] = {}
        grads: dict[str, tuple[ArrayMap, str]] = {}
        decayed: set[str] = set()
        for prefix, layer in layers:
            own = layer.own
            params |= {prefix + name: (own.params, name) for name in own.params}
            grads |= {prefix + name: (own.grads, name) for name in own.grads}
            decayed |= {prefix + name for name in own.decayed}
            for name, array in own.state.items():
                own.state.bind(name, place.asarray(array))
            if isinstance(layer, Network) and layer is not self:
                layer._owned = True
        if self._layout is None:
            shapes = {key: tuple(arrays[name].shape) for key, (arrays, name) in params.items()}
            self._layout = Layout.of(shapes, decayed, self.dtype)
        self._buffers = Buffers(
            place,
            packed(params, self._layout, place, self.dtype),
            packed(grads, self._layout, place, self.dtype),
        )
        self._pass_over_frozen()
        self.forget()

    def _set_precision(self, precision: str) -> None:
        """Let products take narrow copies of the parameters, that each forward pass renews."""
        assert self._buffers is not None
        params, views = self._buffers.params, None
        self._narrow = None
        if precision in ("bf16", "fp16"):
            with self.device.scope():
                self._narrow = ops.precision.narrowed(params.flat, precision)
                views = params.views_of(self._narrow)
        for path, layer in self.walk(innermost=False):
            prefix = path and f"{path}."
            layer.own.compute_in(
                precision, views and {name: views[prefix + name] for name in layer.own.params}
            )

    def replica(self) -> Self:
        """Return a copy for passes beside this network's own, with the very same parameters.

        Gradients, state and what passes keep are the copy's own; the hooks are those of now.
        """
        made = copy.deepcopy(self)
        pairs = zip(self.walk(innermost=False), made.walk(innermost=False), strict=True)
        for (_, mine), (_, theirs) in pairs:
            theirs.own.params, theirs.own.operands = mine.own.params, mine.own.operands
            if isinstance(mine, Network) and isinstance(theirs, Network):
                theirs._hooks = mine._hooks
                theirs.replan()
        own, copied = self._root("replica()"), made._root("replica()")
        made._buffers = copied._replace(params=own.params)
        made._narrow = None  # this network's is renewed by its own forward passes
        return made

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the buffers: a copy makes its own."""
        where = None if self._buffers is None else self._buffers.device
        return super().__getstate__() | {
            "_buffers": None,
            "_narrow": None,
            "_hooks": {},
            "_where": where,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        where = state.pop("_where")
        vars(self).update(state)
        if self._built:
            self.replan()
        if where is not None:
            self._pack(where)
            self._set_precision(self.own.precision)

    # What learns, and what is frozen

    def freeze(self, *paths: str) -> Self:
        """Keep layers as they are while the others are trained; return the network itself.

        Neither gradients nor decay nor momentum move their parameters, and BatchNorm takes its
        running statistics and leaves them.  A backward pass ends at the first layer that learns.
        Layers without parameters, such as Dropout, go on as they are.

        Parameters
        ----------
        paths : str
            Of layers, such as ``"0"`` or ``"2.body"``, with all within them; none: of all.

        Raises
        ------
        ValueError
            There is no such layer, or none with parameters; or this is part of a network.

        Notes
        -----
        Copies and pickles are frozen as the network is; a file that :meth:`save` writes does not
        say so.  A layer that learns again goes on with what the optimizer remembers of it.
        """
        self.frozen = [*self.frozen, *self._with_params("freeze", paths)]
        return self

    def unfreeze(self, *paths: str) -> Self:
        """Let frozen layers learn again; return the network itself.

        Parameters
        ----------
        paths : str
            As those of :meth:`freeze`.
        """
        free = self._with_params("unfreeze", paths)
        self.frozen = [path for path in self.frozen if path not in free]
        return self

    @property
    def frozen(self) -> list[str]:
        """The paths of the layers whose own parameters are frozen; assigned, of no others."""
        return [path for path, layer in self.walk(innermost=False) if layer.is_frozen]

    @frozen.setter
    def frozen(self, paths: list[str]) -> None:
        self.check_frozen(paths)
        if set(paths) == set(self.frozen):
            return
        self.forget()
        for path, layer in reversed([*self.walk(innermost=False)]):  # parts before the whole
            layer.is_frozen = path in paths
            layer._note_learning()
            if isinstance(layer, Network):
                layer.replan()
        self._pass_over_frozen()

    def check_frozen(self, paths: Any) -> None:
        """Raise one clear sentence unless these are paths of layers with parameters, in a list."""
        known = self._with_params("frozen")
        if not isinstance(paths, list) or not all(path in known for path in paths):
            raise ValueError(f"frozen: expected a list of some of {known}, got {came(paths)}")

    def check_learns(self, call: str) -> None:
        """Raise one clear sentence if every layer with parameters is frozen."""
        if self.frozen and not self.learns:
            raise ValueError(
                f"{call}: nothing learns, since every layer with parameters is frozen: write "
                f"net.unfreeze({self.frozen[-1]!r}), or net.unfreeze() for all"
            )

    def _with_params(self, call: str, paths: tuple[str, ...] = ()) -> list[str]:
        """Return the paths of the layers with parameters that some layers are or hold."""
        self._root(f"{call}()")
        layers, found = dict(self.walk(innermost=False)), []
        for path in paths or [""]:
            if not isinstance(path, str) or path not in layers:
                param = isinstance(path, str) and path in self.params
                cure = f": {path.rpartition('.')[0]!r} has it" if param else nearest(path, layers)
                raise ValueError(
                    f"{call}: expected paths of layers, such as {list(layers)[-1]!r}, got "
                    f"{came(path)}{cure}"
                )
            within = layers[path].walk(innermost=False)
            found += [".".join(filter(None, (path, p))) for p, part in within if part.own.params]
        if paths and not found:
            raise ValueError(f"{call}: no layer there has parameters: {', '.join(paths)}")
        return found

    def _pass_over_frozen(self) -> None:
        """Let updates pass over frozen parameters, and backward passes clear their gradients."""
        params, layout = self._root("freeze()").params, self._layout
        assert layout is not None
        frozen = {
            (path and f"{path}.") + name: layer
            for path, layer in self.walk(innermost=False)
            for name in (layer.own.params if layer.is_frozen else ())
        }
        unreached = set(self._unreached())
        reached = {key for key, layer in frozen.items() if layer not in unreached}
        params.learning = layout.stretches(params.keys() - frozen.keys())
        self._cleared = {True: layout.stretches(frozen), False: layout.stretches(reached)}
        with self.device.scope():
            self._clear_frozen(need_dx=True)

    def _clear_frozen(self, *, need_dx: bool) -> None:
        """Set those gradients of frozen parameters to 0 that a backward pass fills."""
        for start, stop in self._cleared[need_dx]:
            flat: Any = self.grads.flat
            flat[start:stop] = 0

    def _unreached(self) -> list[Step]:
        """Return the layers that a backward pass does not reach, unless dx is needed."""
        return []

    # What a network is used for

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
        check_function("function", function, "(path, x, y)")
        parents = dict(self.walk(innermost=False))
        if not path or path not in parents:
            raise ValueError(f"hook: there is no layer {path!r} in this network")
        above, _, name = path.rpartition(".")
        parent = parents.get(above)
        if not isinstance(parent, Network):
            raise ValueError(f"hook: {path!r} is not a layer of a Sequential")
        parent._hooks.setdefault(name, []).append(function)
        parent.replan()
        try:
            yield
        finally:
            parent._hooks[name].remove(function)
            if not parent._hooks[name]:
                del parent._hooks[name]
            parent.replan()

    @property
    def hooked(self) -> list[str]:
        """The paths of the layers that hooks look at."""
        return [
            f"{path}.{name}" if path else name
            for path, layer in self.walk(innermost=False)
            if isinstance(layer, Network)
            for name in layer._hooks
        ]

    def replan(self) -> None:
        """Let those hooks that are there now, and no others, look at layers."""
        if self._hooks:
            raise ValueError(f"hook: {type(self).__name__} lets no hook look at its layers")

    def threads(self, n: int | None = None) -> contextlib.AbstractContextManager[int]:
        """Return the context in which this network runs fastest on a processor's cores.

        The trainer and :meth:`predict` open it; a loop by hand may.

        Parameters
        ----------
        n : int, optional
            As that of :func:`xpnet.threads`.
        """
        return threads(n, blas=1 if self.multithreaded else None)

    def predict(self, x: Any, *, batch_size: int = 1000) -> Any:
        """Return the network's outputs for samples from anywhere, as a NumPy array.

        Parameters
        ----------
        x : array, shape (n, *input_shape)
            Numbers of any kind, from anywhere: see :func:`xpnet.convert.as_array`.
        batch_size : int
            Samples moved and computed at a time.

        Returns
        -------
        numpy.ndarray, shape (n, *output_shape)

        Raises
        ------
        ValueError, TypeError
            There are no samples of this shape in ``x``, or it holds what is no number.
        """
        batch_size = whole_number("batch_size", batch_size, 1)
        x = as_array("x", x)
        if not x.shape:
            raise ValueError(f"x: expected samples {with_batch(self.input_shape)}, got one number")
        warn_of_scale(self, x)
        n = x.shape[0]
        with self.threads():
            parts = [
                to_numpy(self.forward(self._moved(x[start : min(start + batch_size, n), ...])))
                for start in range(0, max(n, 1), batch_size)
            ]
        host = namespace(parts[0])
        return parts[0] if len(parts) == 1 else host.concat(parts)

    def asinput(self, x: Any) -> Array:
        """Return samples from anywhere on the network's device, in its dtype.

        Integers stay as they are where the first layer takes them, as Rescale does.
        """
        return self._moved(as_array("x", x))

    def _moved(self, x: Array) -> Array:
        return as_samples(self, self.device.asarray(x))

    def save(self, path: str | Path) -> None:
        """Write parameters, state and architecture to one safetensors file, whole or not at all.

        :func:`xpnet.load` reads it back.  Which layers are frozen is no part of it.
        """
        self._root("save()")
        arrays = {f"params/{name}": array for name, array in self.params.items()}
        arrays |= {f"state/{name}": array for name, array in self.state.items()}
        write_arrays(path, arrays, {"architecture": described(self)})

    def _repr_html_(self) -> str:
        """Return a table of the layers: shapes and parameters."""
        leaves = list(self.walk()) if self._built else []
        rows = [
            (f"{path} {_brief(leaf)}", _size(leaf.output_shape), f"{_count(leaf):,}")
            for path, leaf in leaves[:SHOWN]
        ]
        if len(leaves) > SHOWN:
            rows.append((f"... and {len(leaves) - SHOWN} more", "", ""))
        if self._built:
            where = f", {self.dtype} on {self.device.name}" if self.is_root else ""
            entry = f"{type(self).__name__} of {_size(self.input_shape)}{where}"
            rows.append(("in all", "", f"{_count(self):,}"))
        else:
            entry = f"{self.label}, which is not built"
        return html.table(["layer", "output", "parameters"], rows, entry)

    def summary(
        self, *, batch_size: int | None = None, optimizer: Optimizer | None = None
    ) -> Summary:
        """Return a table of the layers: shapes, parameters, FLOPs and bytes kept, per sample.

        Parameters
        ----------
        batch_size : int, optional
            Given, the memory of a training step of so many samples stands below: measured on a
            copy of the network by the arrays that its device really makes, where those of the
            table are the layers' count, which holds for the generic bodies.
        optimizer : Optimizer, optional
            What will train the network, such as ``xpnet.Adam()``: its memory is part of that.

        Returns
        -------
        Summary
            A str, with ``memory``, a :class:`~xpnet.layers.memory.StepMemory` or None; a notebook
            shows it as a table.

        Raises
        ------
        ValueError
            There is an optimizer and no batch size, or this is part of a network.
        DeviceError
            The network's device does not count its memory.
        """
        if optimizer is not None:
            instance("optimizer", optimizer, Optimizer, "xpnet.Adam()")
            if batch_size is None:
                raise ValueError("optimizer: expected a batch_size with it: write batch_size=100")
        if batch_size is None:
            return Summary(self)
        self._root("summary()")
        batch_size = whole_number("batch_size", batch_size, 1)
        return Summary(self, step_memory(self, batch_size, optimizer))


def _brief(layer: Layer) -> str:
    """Return a layer's class and those of its arguments that are not the defaults."""
    usual = {name: one.default for name, one in inspect.signature(type(layer)).parameters.items()}
    given = {name: value for name, value in layer.config().items() if usual.get(name) != value}
    numbers = {n: f"{v:.4g}" if isinstance(v, float) else repr(v) for n, v in given.items()}
    return f"{type(layer).__name__}({', '.join(f'{n}={v}' for n, v in numbers.items())})"


def _size(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def _count(layer: Layer) -> int:
    """Return how many parameters a layer has."""
    return sum(math.prod(array.shape) for array in layer.params.values())


def described(value: Any) -> Any:
    """Return a layer's class and arguments, and those of the layers among them, for JSON."""
    if isinstance(value, Layer):
        about = {name: described(argument) for name, argument in value.config().items()}
        return {"layer": type(value).__name__, **about}
    if isinstance(value, (list, tuple)):
        return [described(one) for one in value]
    return value
