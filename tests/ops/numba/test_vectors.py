"""The kernels in vector registers: on narrower registers, and block by block."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

import numba

from xpnet.ops.numba import linear, vectors


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (16, 16), (33, 7), (100, 50)], ids=str)
def test_a_matrix_is_transposed(dtype, shape):
    rows, cols = shape
    a = np.arange(rows * cols, dtype=dtype).reshape(shape)
    lanes = vectors.VECTOR_BYTES // a.itemsize
    width = -(-rows // lanes) * lanes
    turned = np.empty((cols + lanes) * width, dtype)
    linear._transpose(a.reshape(-1), rows, cols, lanes, turned, width, 0, rows)
    np.testing.assert_array_equal(turned[: cols * width].reshape(cols, width)[:, :rows], a.T)


def test_the_high_half_of_a_product_of_64_bit_numbers():
    @numba.njit
    def high(a, b):
        return vectors.high_product(a, b)

    for a, b in [(0, 5), (2**64 - 1, 2**64 - 1), (0xD2E7470EE14C6C93, 12345678901234567890)]:
        assert int(high(np.uint64(a), np.uint64(b))) == a * b >> 64


@pytest.mark.slow
@pytest.mark.skipif(vectors.VECTOR_BYTES < 64, reason="these registers are narrow already")
@pytest.mark.parametrize("cpu", ["haswell"])
def test_everything_agrees_on_a_processor_with_half_the_width(cpu):
    """The same tests with sixteen registers of 32 bytes, as most laptops have."""
    here = Path(__file__).parent
    narrow = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+popcnt,+sse4.2"}
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(here / "test_parity.py")],
        env=os.environ | narrow,
        check=True,
    )
