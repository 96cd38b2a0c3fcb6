"""Fixtures that every test shares: above all ``xp``, the array libraries."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import array_api_strict
import numpy as np
import pytest
from filelock import FileLock

from xpnet.arrays import to_numpy
from xpnet.devices import CPU, Device, device, device_of
from xpnet.layers import Layer
from xpnet.ops import generic_only

HAS_TORCH = importlib.util.find_spec("torch") is not None
if HAS_TORCH:
    import torch

    torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --generic-only."""
    parser.addoption(
        "--generic-only",
        action="store_true",
        help="let NumPy arrays be computed by the generic bodies alone",
    )
    parser.addoption(
        "--emulated-gpu",
        action="store_true",
        help="let an emulated CuPy, whose kernels run on the processor, take the GPU's place: "
        "for -m gpu without one",
    )


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Run the whole suite in a process a core.

    Tests that are named run in this process, where prints and debuggers work, and so do those that
    share a real GPU.
    """
    named = config.args_source is not config.ArgsSource.TESTPATHS
    gpu = "not gpu" not in config.option.markexpr and not config.getoption("--emulated-gpu")
    return 0 if named or gpu else None


def pytest_configure(config: pytest.Config) -> None:
    """Put the emulated CuPy in its place before anything imports the real one."""
    if config.getoption("--emulated-gpu"):
        from tests import emulator

        emulator.install(devices=2)


@pytest.fixture(scope="session", autouse=True)
def _compile_in_turn(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Let one worker compile a loop, while the others wait to read what it kept on disk."""
    if not hasattr(request.config, "workerinput") or importlib.util.find_spec("numba") is None:
        yield
        return
    from numba.core.dispatcher import Dispatcher

    compile_loop = Dispatcher.compile
    turn = FileLock(tmp_path_factory.getbasetemp().parent / "compiling.lock")

    def compile_or_wait(self: Any, signature: Any) -> Any:
        with turn:
            return compile_loop(self, signature)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dispatcher, "compile", compile_or_wait)
        yield


@pytest.fixture(autouse=True)
def _bodies(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave out the faster bodies if that is asked for."""
    if request.config.getoption("--generic-only"):
        if request.node.get_closest_marker("faster_bodies"):
            pytest.skip("about the faster bodies themselves")
        with generic_only():
            yield
    else:
        yield


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """A shell starts what runs in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@dataclass(frozen=True)
class Backend:
    """An array library as a test sees it: a device, and how arrays come and go."""

    name: str
    device: Device
    read_only: bool = False

    def array(self, values: Any, dtype: str | None = None) -> Any:
        """Return values (NumPy or nested numbers) as an array of this library."""
        made = self.device.asarray(np.array(values, dtype=dtype))
        if self.read_only:
            made.flags.writeable = False
        return made

    def __repr__(self) -> str:
        return self.name


def backend(name: str) -> Backend:
    """Return the array library of a fixture parameter, or skip where it is not installed."""
    match name:
        case "numpy":
            return Backend(name, CPU)
        case "numpy-readonly":
            return Backend(name, CPU, read_only=True)
        case "strict":
            return Backend(name, device_of(array_api_strict.zeros(1)))
        case "strict-device1":
            other = array_api_strict.Device("device1")
            return Backend(name, device_of(array_api_strict.zeros(1, device=other)))
        case "torch":
            if not HAS_TORCH:
                pytest.skip("PyTorch is not installed")
            return Backend(name, device("torch:cpu"))
        case "cupy":
            return Backend(name, device("gpu"))
    raise AssertionError(name)


BACKENDS = [
    "numpy",
    "numpy-readonly",
    "strict",
    "strict-device1",
    "torch",
    pytest.param("cupy", marks=pytest.mark.gpu),
]


@pytest.fixture(params=BACKENDS)
def xp(request: pytest.FixtureRequest) -> Backend:
    """Every array library in turn."""
    return backend(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of MNIST where its files are not at hand."""
    if os.environ.get("XPNET_DATA"):
        return
    skip = pytest.mark.skip(reason="needs MNIST: set XPNET_DATA to the folder that holds it")
    for item in items:
        if "mnist" in item.keywords:
            item.add_marker(skip)


def moved(layer: Layer, place: Device) -> Layer:
    """Return a layer that stands by itself, its arrays moved to a device: networks move theirs."""
    for _, one in layer.walk(innermost=False):
        own = one.own
        for arrays in (own.params, own.grads, own.state):
            for name, array in arrays.items():
                arrays.bind(name, place.asarray(array))
        own.compute_in(own.precision)
    return layer


def strided(values: np.ndarray) -> np.ndarray:
    """Return equal numbers in an array that is not contiguous along any axis."""
    wide = np.zeros([2 * length for length in values.shape], values.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in values.shape)]
    view[...] = values
    return view


def assert_close(actual: Any, expected: Any, *, rtol: float = 1e-6, atol: float = 0.0) -> None:
    """Compare an array of any library with expected numbers, dtype and shape included."""
    actual, expected = to_numpy(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)
