"""Arrays: which library, which namespace, which numbers, and their values on the host."""

from __future__ import annotations

import os
import subprocess
import sys
import types

import array_api_compat.numpy
import array_api_strict
import numpy as np
import pytest

from tests.conftest import Backend
from xpnet import arrays
from xpnet.arrays import dtype_kind, is_complex, library, namespace, pieces, to_numpy

DTYPES = [
    "bool", "uint8", "int8", "int32", "int64", "float32", "float64", "complex64", "complex128",
]  # fmt: skip


def test_library_and_namespace_are_those_of_the_array(xp: Backend):
    x = xp.array([1.0])
    found = library(x)
    assert found.name == xp.device.library
    assert found.xp is xp.device.xp is namespace(x)
    assert found.xp.__name__.endswith(found.name)


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


def test_to_numpy_takes_numbers_and_lists():
    assert to_numpy(2.5) == 2.5
    assert to_numpy(np.float32(2)).dtype == "float32"
    np.testing.assert_array_equal(to_numpy([[1, 2]]), [[1, 2]])
    x = np.arange(3)
    assert to_numpy(x) is x


A = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
B = np.arange(12).reshape(3, 4)
CALLS = [
    ("all", (B > 0,), {"axis": 1}),
    ("any", (B > 3,), {"axis": (0, 1), "keepdims": True}),
    ("arange", (2, 9, 3), {"dtype": np.float32, "device": "cpu"}),
    ("argmax", (A,), {"axis": 1, "keepdims": True}),
    ("argmin", (A,), {}),
    ("argsort", (A,), {"axis": 0, "descending": True}),
    ("asarray", ([[1, 2]],), {"dtype": np.float64, "device": "cpu", "copy": True}),
    ("astype", (A, np.float64), {"copy": False}),
    ("astype", (A.sum(), np.float64), {}),
    ("broadcast_to", (A, (2, 3, 4)), {}),
    ("clip", (A, -0.5), {}),
    ("concat", ((A, A),), {"axis": None}),
    ("count_nonzero", (B,), {}),
    ("cumulative_sum", (A,), {"axis": 1, "include_initial": True}),
    ("expand_dims", (A,), {"axis": 1}),
    ("flip", (A,), {"axis": 1}),
    ("full", ((2, 3), 7.0), {"dtype": np.float32, "device": "cpu"}),
    ("full_like", (A, 2), {"device": "cpu"}),
    ("matrix_transpose", (np.zeros((2, 3, 4)),), {}),
    ("max", (A,), {"axis": 0, "keepdims": True}),
    ("maximum", (A, np.float32(0)), {}),
    ("mean", (A,), {"axis": (0, 1)}),
    ("min", (A,), {"axis": 1}),
    ("moveaxis", (A, 0, -1), {}),
    ("nonzero", (B,), {}),
    ("ones", (3,), {"dtype": np.int64, "device": "cpu"}),
    ("ones_like", (A,), {"dtype": np.int64, "device": "cpu"}),
    ("permute_dims", (A, (1, 0)), {}),
    ("prod", (B,), {"axis": 1, "dtype": np.float64}),
    ("reshape", (A, (2, 6)), {"copy": True}),
    ("result_type", (np.float32, B, A), {}),
    ("sort", (A,), {"axis": 1, "descending": True, "stable": False}),
    ("stack", ([A, A],), {"axis": 1}),
    ("std", (A,), {"axis": 0, "correction": 1.0, "keepdims": True}),
    ("sum", (B.astype(np.uint8),), {"axis": 0}),
    ("sum", (A,), {"dtype": np.float64}),
    ("take", (A, B[0, :3]), {"axis": 1}),
    ("take_along_axis", (A, B[:, :2] % 3), {}),
    ("tensordot", (A, A), {"axes": ((0, 1), (0, 1))}),
    ("unstack", (A,), {"axis": 1}),
    ("var", (A,), {"correction": 2}),
    ("where", (B > 3, A, 0.0), {}),
    ("zeros", ((2, 3),), {"dtype": np.float32, "device": "cpu"}),
    ("zeros_like", (A,), {"dtype": np.complex64, "device": "cpu"}),
]


class TestNumPysNamespace:
    """Its functions are NumPy's own or array-api-compat's; array-api-compat is the oracle."""

    @pytest.mark.parametrize(("name", "args", "options"), CALLS)
    def test_its_functions_do_what_the_standard_s_do(self, name, args, options):
        found = getattr(namespace(A), name)(*args, **options)
        expected = getattr(array_api_compat.numpy, name)(*args, **options)
        assert type(found) is type(expected)
        np.testing.assert_equal(found, expected)
        if hasattr(expected, "dtype"):
            assert found.dtype == expected.dtype

    def test_each_function_that_is_numpys_own_is_compared(self):
        compared = {name for name, _, _ in CALLS} | {"empty", "empty_like", "isdtype"}
        assert compared >= arrays._STANDARD_IN_NUMPY

    def test_it_has_the_standards_names(self):
        xp = namespace(A)
        for name in array_api_strict.__all__:
            if not name.startswith("_") and hasattr(array_api_compat.numpy, name):
                assert hasattr(xp, name), name
        assert xp.empty((2, 0), dtype=xp.float32, device="cpu").shape == (2, 0)
        assert xp.empty_like(A, device="cpu").dtype == "float32"
        assert xp.isdtype(xp.complex64, ("integral", "complex floating"))
        assert xp.newaxis is None
        assert (xp.float32, xp.bool) == (np.float32, np.bool)

    def test_limits_are_those_of_a_dtype_or_of_an_arrays(self):
        xp = namespace(A)
        assert xp.finfo(A).eps == xp.finfo(xp.float32).eps == 2.0**-23

    def test_what_it_lacks_is_an_attribute_error(self):
        with pytest.raises(AttributeError, match="no attribute 'softmax'"):
            _ = namespace(A).softmax

    @pytest.mark.skipif(not hasattr(np, "unstack"), reason="NumPy 2.0 lacks much of the standard")
    def test_training_needs_no_other(self):
        program = (
            "import sys, numpy as np, xpnet\n"
            "from xpnet.layers import BatchNorm, Conv2d, Flatten, Linear, MaxPool2d, ReLU\n"
            "layers = [Conv2d(3, 3), BatchNorm(), ReLU(), MaxPool2d(2), Flatten(), Linear(2)]\n"
            "net = xpnet.Sequential(layers, input_shape=(1, 6, 6))\n"
            "data = xpnet.data.Dataset(np.zeros((9, 1, 6, 6), np.float32), np.zeros(9, int))\n"
            "trainer = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.Adam())\n"
            "trainer.fit(data, epochs=2, batch_size=4, validation=data)\n"
            "print(sorted(net.device.xp.__dict__), 'array_api_compat.numpy' in sys.modules)"
        )
        environment = {**os.environ, "XPNET_NUMBA": "0"}
        out = subprocess.check_output([sys.executable, "-c", program], text=True, env=environment)
        assert out.strip().endswith("False"), out


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("room", [0, 64, 64 * 5, 2**20])
def test_pieces_are_the_rows_of_an_array(xp: Backend, monkeypatch, step, room):
    monkeypatch.setattr(arrays, "PIECE", room)
    values = np.arange(46, dtype=np.float32).reshape(23, 2)
    found = list(pieces(xp.array(values), step))
    np.testing.assert_array_equal(np.concatenate([to_numpy(a) for _, a in found]), values[::step])
    for first, piece in found:
        np.testing.assert_array_equal(to_numpy(piece)[0], values[first])
        assert piece.shape[0] <= max(1, room // 64)
