"""PyTorch's devices."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from xpnet.arrays import to_numpy
from xpnet.devices import DeviceError, device, device_of
from xpnet.devices import torch as torch_devices


def test_torch_devices_have_names():
    torch = pytest.importorskip("torch")
    assert device("torch:cpu").name == "torch:cpu"
    assert device("torch:cpu") == device_of(device("torch:cpu").zeros(1, "float32"))
    assert device(device_of(torch.empty(2, device="meta")).name).name == "torch:meta"


def test_a_type_of_device_that_torch_cannot_use_raises_one_sentence():
    pytest.importorskip("torch")
    with pytest.raises(
        DeviceError, match=r"^device 'torch:ve': this PyTorch cannot use it \(.*\); ch"
    ):
        device("torch:ve")
    with pytest.raises(ValueError, match="device: expected 'cpu'"):
        device("torch:tpu")


def test_to_numpy_takes_tensors_that_record_gradients_and_lazy_conjugates():
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(to_numpy(torch.ones(2, requires_grad=True)), [1, 1])
    np.testing.assert_array_equal(to_numpy(torch.tensor([1 + 2j]).conj()), [1 - 2j])


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
    torch_devices._working.cache_clear()
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(DeviceError, match=sentence):
        device(name)
    torch_devices._working.cache_clear()


def test_a_gpu_by_the_name_that_it_has_elsewhere_is_told():
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match="did you mean 'torch:cuda:0'"):
        device("torch:gpu")
