"""The module ``nvmath.bindings.cublasLt`` as far as column-major products of matrices need it.

Attributes, sizes, leading dimensions, pointers and what an algorithm was chosen for are checked;
whatever is not emulated raises.
"""

from __future__ import annotations

import ctypes
import enum
import hashlib
import importlib.machinery
import itertools
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from . import state
from .memory import Block, bytes_at
from .state import EmulationError

__all__ = ["modules"]


class CudaDataType(enum.IntEnum):
    """The kinds of numbers."""

    CUDA_R_32F = 0
    CUDA_R_64F = 1
    CUDA_R_16F = 2
    CUDA_R_16BF = 14


class ComputeType(enum.IntEnum):
    """What is summed in."""

    COMPUTE_16F = 64
    COMPUTE_32F = 68
    COMPUTE_32F_PEDANTIC = 69
    COMPUTE_64F = 70
    COMPUTE_64F_PEDANTIC = 71
    COMPUTE_32F_FAST_16F = 74
    COMPUTE_32F_FAST_16BF = 75
    COMPUTE_32F_FAST_TF32 = 77


class Operation(enum.IntEnum):
    """What is done to a factor first."""

    N = 0
    T = 1
    C = 2


class Status(enum.IntEnum):
    """What functions answer."""

    SUCCESS = 0
    NOT_INITIALIZED = 1
    ALLOC_FAILED = 3
    INVALID_VALUE = 7
    ARCH_MISMATCH = 8
    MAPPING_ERROR = 11
    EXECUTION_FAILED = 13
    INTERNAL_ERROR = 14
    NOT_SUPPORTED = 15
    LICENSE_ERROR = 16


class Epilogue(enum.IntEnum):
    """What is done to a product."""

    DEFAULT = 1
    RELU = 2
    BIAS = 4
    RELU_BIAS = 6
    GELU = 32
    GELU_BIAS = 36
    RELU_AUX = 130
    RELU_AUX_BIAS = 134
    DRELU = 136
    DRELU_BGRAD = 152
    BGRADA = 256
    BGRADB = 512


class MatmulDescAttribute(enum.IntEnum):
    """What a product can be told."""

    COMPUTE_TYPE = 0
    SCALE_TYPE = 1
    POINTER_MODE = 2
    TRANSA = 3
    TRANSB = 4
    TRANSC = 5
    FILL_MODE = 6
    EPILOGUE = 7
    BIAS_POINTER = 8
    BIAS_BATCH_STRIDE = 10
    EPILOGUE_AUX_POINTER = 11
    EPILOGUE_AUX_LD = 12
    SM_COUNT_TARGET = 15
    BIAS_DATA_TYPE = 26


class MatmulPreferenceAttribute(enum.IntEnum):
    """What an algorithm must do with."""

    SEARCH_MODE = 0
    MAX_WORKSPACE_BYTES = 1
    REDUCTION_SCHEME_MASK = 3
    MIN_ALIGNMENT_A_BYTES = 5
    MIN_ALIGNMENT_B_BYTES = 6
    MIN_ALIGNMENT_C_BYTES = 7
    MIN_ALIGNMENT_D_BYTES = 8
    MAX_WAVES_COUNT = 9
    IMPL_MASK = 12


class MatrixLayoutAttribute(enum.IntEnum):
    """What a matrix can be told."""

    TYPE = 0
    ORDER = 1
    ROWS = 2
    COLS = 3
    LD = 4
    BATCH_COUNT = 5
    STRIDED_BATCH_OFFSET = 6


class Order(enum.IntEnum):
    """How a matrix lies in memory."""

    COL = 0
    ROW = 1


class PointerMode(enum.IntEnum):
    """Where alpha and beta lie."""

    HOST = 0
    DEVICE = 1


class cuBLASLtError(Exception):  # noqa: N801
    """A status other than success; ``why`` is the emulator's own addition."""

    def __init__(self, status: int, why: str = "") -> None:
        self.status = int(status)
        name = f"CUBLAS_STATUS_{Status(status).name}"
        super().__init__(f"{name} ({status})" + (f": {why}" if why else ""))


def _refuse(why: str, status: Status = Status.INVALID_VALUE) -> cuBLASLtError:
    return cuBLASLtError(status, why)


_DTYPES = {
    CudaDataType.CUDA_R_32F: np.dtype(np.float32),
    CudaDataType.CUDA_R_64F: np.dtype(np.float64),
    CudaDataType.CUDA_R_16F: np.dtype(np.float16),
    CudaDataType.CUDA_R_16BF: np.dtype(np.uint16),
}
_SINGLE = {
    ComputeType.COMPUTE_32F, ComputeType.COMPUTE_32F_PEDANTIC, ComputeType.COMPUTE_32F_FAST_TF32,
    ComputeType.COMPUTE_32F_FAST_16F, ComputeType.COMPUTE_32F_FAST_16BF,
}  # fmt: skip
_DOUBLE = {ComputeType.COMPUTE_64F, ComputeType.COMPUTE_64F_PEDANTIC}
_HALVES = {CudaDataType.CUDA_R_16F, CudaDataType.CUDA_R_16BF}
_EPILOGUES = {Epilogue.DEFAULT, Epilogue.RELU, Epilogue.BIAS, Epilogue.RELU_BIAS}
_DESC_DTYPES = {
    MatmulDescAttribute.POINTER_MODE: np.int32,
    MatmulDescAttribute.TRANSA: np.int32,
    MatmulDescAttribute.TRANSB: np.int32,
    MatmulDescAttribute.EPILOGUE: np.uint32,
    MatmulDescAttribute.BIAS_POINTER: np.int64,
    MatmulDescAttribute.BIAS_DATA_TYPE: np.int32,
}
_PREFERENCE_DTYPES = {
    MatmulPreferenceAttribute.SEARCH_MODE: np.uint32,
    MatmulPreferenceAttribute.MAX_WORKSPACE_BYTES: np.uint64,
    MatmulPreferenceAttribute.REDUCTION_SCHEME_MASK: np.uint32,
    MatmulPreferenceAttribute.MIN_ALIGNMENT_A_BYTES: np.uint32,
    MatmulPreferenceAttribute.MIN_ALIGNMENT_B_BYTES: np.uint32,
    MatmulPreferenceAttribute.MIN_ALIGNMENT_C_BYTES: np.uint32,
    MatmulPreferenceAttribute.MIN_ALIGNMENT_D_BYTES: np.uint32,
}
_ALIGNMENTS = [MatmulPreferenceAttribute[f"MIN_ALIGNMENT_{name}_BYTES"] for name in "ABCD"]


@dataclass
class _Handle:
    device: int


@dataclass
class _Desc:
    compute: ComputeType
    scale: CudaDataType
    attributes: dict[MatmulDescAttribute, int] = field(default_factory=dict)

    def get(self, attribute: MatmulDescAttribute, otherwise: int) -> int:
        return self.attributes.get(attribute, otherwise)

    @property
    def epilogue(self) -> Epilogue:
        return Epilogue(self.get(MatmulDescAttribute.EPILOGUE, Epilogue.DEFAULT))


@dataclass(frozen=True)
class _Layout:
    kind: CudaDataType
    rows: int
    cols: int
    ld: int

    @property
    def dtype(self) -> np.dtype:
        return _DTYPES[self.kind]

    def at(self, pointer: int, what: str) -> tuple[Block, np.ndarray]:
        """Return the matrix at a raw pointer as a view, and the block it is in."""
        if pointer % self.dtype.itemsize:
            raise _refuse(f"{what}: {pointer:#x} is no address of {self.dtype}")
        count = self.ld * (self.cols - 1) + self.rows
        block, raw = bytes_at(pointer, count * self.dtype.itemsize, f"cublasLt.matmul: {what}")
        step = self.dtype.itemsize
        return block, np.ndarray(
            (self.rows, self.cols), self.dtype, raw, strides=(step, step * self.ld)
        )


@dataclass
class _Preference:
    attributes: dict[MatmulPreferenceAttribute, int] = field(default_factory=dict)


_objects: dict[int, Any] = {}
_numbers = itertools.count(0x7000, 0x10)


def _add(made: Any) -> int:
    number = next(_numbers)
    _objects[number] = made
    return number


def _find(number: int, kind: type) -> Any:
    found = _objects.get(number)
    if not isinstance(found, kind):
        raise _refuse(f"{number:#x} is no {kind.__name__.strip('_').lower()}")
    return found


def _remove(number: int, kind: type) -> None:
    _find(number, kind)
    del _objects[number]


def _read(buffer: int, size: int, dtype: Any, what: str) -> int:
    """Return an attribute's value from host memory."""
    if size != np.dtype(dtype).itemsize:
        raise _refuse(f"{what} has {np.dtype(dtype).itemsize} bytes, not {size}")
    return int(np.frombuffer(ctypes.string_at(buffer, size), dtype)[0])


# What the module offers


def create() -> int:
    """Return a new handle of the current device."""
    state.refuse_in_capture("cublasLt.create", anywhere=True)
    return _add(_Handle(state.current_device()))


def destroy(light_handle: int) -> None:
    """End a handle."""
    state.refuse_in_capture("cublasLt.destroy", anywhere=True)
    _remove(light_handle, _Handle)


def get_version() -> int:
    """Return the version."""
    return 130000


def matmul_desc_create(compute_type: int, scale_type: int) -> int:
    """Return a new description of a product."""
    compute, scale = ComputeType(compute_type), CudaDataType(scale_type)
    wanted = CudaDataType.CUDA_R_64F if compute in _DOUBLE else CudaDataType.CUDA_R_32F
    if compute not in _SINGLE | _DOUBLE:
        raise NotImplementedError(f"{compute.name} is not emulated")
    if scale != wanted:
        raise _refuse(f"{compute.name} goes with the scale type {wanted.name}, not {scale.name}")
    return _add(_Desc(compute, scale))


def matmul_desc_destroy(matmul_desc: int) -> None:
    """End a description."""
    _remove(matmul_desc, _Desc)


def get_matmul_desc_attribute_dtype(attr: int) -> Any:
    """Return the dtype of an attribute's value."""
    if attr not in _DESC_DTYPES:
        raise NotImplementedError(f"{MatmulDescAttribute(attr)!r} is not emulated")
    return _DESC_DTYPES[MatmulDescAttribute(attr)]


def matmul_desc_set_attribute(matmul_desc: int, attr: int, buf: int, size_in_bytes: int) -> None:
    """Set an attribute of a product."""
    desc, attribute = _find(matmul_desc, _Desc), MatmulDescAttribute(attr)
    dtype = get_matmul_desc_attribute_dtype(attribute)
    value = _read(buf, size_in_bytes, dtype, attribute.name)
    if attribute in (MatmulDescAttribute.TRANSA, MatmulDescAttribute.TRANSB):
        Operation(value)
    if attribute is MatmulDescAttribute.EPILOGUE and value not in _EPILOGUES:
        raise NotImplementedError(f"{Epilogue(value)!r} is not emulated")
    if attribute is MatmulDescAttribute.POINTER_MODE and value != PointerMode.HOST:
        raise NotImplementedError("alpha and beta on the device are not emulated")
    desc.attributes[attribute] = value


def matrix_layout_create(type: int, rows: int, cols: int, ld: int) -> int:
    """Return a new description of a column-major matrix."""
    kind = CudaDataType(type)
    if rows < 1 or cols < 1 or ld < rows:
        raise _refuse(f"a matrix of {rows} x {cols}, leading dimension {ld}")
    return _add(_Layout(kind, rows, cols, ld))


def matrix_layout_destroy(mat_layout: int) -> None:
    """End a description."""
    _remove(mat_layout, _Layout)


def matmul_preference_create() -> int:
    """Return new wishes for an algorithm."""
    return _add(_Preference())


def matmul_preference_destroy(pref: int) -> None:
    """End wishes."""
    _remove(pref, _Preference)


def get_matmul_preference_attribute_dtype(attr: int) -> Any:
    """Return the dtype of an attribute's value."""
    if attr not in _PREFERENCE_DTYPES:
        raise NotImplementedError(f"{MatmulPreferenceAttribute(attr)!r} is not emulated")
    return _PREFERENCE_DTYPES[MatmulPreferenceAttribute(attr)]


def matmul_preference_set_attribute(pref: int, attr: int, buf: int, size_in_bytes: int) -> None:
    """Set an attribute of an algorithm."""
    preference, attribute = _find(pref, _Preference), MatmulPreferenceAttribute(attr)
    dtype = get_matmul_preference_attribute_dtype(attribute)
    preference.attributes[attribute] = _read(buf, size_in_bytes, dtype, attribute.name)


matmul_algo_dtype = np.dtype([("data_", np.uint64, (8,))])
matmul_heuristic_result_dtype = np.dtype(
    [
        ("algo", matmul_algo_dtype),
        ("workspace_size", np.uint64),
        ("state", np.int32),
        ("waves_count", np.float32),
        ("reserved", np.int32, (4,)),
    ]
)


class _Records:
    """An array of C structs."""

    dtype: ClassVar[np.dtype]

    def __init__(self, size: int = 1) -> None:
        self._data = np.frombuffer(b"\xab" * (size * self.dtype.itemsize), self.dtype).copy()

    @property
    def ptr(self) -> int:
        """The address."""
        return self._data.ctypes.data

    def __int__(self) -> int:
        return self.ptr

    def __len__(self) -> int:
        return self._data.size

    def __getitem__(self, index: int) -> Any:
        made = object.__new__(type(self))
        made._data = self._data[index : index + 1]
        return made


class MatmulAlgo(_Records):
    """Algorithms."""

    dtype = matmul_algo_dtype

    data_ = property(lambda self: self._data["data_"])


class MatmulHeuristicResult(_Records):
    """What ``matmul_algo_get_heuristic`` finds."""

    dtype = matmul_heuristic_result_dtype

    def _field(self, name: str) -> Any:
        values = self._data[name]
        return values[0].item() if values.size == 1 else values

    workspace_size = property(lambda self: self._field("workspace_size"))
    state = property(lambda self: self._field("state"))
    waves_count = property(lambda self: self._field("waves_count"))
    algo = property(lambda self: self._data["algo"].view(np.recarray))


def _problem(desc: _Desc, layouts: list[_Layout]) -> tuple[int, int, int]:
    """Return m, n, k of a product that can be, or raise."""
    a, b, c, d = layouts
    halves = {a.kind, b.kind} <= _HALVES and a.kind == b.kind
    if desc.compute in _DOUBLE:
        fits = {one.kind for one in layouts} == {CudaDataType.CUDA_R_64F}
    elif halves:
        fits = c.kind == d.kind and c.kind in (a.kind, CudaDataType.CUDA_R_32F)
    else:
        fits = {one.kind for one in layouts} == {CudaDataType.CUDA_R_32F}
    if not fits:
        kinds = ", ".join(one.kind.name for one in layouts)
        raise _refuse(f"{desc.compute.name} of {kinds}", Status.NOT_SUPPORTED)
    m, k = (a.rows, a.cols) if not desc.get(MatmulDescAttribute.TRANSA, 0) else (a.cols, a.rows)
    kb, n = (b.rows, b.cols) if not desc.get(MatmulDescAttribute.TRANSB, 0) else (b.cols, b.rows)
    if k != kb or any((one.rows, one.cols) != (m, n) for one in (c, d)):
        raise _refuse(
            f"op(A) is {m} x {k}, op(B) {kb} x {n}, C {c.rows} x {c.cols}, D {d.rows} x {d.cols}"
        )
    return m, n, k


def _signature(desc: _Desc, layouts: list[_Layout]) -> bytes:
    """Return what an algorithm is good for, in 24 bytes."""
    told = {k: v for k, v in desc.attributes.items() if k is not MatmulDescAttribute.BIAS_POINTER}
    text = repr((desc.compute, desc.scale, sorted(told.items()), layouts))
    return hashlib.sha256(text.encode()).digest()[:24]


def matmul_algo_get_heuristic(
    light_handle: int, operation_desc: int, adesc: int, bdesc: int, cdesc: int, ddesc: int,
    preference: int, requested_algo_count: int, heuristic_results_array: int,
    return_algo_count: int,
) -> None:  # fmt: skip
    """Find one algorithm: it bears what it was found for, and the alignments that it counts on."""
    _find(light_handle, _Handle)
    desc = _find(operation_desc, _Desc)
    layouts = [_find(number, _Layout) for number in (adesc, bdesc, cdesc, ddesc)]
    wishes = _find(preference, _Preference).attributes
    _problem(desc, layouts)
    if requested_algo_count < 1:
        raise _refuse("no algorithm was asked for")
    result = np.zeros(1, matmul_heuristic_result_dtype)
    words = result["algo"]["data_"][0]
    words[:3] = np.frombuffer(_signature(desc, layouts), np.uint64)
    words[3] = min(wishes.get(MatmulPreferenceAttribute.MAX_WORKSPACE_BYTES, 0), 1 << 16)
    words[4:] = [wishes.get(attribute, 256) for attribute in _ALIGNMENTS]
    result["workspace_size"] = words[3]
    result["waves_count"] = 1
    ctypes.memmove(heuristic_results_array, result.ctypes.data, result.nbytes)
    ctypes.c_int32.from_address(return_algo_count).value = 1


def _check_algorithm(
    algo: int, desc: _Desc, layouts: list[_Layout], pointers: tuple[int, ...], workspace: int
) -> None:
    words = np.frombuffer(ctypes.string_at(algo, 64), np.uint64)
    if words[:3].tobytes() != _signature(desc, layouts):
        raise _refuse("the algorithm was found for another product")
    if workspace < words[3]:
        raise _refuse(f"the algorithm needs a workspace of {words[3]} bytes, there are {workspace}")
    for name, pointer, alignment in zip("ABCD", pointers, words[4:].tolist(), strict=True):
        if pointer % alignment:
            raise _refuse(f"the algorithm needs {name} aligned to {alignment}: {pointer:#x} is not")


def _numbers_of(values: np.ndarray, layout: _Layout, dtype: Any) -> np.ndarray:
    if layout.kind is CudaDataType.CUDA_R_16BF:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(dtype)


def _bits_of(values: np.ndarray, layout: _Layout) -> np.ndarray:
    """Return float32 numbers as bfloat16, rounded to nearest even."""
    if layout.kind is not CudaDataType.CUDA_R_16BF:
        return values.astype(layout.dtype)
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def matmul(
    light_handle: int, compute_desc: int, alpha: int, a: int, adesc: int, b: int, bdesc: int,
    beta: int, c: int, cdesc: int, d: int, ddesc: int, algo: int, workspace: int,
    workspace_size_in_bytes: int, stream: int,
) -> None:  # fmt: skip
    """Compute ``D = epilogue(alpha op(A) op(B) + beta C)``."""
    handle, desc = _find(light_handle, _Handle), _find(compute_desc, _Desc)
    if handle.device != state.current_device():
        raise _refuse(f"the handle is of device {handle.device}")
    layouts = [_find(number, _Layout) for number in (adesc, bdesc, cdesc, ddesc)]
    queue = state.stream_of_pointer(stream)
    _problem(desc, layouts)
    if algo:
        _check_algorithm(algo, desc, layouts, (a, b, c, d), workspace_size_in_bytes)
    if workspace_size_in_bytes:
        bytes_at(workspace, workspace_size_in_bytes, "cublasLt.matmul: workspace")
        if workspace % 16:
            raise _refuse("the workspace is not aligned to 16 bytes")
    dtype = _DTYPES[desc.scale]
    scale, carry = (
        np.frombuffer(ctypes.string_at(number, dtype.itemsize), dtype)[0]
        for number in (alpha, beta)
    )
    blocks, (left, right, added, out) = zip(
        *(
            layout.at(pointer, name)
            for layout, pointer, name in zip(layouts, (a, b, c, d), "ABCD", strict=True)
        ),
        strict=True,
    )
    if carry != 0 and c == d and layouts[2] != layouts[3]:
        raise _refuse("C and D at one address differ in layout")
    if np.shares_memory(out, left) or np.shares_memory(out, right):
        raise EmulationError("cublasLt.matmul: D overlaps with A or B")
    bias = None
    if desc.epilogue in (Epilogue.BIAS, Epilogue.RELU_BIAS):
        kind = CudaDataType(desc.get(MatmulDescAttribute.BIAS_DATA_TYPE, layouts[3].kind))
        column = _Layout(kind, layouts[3].rows, 1, layouts[3].rows)
        if kind != layouts[3].kind:
            raise NotImplementedError("a bias of another type than D's is not emulated")
        pointer = desc.get(MatmulDescAttribute.BIAS_POINTER, 0)
        if not pointer:
            raise _refuse("the epilogue needs a BIAS_POINTER")
        _, bias = column.at(pointer, "bias")
    turn_a, turn_b = (
        desc.get(attribute, Operation.N) != Operation.N
        for attribute in (MatmulDescAttribute.TRANSA, MatmulDescAttribute.TRANSB)
    )
    relu = desc.epilogue in (Epilogue.RELU, Epilogue.RELU_BIAS)

    def work() -> None:
        with np.errstate(all="ignore"):
            op_a, op_b = (
                _numbers_of(values.T if turned else values, layout, dtype)
                for values, turned, layout in zip(
                    (left, right), (turn_a, turn_b), layouts[:2], strict=True
                )
            )
            y = scale * (op_a @ op_b)
            if carry != 0:
                y += carry * _numbers_of(added, layouts[2], dtype)
            if bias is not None:
                y += _numbers_of(bias, layouts[3], dtype)
            if relu:  # NaN becomes 0, as by CUDA's max: cuBLASLt does not promise to keep it
                y = np.where(y > 0, y, dtype.type(0))
            out[...] = _bits_of(y, layouts[3])

    state.execute("cublasLt.matmul", work, blocks, stream=queue)


_OFFERED = [
    *(CudaDataType, ComputeType, Operation, Status, Epilogue, MatmulDescAttribute),
    *(MatmulPreferenceAttribute, MatrixLayoutAttribute, Order, PointerMode, cuBLASLtError),
    *(create, destroy, get_version, matmul_desc_create, matmul_desc_destroy),
    *(get_matmul_desc_attribute_dtype, matmul_desc_set_attribute, matrix_layout_create),
    *(matrix_layout_destroy, matmul_preference_create, matmul_preference_destroy),
    *(get_matmul_preference_attribute_dtype, matmul_preference_set_attribute, MatmulAlgo),
    *(MatmulHeuristicResult, matmul_algo_get_heuristic, matmul),
]
_ELSEWHERE = {"CudaDataType", "ComputeType", "Operation", "Status"}


def modules() -> dict[str, ModuleType]:
    """Return the modules by name."""
    lt = ModuleType("nvmath.bindings.cublasLt", "Emulated: see tests/emulator.")
    lt.__dict__.update({one.__name__: one for one in _OFFERED if one.__name__ not in _ELSEWHERE})
    lt.__dict__.update(
        matmul_algo_dtype=matmul_algo_dtype,
        matmul_heuristic_result_dtype=matmul_heuristic_result_dtype,
    )
    blas = ModuleType("nvmath.bindings.cublas", "Emulated: see tests/emulator.")
    blas.__dict__.update(ComputeType=ComputeType, Operation=Operation, Status=Status)
    bindings = ModuleType("nvmath.bindings")
    bindings.__dict__.update(cublas=blas, cublasLt=lt)
    nvmath = ModuleType("nvmath")
    nvmath.__dict__.update(
        bindings=bindings, CudaDataType=CudaDataType, ComputeType=ComputeType, __version__="1.0.0"
    )
    made = {module.__name__: module for module in (nvmath, bindings, lt, blas)}
    for package in (nvmath, bindings):
        package.__path__ = []
    for name, module in made.items():
        module.__spec__ = importlib.machinery.ModuleSpec(
            name, None, is_package=hasattr(module, "__path__")
        )
    return made
