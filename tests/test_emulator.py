"""The emulated CuPy of tests/emulator does what it is for: it computes, and it refuses."""

from __future__ import annotations

import ctypes
import gc
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests import emulator
from tests.emulator import EmulationError, counters
from tests.emulator.memory import bytes_at

KERNELS = r"""
extern "C" __global__ void __launch_bounds__(256)
block_sum(const float* __restrict__ x, float* __restrict__ sums, int n) {
    __shared__ float part[THREADS];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    part[threadIdx.x] = i < n ? x[i] : 0.0f;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half >>= 1) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = part[0];
}
extern "C" __global__ void dynamic(const float* x, float* y) {  // y = x in reverse
    extern __shared__ float all[];
    all[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = all[blockDim.x - 1 - threadIdx.x];
}
template <class T> __device__ __forceinline__ T warp_sum(T v) {
    for (int other = 16; other > 0; other >>= 1) v += __shfl_xor_sync(0xFFFFFFFFu, v, other);
    return v;
}
extern "C" __global__ void warps(const float* x, float* sums, double* down, unsigned* votes) {
    const int t = threadIdx.x;
    const float sum = warp_sum(x[t]);
    down[t] = __shfl_down_sync(0xFFFFFFFFu, (double)x[t], 4);
    const unsigned vote = __ballot_sync(0xFFFFFFFFu, x[t] >= 2.0f);
    if (t % 32 == 0) { sums[t / 32] = sum; votes[t / 32] = vote; }
}
extern "C" __global__ void returns_early(float* x) {
    if (threadIdx.x == 3) return;
    __syncthreads();
    x[threadIdx.x] = 1.0f;
}
extern "C" __global__ void two_barriers(float* x) {
    if (threadIdx.x % 2) __syncthreads();
    else
        __syncthreads();
}
extern "C" __global__ void half_a_warp(float* x) {
    if (threadIdx.x < 16) x[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFFu, 1.0f, 1);
}
extern "C" __global__ void part_mask(float* x) {
    x[threadIdx.x] = __shfl_xor_sync(0x0000FFFFu, 1.0f, 1);
}
extern "C" __global__ void up_to(float* x, int last) {
    if (threadIdx.x <= last) x[threadIdx.x] = 1.0f;
}
extern "C" __global__ void wild(float* x) { x[1ll << 40] = 1.0f; }
extern "C" __global__ void scaled(const float* x, float* y, int n, float scale) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        y[i] = scale * x[i];
}
extern "C" __global__ void scalars(long long whole, double real, bool truth, short small,
                                   double* out) {
    out[0] = whole; out[1] = real; out[2] = truth; out[3] = small;
}
"""

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")


@pytest.fixture
def cp() -> Iterator[Any]:
    """The emulated module."""
    emulator.install()
    try:
        import cupy

        yield cupy
    finally:
        emulator.uninstall()


@pytest.fixture
def kernel(cp: Any) -> Any:
    """What finds a kernel of this page by its name."""
    module = cp.RawModule(code=KERNELS, options=("-DTHREADS=128",), backend="nvrtc")
    module.compile()
    return module.get_function


def captured(cp: Any, work: Any, pool: Any) -> Any:
    """Run a piece of work once, then capture it; return its graph and the capture's result."""
    with cp.cuda.Stream(non_blocking=True) as stream, cp.cuda.using_allocator(pool.malloc):
        work()
        stream.begin_capture()
        result = work()
        return stream.end_capture(), result


@needs_compiler
class TestKernels:
    def test_shared_memory_and_barriers(self, cp, kernel):
        x = np.arange(1000, dtype=np.float32)
        sums = cp.empty(8, dtype=cp.float32)
        kernel("block_sum")((8,), (128,), (cp.asarray(x), sums, np.int32(x.size)))
        expected = np.pad(x, (0, 24)).reshape(8, 128).sum(axis=1)
        np.testing.assert_allclose(sums.get(), expected)

    def test_dynamic_shared_memory(self, cp, kernel):
        x, y = cp.arange(64, dtype=cp.float32), cp.empty(64, dtype=cp.float32)
        kernel("dynamic")((1,), (64,), (x, y), shared_mem=256)
        np.testing.assert_array_equal(y.get(), x.get()[::-1])

    def test_warp_primitives(self, cp, kernel):
        x = np.arange(64, dtype=np.float32)
        sums, down = cp.empty(2, dtype=cp.float32), cp.empty(64)
        votes = cp.empty(2, dtype=cp.uint32)
        kernel("warps")((1,), (64,), (cp.asarray(x), sums, down, votes))
        np.testing.assert_array_equal(sums.get(), x.reshape(2, 32).sum(axis=1))
        shifted = x.reshape(2, 32).copy()
        shifted[:, :28] = shifted[:, 4:]
        np.testing.assert_array_equal(down.get(), shifted.ravel())
        assert votes.get().tolist() == [0xFFFFFFFC, 0xFFFFFFFF]

    def test_many_threads_are_fast_enough(self, cp, kernel):
        n = 2**22
        x, y = cp.ones(n, dtype=cp.float32), cp.empty(n, dtype=cp.float32)
        kernel("scaled")((n // 256,), (256,), (x, y, n, np.float32(3)))
        assert (y.get() == 3).all()

    @pytest.mark.parametrize(
        ("name", "sentence"),
        {
            "returns_early": "__syncthreads is divergent: thread 3 has returned",
            "two_barriers": "__syncthreads is divergent: threads wait at lines",
            "half_a_warp": "a warp primitive is divergent: thread 16 has returned",
            "part_mask": "only the full mask is emulated",
            "wild": "a memory fault",
        }.items(),
    )
    def test_what_is_undefined_is_an_error(self, cp, kernel, name, sentence):
        x = cp.zeros(64, dtype=cp.float32)
        with pytest.raises(EmulationError, match=f"{name}: .*{sentence}"):
            kernel(name)((1,), (32,), (x,))
        kernel("scaled")((1,), (32,), (x, x, 64, np.float32(1)))  # and the next launch works

    def test_a_write_behind_an_array_is_an_error(self, cp, kernel):
        x = cp.zeros(5, dtype=cp.float32)
        kernel("up_to")((1,), (32,), (x, 4))
        with pytest.raises(EmulationError, match="up_to wrote out of bounds: up to 4 bytes behind"):
            kernel("up_to")((1,), (32,), (x, 5))

    def test_arguments_become_what_cupy_makes_of_them(self, cp, kernel):
        out = cp.empty(4)
        kernel("scalars")((1,), (1,), (-7, 0.5, True, np.int16(3), out))
        assert out.get().tolist() == [-7, 0.5, 1, 3]

    def test_a_whole_number_is_not_read_as_a_real_one(self, kernel):
        with pytest.raises(EmulationError, match="argument 1 is 1, the kernel reads a real number"):
            kernel("scalars")((1,), (1,), (-7, 1, True, np.int16(3), None))

    def test_none_is_a_null_pointer(self, kernel):
        with pytest.raises(EmulationError, match="memory fault"):
            kernel("scalars")((1,), (1,), (-7, 0.5, True, np.int16(3), None))

    @pytest.mark.parametrize(
        ("args", "sentence"),
        [
            ((1, 0.5, True, np.int16(3)), "expected 5 arguments, got 4"),
            ((np.int32(1), 0.5, True, np.int16(3), 0), "argument 0 has 4 bytes, the kernel reads"),
            ((np.ones(1), 0.5, True, np.int16(3), 0), "Unsupported type <class 'numpy.ndarray'>"),
        ],
        ids=["number", "size", "host array"],
    )
    def test_wrong_arguments_are_refused(self, kernel, args, sentence):
        with pytest.raises(TypeError, match=sentence):
            kernel("scalars")((1,), (1,), args)

    def test_a_block_is_no_larger_than_its_launch_bounds(self, cp, kernel):
        x = cp.zeros(8, dtype=cp.float32)
        with pytest.raises(EmulationError, match="at most 256"):
            kernel("block_sum")((1,), (512,), (x, x, 8))

    def test_a_syntax_error_is_told(self, cp):
        with pytest.raises(cp.cuda.compiler.CompileException, match=r"kernels.cu:1"):
            cp.RawModule(code='extern "C" __global__ void f() { oops }').get_function("f")

    def test_a_kernel_is_recorded_and_replayed(self, cp, kernel):
        x, y = cp.ones(8, dtype=cp.float32), cp.zeros(8, dtype=cp.float32)
        run = kernel("scaled")
        graph, _ = captured(
            cp, lambda: run((1,), (32,), (x, y, 8, np.float32(2))), cp.cuda.MemoryPool()
        )
        x += 4
        assert y.get().tolist() == [2] * 8
        graph.launch()
        assert y.get().tolist() == [10] * 8

    def test_a_module_is_not_loaded_in_a_capture(self, cp):
        module = cp.RawModule(code=KERNELS, options=("-DTHREADS=128",))
        with cp.cuda.Stream(non_blocking=True) as stream:
            stream.begin_capture()
            with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cuModuleLoadData"):
                module.get_function("warps")
            with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="Invalidated"):
                stream.end_capture()


class TestArrays:
    def test_arithmetic_is_numpys_and_reductions_stay_arrays(self, cp):
        x = np.arange(12, dtype=np.float32).reshape(3, 4)
        a = cp.asarray(x)
        y = (2 * a.T - 1) @ a + cp.sum(a, axis=0)
        np.testing.assert_array_equal(y.get(), (2 * x.T - 1) @ x + x.sum(axis=0))
        total = a.sum()
        assert isinstance(total, cp.ndarray)
        assert total.shape == ()
        assert total.dtype == np.float32
        assert float(total) == 66

    def test_results_lie_in_memory_as_numpys_do(self, cp):
        a = cp.zeros((2, 3, 4)).transpose(0, 2, 1)
        assert (a + 1).strides == (a.get(order="K") + 1).strides

    def test_views_share_memory_and_copies_do_not(self, cp):
        a = cp.zeros((2, 6))
        cp.reshape(a, (4, 3))[1] = 1.0
        a.T[5, 1] = 2.0
        cp.moveaxis(a, 0, 1).copy()[...] = 9.0
        assert a.get().tolist() == [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 2]]
        assert a[1, 2:].data.ptr == a.data.ptr + 64

    def test_a_shape_is_set_where_that_takes_no_copy(self, cp):
        a = cp.zeros((2, 6))
        b = a.view()
        b.shape = (4, 3)
        b[1] = 1.0
        assert (a.shape, b.shape, b.data.ptr) == ((2, 6), (4, 3), a.data.ptr)
        assert a.get().tolist() == [[0, 0, 0, 1, 1, 1], [0] * 6]
        empty = cp.zeros((0, 6)).T
        empty.shape = (0, 2)
        for array, shape in ((a.T, 12), (a, (5, 2))):
            with pytest.raises(AttributeError, match="incompatible shape"):
                array.shape = shape

    @pytest.mark.parametrize(
        "mix",
        [
            lambda a, x: np.asarray(a),
            lambda a, x: a + x,
            lambda a, x: x + a,
            lambda a, x: np.add(x, a),
            lambda a, x: np.sum(a),
            lambda a, x: x.__setitem__(..., a),
        ],
        ids=["asarray", "right", "left", "ufunc", "function", "setitem"],
    )
    def test_nothing_turns_into_numpy_by_itself(self, cp, mix):
        with pytest.raises(TypeError):
            mix(cp.zeros(3), np.zeros(3))

    def test_an_empty_array_is_poisoned(self, cp):
        assert np.isnan(cp.empty(3).get()).all()
        assert (cp.empty(3, dtype=cp.int32).get() != 0).all()

    def test_counters(self, cp):
        counters.reset()
        a = cp.asarray(np.ones(3))
        b = a + 1
        b *= 2
        b.sum().item()
        bool(a[0] == 1)
        cp.cuda.Device(0).synchronize()
        assert (counters.uploads, counters.host_reads, counters.synchronizations) == (1, 2, 1)
        assert (counters.launches, counters.allocations) == (4, 4)

    def test_an_array_of_another_device_is_refused(self, cp):
        a = cp.ones(3)
        with cp.cuda.Device(1):
            for work in (lambda: a + 1, lambda: cp.sum(a), lambda: a.fill(1), lambda: cp.exp(a)):
                with pytest.raises(ValueError, match="array device = 0 while current = 1"):
                    work()
            there = cp.asarray(a)
        assert there.device == cp.cuda.Device(1)
        assert there.get().tolist() == [1, 1, 1]
        assert not hasattr(cp.cuda.Device(0), "name")
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorInvalidDevice"):
            cp.cuda.Device(2).use()

    def test_a_pool_reuses_blocks_of_one_size(self, cp):
        pool = cp.cuda.MemoryPool()
        with cp.cuda.using_allocator(pool.malloc):
            a = cp.zeros(100)
            view, address = a[50:], a.data.ptr
            del a
            assert pool.used_bytes() == 1024
            del view
            assert (pool.used_bytes(), pool.total_bytes()) == (0, 1024)
            assert cp.zeros(128).data.ptr == address
            assert cp.zeros(129).data.ptr != address
        pool.free_all_blocks()
        assert pool.total_bytes() == 0

    def test_blocks_come_back_from_reference_circles(self, cp):
        pool = cp.cuda.MemoryPool()
        with cp.cuda.using_allocator(pool.malloc):
            circle: list[Any] = [cp.zeros(100), pool]
            circle.append(circle)
            address = circle[0].data.ptr
            del circle
            gc.collect()
            again = cp.zeros(100)
        assert again.data.ptr == address
        block, raw = bytes_at(again.data.ptr, 800, "test")
        assert block is again.block
        assert not raw.any()

    def test_without_a_gpu_it_fails_as_cupy_does(self):
        emulator.install(devices=0)
        try:
            import cupy

            with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorNoDevice"):
                cupy.cuda.runtime.getDeviceCount()
        finally:
            emulator.uninstall()
        assert sys.modules.get("cupy") is not cupy


class TestCapture:
    def test_a_graph_computes_on_the_same_memory_again(self, cp):
        x, y = cp.arange(4.0), cp.zeros(4)

        def work() -> Any:
            z = cp.where(x > 1, x, 0.0) * 2
            y[...] = z + cp.sum(z)
            return cp.exp(z)

        graph, result = captured(cp, work, cp.cuda.MemoryPool())
        for offset in (0, 1):
            if offset:
                x += 1
            graph.launch()
            z = np.where(x.get() > 1, x.get(), 0) * 2
            np.testing.assert_allclose(y.get(), z + z.sum())
            np.testing.assert_allclose(result.get(), np.exp(z))

    def test_nothing_is_done_while_it_is_recorded(self, cp):
        x = cp.zeros(3)
        pool = cp.cuda.MemoryPool()
        with cp.cuda.Stream(non_blocking=True) as stream, cp.cuda.using_allocator(pool.malloc):
            stream.begin_capture()
            x += 1
            x[0] = 5
            graph = stream.end_capture()
        assert x.get().tolist() == [0, 0, 0]
        graph.launch()
        assert x.get().tolist() == [5, 1, 1]
        assert graph.names == ["add", "setitem"]

    def test_a_block_that_is_reused_in_a_graph_loses_its_numbers(self, cp):
        """An array that only the recording kept alive is overwritten by the next of its size."""
        x = cp.ones(64)
        kept: dict[str, int] = {}

        def work() -> Any:
            first = x * 2
            kept["first"] = first.data.ptr
            del first
            second = x * 3
            assert second.data.ptr == kept["first"]
            return second

        graph, second = captured(cp, work, cp.cuda.MemoryPool())
        graph.launch()
        assert second.get()[0] == 3

    def test_unwritten_outputs_show_in_every_replay(self, cp):
        graph, made = captured(cp, lambda: cp.empty(4), cp.cuda.MemoryPool())
        made.fill(1)
        graph.launch()
        assert np.isnan(made.get()).all()

    def test_memory_comes_from_a_pool_that_has_it(self, cp):
        error = cp.cuda.runtime.CUDARuntimeError
        with cp.cuda.Stream(non_blocking=True) as stream:
            stream.begin_capture()
            with pytest.raises(EmulationError, match="default pool"):
                cp.zeros(3)
            with (
                cp.cuda.using_allocator(cp.cuda.MemoryPool().malloc),
                pytest.raises(error, match="no free block"),
            ):
                cp.zeros(3)
            with pytest.raises(error, match="Invalidated"):
                stream.end_capture()

    def test_a_graph_whose_memory_was_freed_is_not_launched(self, cp):
        pool = cp.cuda.MemoryPool()
        x = cp.ones(3)
        graph, made = captured(cp, lambda: x.__imul__(cp.zeros(3)), pool)
        del made
        pool.free_all_blocks()
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="IllegalAddress"):
            graph.launch()

    @pytest.mark.parametrize(
        "work",
        {
            "get": lambda cp, a: a.get(),
            "float": lambda cp, a: float(a[0]),
            "bool": lambda cp, a: bool(a[0]),
            "item": lambda cp, a: a[0].item(),
            "repr": lambda cp, a: repr(a),
            "upload": lambda cp, a: cp.asarray([1.0]),
            "set": lambda cp, a: a.set(np.ones(3)),
            "host array": lambda cp, a: a.__setitem__(..., np.ones(3)),
            "matmul": lambda cp, a: cp.matmul(a, a),
            "operator": lambda cp, a: a @ a,
            "stream": lambda cp, a: cp.cuda.get_current_stream().synchronize(),
            "device": lambda cp, a: cp.cuda.Device(0).synchronize(),
            "event": lambda cp, a: cp.cuda.Event().synchronize(),
            "mask": lambda cp, a: a[a > 0],
            "sort": lambda cp, a: cp.sort(a),
        }.items(),
        ids=lambda pair: pair[0],
    )
    def test_what_a_capture_refuses(self, cp, work):
        a = cp.zeros(3)
        pool = cp.cuda.MemoryPool()
        with cp.cuda.Stream(non_blocking=True) as stream, cp.cuda.using_allocator(pool.malloc):
            scratch = [cp.zeros(3, dtype=dtype) for dtype in ("float64", "bool") for _ in range(3)]
            del scratch
            stream.begin_capture()
            with pytest.raises((cp.cuda.runtime.CUDARuntimeError, NotImplementedError)):
                work[1](cp, a)


def matrix_product(
    dtype: Any, trans_a: bool, trans_b: bool, *, epilogue: str = "DEFAULT", beta: float = 0.0
) -> SimpleNamespace:
    """Compute 3 x 4 = (3 x 5) (5 x 4), each with a leading dimension larger than its rows."""
    import cupy as cp
    from nvmath import CudaDataType
    from nvmath.bindings import cublas
    from nvmath.bindings import cublasLt as lt  # noqa: N813

    rng = np.random.default_rng(0)
    m, n, k = 3, 4, 5
    real = np.float32 if dtype != np.float64 else dtype
    kinds = {
        np.float32: CudaDataType.CUDA_R_32F, np.float64: CudaDataType.CUDA_R_64F,
        np.float16: CudaDataType.CUDA_R_16F, np.uint16: CudaDataType.CUDA_R_16BF,
    }  # fmt: skip
    scale = np.array([1.5, beta], real)
    compute = "COMPUTE_64F" if real is np.float64 else "COMPUTE_32F"

    def matrix(rows: int, cols: int, kind: Any) -> tuple[Any, np.ndarray, int]:
        ld = rows + 2
        values = rng.integers(-4, 5, (cols, ld)).astype(real)  # exact in every dtype
        stored = values.view(np.uint32) >> 16 if kind is np.uint16 else values
        layout = lt.matrix_layout_create(kinds[kind], rows, cols, ld)
        return cp.asarray(stored.astype(kind)), values[:, :rows].T, layout

    a, a_host, a_layout = matrix(*((k, m) if trans_a else (m, k)), dtype)
    b, b_host, b_layout = matrix(*((n, k) if trans_b else (k, n)), dtype)
    c, c_host, c_layout = matrix(m, n, real)
    bias_host = np.array([1, -20, 3], real)
    bias = cp.asarray(bias_host)
    handle = lt.create()
    desc = lt.matmul_desc_create(cublas.ComputeType[compute], kinds[real])
    attributes = lt.MatmulDescAttribute
    for attribute, value in {
        attributes.TRANSA: int(trans_a),
        attributes.TRANSB: int(trans_b),
        attributes.EPILOGUE: lt.Epilogue[epilogue],
        attributes.BIAS_POINTER: bias.data.ptr,
    }.items():
        buffer = np.array([value], lt.get_matmul_desc_attribute_dtype(attribute))
        lt.matmul_desc_set_attribute(desc, attribute, buffer.ctypes.data, buffer.nbytes)
    preference = lt.matmul_preference_create()
    found, count = lt.MatmulHeuristicResult(1), ctypes.c_int32()
    lt.matmul_algo_get_heuristic(
        handle, desc, a_layout, b_layout, c_layout, c_layout, preference, 1, found.ptr,
        ctypes.addressof(count),
    )  # fmt: skip
    assert count.value == 1
    algo = found.ptr  # an algorithm is at the start of a result

    def run(at: int = 0) -> None:
        alpha = scale.ctypes.data
        lt.matmul(
            handle, desc, alpha, a.data.ptr + at, a_layout, b.data.ptr, b_layout,
            alpha + scale.itemsize, c.data.ptr, c_layout, c.data.ptr, c_layout, algo, 0, 0,
            cp.cuda.get_current_stream().ptr,
        )  # fmt: skip

    expected = 1.5 * ((a_host.T if trans_a else a_host) @ (b_host.T if trans_b else b_host))
    expected = expected + beta * c_host
    if "BIAS" in epilogue:
        expected = expected + bias_host[:, None]
    if "RELU" in epilogue:
        expected = np.maximum(expected, 0)
    return SimpleNamespace(
        run=run, expected=expected, result=lambda: c.get()[:, :m].T, lt=lt, desc=desc, c=c,
        keep=(bias, found),
    )  # fmt: skip


class TestProducts:
    @pytest.mark.parametrize("trans_b", [False, True])
    @pytest.mark.parametrize("trans_a", [False, True])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.uint16])
    def test_all_transposes(self, cp, dtype, trans_a, trans_b):
        product = matrix_product(dtype, trans_a, trans_b, beta=2.0)
        product.run()
        np.testing.assert_array_equal(product.result(), product.expected)

    @pytest.mark.parametrize("epilogue", ["BIAS", "RELU", "RELU_BIAS"])
    def test_epilogues(self, cp, epilogue):
        product = matrix_product(np.float32, False, True, epilogue=epilogue)
        product.run()
        np.testing.assert_array_equal(product.result(), product.expected)

    def test_it_can_be_captured(self, cp):
        product = matrix_product(np.float32, True, False)
        with cp.cuda.Stream(non_blocking=True) as stream:
            stream.begin_capture()
            product.run()
            graph = stream.end_capture()
        product.c.fill(7)
        graph.launch()
        np.testing.assert_array_equal(product.result(), product.expected)

    def test_what_is_wrong_is_refused(self, cp):
        product = matrix_product(np.float32, False, False)
        lt, desc = product.lt, product.desc
        with pytest.raises(lt.cuBLASLtError, match="A aligned to 256"):
            product.run(at=4)
        number = np.array([1], np.int64)
        with pytest.raises(lt.cuBLASLtError, match="TRANSA has 4 bytes, not 8"):
            lt.matmul_desc_set_attribute(desc, lt.MatmulDescAttribute.TRANSA, number.ctypes.data, 8)
        with pytest.raises(lt.cuBLASLtError, match="leading dimension 2"):
            lt.matrix_layout_create(0, 3, 4, 2)
        with pytest.raises(NotImplementedError, match="EPILOGUE_AUX_POINTER"):
            lt.matmul_desc_set_attribute(
                desc, lt.MatmulDescAttribute.EPILOGUE_AUX_POINTER, number.ctypes.data, 8
            )
        transposed = np.array([1], np.int32)
        lt.matmul_desc_set_attribute(desc, lt.MatmulDescAttribute.TRANSA, transposed.ctypes.data, 4)
        with pytest.raises(lt.cuBLASLtError, match=r"op\(A\) is 5 x 3"):
            product.run()


def test_a_network_learns_on_the_emulated_gpu():
    """In a process of its own: xpnet remembers libraries by the types of their arrays."""
    code = """
from tests import emulator
emulator.install()
import numpy as np
from xpnet.arrays import to_numpy
from xpnet.devices import device
from xpnet.layers import Linear, ReLU, Sequential
from xpnet.ops import generic_only

net = Sequential([Linear(3), ReLU(), Linear(1)], input_shape=(4,), seed=0)
with device("gpu:1").scope(), generic_only():
    net.to("gpu:1")
    y = net.forward(device("gpu:1").asarray(np.ones((2, 4), np.float32)), train=True)
    net.backward(y)
there = to_numpy(y)
with generic_only():
    here = net.to("cpu").forward(np.ones((2, 4), np.float32))
assert y.device.id == 1
np.testing.assert_allclose(there, here, rtol=1e-6)
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=True)


def test_without_nvmath_python_it_is_told_why_nothing_is_recorded():
    """In a process of its own: the ops look for nvmath-python once."""
    code = """
import sys
from tests import emulator
emulator.install()
for name in [name for name in sys.modules if name.startswith("nvmath")]:
    sys.modules[name] = None
from xpnet.ops.dispatch import not_narrow, not_recordable

reason = not_recordable("cupy")
assert "nvmath-python, which does not work here (ModuleNotFoundError: " in reason, reason
assert reason.endswith("run `pip install nvmath-python`"), reason
assert reason == not_narrow("cupy")
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=True)
