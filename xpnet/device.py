"""Devices: where arrays live and which library computes on them.

``device("gpu:1")`` is the one selector.  A :class:`Device` pairs an array library's namespace
with that library's own device handle; everything else in xpnet starts from the namespace of
the arrays it is given (:func:`namespace`).  This module and ``ops`` are the only places that
know array libraries by name.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import platform
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeAlias

import array_api_compat
import array_api_compat.numpy as compat_numpy
import numpy as np

__all__ = [
    "Array",
    "Device",
    "DeviceError",
    "Library",
    "device",
    "device_of",
    "dtype_kind",
    "dtype_name",
    "is_complex",
    "is_current",
    "library",
    "namespace",
    "to_numpy",
]

Array: TypeAlias = Any
"""An array of any library that follows the array API standard."""


class DeviceError(RuntimeError):
    """A device that cannot be used: the message gives the reason and the cure."""


class Library(NamedTuple):
    """An array library: its name (the key of op bodies) and its array API namespace."""

    name: str
    xp: Any


NUMPY = Library("numpy", compat_numpy)
_LIBRARIES: dict[str, Library] = {"numpy": NUMPY}
_LIBRARY_OF_TYPE: dict[type, Library] = {np.ndarray: NUMPY}


def library(x: Array) -> Library:
    """Return the library that an array belongs to (looked up once per array type)."""
    try:
        return _LIBRARY_OF_TYPE[type(x)]
    except KeyError:
        return _find_library(x)


def _find_library(x: object) -> Library:
    if array_api_compat.is_jax_array(x):
        raise TypeError(
            "xpnet writes into views of its arrays, which JAX arrays do not allow: "
            "use NumPy, CuPy or PyTorch arrays"
        )
    try:
        xp = array_api_compat.array_namespace(x)
    except TypeError:
        raise TypeError(
            f"expected an array of an array API library (NumPy, CuPy, PyTorch ...), "
            f"got {type(x).__name__}"
        ) from None
    name = xp.__name__.removeprefix("array_api_compat.")
    return _LIBRARY_OF_TYPE.setdefault(type(x), _LIBRARIES.setdefault(name, Library(name, xp)))


def namespace(x: Array) -> Any:
    """Return the array API namespace of an array."""
    return library(x).xp


def to_numpy(x: Array) -> np.ndarray[Any, np.dtype[Any]]:
    """Return an array's values as a NumPy array on the host.

    A NumPy array is returned as it is; memory may be shared with other CPU arrays.
    """
    if isinstance(x, (np.ndarray, np.generic, int, float, complex, list, tuple)):
        return np.asarray(x)
    name, xp = library(x)
    if name == "torch":
        host: np.ndarray[Any, np.dtype[Any]] = x.detach().cpu().resolve_conj().numpy()
        return host
    if name == "cupy":
        return np.asarray(x.get())
    if name == "array_api_strict":
        return np.asarray(x.to_device(xp.Device("CPU_DEVICE")))
    return np.from_dlpack(x)


class Device:
    """A place to compute: an array library and one of its devices.

    Made by :func:`device` from a name, or by :func:`device_of` from an array.

    Attributes
    ----------
    name : str
        ``"cpu"``, ``"gpu:0"``, ``"torch:cpu"``, ``"torch:cuda:1"`` ...
    library : str
        The array library: ``"numpy"``, ``"cupy"``, ``"torch"`` ...
    xp : namespace
        The library's array API namespace.
    """

    def __init__(self, name: str, library: Library, handle: Any) -> None:
        self.name = name
        self.library, self.xp = library
        self._handle = handle

    def __repr__(self) -> str:
        return f"device({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def asarray(self, x: Array, dtype: str | None = None) -> Array:
        """Return ``x`` as an array on this device.

        Parameters
        ----------
        x : array of any library, or nested numbers
        dtype : str, optional
            The dtype's standard name, such as ``"float32"``; by default that of ``x``.

        Returns
        -------
        array
            On this device.  It may share memory with ``x`` where both are on the host.
        """
        wanted = None if dtype is None else getattr(self.xp, dtype)
        if self.library != "numpy" and type(x) in _LIBRARY_OF_TYPE and device_of(x) == self:
            with self.scope():
                return x if wanted is None else self.xp.astype(x, wanted, copy=False)
        host = to_numpy(x)
        if self.library == "numpy":
            return host if dtype is None else host.astype(dtype, copy=False)
        if not host.flags.writeable:
            host = host.copy()  # torch warns of a read-only source
        host = np.asarray(host, order="C")  # kernels want rows, and CuPy would keep columns
        with self.scope():
            return self.xp.asarray(host, dtype=wanted, device=self._handle)

    def zeros(self, shape: int | tuple[int, ...], dtype: str) -> Array:
        """Return an array of zeros on this device; ``dtype`` is a standard name.

        Its memory starts on a multiple of 256 bytes, so that a view at such an offset keeps
        vector loads aligned and results do not depend on where the allocator put it.
        """
        if self.library == "numpy":
            itemsize = np.dtype(dtype).itemsize
            count = int(np.prod(shape, dtype=np.int64))
            raw = np.zeros(count * itemsize + 256, np.uint8)
            start = -raw.ctypes.data % 256
            return raw[start : start + count * itemsize].view(dtype).reshape(shape)
        with self.scope():
            return self.xp.zeros(shape, dtype=getattr(self.xp, dtype), device=self._handle)

    def scope(self) -> AbstractContextManager[Any]:
        """Return a context in which new arrays of this library land on this device."""
        if self.library == "cupy":
            return self._handle  # type: ignore[no-any-return]
        return _NO_SCOPE

    def synchronize(self) -> None:
        """Wait until all work queued on this device is done."""
        if self.library == "cupy":
            with self._handle:
                self.xp.cuda.get_current_stream().synchronize()
        elif self.library == "torch" and self._handle.type == "cuda":
            importlib.import_module("torch").cuda.synchronize(self._handle)

    def free_bytes(self) -> int | None:
        """Return the free memory of an accelerator in bytes; None where arrays share the host's."""
        if self.library == "cupy":
            with self._handle:
                pooled = self.xp.get_default_memory_pool().free_bytes()
                return int(self.xp.cuda.runtime.memGetInfo()[0] + pooled)
        if self.library == "torch" and self._handle.type == "cuda":
            return int(importlib.import_module("torch").cuda.mem_get_info(self._handle)[0])
        return None

    @property
    def records(self) -> bool:
        """Whether work on this device can be recorded and replayed: whether it has a lane."""
        return self.library == "cupy"

    def lane(self) -> Lane:
        """Return a queue of work on this device whose work can be recorded and replayed.

        Raises
        ------
        DeviceError
            The device cannot record work.
        """
        if not self.records:
            raise DeviceError(
                f"device {self.name!r} cannot record work: GPUs through CuPy can ('gpu')"
            )
        return Lane(self)

    def brought(self, batches: Iterator[tuple[Array, ...]]) -> Iterator[tuple[Array, ...]]:
        """Yield groups of host arrays as arrays on this device.

        A GPU takes the next group over while it computes with the last.

        Parameters
        ----------
        batches : iterator of tuples of arrays on the host
        """
        if self.library == "cupy":
            yield from _through_pinned_memory(self, batches)
            return
        for batch in batches:
            yield tuple(map(self.asarray, batch))

    def describe(self) -> dict[str, str]:
        """Return what identifies this device in a run's record: names and versions."""
        about = {"device": self.name, "backend": self.library, "numpy": np.__version__}
        if self.library == "cupy":
            runtime = self.xp.cuda.runtime
            about["hardware"] = runtime.getDeviceProperties(self._handle.id)["name"].decode()
            about["cuda"] = str(runtime.runtimeGetVersion())
        else:
            about["hardware"] = platform.processor() or platform.machine()
        if self.library != "numpy":
            module = importlib.import_module(self.library)
            about[self.library] = str(module.__version__)
        return about


class Lane:
    """A queue of work on a GPU, beside the default one, with memory of its own for recordings.

    Parameters
    ----------
    place : Device
    """

    def __init__(self, place: Device) -> None:
        self._place = place
        self._cuda = place.xp.cuda
        with place.scope():
            self._stream = self._cuda.Stream(non_blocking=True)
        self._shared = place.xp.get_default_memory_pool()
        self._pool = self._cuda.MemoryPool(functools.partial(_taken, self._cuda, place.name))

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Queue here what is done within this context: after all before it, before all after it."""
        with self._place.scope():
            self._cuda.get_current_stream().synchronize()
            with self._stream:
                try:
                    yield
                finally:
                    self._stream.synchronize()

    def make_room(self) -> None:
        """Give the memory back that past work on this lane keeps for the next."""
        self._stream.synchronize()
        self._shared.free_all_blocks(self._stream)

    def memory(self) -> AbstractContextManager[Any]:
        """Return a context whose new arrays lie in the memory that recordings use.

        What is to be recorded runs in it once before, and leaves there what it will need: nothing
        can be asked of the driver while work is recorded.
        """
        manager: AbstractContextManager[Any] = self._cuda.using_allocator(self._pool.malloc)
        return manager

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return a function that does again, as one launch, what ``work`` asks of the GPU.

        ``work`` is called, and what it asks is written down, not done.  It may read nothing back.
        """
        with self.memory():
            self._stream.begin_capture()
            try:
                work()
            except BaseException:
                with contextlib.suppress(Exception):  # of the recording that is given up
                    self._stream.end_capture()
                raise
            graph = self._stream.end_capture()
        return functools.partial(graph.launch, self._stream)

    def close(self) -> None:
        """Give the recordings' memory back: none of them may be launched any more."""
        with self._place.scope():
            self.make_room()
            self._pool.free_all_blocks()


def _taken(cuda: Any, name: str, size: int) -> Any:
    """Return memory from the driver, or raise what keeps a lane's pool from giving blocks back.

    Where the driver has none left, a pool frees all that no array holds; but a recording needs its
    memory without arrays in it.
    """
    try:
        return cuda.MemoryPointer(cuda.Memory(size), 0)
    except cuda.runtime.CUDARuntimeError as error:
        raise MemoryError(
            f"{name} has no {size:,} bytes left for a recording of steps: graph='off' does without"
        ) from error


def _through_pinned_memory(
    place: Device, batches: Iterator[tuple[Array, ...]]
) -> Iterator[tuple[Array, ...]]:
    """Bring groups over on a stream of its own, from two sets of pinned buffers by turns."""
    with place.scope():
        crossings = [_Crossing(place), _Crossing(place)]
    sent: deque[tuple[_Crossing, tuple[Array, ...]]] = deque()
    try:
        for number, batch in enumerate(batches):
            crossing = crossings[number % 2]
            with place.scope():
                sent.append((crossing, crossing.send(tuple(map(to_numpy, batch)))))
            if len(sent) == 2:
                yield _arrived(place, *sent.popleft())
        while sent:
            yield _arrived(place, *sent.popleft())
    finally:
        for crossing in crossings:
            crossing.finish()


def _arrived(place: Device, crossing: _Crossing, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
    with place.scope():
        crossing.wait()
    return arrays


class _Crossing:
    """A way from the host to a GPU: pinned buffers, and a stream that copies from them."""

    def __init__(self, place: Device) -> None:
        self._xp = place.xp
        self._pinned = importlib.import_module("cupyx").empty_pinned
        self._stream = place.xp.cuda.Stream(non_blocking=True)
        self._buffers: list[Any] = []
        self._sent: Any = None

    def send(self, batch: tuple[Array, ...]) -> tuple[Array, ...]:
        self.finish()
        arrays = tuple(self._xp.empty(a.shape, dtype=a.dtype) for a in batch)
        # their memory may be in use by what the current stream was asked to do before
        self._stream.wait_event(self._xp.cuda.get_current_stream().record())
        shapes = [(buffer.shape, buffer.dtype) for buffer in self._buffers]
        if shapes != [(a.shape, a.dtype) for a in batch]:
            self._buffers = [self._pinned(a.shape, a.dtype) for a in batch]
        for buffer, own, values in zip(self._buffers, arrays, batch, strict=True):
            buffer[...] = values
            own.set(buffer, stream=self._stream)
        self._sent = self._stream.record()
        return arrays

    def finish(self) -> None:
        """Wait until the buffers are no longer being read."""
        if self._sent is not None:
            self._sent.synchronize()

    def wait(self) -> None:
        """Let the current stream wait until what was sent last has come."""
        self._xp.cuda.get_current_stream().wait_event(self._sent)


_NO_SCOPE = contextlib.nullcontext()
CPU = Device("cpu", NUMPY, "cpu")


def device(name: str | Device) -> Device:
    """Return the device of a name, checked to work.

    Parameters
    ----------
    name : str or Device
        ``"cpu"`` (NumPy), ``"gpu"`` or ``"gpu:N"`` (CuPy), ``"torch:cpu"``, ``"torch:cuda"`` or
        ``"torch:cuda:N"`` (PyTorch), or ``"auto"``: the first GPU if CuPy can use one, else the
        CPU.  A Device is returned as it is.

    Raises
    ------
    ValueError
        The name is none of these.
    DeviceError
        The device cannot be used; the message says why and what cures it.
    """
    if isinstance(name, Device):
        return name
    match name.split(":") if isinstance(name, str) else []:
        case ["cpu"]:
            return CPU
        case ["auto"]:
            with contextlib.suppress(DeviceError):
                return _cupy_device(0)
            return CPU
        case ["gpu"]:
            return _cupy_device(0)
        case ["gpu", index] if index.isdigit():
            return _cupy_device(int(index))
        case ["torch", "cpu"]:
            return _torch_device("cpu")
        case ["torch", "cuda"]:
            return _torch_device("cuda:0")
        case ["torch", "cuda", index] if index.isdigit():
            return _torch_device(f"cuda:{index}")
    raise ValueError(
        f"device: expected 'cpu', 'gpu', 'gpu:N', 'torch:cpu', 'torch:cuda:N' or 'auto', "
        f"got {name!r}"
    )


def device_of(x: Array) -> Device:
    """Return the device that an array lies on."""
    found = library(x)
    if found.name == "numpy":
        return CPU
    return _device_from_handle(found, array_api_compat.device(x))


def is_current(x: Array) -> bool:
    """Return whether a CuPy array lies on the GPU on which CuPy launches work as things are."""
    runtime = _LIBRARY_OF_TYPE[type(x)].xp.cuda.runtime
    return bool(x.device.id == runtime.getDevice())


def _device_from_handle(found: Library, handle: Any) -> Device:
    if found.name == "cupy":
        return Device(f"gpu:{handle.id}", found, handle)
    return Device(f"{found.name}:{handle}", found, handle)


@functools.cache
def _cupy_device(index: int) -> Device:
    wanted = f"device 'gpu:{index}'"
    try:
        cupy = importlib.import_module("cupy")
    except ModuleNotFoundError:
        raise DeviceError(
            f"{wanted} needs CuPy, which is not installed: run `pip install 'cupy-cuda13x[ctk]'` "
            f"(CUDA 13) or `pip install 'cupy-cuda12x[ctk]'` (CUDA 12), or choose device 'cpu'"
        ) from None
    except ImportError as error:
        raise DeviceError(
            f"{wanted}: CuPy does not import ({_first_line(error)}); {_CTK}"
        ) from None
    with _cuda_failures(cupy, wanted):
        count = int(cupy.cuda.runtime.getDeviceCount())
    if count == 0:
        raise DeviceError(f"{wanted}: {_NO_GPU}")
    if index >= count:
        raise DeviceError(
            f"{wanted}: this machine has {count} GPU{'s' if count > 1 else ''}, "
            f"numbered from 0: choose 'gpu:{count - 1}' or lower"
        )
    handle = cupy.cuda.Device(index)
    with _cuda_failures(cupy, wanted), handle:
        square = cupy.ones((2, 2), dtype=cupy.float32)
        float((square @ square).sum())  # loads the compiler and cuBLAS, which may be missing
    return _device_from_handle(library(square), handle)


_CTK = (
    "install CuPy together with the CUDA libraries: run `pip install 'cupy-cuda13x[ctk]'` "
    "(CUDA 13) or `pip install 'cupy-cuda12x[ctk]'` (CUDA 12)"
)
_NO_GPU = "the NVIDIA driver finds no GPU: check `nvidia-smi`, or choose device 'cpu'"


@contextlib.contextmanager
def _cuda_failures(cupy: Any, wanted: str) -> Iterator[None]:
    """Turn what CUDA raises while a GPU is first touched into one sentence with its cure."""
    try:
        yield
    except cupy.cuda.runtime.CUDARuntimeError as error:
        reason = _first_line(error)
        if "InsufficientDriver" in reason:
            raise DeviceError(
                f"{wanted}: no NVIDIA driver, or one too old for CuPy's CUDA ({reason}); "
                f"install or update the driver, or choose device 'cpu'"
            ) from None
        if "NoDevice" in reason:
            raise DeviceError(f"{wanted}: {_NO_GPU}") from None
        raise DeviceError(
            f"{wanted} does not work ({reason}); check `nvidia-smi`, or choose device 'cpu'"
        ) from None
    except (ImportError, OSError, RuntimeError) as error:
        raise DeviceError(
            f"{wanted}: a CUDA library is missing ({_first_line(error)}); {_CTK}"
        ) from None


@functools.cache
def _torch_device(handle_name: str) -> Device:
    wanted = f"device 'torch:{handle_name}'"
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        raise DeviceError(
            f"{wanted} needs PyTorch, which is not installed: run `pip install torch`, "
            f"or choose device 'cpu'"
        ) from None
    handle = torch.device(handle_name)
    if handle.type == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError(
                f"{wanted}: this PyTorch finds no usable GPU: check `nvidia-smi` and that "
                f"PyTorch is a CUDA build, or choose device 'torch:cpu'"
            )
        if handle.index >= torch.cuda.device_count():
            raise DeviceError(
                f"{wanted}: PyTorch sees {torch.cuda.device_count()} GPU(s), numbered from 0"
            )
    return _device_from_handle(library(torch.empty(0)), handle)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@functools.cache
def dtype_kind(xp: Any, dtype: Any) -> str:
    """Return ``"real"`` or ``"complex"`` for floating dtypes, ``"exact"`` for all others."""
    if xp.isdtype(dtype, "real floating"):
        return "real"
    return "complex" if xp.isdtype(dtype, "complex floating") else "exact"


def is_complex(x: Array) -> bool:
    """Return whether an array holds complex numbers."""
    return dtype_kind(namespace(x), x.dtype) == "complex"


def dtype_name(x: Array) -> str:
    """Return the standard name of an array's dtype, such as ``"float32"``."""
    return str(x.dtype).rpartition(".")[2]
