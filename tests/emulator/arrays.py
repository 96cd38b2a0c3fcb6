"""The emulated CuPy's arrays and the ways to compute with them.

An array is a NumPy view of a block's raw memory, which never leaves this package: NumPy itself
gets at the values by ``get`` alone, as with CuPy.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from . import memory, state
from .memory import Block, Memory, MemoryPointer
from .state import Device, EmulationError, current_device, execute, refuse_in_capture

__all__ = ["UFUNCS", "array", "asarray", "astype", "compute", "empty", "filled", "ndarray", "ufunc"]

SCALARS = (bool, int, float, complex, np.generic)

CUBLAS = {
    *("matmul", "dot", "inner", "vdot", "tensordot", "einsum", "vecdot"),
    *("linalg.matmul", "linalg.norm", "linalg.matrix_power", "linalg.tensordot"),
}
"""Functions that call cuBLAS, which CuPy refuses in a capture."""

HOST_SIZED = {
    *("argwhere", "bincount", "compress", "extract", "flatnonzero", "histogram", "nonzero"),
    *("unique", "intersect1d", "union1d", "setdiff1d", "isin", "median", "percentile", "quantile"),
    *(
        "sort",
        "argsort",
        "lexsort",
        "partition",
        "argpartition",
        "interp",
        "digitize",
        "trim_zeros",
    ),
    *("array_equal", "allclose", "delete", "place", "gradient", "cov", "corrcoef"),
}
"""Functions that wait for the device midway or leave the stream: none may be in a capture."""

VIEWS = {
    *("atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "broadcast_to", "diagonal"),
    *("expand_dims", "flip", "fliplr", "flipud", "matrix_transpose", "moveaxis", "permute_dims"),
    *("ravel", "reshape", "rollaxis", "rot90", "split", "array_split", "hsplit", "vsplit"),
    *("squeeze", "swapaxes", "transpose", "real", "imag", "dsplit", "linalg.matrix_transpose"),
}
"""Functions whose result is a view of their argument where it can be."""


class ndarray:  # noqa: N801
    """An array on an emulated GPU."""

    __slots__ = ("__weakref__", "_memory", "_view", "base")
    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 100

    def __init__(
        self,
        shape: int | Sequence[int],
        dtype: Any = float,
        memptr: MemoryPointer | None = None,
        strides: Sequence[int] | None = None,
        order: str = "C",
    ) -> None:
        shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        pointer = memory.alloc(size) if memptr is None else memptr
        self._memory: Memory = pointer.mem
        self.base: ndarray | None = None
        if self.block is None:
            self._view = np.empty(shape, dtype, order=order)
            return
        if self.block.released:
            raise EmulationError("an array on memory that was given back to the device")
        self._view = np.ndarray(
            shape, dtype, self.block.raw, pointer.ptr - self.block.origin, strides, order
        )

    # What an array is

    @property
    def block(self) -> Block | None:
        """The memory, for the guard bytes."""
        return self._memory.block

    @property
    def data(self) -> MemoryPointer:
        """The address."""
        address = self._view.__array_interface__["data"][0]
        offset = 0 if self.block is None else address - self._memory.ptr
        return MemoryPointer(self._memory, offset)

    @property
    def device(self) -> Device:
        """Where the array lies."""
        return Device(self._memory.device_id)

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self._view.shape

    @shape.setter
    def shape(self, shape: int | tuple[int, ...]) -> None:
        try:
            view = self._view.reshape(shape)
        except ValueError as error:
            raise AttributeError(f"incompatible shape: {error}") from None
        if view.size and not np.may_share_memory(view, self._view):
            raise AttributeError("incompatible shape: it would take a copy")
        self._view = view

    dtype = property(lambda self: self._view.dtype)
    ndim = property(lambda self: self._view.ndim)
    size = property(lambda self: self._view.size)
    itemsize = property(lambda self: self._view.itemsize)
    nbytes = property(lambda self: self._view.nbytes)
    strides = property(lambda self: self._view.strides)
    flags = property(lambda self: self._view.flags)

    def check_device(self) -> None:
        """Raise unless the array lies on the current device."""
        mine = self._memory.device_id
        if mine != current_device() and self._view.size:
            raise ValueError(
                f"Array device must be same as the current device: array device = {mine} while "
                f"current = {current_device()}"
            )

    def __len__(self) -> int:
        return len(self._view)

    def __iter__(self) -> Iterator[ndarray]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[index] for index in range(len(self)))

    # From and to the host

    def get(
        self, stream: Any = None, order: str = "C", out: np.ndarray | None = None,
        blocking: bool = True,
    ) -> np.ndarray:  # fmt: skip
        """Return a copy on the host."""
        if stream is not None and stream.nodes is not None:
            stream.spoiled = True
            raise state.CUDARuntimeError(900, "get")
        state.read_by_host("get")
        if out is None:
            return np.array(self._view, order=order)
        if not isinstance(out, np.ndarray):
            raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
        if out.dtype != self.dtype:
            raise TypeError(f"{out.dtype} array cannot be obtained from {self.dtype} array")
        if out.shape != self.shape:
            raise ValueError(f"Shape mismatch. Expected shape: {self.shape}, actual: {out.shape}")
        if not (out.flags.c_contiguous or out.flags.f_contiguous):
            raise RuntimeError("`out` cannot be specified when copying to non-contiguous ndarray")
        out[...] = self._view
        return out

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        """Copy an array of the host into this one."""
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self.flags.c_contiguous or self.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        if stream is not None and stream.nodes is not None:
            stream.spoiled = True
            raise state.CUDARuntimeError(900, "set")
        state.upload("set")
        self._view[...] = arr

    def item(self, *args: Any) -> Any:
        """Return the one number as Python's own."""
        return self.get().item(*args)

    def tolist(self) -> Any:
        """Return nested lists."""
        return self.get().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        """Return the bytes."""
        return self.get().tobytes(order)

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __index__(self) -> int:
        return operator.index(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    def __str__(self) -> str:
        return str(self.get())

    def __format__(self, spec: str) -> str:
        return format(self.get(), spec)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to "
            "construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, kernel: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        mine = UFUNCS.get(kernel.__name__)
        if kernel is np.matmul and method == "__call__":
            return compute("matmul", np.matmul, inputs, kwargs)
        if mine is None or method != "__call__":
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return mine(*inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} of a CuPy array is not emulated: use cupy's")

    def __dlpack__(self, **kwargs: Any) -> Any:
        raise EmulationError("__dlpack__ is not emulated")

    # Views

    def _view_as(self, view: np.ndarray) -> ndarray:
        made = object.__new__(ndarray)
        made._memory, made._view = self._memory, view
        made.base = self if self.base is None else self.base
        return made

    @property
    def T(self) -> ndarray:  # noqa: N802
        """The axes in reverse."""
        return self._view_as(self._view.T)

    @property
    def mT(self) -> ndarray:  # noqa: N802
        """The last two axes exchanged."""
        return self._view_as(self._view.mT)

    @property
    def real(self) -> ndarray:
        """The real parts."""
        return self._view_as(self._view.real)

    @property
    def imag(self) -> ndarray:
        """The imaginary parts."""
        return self._view_as(self._view.imag)

    def view(self, dtype: Any = None) -> ndarray:
        """Return the same memory, perhaps by another dtype."""
        return self._view_as(self._view.view() if dtype is None else self._view.view(dtype))

    def transpose(self, *axes: Any) -> ndarray:
        """Return the axes in another order."""
        return self._view_as(self._view.transpose(*axes))

    def reshape(self, *shape: Any, order: str = "C") -> ndarray:
        """Return the same numbers by other axes."""
        wanted = shape[0] if len(shape) == 1 else shape
        return compute("reshape", np.reshape, (self, wanted), {"order": order})

    def __getitem__(self, key: Any) -> ndarray:
        plain, advanced = _index(key)
        if not advanced:
            keys = plain if isinstance(plain, tuple) else (plain,)
            whole = any(part is Ellipsis for part in keys)
            return self._view_as(self._view[keys if whole else (*keys, Ellipsis)])
        if _has_mask(plain):
            refuse_in_capture("indexing with a mask")
            state.counters.host_reads += 1  # how many there are
        self.check_device()
        return _produce("getitem", lambda view, key: view[key], (self._view, plain), {}, [self])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.check_device()
        plain, advanced = _index(key)
        blocks = _blocks([self, value])
        if isinstance(value, ndarray):
            value.check_device()
            value = value._view
            if not advanced and _same(self._view[plain], value):
                return
        elif isinstance(value, np.ndarray):
            refuse_in_capture("assigning an array of the host")
            if value.ndim:
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        elif not isinstance(value, SCALARS):
            raise TypeError(f"Unsupported type {type(value)}")
        view = self._view

        def work() -> None:
            with np.errstate(all="ignore"):
                view[plain] = value

        execute("setitem", work, blocks)

    # Methods that compute

    def astype(
        self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True,
        copy: bool = True,
    ) -> ndarray:  # fmt: skip
        """Return the numbers in another dtype."""
        return astype(self, dtype, order, copy, casting)

    def copy(self, order: str = "C") -> ndarray:
        """Return a copy on the current device."""
        return astype(self, self.dtype, order, True)

    def __copy__(self) -> ndarray:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: Any) -> ndarray:
        with self.device:
            return self.copy()

    def __reduce__(self) -> Any:
        return asarray, (self.get(),)

    def fill(self, value: Any) -> None:
        """Set all numbers to one."""
        if isinstance(value, ndarray):
            raise TypeError("fill: expected a number of the host")
        self[...] = value

    def scatter_add(self, slices: Any, value: Any) -> None:
        """Add to the numbers at indices, again and again where one is there more often."""
        self.check_device()
        plain, _ = _index(slices)
        blocks = _blocks([self, value])
        value = _operand(value)
        view = self._view
        execute("scatter_add", lambda: np.add.at(view, plain, value), blocks)

    def __matmul__(self, other: Any) -> ndarray:
        return compute("matmul", np.matmul, (self, other), {})

    def __rmatmul__(self, other: Any) -> ndarray:
        return compute("matmul", np.matmul, (other, self), {})

    def __neg__(self) -> ndarray:
        return UFUNCS["negative"](self)

    def __pos__(self) -> ndarray:
        return UFUNCS["positive"](self)

    def __abs__(self) -> ndarray:
        return UFUNCS["absolute"](self)

    def __invert__(self) -> ndarray:
        return UFUNCS["invert"](self)

    def __divmod__(self, other: Any) -> Any:
        return UFUNCS["divmod"](self, other)


def _index(key: Any) -> tuple[Any, bool]:
    """Return an index with raw views for arrays, and whether it is an advanced one."""
    if isinstance(key, tuple):
        parts = [_index(part) for part in key]
        return tuple(part for part, _ in parts), any(advanced for _, advanced in parts)
    if isinstance(key, ndarray):
        key.check_device()
        return key._view, True
    if isinstance(key, (list, np.ndarray)):
        state.upload("an index of the host")
        return np.asarray(key), True
    if isinstance(key, (bool, np.bool_)):
        raise NotImplementedError("an index that is True or False is not emulated")
    return key, False


def _has_mask(plain: Any) -> bool:
    parts = plain if isinstance(plain, tuple) else (plain,)
    return any(isinstance(part, np.ndarray) and part.dtype == bool for part in parts)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    mine, theirs = (np.asarray(x).__array_interface__ for x in (a, b))
    return (
        isinstance(a, np.ndarray)
        and mine["data"] == theirs["data"]
        and a.shape == b.shape
        and a.strides == b.strides
        and a.dtype == b.dtype
    )


# Making arrays


def _blocks(arrays: Any) -> list[Block]:
    return [one.block for one in arrays if isinstance(one, ndarray) and one.block is not None]


def _empty_as(shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...]) -> ndarray:
    """Return a new array whose axes lie in memory in the order that strides say."""
    if any(strides[i] < strides[i + 1] for i in range(len(shape) - 1)):
        outer_first = sorted(range(len(shape)), key=lambda axis: -abs(strides[axis]))
        made = ndarray(tuple(shape[axis] for axis in outer_first), dtype)
        made._view = made._view.transpose(np.argsort(outer_first))
        return made
    return ndarray(shape, dtype)


def _place(result: np.ndarray) -> ndarray:
    return _empty_as(result.shape, result.dtype, result.strides)


def poison(array: ndarray) -> None:
    """Fill with what shows: NaN, or numbers that are no result."""
    view = array._view
    if view.dtype.kind in "fc":
        execute("poison", lambda: view.fill(np.nan), _blocks([array]), counted=False)
    elif view.dtype.kind in "iu":
        value = np.frombuffer(b"\xa5" * view.itemsize, view.dtype)[0]
        execute("poison", lambda: view.fill(value), _blocks([array]), counted=False)
    elif view.dtype == bool:
        execute("poison", lambda: view.fill(True), _blocks([array]), counted=False)


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Return a new array with no meaning in it."""
    made = ndarray(shape, dtype, order=order)
    poison(made)
    return made


def filled(shape: Any, value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    """Return a new array of one value."""
    value = _operand(value)
    if dtype is None:
        dtype = np.asarray(value).dtype
    made = ndarray(shape, dtype, order=order)
    view = made._view

    def work() -> None:
        view[...] = value

    execute("fill", work, _blocks([made]))
    return made


def astype(
    a: ndarray, dtype: Any, order: str | None = "K", copy: bool = True, casting: str = "unsafe"
) -> ndarray:
    """Return an array in another dtype, on the current device."""
    order, dtype = order or "K", np.dtype(dtype)
    there = a._memory.device_id == current_device()
    fits = order == "K" or (order == "C" and a.flags.c_contiguous)
    fits = fits or (order == "F" and a.flags.f_contiguous)
    fits = fits or (order == "A" and (a.flags.c_contiguous or a.flags.f_contiguous))
    if there and not copy and a.dtype == dtype and fits:
        return a
    if not np.can_cast(a.dtype, dtype, casting):
        raise TypeError(f"Cannot cast array data from {a.dtype} to {dtype} by the rule {casting}")
    if not there:
        refuse_in_capture("a copy from another device")
    made = _place(np.empty_like(a._view, dtype=dtype, order=order))
    source, target = a._view, made._view

    def work() -> None:
        with np.errstate(all="ignore"):
            np.copyto(target, source, casting="unsafe")

    execute("copy", work, _blocks([a, made]))
    return made


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool | None = True,
    order: str | None = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    """Return an array on the current device."""
    if ndmin or subok:
        raise NotImplementedError("ndmin and subok are not emulated")
    if isinstance(obj, ndarray):
        return astype(obj, obj.dtype if dtype is None else dtype, order, bool(copy))
    if isinstance(obj, (list, tuple)) and _holds_array(obj):
        parts = [array(part, dtype) for part in obj]
        return compute("stack", np.stack, (parts,), {})
    state.upload("an array of the host")
    host = np.array(obj, dtype=dtype, order=order or "K")
    if host.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    made = _place(host)
    made._view[...] = host
    return made


def asarray(
    a: Any, dtype: Any = None, order: str | None = None, *, copy: bool | None = None,
    blocking: bool = False,
) -> ndarray:  # fmt: skip
    """Return an array on the current device, the same one where it is that already."""
    return array(a, dtype, copy=copy, order=order, blocking=blocking)


def _holds_array(nested: Any) -> bool:
    return any(
        isinstance(part, ndarray) or (isinstance(part, (list, tuple)) and _holds_array(part))
        for part in nested
    )


# Computing


def _operand(x: Any) -> Any:
    """Return an operand as NumPy takes it."""
    if isinstance(x, ndarray):
        x.check_device()
        return x._view
    if isinstance(x, SCALARS):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def _plain(x: Any, met: list[ndarray]) -> Any:
    """Return an argument with raw views for arrays, which are added to ``met``."""
    if isinstance(x, ndarray):
        met.append(x)
        return x._view
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    if isinstance(x, (list, tuple)):
        return type(x)(_plain(part, met) for part in x) if type(x) in (list, tuple) else x
    return x


def _zeros(x: Any) -> Any:
    """Return zeros in the place of raw views: what shape and dtype a result has, they tell."""
    if isinstance(x, np.ndarray):
        return np.zeros_like(x)
    return type(x)(_zeros(part) for part in x) if type(x) in (list, tuple) else x


def _map(result: Any, change: Callable[[Any], Any]) -> Any:
    """Change the arrays of a result that may be a tuple, a named one, or a list."""
    if isinstance(result, (tuple, list)):
        parts = [_map(part, change) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return change(np.asarray(result))


def _leaves(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [leaf for part in result for leaf in _leaves(part)]
    return [result]


def _produce(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    inputs: list[Any],
    out: ndarray | None = None,
) -> Any:
    """Run a NumPy function of raw views, its result into new arrays or into ``out``."""
    with np.errstate(all="ignore"):
        if state.is_capturing():
            likely = function(*_zeros(args), **kwargs)
            done = None
        else:
            likely = done = function(*args, **kwargs)
    made = _map(likely, _place) if out is None else out
    targets = [leaf._view for leaf in _leaves(made)]
    if out is not None and np.shape(likely) != out.shape:
        raise ValueError(f"{name}: the result has shape {np.shape(likely)}, out {out.shape}")
    results = None if done is None else _leaves(done)

    def work() -> None:
        nonlocal results
        with np.errstate(all="ignore"):
            now = _leaves(function(*args, **kwargs)) if results is None else results
            results = None
            for target, result in zip(targets, now, strict=True):
                np.copyto(target, result, casting="same_kind" if out is None else "unsafe")

    execute(name, work, _blocks([*inputs, *_leaves(made)]))
    return made


def compute(
    name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run a NumPy function on the device.

    Parameters
    ----------
    name : str
        Of the function in CuPy, which decides on what a capture allows.
    function : callable
        NumPy's.
    args, kwargs
        Its arguments, with arrays of the emulator.
    """
    if name in CUBLAS and state.is_capturing():
        raise NotImplementedError(
            "calling cuBLAS API during stream capture is currently unsupported"
        )
    inputs: list[ndarray] = []
    out = kwargs.pop("out", None)
    if isinstance(out, tuple):
        (out,) = out
    if out is not None and not isinstance(out, ndarray):
        raise TypeError(f"{name}: out: expected a CuPy array, got {type(out)}")
    plain = tuple(_plain(arg, inputs) for arg in args)
    plain_kwargs = {key: _plain(value, inputs) for key, value in kwargs.items()}
    if name in VIEWS:
        return _maybe_view(name, function, plain, plain_kwargs, inputs)
    for one in (*inputs, *([] if out is None else [out])):
        one.check_device()
    if name in HOST_SIZED or name.startswith(("linalg.", "fft.")):
        refuse_in_capture(name)
    if any(isinstance(value, np.ndarray) for value in plain_kwargs.values()):
        keys = tuple(plain_kwargs)
        values = tuple(plain_kwargs.values())
        count = len(plain)

        def positional(*everything: Any) -> Any:
            named = dict(zip(keys, everything[count:], strict=True))
            return function(*everything[:count], **named)

        return _produce(name, positional, (*plain, *values), {}, inputs, out)
    return _produce(name, function, plain, plain_kwargs, inputs, out)


def _maybe_view(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    inputs: list[ndarray],
) -> Any:
    """Run a function whose result is a view of its argument if that can be."""
    raw = function(*args, **kwargs)
    owners = [
        next((one for one in inputs if np.may_share_memory(leaf, one._view)), None)
        for leaf in _leaves(raw)
    ]
    if not any(isinstance(leaf, np.ndarray) and leaf.size for leaf in _leaves(raw)):
        owners = [inputs[0]] * len(owners)
    if any(owner is None for owner in owners):
        for one in inputs:
            one.check_device()
        return _produce(name, function, args, kwargs, inputs)
    remaining = iter(owners)
    return _map(raw, lambda leaf: next(remaining)._view_as(leaf))


class ufunc:  # noqa: N801
    """An element-wise function."""

    def __init__(self, name: str, kernel: np.ufunc) -> None:
        self.name = self.__name__ = name
        self._kernel = kernel
        self.nin, self.nout, self.nargs = kernel.nin, kernel.nout, kernel.nargs

    def __repr__(self) -> str:
        return f"<ufunc 'cupy_{self.name}'>"

    def __call__(
        self, *args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind"
    ) -> Any:
        if len(args) > self.nin:
            if len(args) > self.nargs or out is not None or self.nout > 1:
                raise TypeError(f"Wrong number of arguments for {self.name!r}")
            args, out = args[:-1], args[-1]
        if isinstance(out, tuple):
            (out,) = out
        if out is not None and not isinstance(out, ndarray):
            raise TypeError(f"{self.name}: out: expected a CuPy array, got {type(out)}")
        kernel = self._kernel
        plain = tuple(_operand(arg) for arg in args)
        if out is not None:
            out.check_device()
        options = {} if dtype is None else {"dtype": np.dtype(dtype)}
        if out is not None:
            probes = [np.ones((), x.dtype) if isinstance(x, np.ndarray) else x for x in plain]
            with np.errstate(all="ignore"):
                wanted = np.asarray(kernel(*probes, **options)).dtype
            if not np.can_cast(wanted, out.dtype, casting):
                raise TypeError(
                    f"output (typecode {wanted.char!r}) could not be coerced to provided output "
                    f"parameter (typecode {out.dtype.char!r}) by the casting rule {casting!r}"
                )
            target = out._view
            if np.broadcast_shapes(*(np.shape(x) for x in plain), target.shape) != target.shape:
                raise ValueError(f"{self.name}: out has shape {target.shape}, which is too small")

            def work() -> None:
                with np.errstate(all="ignore"):
                    kernel(*plain, out=target, casting=casting, **options)

            execute(self.name, work, _blocks([*args, out]))
            return out
        if not state.is_capturing():
            return _produce(self.name, kernel, plain, options, list(args))
        # Zeros could be an exception of the kernel, and one number tells as much as many.
        probes = [np.ones((), x.dtype) if isinstance(x, np.ndarray) else x for x in plain]
        with np.errstate(all="ignore"):
            likely = kernel(*probes, **options)
        shape = np.broadcast_shapes(*(np.shape(x) for x in plain))
        views = [x for x in plain if isinstance(x, np.ndarray)]
        order = "F" if views and all(_fortran(v) for v in views if v.shape == shape) else "C"
        full = [v for v in views if v.shape == shape]
        strides = full[0].strides if full else np.empty(shape, order=order).strides
        made = _map(likely, lambda leaf: _empty_as(shape, leaf.dtype, strides))
        targets = tuple(leaf._view for leaf in _leaves(made))

        def record() -> None:
            with np.errstate(all="ignore"):
                kernel(*plain, out=targets, casting="unsafe", **options)

        execute(self.name, record, _blocks([*args, *_leaves(made)]))
        return made

    def reduce(self, a: ndarray, axis: Any = 0, dtype: Any = None, out: Any = None,
               keepdims: bool = False) -> ndarray:  # fmt: skip
        """Reduce axes."""
        kwargs = {"axis": axis, "dtype": dtype, "out": out, "keepdims": keepdims}
        return compute(f"{self.name}.reduce", self._kernel.reduce, (a,), kwargs)

    def accumulate(self, a: ndarray, axis: int = 0, dtype: Any = None, out: Any = None) -> ndarray:
        """Accumulate along an axis."""
        kwargs = {"axis": axis, "dtype": dtype, "out": out}
        return compute(f"{self.name}.accumulate", self._kernel.accumulate, (a,), kwargs)

    def outer(self, a: ndarray, b: ndarray) -> ndarray:
        """Compute all pairs."""
        return compute(f"{self.name}.outer", self._kernel.outer, (a, b), {})

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        """Change the numbers at indices, again and again where one is there more often."""
        if self.name not in ("add", "subtract", "maximum", "minimum"):
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        a.check_device()
        plain, _ = _index(indices)
        view, value, kernel = a._view, _operand(b), self._kernel
        execute(f"{self.name}.at", lambda: kernel.at(view, plain, value), _blocks([a, b]))


def _fortran(view: np.ndarray) -> bool:
    return view.flags.f_contiguous and not view.flags.c_contiguous


_UFUNC_NAMES = """
abs absolute acos acosh add arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan
atan2 atanh bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not bitwise_or
bitwise_right_shift bitwise_xor cbrt ceil conj conjugate copysign cos cosh deg2rad degrees divide
divmod equal exp exp2 expm1 fabs float_power floor floor_divide fmax fmin fmod frexp gcd greater
greater_equal heaviside hypot invert isfinite isinf isnan lcm ldexp left_shift less less_equal log
log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor maximum
minimum mod modf multiply negative nextafter not_equal pow positive power rad2deg radians
reciprocal remainder right_shift rint sign signbit sin sinh sqrt square subtract tan tanh
true_divide trunc
"""
UFUNCS = {name: ufunc(name, getattr(np, name)) for name in _UFUNC_NAMES.split()}

_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
    "floordiv": "floor_divide", "mod": "remainder", "pow": "power", "and": "bitwise_and",
    "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
_COMPARISONS = {
    "lt": "less", "le": "less_equal", "eq": "equal", "ne": "not_equal", "gt": "greater",
    "ge": "greater_equal",
}  # fmt: skip
_METHODS = """
all any argmax argmin argpartition argsort choose clip compress conj conjugate cumprod cumsum
diagonal dot max mean min nonzero prod ptp ravel repeat round searchsorted squeeze std sum swapaxes
take trace var
"""


def _add_operators() -> None:
    def binary(kernel: ufunc) -> Any:
        return lambda self, other: kernel(self, other)

    def reflected(kernel: ufunc) -> Any:
        return lambda self, other: kernel(other, self)

    def in_place(kernel: ufunc) -> Any:
        return lambda self, other: kernel(self, other, out=self)

    for name, kernel in _BINARY.items():
        setattr(ndarray, f"__{name}__", binary(UFUNCS[kernel]))
        setattr(ndarray, f"__r{name}__", reflected(UFUNCS[kernel]))
        setattr(ndarray, f"__i{name}__", in_place(UFUNCS[kernel]))
    for name, kernel in _COMPARISONS.items():
        setattr(ndarray, f"__{name}__", binary(UFUNCS[kernel]))


def _add_methods() -> None:
    def method(name: str) -> Any:
        function = getattr(np, name)
        return lambda self, *args, **kwargs: compute(name, function, (self, *args), kwargs)

    for name in _METHODS.split():
        setattr(ndarray, name, method(name))
    ndarray.flatten = lambda self, order="C": astype(  # type: ignore[attr-defined]
        self, self.dtype, order, True
    ).reshape(-1, order=order)


_add_operators()
_add_methods()
