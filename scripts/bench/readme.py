"""Write the README's figures from the newest files of results.

Each stands between two comments, which name it; what is between them is made here alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scripts.bench.cpu import BUSY, was_busy
from scripts.bench.gpu_results import RESULTS

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- {}: made by python -m scripts.bench.readme -->", "<!-- end of {} -->"

NETWORKS = {
    "two": "784-50-10",
    "multi": "784-100x4-10",
    "bn": "784-100x5-10 with BatchNorm and dropout",
    "wide": "784-1024-1024-10",
    "simple": "the simple convnet",
    "deep": "the deep convnet",
}
CONTENDERS = {
    "xpnet": "xpnet",
    "xpnet-eager": "xpnet, not replayed",
    "torch-graph": "PyTorch, its CUDA graph",
    "torch": "PyTorch, eager",
    "jax": "JAX",
    "gemm": "the products alone",
}

PEERS = {
    "torch": "PyTorch",
    "torch-cl": "PyTorch, channels last",
    "torch-fused": "PyTorch, its fused rule",
    "torch-compile": "PyTorch, compiled",
    "jax": "JAX",
}

Figures = dict[str, Any]


def gpu_table(figures: Figures | None) -> str:
    """Return what the README says of steps on a GPU, from a file of results, if there is one."""
    if figures is None:
        return "No GPU was at hand when this was written, and so no figure stands here."
    rows = [row for row in figures["rows"] if row["precision"] == "float32"]
    times = {(row["workload"], row["batch"], row["contender"]): row["step_us"] for row in rows}
    for row in rows:
        if row["gemm_us"] is not None:
            times[row["workload"], row["batch"], "gemm"] = row["gemm_us"]
    shown = [name for name in CONTENDERS if any(name == key[2] for key in times)]
    lines = [
        f"Microseconds of a training step on one {figures['machine']['gpu']}, in float32, by "
        f"`python -m scripts.bench.gpu` ({figures['date']}{_versions(figures['versions'])}):",
        "",
        "| | network, batch | " + " | ".join(CONTENDERS[name] for name in shown) + " |",
        "|---|---|" + "---|" * len(shown),
    ]
    for workload, batch in dict.fromkeys((key[0], key[1]) for key in times):
        cells = [_us(times.get((workload, batch, name))) for name in shown]
        lines.append(f"| {workload} | {NETWORKS[workload]}, {batch} | {' | '.join(cells)} |")
    for row in figures["accuracy"]:
        if (row["recipe"], row["precision"], row["epochs"]) == ("fast", "float32", 1):
            lines += [
                "",
                f"`models.fast_convnet` reaches {100 * row['mean']:.2f} % on MNIST in one epoch, "
                f"{row['seconds']:.2f} s (mean and median over {len(row['seeds'])} seeds).",
            ]
    return "\n".join(lines)


def _versions(versions: dict[str, str]) -> str:
    named = {"cuda runtime": "CUDA", "cupy": "CuPy", "torch": "PyTorch", "jax": "JAX"}
    return "".join(f", {named[key]} {versions[key]}" for key in named if key in versions)


def _us(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def cpu_table(figures: Figures | None) -> str:
    """Return what the README says of steps on a processor, from a file of results."""
    if figures is None:
        return "No figures were measured on this kind of machine."
    rows = [row for row in figures["rows"] if row["workload"] in NETWORKS]
    times = {(row["workload"], row["state"], row["contender"]): row["step_ms"] for row in rows}
    about = figures["machine"]
    named = ("numpy", "numba", "torch", "jax")
    beside = [PEERS[name] for name in PEERS if any(name == row["contender"] for row in rows)]
    versions = ", ".join(f"{k} {figures['versions'][k]}" for k in named if k in figures["versions"])
    lines = [
        f"Milliseconds of a training step on {about['cores']} cores of a processor that calls "
        f"itself {about['processor']}, in float32, by `python -m scripts.bench.cpu` "
        f"({figures['date']}, {versions}), beside {'; '.join(beside)}:",
        "",
        "| | network, batch | xpnet with numba | on NumPy alone | the fastest other "
        "| as a multiple of it "
        "| the products alone |",
        "|---|---|---|---|---|---|---|",
    ]
    batches = {row["workload"]: row["batch"] for row in rows}
    for workload, batch in ((name, batches[name]) for name in NETWORKS if name in batches):
        found = {name: times.get((workload, "fresh", name)) for name in ("xpnet", "xpnet-plain")}
        peers = {name: times.get((workload, "fresh", name)) for name in PEERS}
        there = {name: ms for name, ms in peers.items() if ms is not None}
        if found["xpnet"] is None or not there:
            continue
        best = min(there, key=lambda name: there[name])
        gemm = times.get((workload, "fresh", "gemm"))
        lines.append(
            f"| {workload} | {NETWORKS[workload]}, {batch} | {_ms(found['xpnet'])} "
            f"| {_ms(found['xpnet-plain'])} | {PEERS[best]} {_ms(there[best])} "
            f"| {found['xpnet'] / there[best]:.2f} | {_ms(gemm)} |"
        )
    states = dict.fromkeys((row["workload"], row["state"]) for row in rows)
    told = [[row for row in rows if (row["workload"], row["state"]) == one] for one in states]
    busy = [one[0]["workload"] for one in told if one[0]["state"] == "fresh" and was_busy(one)]
    if busy:
        lines += [
            "",
            f"The machine was busy at times: the products alone spread by more than "
            f"{100 * BUSY:.0f} % of their time at {', '.join(busy)}.",
        ]
    return "\n".join(lines)


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


BLOCKS: dict[str, tuple[str, Callable[[Figures | None], str]]] = {
    "CPU figures": ("cpu-*.json", cpu_table),
    "GPU figures": ("gpu-*.json", gpu_table),
}
"""By name: which files of results they come from, and what makes them of the newest."""


def newest(pattern: str, folder: Path) -> Figures | None:
    """Return the content of the newest file of results, by the date in it, or None without one.

    Raises
    ------
    ValueError
        A file is not one of results.
    """
    found = []
    for path in folder.glob(pattern):
        try:
            content = json.loads(path.read_text())
            found.append((content["date"], path.name, content))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: expected JSON with a date, got {error!r}") from None
    return max(found, key=lambda one: one[:2])[2] if found else None


def filled(text: str, results: Path = RESULTS) -> str:
    """Return a README's text with its figures made anew.

    Raises
    ------
    ValueError
        The comments about a figure are not there, or a file of results is none.
    """
    for name, (pattern, make) in BLOCKS.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, found, rest = text.partition(begin)
        _, found_too, after = rest.partition(end)
        if not (found and found_too):
            raise ValueError(f"expected {begin!r}, text and {end!r} in the README")
        text = f"{before}{begin}\n{make(newest(pattern, results))}\n{end}{after}"
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Write the README's figures; return the exit status."""
    p = argparse.ArgumentParser(prog="python -m scripts.bench.readme", description=__doc__)
    p.parse_args(argv)
    try:
        README.write_text(filled(README.read_text()))
    except ValueError as error:
        print(f"{p.prog}: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
