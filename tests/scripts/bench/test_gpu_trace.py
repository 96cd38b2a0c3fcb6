"""Where a step's time goes is read from a profiler's trace."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts.bench import gpu_tasks, gpu_trace

TRACE = Path(__file__).parent / "stored_trace.json"
"""Of two steps of four kernels each, launched as a graph, and one memset beside them."""


def test_the_pieces_of_work_are_counted_by_name_and_nothing_else() -> None:
    found = gpu_trace.by_kernel(gpu_trace.read(TRACE), steps=2)
    assert [(row["count"], row["us"]) for row in found["kernels"]] == [
        (1.0, 9.5), (2.0, 3.0), (1.0, 3.0), (0.5, 0.5),
    ]  # fmt: skip
    assert [row["name"][:12] for row in found["kernels"]] == [
        "void cutlass", "take", "adam", "Memset (Devi",
    ]  # fmt: skip
    assert found["launches"] == 4.5
    assert found["busy_us"] == 16.0
    # 8 kernels, a pause of 1.5 after each and of 3 more after each step, and the memset
    assert found["span_us"] == pytest.approx((31 + 8 * 1.5 + 2 * 3 + 1) / 2)


def test_a_step_in_words_names_the_kernels_that_take_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu_trace, "SHOWN", 2)
    found = gpu_trace.by_kernel(gpu_trace.read(TRACE), steps=2)
    about = {"contender": "xpnet", "workload": "two", "batch": 100, "steps": 2}
    head, longest, _, others = gpu_trace.in_words(found | about).splitlines()
    assert head.startswith("xpnet, two at batch 100: 16.0 us of work in 4.5 pieces within 25.0 us")
    assert longest.split()[:4] == ["9.50", "us", "in", "1.00"]
    assert others.split()[:6] == ["3.50", "us", "in", "1.50", "2", "others"]


def test_a_trace_without_work_on_the_gpu_is_no_result() -> None:
    with pytest.raises(RuntimeError, match="saw no work on the GPU"):
        gpu_trace.by_kernel([], steps=2)


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_a_profile_leaves_out_what_the_processor_does(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    with gpu_trace.Profile() as seen:
        torch.ones(3) + 1
    assert seen.events == []


def test_without_pytorch_on_a_gpu_no_work_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert gpu_tasks.unfit("kernels", {"contender": "xpnet"}) == (
        "PyTorch, whose profiler is needed, is not installed"
    )
    assert gpu_tasks.unfit("measure", {"contender": "xpnet"}) is None
