"""Devices: names, arrays that come and go, and what an unusable GPU says."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import types

import array_api_strict
import numpy as np
import pytest
from conftest import Backend, strided

from xpnet.device import (
    CPU,
    Device,
    DeviceError,
    device,
    device_of,
    dtype_kind,
    dtype_name,
    is_complex,
    library,
    namespace,
    to_numpy,
)
from xpnet.layers import Linear, ReLU, Sequential

DTYPES = [
    "bool", "uint8", "int8", "int32", "int64", "float32", "float64", "complex64", "complex128",
]  # fmt: skip
devices = importlib.import_module("xpnet.device")  # xpnet.device itself is the function
HAS_CUPY = importlib.util.find_spec("cupy") is not None


# Arrays come and go -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3, 4)])
def test_arrays_come_back_as_they_went(xp: Backend, dtype, shape):
    host = (10 * np.random.default_rng(0).normal(size=shape)).astype(dtype)
    there = xp.device.asarray(host)
    assert device_of(there) == xp.device
    assert dtype_name(there) == dtype
    back = to_numpy(there)
    assert (type(back), back.dtype, back.shape) == (np.ndarray, host.dtype, shape)
    np.testing.assert_array_equal(back, host)


@pytest.mark.parametrize("dtype", DTYPES)
def test_asarray_converts_to_a_named_dtype(xp: Backend, dtype):
    values = np.array([0, 1, 1])
    for given in (values, values.astype("float32"), values.tolist(), xp.array(values)):
        there = xp.device.asarray(given, dtype)
        assert dtype_name(there) == dtype
        assert device_of(there) == xp.device
        np.testing.assert_array_equal(to_numpy(there), values)


def test_asarray_takes_arrays_of_every_other_library(xp: Backend):
    others = [np.arange(3.0), array_api_strict.arange(3.0), xp.array([0.0, 1, 2])]
    if importlib.util.find_spec("torch") is not None:
        others.append(importlib.import_module("torch").arange(3.0).double())
    for other in others:
        there = xp.device.asarray(other)
        assert device_of(there) == xp.device
        np.testing.assert_array_equal(to_numpy(there), [0, 1, 2])


def test_asarray_of_an_array_already_there_is_that_array(xp: Backend):
    x = xp.array([1.0, 2.0])
    assert xp.device.asarray(x) is x
    assert xp.device.asarray(x, "float64") is x


def test_asarray_takes_read_only_strided_and_reversed_arrays(xp: Backend):
    x = np.arange(12.0).reshape(3, 4)
    locked = x.copy()
    locked.flags.writeable = False
    for given in (locked, strided(x), x[::-1][::-1], np.broadcast_to(x, (3, 4))):
        np.testing.assert_array_equal(to_numpy(xp.device.asarray(given)), x)


def test_to_numpy_takes_numbers_and_lists():
    assert to_numpy(2.5) == 2.5
    assert to_numpy(np.float32(2)).dtype == "float32"
    np.testing.assert_array_equal(to_numpy([[1, 2]]), [[1, 2]])
    x = np.arange(3)
    assert to_numpy(x) is x


def test_to_numpy_takes_tensors_that_record_gradients_and_lazy_conjugates():
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(to_numpy(torch.ones(2, requires_grad=True)), [1, 1])
    np.testing.assert_array_equal(to_numpy(torch.tensor([1 + 2j]).conj()), [1 - 2j])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "complex64"])
@pytest.mark.parametrize("shape", [(), 5, (3, 2), (0, 4)])
def test_zeros_are_zeros_there_and_writable(xp: Backend, dtype, shape):
    zeros = xp.device.zeros(shape, dtype)
    assert device_of(zeros) == xp.device
    assert dtype_name(zeros) == dtype
    assert tuple(zeros.shape) == ((shape,) if shape == 5 else shape)
    assert not to_numpy(zeros).any()
    zeros[...] = 1
    assert to_numpy(zeros).all()


def test_zeros_of_numpy_start_on_256_bytes():
    for size in range(1, 400, 7):
        array = CPU.zeros((size, 3), "float32")
        assert array.ctypes.data % 256 == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_library_and_namespace_are_those_of_the_array(xp: Backend):
    x = xp.array([1.0])
    name, lib = library(x)
    assert name == xp.device.library
    assert lib is xp.device.xp is namespace(x)
    assert lib.__name__.endswith(name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_are_real_complex_or_exact(xp: Backend, dtype):
    x = xp.array([1], dtype)
    kind = "complex" if "complex" in dtype else "real" if "float" in dtype else "exact"
    assert dtype_kind(namespace(x), x.dtype) == kind
    assert is_complex(x) is (kind == "complex")


def test_what_is_no_array_is_named():
    for thing in ([1.0], "x", None, object()):
        with pytest.raises(TypeError, match=f"expected an array .* got {type(thing).__name__}"):
            library(thing)


def test_jax_arrays_are_refused_with_the_reason(monkeypatch):
    fake = types.ModuleType("jax")
    fake.Array = type("Array", (), {"dtype": "float32"})
    monkeypatch.setitem(sys.modules, "jax", fake)
    with pytest.raises(TypeError, match="JAX arrays do not allow: use NumPy, CuPy or PyTorch"):
        library(fake.Array())


def test_arrays_of_another_library_are_refused_by_the_layer_with_the_cure(xp: Backend):
    if xp.device == CPU:
        pytest.skip("one library")
    layers = [Linear(3), ReLU(), Linear(2)]
    net = Sequential(layers, input_shape=(4,), dtype="float64").to(xp.device)
    name = xp.device.library
    sentence = rf'Linear "0": .* {name} arrays, x is a numpy array: move the network with net\.to'
    with pytest.raises(TypeError, match=sentence):
        net.forward(np.ones((1, 4)))
    home = Sequential([Linear(2)], input_shape=(4,), dtype="float64")
    with pytest.raises(TypeError, match=rf"numpy arrays, x is a {name} array"):
        home.forward(xp.array(np.ones((1, 4))))


# Devices and their names --------------------------------------------------------------------------


def test_devices_are_equal_by_name(xp: Backend):
    again = device_of(xp.array([1.0]))
    assert again == xp.device
    assert hash(again) == hash(xp.device)
    assert repr(again) == f"device({xp.device.name!r})"
    assert again != xp.device.name
    assert len({again, xp.device}) == 1


def test_devices_of_one_library_differ():
    names = ["CPU_DEVICE", "device1", "device2"]
    made = {
        device_of(array_api_strict.zeros(1, device=array_api_strict.Device(name))) for name in names
    }
    assert len(made | {CPU}) == 4


def test_cpu_is_numpy_and_a_device_stands_for_itself(xp: Backend):
    assert device("cpu") is CPU
    assert (CPU.name, CPU.library) == ("cpu", "numpy")
    assert device(xp.device) is xp.device


def test_auto_is_a_device_that_works():
    place = device("auto")
    assert isinstance(place, Device)
    np.testing.assert_array_equal(to_numpy(place.asarray(np.arange(3)) + 1), [1, 2, 3])


def test_torch_devices_have_names():
    pytest.importorskip("torch")
    assert device("torch:cpu").name == "torch:cpu"
    assert device("torch:cpu") == device_of(device("torch:cpu").zeros(1, "float32"))


@pytest.mark.parametrize(
    "name",
    ["", "cuda", "CPU", "gpu:", "gpu:x", "gpu:-1", "gpu:0:1", "torch", "torch:", "torch:mps:x",
     "torch:cuda:x", "cpu:0", "auto:1", 0, None],
)  # fmt: skip
def test_an_unknown_name_raises_and_lists_the_known(name):
    with pytest.raises(ValueError, match=r"^device: expected 'cpu', 'gpu', 'gpu:N', 'torch:cpu'"):
        device(name)
    with pytest.raises(ValueError, match="device: expected"):
        Sequential([Linear(1)], input_shape=(1,)).to(name)


def test_a_device_tells_what_identifies_it(xp: Backend):
    about = xp.device.describe()
    assert about["device"] == xp.device.name
    assert about["backend"] == xp.device.library
    assert about["numpy"] == np.__version__
    assert about[xp.device.library]
    assert all(isinstance(value, str) for value in about.values())


def test_a_device_can_be_waited_for_and_entered(xp: Backend):
    xp.device.synchronize()
    with xp.device.scope():
        assert device_of(xp.device.zeros(2, "float32")) == xp.device
    free = xp.device.free_bytes()
    assert free is None or free > 0


# A GPU that cannot be used ------------------------------------------------------------------------


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
    r"run `pip install 'cupy-cuda13x\[ctk\]'` \(CUDA 13\) or `pip install 'cupy-cuda12x\[ctk\]'`"
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

        monkeypatch.setattr(devices.importlib, "import_module", failing)
    else:
        monkeypatch.setitem(sys.modules, "cupy", cupy)
    devices._cupy_device.cache_clear()
    yield name, sentence
    devices._cupy_device.cache_clear()


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


def fake_torch(gpus: int) -> types.ModuleType:
    torch = types.ModuleType("torch")

    def parse(name: str) -> types.SimpleNamespace:
        kind, _, index = name.partition(":")
        return types.SimpleNamespace(type=kind, index=int(index or 0))

    torch.device = parse
    torch.cuda = types.SimpleNamespace(is_available=lambda: gpus > 0, device_count=lambda: gpus)
    return torch


@pytest.mark.parametrize(
    ("name", "torch", "sentence"),
    [
        ("torch:cpu", None, "'torch:cpu' needs PyTorch, .* run `pip install torch`"),
        ("torch:cuda", fake_torch(0), "'torch:cuda:0': this PyTorch finds no usable GPU: check"),
        ("torch:cuda:3", fake_torch(2), r"'torch:cuda:3': PyTorch sees 2 GPU\(s\)"),
    ],
)
def test_an_unusable_torch_device_raises_one_sentence(monkeypatch, name, torch, sentence):
    devices._torch_device.cache_clear()
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(DeviceError, match=sentence):
        device(name)
    devices._torch_device.cache_clear()


def test_naming_a_gpu_loads_no_other_library():
    program = (
        "import sys, xpnet\n"
        "try: xpnet.device('gpu')\n"
        "except xpnet.DeviceError: pass\n"
        "print('torch' in sys.modules)"
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    out = subprocess.check_output([sys.executable, "-c", program], text=True, env=environment)
    assert out.strip() == "False"


class TestLane:
    def test_the_cpu_has_none(self):
        assert not device("cpu").records
        with pytest.raises(DeviceError, match=r"'cpu' cannot record work: GPUs through CuPy can"):
            device("cpu").lane()

    @pytest.mark.gpu
    def test_what_is_recorded_is_done_when_it_is_launched(self):
        place = device("gpu")
        x, lane = place.zeros(4, "float32"), place.lane()

        def work():
            x[...] = 2.0 * x + 1.0

        with lane.open():
            with lane.memory():
                work()
            launch = lane.record(work)
            assert to_numpy(x).tolist() == [1.0] * 4
            launch()
            launch()
            assert to_numpy(x).tolist() == [7.0] * 4
        lane.close()

    @pytest.mark.gpu
    def test_a_recording_that_fails_leaves_the_lane_as_it_was(self):
        place = device("gpu")
        x, lane = place.zeros(4, "float32"), place.lane()
        with lane.open():
            with pytest.raises(Exception, match="captur"):
                lane.record(lambda: float(x[0]))
            assert float(x[0]) == 0.0
            launch = lane.record(lambda: x.fill(3.0))
            launch()
            assert to_numpy(x).tolist() == [3.0] * 4
        lane.close()

    @pytest.mark.gpu
    def test_it_follows_what_was_asked_before_and_is_followed_by_what_comes_after(self):
        place = device("gpu")
        current = place.xp.cuda.get_current_stream
        before = current().ptr
        with place.lane().open():
            assert current().ptr != before
        assert current().ptr == before
