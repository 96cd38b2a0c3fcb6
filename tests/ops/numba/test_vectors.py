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
from xpnet.ops.numba.jit import read_only


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (16, 16), (33, 7), (300, 290)], ids=str)
def test_a_part_of_a_matrix_is_copied_into_panels_row_by_row_or_column_by_column(dtype, shape):
    depth, cols = shape
    B = np.arange(depth * cols, dtype=dtype).reshape(shape)
    lanes = vectors.VECTOR_BYTES // B.itemsize
    wide, apart = 2 * lanes, -(-depth // lanes) * lanes
    panels = -(-cols // wide)
    for a, do, row in ((B, linear._copy_rows, cols), (B.T, linear._copy_columns, depth)):
        part = np.full(panels * apart * wide, -1, dtype)
        do(part, apart, np.ascontiguousarray(a).reshape(-1), 0, row, 0, cols, depth, wide, lanes)
        rows = part.reshape(panels, apart, wide)[:, :depth]
        np.testing.assert_array_equal(np.concatenate([*rows], axis=1)[:, :cols], B)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [6, 35])
@pytest.mark.parametrize("cols", [6, 50, 300])
@pytest.mark.parametrize("depth", [6, 600])
@pytest.mark.parametrize("by", ["rows", "columns"])
def test_products_of_whole_numbers_are_exact(dtype, rows, cols, depth, by):
    rng = np.random.default_rng(rows * cols + depth)
    a, B, c = (rng.integers(-8, 9, n).astype(dtype) for n in ((rows, depth), (depth, cols), cols))
    at_a = (np.ascontiguousarray(a.T), 1, rows) if by == "columns" else (a, depth, 1)
    at_B = (np.ascontiguousarray(B.T), 1, depth) if by == "columns" else (B, cols, 1)
    left, right = ((read_only(m).reshape(-1), *steps) for m, *steps in (at_a, at_B))
    lanes = vectors.VECTOR_BYTES // a.itemsize
    for multiply in (linear._multiply, linear._multiply_few):
        y = np.full(rows * cols, np.nan, dtype)
        multiply(y, read_only(c), 0, *left, *right, rows, cols, depth, a.dtype.type(-5), lanes)
        np.testing.assert_array_equal(y.reshape(rows, cols), np.maximum(a @ B + c, -5))


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
