"""GPUs through CuPy: what an unusable one says, and recordings."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import types

import numpy as np
import pytest

from xpnet import ops
from xpnet.arrays import to_numpy
from xpnet.devices import CPU, DeviceError, device, device_of
from xpnet.devices import cupy as cupy_devices
from xpnet.layers import Linear, Sequential
from xpnet.ops import generic_only

HAS_CUPY = importlib.util.find_spec("cupy") is not None


class CUDARuntimeError(RuntimeError):
    """As CuPy raises it."""


class FakeGPU:
    """CuPy's device handle."""

    def __init__(self, index: int) -> None:
        self.id = index

    def __enter__(self) -> FakeGPU:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def fake_cupy(count: int | Exception = 1, product: Exception | None = None) -> types.ModuleType:
    """Return a CuPy whose count of GPUs, or whose first product, goes wrong."""

    def getDeviceCount() -> int:  # noqa: N802
        if isinstance(count, Exception):
            raise count
        return count

    class Square:
        def __matmul__(self, other):
            raise product

    cupy = types.ModuleType("cupy")
    runtime = types.SimpleNamespace(
        getDeviceCount=getDeviceCount, CUDARuntimeError=CUDARuntimeError
    )
    cupy.cuda = types.SimpleNamespace(runtime=runtime, Device=FakeGPU)
    cupy.float32 = "float32"
    cupy.ones = lambda shape, dtype: Square()
    return cupy


NO_CUBLAS = ImportError("libcublasLt.so.13: cannot open shared object file\nFailed to import")
INSTALL = (
    r"run `pip install 'cupy-cuda13x\[ctk\]' nvmath-python` \(CUDA 13\) or "
    r"`pip install 'cupy-cuda12x\[ctk\]' nvmath-python`"
)
OLD_DRIVER = CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")
FAILURES = {
    "no CuPy": ("gpu", None, f"'gpu:0' needs CuPy, which is not installed: {INSTALL}"),
    "CuPy does not import": (
        "gpu",
        ImportError("libcuda.so.1: cannot open shared object file"),
        f"'gpu:0': CuPy does not import .libcuda.so.1: .*; install CuPy together .* {INSTALL}",
    ),
    "no driver": (
        "gpu",
        fake_cupy(OLD_DRIVER),
        "'gpu:0': no NVIDIA driver, or one too old .*InsufficientDriver.*; install or update the "
        "driver, or choose device 'cpu'",
    ),
    "no device": (
        "gpu",
        fake_cupy(CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")),
        "'gpu:0': the NVIDIA driver finds no GPU: check `nvidia-smi`, or choose device 'cpu'",
    ),
    "a count of none": ("gpu:0", fake_cupy(0), "the NVIDIA driver finds no GPU"),
    "one GPU": ("gpu:1", fake_cupy(1), "'gpu:1': this machine has 1 GPU, .* choose 'gpu:0'"),
    "two GPUs": ("gpu:7", fake_cupy(2), "'gpu:7': this machine has 2 GPUs, .* choose 'gpu:1' or"),
    "no cuBLAS": (
        "gpu",
        fake_cupy(1, NO_CUBLAS),
        f"'gpu:0': a CUDA library is missing .libcublasLt.so.13: cannot open shared object file.; "
        f"install CuPy together with the CUDA libraries: {INSTALL}",
    ),
    "NVRTC does not load": ("gpu", fake_cupy(1, OSError("libnvrtc.so")), r"missing \(libnvrtc.so"),
    "a silent failure": ("gpu", fake_cupy(1, RuntimeError()), r"missing \(RuntimeError\)"),
    "something else": (
        "gpu",
        fake_cupy(1, CUDARuntimeError("cudaErrorECCUncorrectable: uncorrectable ECC error")),
        r"'gpu:0' does not work \(cudaErrorECC.*\); check `nvidia-smi`, or choose device 'cpu'",
    ),
}  # fmt: skip


@pytest.fixture(params=FAILURES.values(), ids=FAILURES)
def failure(request, monkeypatch):
    """Put a failing CuPy in place; give the device's name and the sentence it should raise."""
    name, cupy, sentence = request.param
    if isinstance(cupy, Exception):
        real = importlib.import_module

        def failing(module, package=None):
            if module == "cupy":
                raise cupy
            return real(module, package)

        monkeypatch.setattr(cupy_devices.importlib, "import_module", failing)
    else:
        monkeypatch.setitem(sys.modules, "cupy", cupy)
    cupy_devices._working.cache_clear()
    yield name, sentence
    cupy_devices._working.cache_clear()


def test_an_unusable_gpu_raises_one_sentence_with_its_cure(failure):
    name, sentence = failure
    for _ in range(2):  # a failure is not remembered as success, nor the other way round
        with pytest.raises(DeviceError, match=sentence) as caught:
            device(name)
    message = str(caught.value)
    assert message.startswith("device 'gpu:")
    assert "\n" not in message
    error = caught.value  # no tower of tracebacks above it
    assert error.__context__ is None or error.__suppress_context__


def test_auto_falls_back_to_the_cpu(failure):
    if failure[0] in ("gpu:1", "gpu:7"):
        pytest.skip("the first GPU of this machine is there")
    assert device("auto") is CPU


def test_a_network_stays_where_it_was_when_the_gpu_is_unusable(failure):
    net = Sequential([Linear(2)], input_shape=(3,))
    with pytest.raises(DeviceError):
        net.to(failure[0])
    assert net.device is CPU
    assert net.forward(np.ones((1, 3), "float32")).shape == (1, 2)


@pytest.mark.skipif(HAS_CUPY, reason="CuPy is installed")
def test_without_cupy_gpu_says_how_to_install_it():
    with pytest.raises(DeviceError, match=INSTALL):
        device("gpu")


@pytest.mark.gpu
@pytest.mark.parametrize("bodies", [contextlib.nullcontext, generic_only])
def test_an_op_runs_where_its_arrays_lie_whatever_gpu_is_current(bodies):
    if device("gpu").xp.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one GPU")
    second = device("gpu:1")
    x, W, b = (second.asarray(np.ones(shape, np.float32)) for shape in [(2, 3), (3, 4), 4])
    with device("gpu:0").scope(), bodies():
        y, _ = ops.linear.linear(x, W, b)
    assert device_of(y) == second
    assert to_numpy(y).tolist() == [[4.0] * 4] * 2


class TestRecorder:
    @pytest.mark.gpu
    def test_what_is_recorded_is_done_when_it_is_launched(self):
        place = device("gpu")
        x, recorder = place.zeros(4, "float32"), place.recorder()

        def work():
            x[...] = 2.0 * x + 1.0

        with recorder.stream():
            launch = recorder.record(work)
            assert to_numpy(x).tolist() == [1.0] * 4
            launch()
            launch()
            assert to_numpy(x).tolist() == [7.0] * 4
        recorder.close()

    @pytest.mark.gpu
    def test_a_recording_that_fails_leaves_the_recorder_as_it_was(self):
        place = device("gpu")
        x, recorder = place.zeros(4, "float32"), place.recorder()
        with recorder.stream():
            with pytest.raises(Exception, match="captur"):
                recorder.record(lambda: float(x[0]))
            assert float(x[0]) == 0.0
            launch = recorder.record(lambda: x.fill(3.0))
            launch()
            assert to_numpy(x).tolist() == [3.0] * 4
        recorder.close()

    @pytest.mark.gpu
    def test_it_follows_what_was_asked_before_and_is_followed_by_what_comes_after(self):
        place = device("gpu")
        current = place.xp.cuda.get_current_stream
        before = current().ptr
        with place.recorder().stream():
            assert current().ptr != before
        assert current().ptr == before
