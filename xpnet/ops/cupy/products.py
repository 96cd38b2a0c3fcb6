"""Matrix products.

Every one is of two-dimensional arrays and goes to cuBLASLt by nvmath-python, which adds a bias on
the way and can be recorded; without nvmath-python it goes to cuBLAS by CuPy, which cannot.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, NamedTuple

import cupy
import numpy as np

from xpnet.arrays import Array
from xpnet.ops.cupy import launch
from xpnet.ops.cupy.cublaslt import bindings, failure
from xpnet.ops.precision import narrowed, rounded

try:
    cublas, cublasLt = bindings()  # noqa: N816 - as the modules are called
except Exception as error:
    cublas = cublasLt = None  # noqa: N816
    _failure = failure(error)

WORKSPACE = 32 * 2**20
"""Bytes that a product may ask for: what cuBLAS itself takes on its newest processors."""

_NUMBERS = {"f": 0, "d": 1, "e": 2, "H": 14}
"""CUDA's names of dtypes (cudaDataType), by NumPy's character; H holds the bits of bfloat16."""

NARROW = {"bf16": np.dtype(np.uint16), "fp16": np.dtype(np.float16)}
"""The dtypes of operands that are narrowed in memory; TF32 is narrowed on the way."""


_NO_WAY = (7, 15)
"""What cuBLASLt answers for a product that it does not know: invalid value, not supported."""


def no_products() -> str | None:
    """Return why products can be neither recorded nor narrow; None if they can."""
    if cublasLt is None:
        return (
            f"this takes matrix products through nvmath-python, which does not work here {_failure}"
        )
    return None


class Plan(NamedTuple):
    """A product as cuBLASLt computes it: descriptors, and the algorithm it thinks best."""

    description: int
    layouts: tuple[int, int, int]
    algorithm: int  # addresses on the host, of what is held
    one: int
    zero: int
    workspace: int  # bytes
    held: Any


def product(
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
        if _by_cublaslt(a, b, precision, out, bias):
            return out
        if bias is not None and _by_cublaslt(a, b, precision, out, None):
            return biased(out, bias)
    if precision != "float32":  # no way for these shapes: the same numbers, in float32
        if precision in NARROW:
            a, b = rounded(a, precision), rounded(b, precision)
        return product(a, b, "float32", out, bias)
    cupy.matmul(a, b, out=out)
    return out if bias is None else biased(out, bias)


def suits(operand: Array, other: Array, precision: str) -> bool:
    """Return whether an operand, narrowed or not, may meet another, which is not."""
    if not operand.size:
        return False
    narrow = precision in NARROW and operand.dtype == NARROW[precision]
    return bool(narrow or operand.dtype == other.dtype)


def biased(y: Array, bias: Array | None, rectify: bool = False) -> Array:
    """Add a bias to each row of y, in place, and cut what is below 0 if it shall be rectified."""
    units = y.shape[1]
    launch.each("add_bias", y.dtype.char, y.size, y, bias, y.size, units, int(rectify))
    return y


def operand(a: Array, precision: str) -> Array:
    """Return a matrix as a product takes it: contiguous, and as narrow as the precision."""
    a = launch.dense(a)
    return narrowed(a, precision) if precision in NARROW and a.dtype != NARROW[precision] else a


def _by_cublaslt(a: Array, b: Array, precision: str, out: Array, bias: Array | None) -> bool:
    """Let cuBLASLt compute a product; return False if it has no algorithm for it."""
    gpu = cupy.cuda.runtime.getDevice()
    pointers = a.data.ptr, b.data.ptr, out.data.ptr
    together = pointers[0] | pointers[1] | pointers[2]
    added = 0 if bias is None else bias.data.ptr
    way = plan(
        gpu, a.dtype.char, precision, a.shape[0], *b.shape, _stored(a), _stored(b),
        min(together & -together, 256), added,
    )  # fmt: skip
    if way is None:
        return False
    space = cupy.cuda.alloc(way.workspace) if way.workspace else None
    # cuBLAS counts by columns, and sees every array transposed: out^T = b^T a^T
    left, right, result = way.layouts
    try:
        cublasLt.matmul(
            _handle(gpu), way.description, way.one, pointers[1], left, pointers[0], right,
            way.zero, pointers[2], result, pointers[2], result, way.algorithm,
            0 if space is None else space.ptr, way.workspace,
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
def plan(
    gpu: int, kind: str, precision: str, m: int, k: int, n: int,
    a: tuple[bool, int], b: tuple[bool, int], aligned: int, bias: int,
) -> Plan | None:  # fmt: skip
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
    return Plan(description, layouts, at, at_one, at_zero, space, (algorithm, one, zero))


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
