"""CuPy bodies: few launches, each doing all there is to do to a number while it is at hand.

The kernels stand in ``_cupy.cu``.  Every matrix product is one of two-dimensional arrays and goes
to cuBLASLt by nvmath-python, which adds bias and ReLU on the way and can be recorded; without
nvmath-python it goes to cuBLAS by CuPy, which cannot.  What stands beside the products is bound
by memory or by launches, so convolutions write their columns out, laid out such that neighbouring
threads meet neighbouring pixels: columns are (c kh kw, n oh ow), responses (f, n oh ow).
"""

from __future__ import annotations

import ctypes
import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import cupy
import numpy as np

from xpnet.arrays import Array
from xpnet.ops._cublaslt import bindings, failure
from xpnet.ops.batch import has_classes, take, tally
from xpnet.ops.conv import conv2d, conv2d_backward, conv_relu_pool, conv_relu_pool_backward
from xpnet.ops.dropout import dropout
from xpnet.ops.elementwise import relu, relu_backward, rescale
from xpnet.ops.linear import linear, linear_backward, linear_relu, linear_relu_backward
from xpnet.ops.loss import smallest_kept, softmax_cross_entropy
from xpnet.ops.norm import batch_norm, batch_norm_backward
from xpnet.ops.pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from xpnet.ops.precision import narrow_into, narrowed, rounded
from xpnet.ops.update import (
    DeviceScalars,
    Scalars,
    adagrad,
    adam,
    momentum,
    rmsprop,
    sgd,
    smallest_square,
)
from xpnet.ops.window import output_sizes

try:
    cublas, cublasLt = bindings()  # noqa: N816 - as the modules are called
except Exception as error:
    cublas = cublasLt = None  # noqa: N816
    _failure = failure(error)

THREADS = 256
LIMIT = 2**31 - THREADS
"""More numbers than the largest array has that kernels count in 32 bits, whole blocks of them."""

CHANNELS = 2**16
"""More channels than a grid can have rows."""


def no_products() -> str | None:
    """Return why products can be neither recorded nor narrow; None if they can."""
    if cublasLt is None:
        return (
            f"this takes matrix products through nvmath-python, which does not work here {_failure}"
        )
    return None


# Launching ------------------------------------------------------------------------------------


@functools.cache
def _kernel(name: str, kind: str) -> Any:
    """Return a kernel for a dtype, given by its character: "f" or "d"."""
    return _module(kind).get_function(name)


@functools.cache
def _module(kind: str) -> Any:
    code = Path(__file__).with_suffix(".cu").read_text(encoding="utf-8")
    real = {"f": "float", "d": "double"}[kind]
    return cupy.RawModule(code=code, options=("-std=c++17", f"-DREAL={real}"))


def _each(name: str, kind: str, size: int, *args: Any) -> None:
    """Launch a kernel with a thread for each of ``size`` numbers.

    Of its arguments None is a null pointer.
    """
    if size:
        _kernel(name, kind)((-(-size // THREADS),), (THREADS,), args)


def _each_place(
    name: str, kind: str, arrays: tuple[Array | None, ...], n: int, channels: int, rows: int,
    cols: int, *args: Any,
) -> None:  # fmt: skip
    """Launch a kernel with a thread for each place on (n, channels, rows, cols)."""
    if n and channels and rows and cols:
        _kernel(name, kind)(
            (-(-n * rows * cols // THREADS), channels), (THREADS,),
            (*arrays, n, channels, rows, cols, _divisor(rows), _divisor(cols), *args),
        )  # fmt: skip


@functools.lru_cache(4096)
def _divisor(d: int) -> int:
    """Return a number that kernels divide by, as they take it: a multiplication and a shift."""
    shift = (d - 1).bit_length()
    return -(-(1 << (31 + shift)) // d) + (shift << 32)


COUNTERS = 1024
"""Groups of blocks of a launch that can have a last one each."""


def _arrived() -> Array:
    """Return what blocks count by which of them is the last; every launch leaves it at 0.

    Launches that may run at the same time, on several streams, need counters of their own.
    """
    return _counters(cupy.cuda.runtime.getDevice(), cupy.cuda.get_current_stream().ptr)


@functools.cache
def _counters(gpu: int, stream: int) -> Array:
    return cupy.zeros(COUNTERS, np.uint32)


def _kind(*arrays: Array | None) -> str | None:
    """Return the one dtype of arrays that kernels take, as its character, or None."""
    kind = None
    for a in arrays:
        if a is None:
            continue
        own = a.dtype.char
        if (kind is not None and own != kind) or a.size >= LIMIT:
            return None
        kind = own
    return kind if kind == "f" or kind == "d" else None


def _dense(a: Array) -> Array:
    return a if a.flags.c_contiguous else cupy.ascontiguousarray(a)


# Products -------------------------------------------------------------------------------------

WORKSPACE = 32 * 2**20
"""Bytes that a product may ask for: what cuBLAS itself takes on its newest processors."""

_NUMBERS = {"f": 0, "d": 1, "e": 2, "H": 14}
"""CUDA's names of dtypes (cudaDataType), by NumPy's character; H holds the bits of bfloat16."""

NARROW = {"bf16": np.dtype(np.uint16), "fp16": np.dtype(np.float16)}
"""The dtypes of operands that are narrowed in memory; TF32 is narrowed on the way."""


_NO_WAY = (7, 15)
"""What cuBLASLt answers for a product that it does not know: invalid value, not supported."""


class _Plan(NamedTuple):
    """A product as cuBLASLt computes it: descriptors, and the algorithm it thinks best."""

    description: int
    layouts: tuple[int, int, int]
    algorithm: int  # addresses on the host, of what is held
    one: int
    zero: int
    workspace: int  # bytes
    held: Any


def _product(
    a: Array, b: Array, precision: str, out: Array | None = None, bias: Array | None = None
) -> Array:
    """Return ``a @ b``, plus a bias for each column.

    ``a`` and ``b`` are operands of the precision, contiguous, or transposes of contiguous arrays;
    ``out`` is contiguous.
    """
    if out is None:
        real = np.float32 if precision in NARROW else a.dtype
        out = cupy.empty((a.shape[0], b.shape[1]), real)
    if cublasLt is not None:
        if _lent(a, b, precision, out, bias):
            return out
        if bias is not None and _lent(a, b, precision, out, None):
            return _biased(out, bias)
    if precision != "float32":  # no way for these shapes: the same numbers, in float32
        if precision in NARROW:
            a, b = rounded(a, precision), rounded(b, precision)
        return _product(a, b, "float32", out, bias)
    cupy.matmul(a, b, out=out)
    return out if bias is None else _biased(out, bias)


def _biased(y: Array, bias: Array | None, rectify: bool = False) -> Array:
    """Add a bias to each row of y, in place, and cut what is below 0 if it shall be rectified."""
    units = y.shape[1]
    _each("add_bias", y.dtype.char, y.size, y, bias, y.size, units, int(rectify))
    return y


def _operand(a: Array, precision: str) -> Array:
    """Return a matrix as a product takes it: contiguous, and as narrow as the precision."""
    a = _dense(a)
    return narrowed(a, precision) if precision in NARROW and a.dtype != NARROW[precision] else a


def _lent(a: Array, b: Array, precision: str, out: Array, bias: Array | None) -> bool:
    """Let cuBLASLt compute a product; return False if it has no algorithm for it."""
    gpu = cupy.cuda.runtime.getDevice()
    pointers = a.data.ptr, b.data.ptr, out.data.ptr
    together = pointers[0] | pointers[1] | pointers[2]
    added = 0 if bias is None else bias.data.ptr
    plan = _plan(
        gpu, a.dtype.char, precision, a.shape[0], *b.shape, _stored(a), _stored(b),
        min(together & -together, 256), added,
    )  # fmt: skip
    if plan is None:
        return False
    space = cupy.cuda.alloc(plan.workspace) if plan.workspace else None
    # cuBLAS counts by columns, and sees every array transposed: out^T = b^T a^T
    left, right, result = plan.layouts
    try:
        cublasLt.matmul(
            _handle(gpu), plan.description, plan.one, pointers[1], left, pointers[0], right,
            plan.zero, pointers[2], result, pointers[2], result, plan.algorithm,
            0 if space is None else space.ptr, plan.workspace,
            cupy.cuda.get_current_stream().ptr,
        )  # fmt: skip
    except cublasLt.cuBLASLtError as error:
        if error.status in _NO_WAY:
            return False
        raise
    return True


def _stored(a: Array) -> tuple[bool, int]:
    """Return whether a matrix is stored transposed, and the numbers from one line to the next."""
    rows, columns = a.strides
    if columns == a.itemsize and rows >= columns * a.shape[1]:
        return False, rows // a.itemsize
    return True, columns // a.itemsize


@functools.cache
def _handle(gpu: int) -> int:
    return int(cublasLt.create())


@functools.lru_cache(4096)
def _plan(
    gpu: int, kind: str, precision: str, m: int, k: int, n: int,
    a: tuple[bool, int], b: tuple[bool, int], aligned: int, bias: int,
) -> _Plan | None:  # fmt: skip
    """Plan the product of an (m, k) and a (k, n) matrix; None if cuBLASLt has no way.

    ``bias`` is the address of the numbers to add to each row, or 0.  ReLU could be had as well,
    but cuBLASLt's makes 0 of NaN, and so hides it.
    """
    double, types = kind == "d", cublas.ComputeType
    compute = types.COMPUTE_64F if double else types.COMPUTE_32F
    if precision == "tf32":
        compute = types.COMPUTE_32F_FAST_TF32
    operands, results = _NUMBERS[kind], _NUMBERS["d" if double else "f"]
    description = cublasLt.matmul_desc_create(compute, results)
    attributes, epilogues = cublasLt.MatmulDescAttribute, cublasLt.Epilogue
    settings: list[tuple[int, Any]] = [
        (attributes.TRANSA, ctypes.c_int32(b[0])),
        (attributes.TRANSB, ctypes.c_int32(a[0])),
        (attributes.EPILOGUE, ctypes.c_uint32(epilogues.BIAS if bias else epilogues.DEFAULT)),
    ]
    if bias:
        settings.append((attributes.BIAS_POINTER, ctypes.c_int64(bias)))
    for attribute, value in settings:
        cublasLt.matmul_desc_set_attribute(
            description, attribute, ctypes.addressof(value), ctypes.sizeof(value)
        )
    layouts = (
        cublasLt.matrix_layout_create(operands, *((k, n) if b[0] else (n, k)), b[1]),
        cublasLt.matrix_layout_create(operands, *((m, k) if a[0] else (k, m)), a[1]),
        cublasLt.matrix_layout_create(results, n, m, n),
    )
    algorithm = _best_algorithm(gpu, description, layouts, aligned)
    if algorithm is None:
        return None
    one, zero = np.ones(1, "d" if double else "f"), np.zeros(1, "d" if double else "f")
    at, at_one, at_zero = (a.ctypes.data for a in (algorithm, one, zero))
    space = int(algorithm["workspace_size"][0])
    return _Plan(description, layouts, at, at_one, at_zero, space, (algorithm, one, zero))


def _best_algorithm(
    gpu: int, description: int, layouts: tuple[int, int, int], aligned: int
) -> Any | None:
    preference = cublasLt.matmul_preference_create()
    attributes = cublasLt.MatmulPreferenceAttribute
    settings: list[tuple[int, Any]] = [
        (attributes.MAX_WORKSPACE_BYTES, ctypes.c_uint64(WORKSPACE)),
        (attributes.MIN_ALIGNMENT_A_BYTES, ctypes.c_uint32(aligned)),
        (attributes.MIN_ALIGNMENT_B_BYTES, ctypes.c_uint32(aligned)),
        (attributes.MIN_ALIGNMENT_C_BYTES, ctypes.c_uint32(aligned)),
        (attributes.MIN_ALIGNMENT_D_BYTES, ctypes.c_uint32(aligned)),
    ]
    for attribute, setting in settings:
        cublasLt.matmul_preference_set_attribute(
            preference, attribute, ctypes.addressof(setting), ctypes.sizeof(setting)
        )
    found = np.zeros(1, cublasLt.matmul_heuristic_result_dtype)
    count = ctypes.c_int32(0)
    left, right, result = layouts
    try:
        cublasLt.matmul_algo_get_heuristic(
            _handle(gpu), description, left, right, result, result, preference,
            1, found.ctypes.data, ctypes.addressof(count),
        )  # fmt: skip
    except cublasLt.cuBLASLtError as error:
        if error.status in _NO_WAY:
            return None
        raise
    finally:
        cublasLt.matmul_preference_destroy(preference)
    return found if count.value and found["state"][0] == 0 else None


# Single numbers -------------------------------------------------------------------------------


@relu.register("cupy")
def _relu(x: Array) -> Array:
    kind = _kind(x)
    if kind is None:
        return NotImplemented
    x = _dense(x)
    y = cupy.empty(x.shape, x.dtype)
    _each("relu", kind, x.size, x, y, x.size)
    return y


@relu_backward.register("cupy")
def _relu_backward(dy: Array, y: Array) -> Array:
    kind = _kind(dy, y)
    if kind is None or dy.shape != y.shape:
        return NotImplemented
    dx = cupy.empty(y.shape, y.dtype)
    _each("relu_backward", kind, y.size, _dense(dy), _dense(y), dx, y.size)
    return dx


@rescale.register("cupy")
def _rescale(x: Array, scale: float, dtype: str) -> Array:
    if x.dtype != np.uint8 or dtype not in ("float32", "float64") or x.size >= LIMIT:
        return NotImplemented
    y = cupy.empty(x.shape, dtype)
    _each("rescale_bytes", y.dtype.char, x.size, _dense(x), y, x.size, float(scale))
    return y


# Linear ---------------------------------------------------------------------------------------


@narrowed.register("cupy")
def _narrowed(a: Array, precision: str) -> Array:
    if precision not in NARROW or a.dtype != np.float32:
        return NotImplemented
    out = cupy.empty(a.shape, NARROW[precision])
    narrow_into(a, out, precision)
    return out


@narrow_into.register("cupy")
def _narrow_into(a: Array, out: Array, precision: str) -> Any:
    if precision not in NARROW or a.dtype != np.float32 or a.size >= LIMIT:
        return NotImplemented
    if precision == "fp16":
        cupy.copyto(out, a, casting="same_kind")
    else:
        _each("to_bfloat16", "f", a.size, _dense(a), out, a.size)
    return None


@rounded.register("cupy")
def _rounded(a: Array, precision: str) -> Array:
    if precision not in NARROW:
        return NotImplemented
    if a.dtype != NARROW[precision]:
        a = narrowed(a, precision)
    if precision == "fp16":
        return a.astype(np.float32)
    return (a.astype(np.uint32) << 16).view(np.float32)


def _fit(*matrices: Array | None) -> str | None:
    """Return the dtype that a product of these computes in, or None if it is not for cuBLAS."""
    for a in matrices:
        if a is not None and not a.size:
            return None
    return _kind(*matrices)


def _suits(W: Array, x: Array, precision: str) -> bool:
    """Return whether a weight matrix, narrowed or not, may meet an activation."""
    if not W.size:
        return False
    return bool(W.dtype == x.dtype or (precision in NARROW and W.dtype == NARROW[precision]))


@linear.register("cupy")
def _linear(x: Array, W: Array, b: Array | None, precision: str = "float32") -> Array:
    if _fit(x, b) is None or not _suits(W, x, precision):
        return NotImplemented
    return _product(_operand(x, precision), _operand(W, precision), precision, bias=b)


@linear_relu.register("cupy")
def _linear_relu(x: Array, W: Array, b: Array | None, precision: str = "float32") -> Array:
    if _fit(x, b) is None or not _suits(W, x, precision):
        return NotImplemented
    y = _product(_operand(x, precision), _operand(W, precision), precision)
    return _biased(y, b, rectify=True)


@linear_backward.register("cupy")
def _linear_backward(
    x: Array, W: Array, dy: Array, dW: Array, db: Array | None, need_dx: bool,
    precision: str = "float32",
) -> Array | None:  # fmt: skip
    if _fit(x, dy, dW, db) is None or not _suits(W, x, precision):
        return NotImplemented
    dy = _dense(dy)
    if db is not None:
        _channel_sums(dy, db, len(dy), 1)
    return _products_back(x, W, dy, dW, need_dx, precision)


@linear_relu_backward.register("cupy")
def _linear_relu_backward(
    x: Array, W: Array, y: Array, dy: Array, dW: Array, db: Array | None, need_dx: bool,
    precision: str = "float32",
) -> Array | None:  # fmt: skip
    if _fit(x, y, dy, dW, db) is None or not _suits(W, x, precision):
        return NotImplemented
    if db is None:
        dz = relu_backward(dy, y)
    else:
        dz = cupy.empty(y.shape, y.dtype)
        _channel_sums(_dense(dy), db, len(dy), 1, y, dz)
    return _products_back(x, W, dz, dW, need_dx, precision)


def _products_back(
    x: Array, W: Array, dy: Array, dW: Array, need_dx: bool, precision: str
) -> Array | None:
    dy = _operand(dy, precision)
    _product(_operand(x, precision).T, dy, precision, dW)
    return _product(dy, _operand(W, precision).T, precision) if need_dx else None


NEIGHBOURS = 8
"""Channels that a block takes where they lie side by side: a sector of memory in float32."""

SHARE = 32
"""Numbers that a thread adds up; where a channel has more, several blocks take a share each."""


def _channel_sums(
    a: Array, out: Array, outer: int, inner: int, y: Array | None = None, kept: Array | None = None
) -> None:
    """Write the sums of ``a``, seen as (outer, channels, inner), over all but the channels.

    With ``y`` a number counts where y > 0, and goes to ``kept`` as it counts.
    """
    channels, kind = out.size, a.dtype.char
    width = NEIGHBOURS if inner == 1 else 1
    groups = -(-channels // width)
    shares = 1  # many groups of channels fill a GPU by themselves
    if groups <= COUNTERS:
        shares = min(-(-outer * inner // (SHARE * THREADS // width)), 64)
    sums, arrived = out, None
    if shares > 1:
        sums, arrived = cupy.empty((shares, channels), a.dtype), _arrived()
    _kernel("channel_sums", kind)(
        (groups, shares), (THREADS,),
        (a, y, kept, sums, out, arrived, outer, channels, inner),
    )  # fmt: skip


# Convolution ----------------------------------------------------------------------------------


class _Kept(NamedTuple):
    """What a convolution keeps for its backward pass."""

    columns: Array
    x_shape: tuple[int, ...]
    y: Array | None  # the output, where a ReLU made it
    winners: Array | None  # uint8, where max-pooling made it


def _convolve(
    x: Array, W: Array, b: Array | None, stride: int, pad: int,
    window: tuple[int, int, int, int] | None, rectify: bool, precision: str,
) -> tuple[Array, _Kept | list[_Kept]] | None:  # fmt: skip
    kind, (n, c, h, w), (f, _, kh, kw) = _fit(x, b), x.shape, W.shape
    oh, ow = output_sizes(x.shape, kh, kw, stride, pad)
    positions, length = n * oh * ow, c * kh * kw
    if kind is None or not _suits(W, x, precision) or max(c, f) >= CHANNELS:
        return None
    if window is not None and window[0] * window[1] > 256:
        return None
    images = (LIMIT - 1) // max(oh * ow * max(length, f), 1)  # whose columns kernels can count
    if not images:
        return None
    if n > images:
        parts = [x[first : first + images] for first in range(0, n, images)]
        made = [_convolve(part, W, b, stride, pad, window, rectify, precision) for part in parts]
        ys, kept = zip(*made, strict=True)
        return cupy.concatenate(ys), list(kept)
    cells = _operand(x, precision)
    columns = cupy.empty((length, positions), cells.dtype)
    _each_place(
        "im2col" if cells.dtype == x.dtype else "im2col_narrow", kind, (cells, columns),
        n, c, oh, ow, h, w, kh, kw, stride, pad,
    )  # fmt: skip
    z = _product(_operand(W, precision).reshape(f, length), columns, precision)
    if window is None:
        y = cupy.empty((n, f, oh, ow), x.dtype)
        _each_place("responses_to_images", kind, (z, b, y), n, f, 1, oh * ow, int(rectify))
        return y, _Kept(columns, x.shape, y if rectify else None, None)
    rows, cols = output_sizes((oh, ow), *window)
    y = cupy.empty((n, f, rows, cols), x.dtype)
    winners = cupy.empty(y.shape, np.uint8)
    _each_place(
        "responses_to_pooled", kind, (z, b, y, winners), n, f, rows, cols, oh, ow, *window
    )  # fmt: skip
    return y, _Kept(columns, x.shape, y, winners)


@conv2d.register("cupy")
def _conv2d(
    x: Array, W: Array, b: Array | None, stride: int, pad: int, precision: str = "float32"
) -> tuple[Array, Any]:
    return _convolve(x, W, b, stride, pad, None, False, precision) or NotImplemented


@conv_relu_pool.register("cupy")
def _conv_relu_pool(
    x: Array, W: Array, b: Array | None, stride: int, pad: int,
    window: tuple[int, int, int, int] | None, precision: str = "float32",
) -> tuple[Array, Any]:  # fmt: skip
    return _convolve(x, W, b, stride, pad, window, True, precision) or NotImplemented


@conv2d_backward.register("cupy")
def _conv2d_backward(
    dy: Array, kept: Any, W: Array, dW: Array, db: Array | None, stride: int, pad: int,
    need_dx: bool, precision: str = "float32",
) -> Array | None:  # fmt: skip
    return _convolve_back(dy, kept, W, dW, db, stride, pad, None, need_dx, precision)


@conv_relu_pool_backward.register("cupy")
def _conv_relu_pool_backward(
    dy: Array, kept: Any, W: Array, dW: Array, db: Array | None, stride: int, pad: int,
    window: tuple[int, int, int, int] | None, need_dx: bool, precision: str = "float32",
) -> Array | None:  # fmt: skip
    return _convolve_back(dy, kept, W, dW, db, stride, pad, window, need_dx, precision)


def _convolve_back(
    dy: Array, kept: Any, W: Array, dW: Array, db: Array | None, stride: int, pad: int,
    window: tuple[int, int, int, int] | None, need_dx: bool, precision: str,
) -> Array | None:  # fmt: skip
    if isinstance(kept, list):
        return _convolve_back_in_parts(dy, kept, W, dW, db, stride, pad, window, need_dx, precision)
    if not isinstance(kept, _Kept):
        return NotImplemented
    columns, (n, c, h, w), y, winners = kept
    f, _, kh, kw = W.shape
    oh, ow = output_sizes((h, w), kh, kw, stride, pad)
    kind, dy = dW.dtype.char, _dense(dy)
    dz = cupy.empty((f, columns.shape[1]), dW.dtype)
    if window is None:
        _each_place("images_to_responses", kind, (dy, y, dz), n, f, 1, oh * ow)
    else:
        tile, tiles = _tiles(oh, ow, *window)
        _each_place(
            "pooled_to_responses", kind, (dy, y, winners, dz), n, f, *tiles, oh, ow,
            *dy.shape[2:], *window, tile,
        )  # fmt: skip
    if db is not None:
        _channel_sums(dz, db, 1, dz.shape[1])
    dz = _operand(dz, precision)
    _product(dz, columns.T, precision, dW.reshape(f, -1))
    if not need_dx:
        return None
    slopes = _product(_operand(W, precision).reshape(f, -1).T, dz, precision)
    dx = cupy.empty((n, c, h, w), dW.dtype)
    _each_place("col2im", kind, (slopes, dx), n, c, h, w, oh, ow, kh, kw, stride, pad)
    return dx


def _convolve_back_in_parts(
    dy: Array, kept: list[_Kept], W: Array, dW: Array, db: Array | None, *args: Any
) -> Array | None:
    """Add the parts' gradients up in the batch's order."""
    dxs, end = [], 0
    for number, part in enumerate(kept):
        start, end = end, end + part.x_shape[0]
        own_dW = dW if number == 0 else cupy.empty_like(dW)
        own_db = db if number == 0 or db is None else cupy.empty_like(db)
        dxs.append(_convolve_back(dy[start:end], part, W, own_dW, own_db, *args))
        if number:
            dW += own_dW
            if db is not None:
                db += own_db
    return None if dxs[0] is None else cupy.concatenate(dxs)


# Pooling --------------------------------------------------------------------------------------


def _tiles(h: int, w: int, kh: int, kw: int, stride: int, pad: int) -> tuple[int, tuple[int, int]]:
    """Return how a kernel shares out a map on the way back through pooling.

    Returns
    -------
    tile : int
        A thread has so many rows and columns of pixels: one, or, where windows stand side by
        side, a window's.
    tiles : (rows, columns)
    """
    tile = stride if kh == kw == stride and pad == 0 else 1
    return tile, (-(-h // tile), -(-w // tile))


@max_pool2d.register("cupy")
def _max_pool2d(x: Array, kh: int, kw: int, stride: int, pad: int) -> tuple[Array, Any]:
    kind, (n, c, h, w) = _kind(x), x.shape
    if kind is None or kh * kw > 256 or c >= CHANNELS:
        return NotImplemented  # type: ignore[no-any-return]
    oh, ow = output_sizes(x.shape, kh, kw, stride, pad)
    if n * c * oh * ow >= LIMIT:
        return NotImplemented  # type: ignore[no-any-return]
    y, winners = cupy.empty((n, c, oh, ow), x.dtype), cupy.empty((n, c, oh, ow), np.uint8)
    window = h, w, kh, kw, stride, pad
    _each_place("max_pool", kind, (_dense(x), y, winners), n, c, oh, ow, *window)
    return y, (winners, x.shape)


@max_pool2d_backward.register("cupy")
def _max_pool2d_backward(dy: Array, kept: Any, kh: int, kw: int, stride: int, pad: int) -> Array:
    winners, (n, c, h, w) = kept
    kind = _kind(dy)
    if kind is None or winners.dtype != np.uint8:
        return NotImplemented
    dx = cupy.empty((n, c, h, w), dy.dtype)
    tile, tiles = _tiles(h, w, kh, kw, stride, pad)
    window = h, w, *dy.shape[2:], kh, kw, stride, pad, tile
    _each_place("max_pool_backward", kind, (_dense(dy), winners, dx), n, c, *tiles, *window)
    return dx


@avg_pool2d.register("cupy")
def _avg_pool2d(x: Array, kh: int, kw: int, stride: int, pad: int) -> Array:
    kind, (n, c, h, w) = _kind(x), x.shape
    if kind is None or c >= CHANNELS:
        return NotImplemented
    oh, ow = output_sizes(x.shape, kh, kw, stride, pad)
    if n * c * oh * ow >= LIMIT:
        return NotImplemented
    y = cupy.empty((n, c, oh, ow), x.dtype)
    window = h, w, kh, kw, stride, pad, 1 / (kh * kw)
    _each_place("avg_pool", kind, (_dense(x), y), n, c, oh, ow, *window)
    return y


@avg_pool2d_backward.register("cupy")
def _avg_pool2d_backward(
    dy: Array, x_shape: tuple[int, ...], kh: int, kw: int, stride: int, pad: int
) -> Array:
    kind, (n, c, h, w) = _kind(dy), x_shape
    if kind is None or math.prod(x_shape) >= LIMIT or c >= CHANNELS:
        return NotImplemented
    dx = cupy.empty((n, c, h, w), dy.dtype)
    tile, tiles = _tiles(h, w, kh, kw, stride, pad)
    window = h, w, *dy.shape[2:], kh, kw, stride, pad, tile, 1 / (kh * kw)
    _each_place("avg_pool_backward", kind, (_dense(dy), dx), n, c, *tiles, *window)
    return dx


# Normalisation --------------------------------------------------------------------------------


def _spans(x: Array) -> tuple[int, int, int]:
    """Return a batch's (outer, channels, inner)."""
    return x.shape[0], x.shape[1], math.prod(x.shape[2:])


def _channel_blocks(outer: int, channels: int, inner: int) -> tuple[tuple[int], tuple[int]]:
    """Return grid and block for kernels in which a block sees all numbers of its channels."""
    width = NEIGHBOURS if inner == 1 else 1
    threads = THREADS if width * outer * inner <= 8 * THREADS else 1024
    return (-(-channels // width),), (threads,)


@batch_norm.register("cupy")
def _batch_norm(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, momentum: float, eps: float
) -> tuple[Array, Any]:
    kind = _fit(x, gamma, beta, mean, var)
    if kind is None:
        return NotImplemented  # type: ignore[no-any-return]
    x, spans = _dense(x), _spans(x)
    y, x_hat, scales = cupy.empty_like(x), cupy.empty_like(x), cupy.empty_like(gamma)
    _kernel("batch_norm", kind)(
        *_channel_blocks(*spans),
        (x, gamma, beta, mean, var, y, x_hat, scales, *spans, float(momentum), float(eps)),
    )  # fmt: skip
    return y, (x_hat, scales)


@batch_norm_backward.register("cupy")
def _batch_norm_backward(
    dy: Array, kept: Any, gamma: Array, dgamma: Array, dbeta: Array, need_dx: bool
) -> Array | None:
    x_hat, scales = kept
    kind = _fit(dy, x_hat, gamma, dgamma, dbeta)
    if kind is None:
        return NotImplemented
    spans = _spans(dy)
    dx = cupy.empty(dy.shape, dy.dtype) if need_dx else None
    _kernel("batch_norm_backward", kind)(
        *_channel_blocks(*spans),
        (_dense(dy), x_hat, scales, gamma, dgamma, dbeta, dx, *spans),
    )  # fmt: skip
    return dx


# Losses and the frame of a step ---------------------------------------------------------------

ROWS_OF_ONE_BLOCK = 256
"""Samples whose losses one block adds up; more are spread over several."""


@softmax_cross_entropy.register("cupy")
def _softmax_cross_entropy(
    scores: Array, targets: Array, weights: Array | None, smoothing: float
) -> tuple[Array, Array]:
    kind, (n, k) = _fit(scores), scores.shape
    if kind is None or k == 1 or targets.ndim != 1 or targets.dtype != np.int64:
        return NotImplemented  # type: ignore[no-any-return]
    if weights is not None:
        return NotImplemented  # type: ignore[no-any-return]
    dscores, loss = cupy.empty((n, k), scores.dtype), cupy.empty((), scores.dtype)
    blocks = 1 if n <= ROWS_OF_ONE_BLOCK else min(-(-n // 32), 1024)  # a row to each warp
    losses, arrived = loss, None
    if blocks > 1:
        losses, arrived = cupy.empty(blocks, scores.dtype), _arrived()
    least = smallest_kept(cupy, scores.dtype)
    _kernel("softmax_cross_entropy", kind)(
        (blocks,), (1024,),
        (_dense(scores), _dense(targets), dscores, losses, loss, arrived, n, k, float(smoothing),
         1 / n, least),
    )  # fmt: skip
    return loss, dscores


@take.register("cupy")
def _take(
    x: Array, t: Array, order: Array | None, first: int | Array, n: int, scale: float | None,
    dtype: str,
) -> tuple[Array, Array]:  # fmt: skip
    length = math.prod(x.shape[1:])
    if isinstance(first, int):
        n = max(0, min(n, len(x) - first))
        where = order, None, first, n
    else:
        where = order, first, 0, n
    if n * max(length * x.itemsize, math.prod(t.shape[1:]) * t.itemsize) >= LIMIT:
        return NotImplemented  # type: ignore[no-any-return]
    scaled = scale is not None
    real = dtype if scaled else str(x.dtype)
    if real not in ("float32", "float64") or x.dtype.char not in ("B", np.dtype(real).char):
        x = _rows(x, *where)
        return rescale(x, scale, dtype) if scaled else x, _rows(t, *where)
    labelled = t.ndim == 1 and t.dtype == np.int64
    y = cupy.empty((n, *x.shape[1:]), real)
    targets = cupy.empty(n, np.int64) if labelled else _rows(t, *where)
    _each(
        "take_bytes" if x.dtype == np.uint8 else "take_reals", y.dtype.char, y.size, _dense(x),
        _dense(t) if labelled else None, *where, length, 1.0 if scale is None else float(scale), y,
        targets if labelled else None,
    )  # fmt: skip
    return y, targets


def _rows(a: Array, order: Array | None, record: Array | None, first: int, n: int) -> Array:
    """Return rows of an array of any dtype."""
    out = cupy.empty((n, *a.shape[1:]), a.dtype)
    length = a.itemsize * math.prod(a.shape[1:])
    _each("take_rows", "f", n * length, _dense(a), order, record, first, n, length, out)
    return out


@tally.register("cupy")
def _tally(record: Array, scores: Array, targets: Array, loss: Array, classes: bool) -> Any:
    kind = _fit(scores, loss)
    labelled = targets.ndim == 1 and targets.dtype == np.int64
    if kind is None or scores.ndim != 2 or (classes and not labelled):
        return NotImplemented
    labels = _dense(targets) if classes and has_classes(scores, targets) else None
    _kernel("tally", kind)((1,), (1024,), (_dense(scores), labels, loss, record, *scores.shape))
    return None


# Dropout --------------------------------------------------------------------------------------


@dropout.register("cupy")
def _dropout(x: Array, key: int, counter: Array, rate: float, scale: float) -> tuple[Array, Array]:
    kind = _kind(x)
    if kind is None:
        return NotImplemented  # type: ignore[no-any-return]
    x = _dense(x)
    y, mask = cupy.empty_like(x), cupy.empty_like(x)
    keys = (_signed(key % 2**64), _signed(key >> 64))
    blocks = max(1, -(-x.size // (8 * THREADS)))  # a thread draws eight numbers
    arrived = _arrived() if blocks > 1 else None
    _kernel("dropout", kind)(
        (blocks,), (THREADS,),
        (x, y, mask, counter, arrived, *keys, x.size, float(rate), float(scale)),
    )  # fmt: skip
    return y, mask


def _signed(word: int) -> int:
    """Return the whole number whose 64 bits, read with a sign, are those of a word."""
    return word - 2**64 if word >= 2**63 else word


# Update rules ---------------------------------------------------------------------------------


def _updates(p: Array, *others: Array) -> str | None:
    """Return the dtype of arrays that a kernel can update side by side, or None."""
    if all(a.flags.c_contiguous and a.shape == p.shape for a in (p, *others)):
        return _kind(p, *others)
    return None


def _arguments(scalars: Scalars | DeviceScalars) -> tuple[Any, ...] | None:
    """Return scalars as a kernel's arguments: by value, or by table; None if it has others."""
    if isinstance(scalars, Scalars):
        return (*scalars.row, None, None)
    return (0.0, 0.0, 0.0, 0.0, scalars.rows, scalars.record) if scalars.known else None


@sgd.register("cupy")
def _sgd(p: Array, g: Array, scalars: Scalars | DeviceScalars, decay: float) -> Any:
    kind, given = _updates(p, g), _arguments(scalars)
    if kind is None or given is None:
        return NotImplemented
    _each("sgd", kind, p.size, p, g, p.size, *given, float(decay))
    return None


@momentum.register("cupy")
def _momentum(
    p: Array, g: Array, v: Array, scalars: Scalars | DeviceScalars, decay: float, mu: float,
    nesterov: bool,
) -> Any:  # fmt: skip
    kind, given = _updates(p, g, v), _arguments(scalars)
    if kind is None or given is None:
        return NotImplemented
    _each(
        "momentum", kind, p.size, p, g, v, p.size, *given, float(mu), float(decay), int(nesterov),
        smallest_kept(cupy, p.dtype),
    )  # fmt: skip
    return None


@adagrad.register("cupy")
def _adagrad(
    p: Array, g: Array, h: Array, scalars: Scalars | DeviceScalars, decay: float, eps: float
) -> Any:
    kind, given = _updates(p, g, h), _arguments(scalars)
    if kind is None or given is None:
        return NotImplemented
    rest = 1.0, 1.0, float(eps), float(decay), 0.0
    _each("rmsprop", kind, p.size, p, g, h, p.size, *given, *rest)
    return None


@rmsprop.register("cupy")
def _rmsprop(
    p: Array, g: Array, h: Array, scalars: Scalars | DeviceScalars, decay: float, alpha: float,
    eps: float,
) -> Any:  # fmt: skip
    kind, given = _updates(p, g, h), _arguments(scalars)
    if kind is None or given is None:
        return NotImplemented
    rest = *map(float, (alpha, 1 - alpha, eps, decay)), smallest_square(cupy, p.dtype)
    _each("rmsprop", kind, p.size, p, g, h, p.size, *given, *rest)
    return None


@adam.register("cupy")
def _adam(
    p: Array, g: Array, m: Array, v: Array, scalars: Scalars | DeviceScalars, decay: float,
    beta1: float, beta2: float, eps: float, decoupled: bool,
) -> Any:  # fmt: skip
    kind, given = _updates(p, g, m, v), _arguments(scalars)
    if kind is None or given is None:
        return NotImplemented
    _each(
        "adam", kind, p.size, p, g, m, v, p.size, *given,
        *map(float, (beta1, beta2, eps, decay)), int(decoupled),
        smallest_kept(cupy, p.dtype), smallest_square(cupy, p.dtype),
    )  # fmt: skip
    return None
