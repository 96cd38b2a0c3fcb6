"""The host."""

from __future__ import annotations

import tracemalloc

from xpnet.devices import CPU


def test_zeros_of_numpy_start_on_256_bytes():
    for size in range(1, 400, 7):
        array = CPU.zeros((size, 3), "float32")
        assert array.ctypes.data % 256 == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_counting_memory_leaves_a_trace_of_the_users_on():
    with CPU.allocations():
        assert tracemalloc.is_tracing()
    assert not tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        with CPU.allocations():
            pass
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()
