"""The modules ``cupy`` and ``cupyx``."""

from __future__ import annotations

import importlib.machinery
from types import ModuleType
from typing import Any

import numpy as np

from . import arrays, kernels, memory, state

__all__ = ["modules"]

_FUNCTIONS = """
all allclose amax amin angle any append apply_along_axis argmax argmin argpartition argsort argwhere
around array_equal array_split atleast_1d atleast_2d atleast_3d average bincount broadcast_arrays
broadcast_to choose clip column_stack compress concat concatenate convolve corrcoef correlate
count_nonzero cov cross cumprod cumsum cumulative_prod cumulative_sum delete diag diagflat diagonal
diff digitize dot dsplit dstack ediff1d einsum expand_dims extract fix flatnonzero flip fliplr
flipud gradient histogram hsplit hstack imag inner interp intersect1d isclose iscomplex isin
isneginf isposinf isreal kron lexsort matmul matrix_transpose max mean median meshgrid min moveaxis
nan_to_num nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanprod nanstd
nansum nanvar nonzero outer pad partition percentile permute_dims prod ptp quantile ravel
ravel_multi_index real repeat reshape roll rollaxis rot90 round searchsorted select setdiff1d sinc
sort split squeeze stack std sum swapaxes take take_along_axis tensordot tile trace transpose
trapezoid trapz tril trim_zeros triu union1d unique unravel_index unwrap vander var vdot vsplit
vstack where
"""
_PLAIN = """
broadcast_shapes can_cast common_type finfo iinfo iscomplexobj isdtype isrealobj isscalar
issubdtype min_scalar_type ndim promote_types result_type shape size
"""
_CONSTANTS = "e euler_gamma inf nan newaxis pi"
_TYPES = """
bool bool_ byte cdouble clongdouble complex128 complex64 complexfloating csingle double dtype
float16 float32 float64 floating generic half inexact int16 int32 int64 int8 int_ intc integer intp
longlong number short signedinteger single ubyte uint uint16 uint32 uint64 uint8 uintc uintp
ulonglong unsignedinteger ushort
"""
_CREATORS = "arange eye identity indices linspace logspace tri fromfunction"
_LINALG = """
cholesky cond cross det eig eigh eigvals eigvalsh inv lstsq matmul matrix_power matrix_rank
matrix_transpose norm pinv qr slogdet solve svd tensorinv tensorsolve
"""
_FFT = """
fft fft2 fftfreq fftn fftshift hfft ifft ifft2 ifftn ifftshift ihfft irfft irfft2 irfftn rfft rfft2
rfftfreq rfftn
"""


_PACKAGES = {"cupy", "cupy.cuda", "cupyx"}


def _functions() -> list[str]:
    names = [*_FUNCTIONS.split(), *_CREATORS.split()]
    return [name for name in names if hasattr(np, name)]


def _function(name: str, numpy_function: Any) -> Any:
    def function(*args: Any, **kwargs: Any) -> Any:
        return arrays.compute(name, numpy_function, args, kwargs)

    function.__name__ = name.rpartition(".")[2]
    function.__doc__ = f"As :func:`numpy.{name}`, on the device."
    return function


def _plain(name: str) -> Any:
    """Return a function of what arrays are rather than of what is in them."""
    numpy_function = getattr(np, name)

    def function(*args: Any, **kwargs: Any) -> Any:
        met: list[arrays.ndarray] = []
        return numpy_function(*(arrays._plain(arg, met) for arg in args), **kwargs)

    function.__name__ = name
    return function


def _zeros(shape: Any, dtype: Any = float, order: str = "C") -> arrays.ndarray:
    return arrays.filled(shape, 0, dtype, order)


def _ones(shape: Any, dtype: Any = float, order: str = "C") -> arrays.ndarray:
    return arrays.filled(shape, 1, dtype, order)


def _like(make: Any) -> Any:
    def like(a: Any, *args: Any, dtype: Any = None, order: str = "K", shape: Any = None) -> Any:
        dtype = a.dtype if dtype is None else dtype
        if shape is None and order == "K":
            made = arrays._place(np.empty_like(a._view, dtype=dtype))
            make(made, *args)
            return made
        made = arrays.ndarray(a.shape if shape is None else shape, dtype)
        make(made, *args)
        return made

    return like


def _copyto(dst: arrays.ndarray, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    if where is not None:
        raise NotImplementedError("copyto: where is not emulated")
    kind = src.dtype if isinstance(src, arrays.ndarray) else np.result_type(dst.dtype, src)
    if not np.can_cast(kind, dst.dtype, casting):
        raise TypeError("Cannot cast to the destination's dtype")
    dst[...] = src


def _asnumpy(a: Any, *args: Any, **kwargs: Any) -> np.ndarray:
    return a.get(*args, **kwargs) if isinstance(a, arrays.ndarray) else np.asarray(a)


def _get_array_module(*args: Any) -> Any:
    import cupy

    return cupy if any(isinstance(arg, arrays.ndarray) for arg in args) else np


def _not_emulated(name: str) -> type:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"cupy.{name} is not emulated")

    return type(name, (), {"__init__": refuse})


def _device_properties(device: int) -> dict[str, Any]:
    if not 0 <= device < state.device_count:
        raise state.CUDARuntimeError(101)
    return {
        "name": b"Emulated GPU",
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 4,
        "maxThreadsPerBlock": 1024,
        "sharedMemPerBlock": 48 * 1024,
        "totalGlobalMem": state.TOTAL_BYTES,
        "warpSize": 32,
    }


def _device_count() -> int:
    if state.device_count == 0:
        raise state.CUDARuntimeError(100)
    return state.device_count


def _empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    state.refuse_in_capture("cudaHostAlloc", anywhere=True)
    made = np.empty(shape, dtype, order)
    made.fill(np.nan if made.dtype.kind in "fc" else 1)
    return made


def _zeros_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    state.refuse_in_capture("cudaHostAlloc", anywhere=True)
    return np.zeros(shape, dtype, order)


def _module(name: str, **contents: Any) -> ModuleType:
    made = ModuleType(name, "Emulated: see tests/emulator.")
    made.__dict__.update(contents)
    return made


def modules() -> dict[str, ModuleType]:
    """Return the modules by name."""
    runtime = _module(
        "cupy.cuda.runtime",
        CUDARuntimeError=state.CUDARuntimeError,
        getDeviceCount=_device_count,
        getDeviceProperties=_device_properties,
        getDevice=state.current_device,
        setDevice=state.set_device,
        memGetInfo=lambda: (state.FREE_BYTES, state.TOTAL_BYTES),
        runtimeGetVersion=lambda: 13000,
        driverGetVersion=lambda: 13000,
        deviceSynchronize=lambda: state.synchronize("deviceSynchronize"),
        streamSynchronize=lambda ptr: state.stream_of_pointer(ptr).synchronize(),
        streamIsCapturing=lambda ptr: state.stream_of_pointer(ptr).is_capturing(),
        streamCaptureModeGlobal=0,
        streamCaptureModeThreadLocal=1,
        streamCaptureModeRelaxed=2,
        is_hip=False,
    )
    device = _module("cupy.cuda.device", Device=state.Device, get_device_id=state.current_device)
    stream = _module(
        "cupy.cuda.stream",
        Stream=state.Stream,
        Event=state.Event,
        get_current_stream=state.current_stream,
    )
    compiler = _module("cupy.cuda.compiler", CompileException=kernels.CompileException)
    cuda = _module(
        "cupy.cuda",
        compiler=compiler,
        runtime=runtime,
        device=device,
        stream=stream,
        Device=state.Device,
        Stream=state.Stream,
        Event=state.Event,
        Graph=state.Graph,
        Memory=lambda size: memory.raw(size).mem,
        MemoryPointer=memory.MemoryPointer,
        MemoryPool=memory.MemoryPool,
        PinnedMemoryPointer=memory.PinnedMemoryPointer,
        alloc=memory.alloc,
        alloc_pinned_memory=memory.alloc_pinned_memory,
        get_allocator=memory.get_allocator,
        set_allocator=memory.set_allocator,
        using_allocator=memory.using_allocator,
        get_current_stream=lambda device_id=-1: state.current_stream(),
        get_device_id=state.current_device,
        get_elapsed_time=state.elapsed_time,
        is_available=lambda: state.device_count > 0,
    )
    linalg = _module(
        "cupy.linalg",
        LinAlgError=np.linalg.LinAlgError,
        **{name: _function(f"linalg.{name}", getattr(np.linalg, name)) for name in _LINALG.split()},
    )
    fft = _module(
        "cupy.fft",
        **{name: _function(f"fft.{name}", getattr(np.fft, name)) for name in _FFT.split()},
    )
    cupy = _module(
        "cupy",
        __version__="14.2.0",
        **{name: getattr(np, name) for name in (_TYPES + _CONSTANTS).split()},
        **{name: _function(name, getattr(np, name)) for name in _functions()},
        **{name: _plain(name) for name in _PLAIN.split()},
        **arrays.UFUNCS,
        ndarray=arrays.ndarray,
        ufunc=arrays.ufunc,
        array=arrays.array,
        asarray=arrays.asarray,
        asanyarray=arrays.asarray,
        ascontiguousarray=lambda a, dtype=None: arrays.asarray(a, dtype, "C"),
        asfortranarray=lambda a, dtype=None: arrays.asarray(a, dtype, "F"),
        asnumpy=_asnumpy,
        astype=lambda x, dtype, copy=True, device=None: arrays.astype(x, dtype, "K", copy),
        copy=lambda a, order="K": arrays.astype(a, a.dtype, order),
        copyto=_copyto,
        empty=arrays.empty,
        full=lambda shape, fill_value, dtype=None, order="C": arrays.filled(
            shape, fill_value, dtype, order
        ),
        zeros=_zeros,
        ones=_ones,
        empty_like=_like(arrays.poison),
        full_like=_like(arrays.ndarray.fill),
        zeros_like=_like(lambda made: made.fill(0)),
        ones_like=_like(lambda made: made.fill(1)),
        get_array_module=_get_array_module,
        get_default_memory_pool=memory.get_default_memory_pool,
        is_available=lambda: state.device_count > 0,
        RawKernel=kernels.RawKernel,
        RawModule=kernels.RawModule,
        ElementwiseKernel=_not_emulated("ElementwiseKernel"),
        ReductionKernel=_not_emulated("ReductionKernel"),
        fuse=_not_emulated("fuse"),
        cuda=cuda,
        linalg=linalg,
        fft=fft,
    )
    cupyx = _module(
        "cupyx",
        empty_pinned=_empty_pinned,
        zeros_pinned=_zeros_pinned,
        scatter_add=lambda a, slices, value: a.scatter_add(slices, value),
    )
    made = {
        m.__name__: m for m in (cupy, cuda, runtime, device, stream, compiler, linalg, fft, cupyx)
    }
    for package in (cupy, cuda, cupyx):
        package.__path__ = []
    for name, module in made.items():
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=name in _PACKAGES)
    return made
