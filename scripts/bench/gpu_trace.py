"""Where the GPU's time goes, by the names of kernels: CUPTI's record, through PyTorch's profiler.

It sees the work of all libraries in the process, CuPy's too, and the pieces of a CUDA graph one by
one.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

PIECES = ("kernel", "gpu_memcpy", "gpu_memset")
"""The categories of a trace's events that are pieces of the GPU's work."""
SHOWN, WIDTH = 4, 58
"""Kernels of a step that are printed, those that take longest, and letters of their names."""

Event = dict[str, Any]


class Profile:
    """Records the GPU's work within a ``with``; ``events`` holds it afterwards.

    What is queued before is waited for, and what is queued within.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __enter__(self) -> Profile:
        import torch

        self._torch = torch
        torch.cuda.synchronize()
        both = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        profile: Any = torch.profiler.profile
        self._profiler = profile(activities=both)
        self._profiler.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._torch.cuda.synchronize()
        self._profiler.__exit__(kind, error, trace)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            self._profiler.export_chrome_trace(str(path))
            self.events = read(path)


def unfit() -> str | None:
    """Return why the GPU's work cannot be recorded here, or None if it can.

    Where it can, the recorder has been at work once: it sees no more than the launch of a graph
    that was made before that.
    """
    try:
        import torch
    except ImportError:
        return "PyTorch, whose profiler is needed, is not installed"
    if not torch.cuda.is_available():
        return "PyTorch, whose profiler is needed, finds no GPU"
    with Profile():
        torch.ones(1, device="cuda")
    return None


def read(path: Path) -> list[Event]:
    """Return the pieces of the GPU's work in a trace, a file in Chrome's format."""
    events = json.loads(path.read_text())["traceEvents"]
    return [event for event in events if event.get("cat") in PIECES]


def by_kernel(events: Sequence[Event], steps: int) -> dict[str, Any]:
    """Return the work of some steps by the names of kernels, the longest first.

    Returns
    -------
    dict
        ``kernels``, a list of ``name``, ``count`` and ``us``; ``launches`` and ``busy_us``, their
        sums; ``span_us``, from the first's begin to the last's end.  All are of one step, means
        over the ``steps``.

    Raises
    ------
    RuntimeError
        There are none.
    """
    if not events:
        raise RuntimeError("the profiler saw no work on the GPU")
    kernels: dict[str, list[float]] = {}
    for event in events:
        kernels.setdefault(event["name"], []).append(float(event["dur"]))
    rows = [
        {"name": name, "count": len(times) / steps, "us": sum(times) / steps}
        for name, times in sorted(kernels.items(), key=lambda one: -sum(one[1]))
    ]
    begin = min(float(event["ts"]) for event in events)
    end = max(float(event["ts"]) + float(event["dur"]) for event in events)
    return {
        "launches": len(events) / steps,
        "busy_us": sum(row["us"] for row in rows),
        "span_us": (end - begin) / steps,
        "kernels": rows,
    }


def in_words(found: dict[str, Any]) -> str:
    """Return in lines where a step's time goes."""
    rows = found["kernels"]
    lines = [
        f"{found['contender']}, {found['workload']} at batch {found['batch']:,}: "
        f"{found['busy_us']:,.1f} us of work in {found['launches']:.1f} pieces within "
        f"{found['span_us']:,.1f} us, a step of {found['steps']}"
    ]
    lines += [
        f"  {row['us']:8,.2f} us in {row['count']:5.2f}  {row['name'][:WIDTH]}"
        for row in rows[:SHOWN]
    ]
    rest = rows[SHOWN:]
    if rest:
        us, count = (sum(row[key] for row in rest) for key in ("us", "count"))
        lines.append(f"  {us:8,.2f} us in {count:5.2f}  {len(rest)} others")
    return "\n".join(lines)
