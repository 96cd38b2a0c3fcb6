"""Arrays: which library, which namespace, which numbers, and their values on the host."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from conftest import Backend

from xpnet.arrays import dtype_kind, is_complex, library, namespace, to_numpy

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
