"""Devices: their names, and arrays that come and go."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import os
import pickle
import subprocess
import sys

import array_api_strict
import numpy as np
import pytest

from tests.conftest import Backend, strided
from xpnet.arrays import dtype_name, to_numpy
from xpnet.devices import CPU, Device, DeviceError, device, device_of
from xpnet.layers import Linear, ReLU, Sequential

DTYPES = [
    "bool", "uint8", "int8", "int32", "int64", "float32", "float64", "complex64", "complex128",
]  # fmt: skip


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


def test_a_device_is_found_again_by_its_name(xp: Backend):
    found = device_of(xp.array([1.0]))
    again = device(found.name)
    assert again == found
    assert type(again) is type(found)
    assert device_of(again.zeros(3, "float32")) == found


def test_devices_are_copied_and_pickled_by_name(xp: Backend):
    pickled = pickle.loads(pickle.dumps(xp.device))
    for other in (pickled, copy.copy(xp.device), copy.deepcopy(xp.device)):
        assert other == xp.device
        np.testing.assert_array_equal(to_numpy(other.asarray([1.0, 2.0]) + 1), [2, 3])


def test_a_pickled_device_imports_its_library():
    place = device_of(array_api_strict.zeros(1, device=array_api_strict.Device("device1")))
    program = "import pickle, sys; print(pickle.load(sys.stdin.buffer).name)"
    out = subprocess.check_output([sys.executable, "-c", program], input=pickle.dumps(place))
    assert out.decode().strip() == "array_api_strict:device1"


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


@pytest.mark.parametrize(
    "name",
    ["", "cuda", "CPU", "gpu:", "gpu:x", "gpu:-1", "gpu:0:1", "torch", "torch:", "torch:mps:x",
     "torch:cuda:x", "cpu:0", "auto:1", "numpy:cpu", "sys:0", "array_api_strict",
     "array_api_strict:device7", 0, None],
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


def test_a_device_counts_what_arrays_hold_and_held_at_most(xp: Backend):
    place = xp.device
    if place.library == "array_api_strict":
        with pytest.raises(DeviceError, match="does not count its memory"):
            place.allocations()
        return
    size = 4 * 10**6
    earlier = place.zeros(10**6, "float32")
    with place.scope(), place.allocations() as memory:
        kept = place.zeros(10**6, "float32")
        assert memory.held == pytest.approx(size, rel=0.01)
        product = earlier * earlier
        kept = kept + product  # the sum beside both
        del product
        assert memory.held == pytest.approx(size, rel=0.01)
        assert memory.peak == pytest.approx(3 * size, rel=0.01)
        memory.restart()
        kept += 1.0
        view = kept[10:]
        assert memory.peak == pytest.approx(size, rel=0.01)
        del kept
        assert memory.held == pytest.approx(size, rel=0.01)
        del view
        assert memory.held == pytest.approx(0, abs=0.01 * size)


@pytest.mark.parametrize("name", ["array_api_strict:CPU_DEVICE", "torch:cpu"])
def test_a_device_without_a_recorder_says_which_have_one(name):
    pytest.importorskip(name.partition(":")[0])
    assert not device(name).records
    message = rf"'{name}' cannot record work: 'cpu' and GPUs through CuPy can \('gpu'\)"
    with pytest.raises(DeviceError, match=message):
        device(name).recorder()


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
