"""Count the machine instructions that kernels over images run for each number they write.

No GPU is needed: nvcc compiles the kernels of ``xpnet/ops/cupy`` for sm_90, nvdisasm prints the
machine code, and an interpreter (``sass_interpreter``) runs it, on launches that are made on
an emulated GPU.  So grids and arguments are those of a training step, and what the machine code
writes is compared with what the emulated GPU wrote.

A figure is 32 times the instructions issued to the warps of a few blocks, drawn from the grid,
over the numbers that those wrote to the array the kernel mainly writes.  So subroutines, the idle
threads of a last block and the parting of a warp's threads count, and what memory costs does not.
Registers and spilled bytes are the compiler's own account, in float32 and float64.

--checkout FOLDER counts the xpnet of another checkout, to compare a change with what was before.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from scripts.bench.sass_interpreter import (
    LANES,
    Code,
    Grid,
    Memory,
    SassError,
    functions,
    run_block,
)

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = "sm_90"
BLOCKS = 8
"""Blocks of a launch that are run."""

TARGETS = {"im2col": 25.0, "col2im": 120.0}
"""The most instructions a number, of a 3x3 window."""


TOOLS = {
    "nvcc": "CUDA's toolkit has it, --nvcc says where",
    "nvdisasm": "CUDA's toolkit and the package triton have it, --nvdisasm says where",
    "g++": "the emulated GPU compiles kernels with it",
}


class ToolError(RuntimeError):
    """Something this needs is not on the machine."""


def find(name: str, given: str | None = None) -> str:
    """Return the path of one of the tools.

    Looked for where it is said to be; else on the PATH, in CUDA_HOME and in the package triton.
    """
    if given is not None:
        if shutil.which(given) is None:
            raise ToolError(f"--{name}: {given} cannot be run")
        return given
    triton = importlib.util.find_spec("triton")
    packages = [] if triton is None else list(triton.submodule_search_locations or [])
    folders = [os.environ.get("PATH", ""), f"{os.environ.get('CUDA_HOME', '')}/bin"]
    folders += [f"{package}/backends/nvidia/bin" for package in packages]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise ToolError(f"{name} is not here ({TOOLS[name]})")
    return found


@dataclass(frozen=True)
class Compiled:
    """The kernels of a source, as machine code, and the compiler's account of each."""

    code: dict[str, Code]
    registers: dict[str, int]
    spills: dict[str, int]


def compiled(source: str, real: str, nvcc: str, nvdisasm: str) -> Compiled:
    """Compile a source for ``float`` or ``double`` numbers."""
    with tempfile.TemporaryDirectory() as folder:
        text, binary = Path(folder) / "kernels.cu", Path(folder) / "kernels.cubin"
        text.write_text(source, encoding="utf-8")
        options = ["-std=c++17", "-ftz=true", f"-DREAL={real}", f"-arch={ARCHITECTURE}"]
        account = _run(nvcc, "-x", "cu", *options, "-cubin", "-Xptxas", "-v", "-o", binary, text)
        listing = _run(nvdisasm, "-c", binary).stdout
    return Compiled(functions(listing), *used(account.stderr))


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
    return done


def used(account: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return registers, and spilled bytes, by kernel from what ``ptxas -v`` says."""
    registers, spills, name = {}, {}, ""
    for line in account.splitlines():
        if found := re.search(r"entry function '(\w+)'", line):
            name = found[1]
        elif found := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spills[name] = int(found[1]) + int(found[2])
        elif found := re.search(r"Used (\d+) registers", line):
            registers[name] = int(found[1])
    return registers, spills


# Launches -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Launch:
    """A kernel as it was launched: memory by address, before and after."""

    kernel: str
    grid: Grid
    block: int
    arguments: list[bytes]
    before: dict[int, Any]
    after: dict[int, Any]
    dtypes: dict[int, np.dtype[Any]]


@contextmanager
def recorded() -> Iterator[list[Launch]]:
    """Collect the launches of raw kernels that are made on the emulated GPU meanwhile."""
    from tests.emulator import arrays, kernels

    launches: list[Launch] = []
    launch = kernels.Function.__call__

    def recording(self: Any, grid: Any, block: Any, args: Any, **options: Any) -> None:
        given = [a for a in args if isinstance(a, arrays.ndarray)]
        before = {a.data.ptr: _bytes(a) for a in given}
        launch(self, grid, block, args, **options)
        launches.append(
            Launch(
                self.name, (*grid, 1, 1)[:3], block[0], [kernels._bytes_of(a, []) for a in args],
                before, {a.data.ptr: _bytes(a) for a in given},
                {a.data.ptr: a.dtype for a in given},
            )
        )  # fmt: skip

    with mock.patch.object(kernels.Function, "__call__", recording):
        yield launches


def _bytes(array: Any) -> Any:
    return array.get().reshape(-1).view(np.uint8).copy()


@dataclass(frozen=True)
class Case:
    """A piece of a network, forward and backward, whose kernels are counted."""

    name: str
    shape: tuple[int, int, int, int]
    filters: int  # 0 for pooling alone
    size: int
    stride: int
    pad: int
    pooled: bool = False  # by 2x2 windows, after a convolution
    kernels: tuple[str, ...] = ()


_DEEP = (100, 16, 28, 28)
_CONVOLUTION = ("im2col", "responses_to_images", "images_to_responses", "col2im")
_POOLED = ("im2col", "responses_to_pooled", "pooled_to_responses", "col2im")
_POOLS = ("max_pool", "max_pool_backward", "avg_pool", "avg_pool_backward")

CASES = (
    Case("deep's second convolution, 3x3", _DEEP, 16, 3, 1, 1, kernels=_CONVOLUTION),
    Case("deep's fourth convolution, 3x3 and pooling", (100, 32, 16, 16), 32, 3, 1, 1, True,
         kernels=_POOLED),
    Case("simple's convolution, 5x5 and pooling", (100, 1, 28, 28), 30, 5, 1, 0, True,
         kernels=_POOLED),
    Case("a convolution, 3x3, stride 2", _DEEP, 16, 3, 2, 1, kernels=("im2col", "col2im")),
    Case("pooling, 2x2, stride 2", _DEEP, 0, 2, 2, 0, kernels=_POOLS),
    Case("pooling, 3x3, stride 2, overlapping", _DEEP, 0, 3, 2, 1, kernels=_POOLS),
)  # fmt: skip


def launches(case: Case) -> dict[str, Launch]:
    """Return a case's launches by kernel."""
    from xpnet import device
    from xpnet.ops import conv, pool
    from xpnet.ops.window import Window

    gpu, rng = device("gpu"), np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return gpu.asarray(rng.normal(size=shape).astype(np.float32))

    x, window = draw(*case.shape), Window(case.size, case.size, case.stride, case.pad)
    with recorded() as made:
        if case.filters:
            W = draw(case.filters, case.shape[1], case.size, case.size)
            dW, db = gpu.zeros(W.shape, "float32"), gpu.zeros(case.filters, "float32")
            how: dict[str, Any] = {
                "stride": case.stride, "pad": case.pad,
                "window": Window(2, 2, 2, 0) if case.pooled else None,
            }  # fmt: skip
            y, kept = conv.conv_relu_pool(x, W, draw(case.filters), **how)
            conv.conv_relu_pool_backward(draw(*y.shape), kept, W, dW, db, **how, need_dx=True)
        else:
            y, kept = pool.max_pool2d(x, window)
            pool.max_pool2d_backward(draw(*y.shape), kept, window)
            y = pool.avg_pool2d(x, window)
            pool.avg_pool2d_backward(draw(*y.shape), x.shape, window)
    return {launch.kernel: launch for launch in made}


# Counting -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Count:
    """What one launch came to; ``numbers`` is what a thread writes, on average."""

    case: str
    kernel: str
    instructions: float
    numbers: float
    registers: int
    registers_double: int
    spills: int
    target: float | None


def some_of(grid: Grid, wanted: int) -> list[Grid]:
    """Return the places of a few blocks of a grid, drawn without a pattern."""
    total = math.prod(grid)
    chosen = np.random.default_rng(1).choice(total, min(wanted, total), replace=False)
    x, y, z = np.unravel_index(chosen, grid)
    return list(zip(x.tolist(), y.tolist(), z.tolist(), strict=True))


def count(code: Code, launch: Launch) -> tuple[float, float]:
    """Run a few blocks of a launch; return instructions a number, and numbers a thread.

    Raises
    ------
    SassError
        The machine code does something that the interpreter does not know, or writes other bytes
        than the emulated GPU wrote.
    """
    memory = Memory({start: raw.copy() for start, raw in launch.before.items()})
    places = some_of(launch.grid, BLOCKS)
    issued = sum(
        run_block(code, memory, launch.arguments, place, launch.block, launch.grid)
        for place in places
    )
    for start, written in memory.written.items():
        kind = launch.dtypes[start]
        ours, theirs = (m[start][written].view(kind) for m in (memory.arrays, launch.after))
        if not np.allclose(ours, theirs, 1e-6, 1e-6):  # nvcc fuses products and sums, g++ does not
            raise SassError(f"{launch.kernel}: the machine code wrote other numbers")
    main = max(memory.written, key=lambda start: int(memory.written[start].sum()))
    numbers = int(memory.written[main].sum()) / launch.dtypes[main].itemsize
    return LANES * issued / numbers, numbers / (launch.block * len(places))


def counted(case: Case, single: Compiled, double: Compiled) -> Iterator[Count]:
    """Count a case's kernels in float32."""
    made = launches(case)
    for kernel in case.kernels:
        instructions, numbers = count(single.code[kernel], made[kernel])
        yield Count(
            case.name, kernel, instructions, numbers,
            single.registers[kernel], double.registers[kernel],
            single.spills[kernel] + double.spills[kernel],
            TARGETS.get(kernel) if (case.size, case.stride) == (3, 1) else None,
        )  # fmt: skip


def table(counts: list[Count]) -> str:
    """Return the counts as lines."""
    lines = [
        f"{'':22}{'instructions':>13}{'numbers':>10}{'registers':>12}{'bytes':>8}{'at most':>9}",
        f"{'':22}{'a number':>13}{'a thread':>10}{'f32, f64':>12}{'spilled':>8}{'':>9}",
    ]
    case = None
    for c in counts:
        if c.case != case:
            lines += ["", c.case]
            case = c.case
        both = f"{c.registers}, {c.registers_double}"
        most = "" if c.target is None else f"{c.target:.0f}"
        lines.append(
            f"  {c.kernel:20}{c.instructions:13.1f}{c.numbers:10.2f}{both:>12}{c.spills:8}{most:>9}"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Count, print, and say by the exit status whether the targets are met (2: cannot count)."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench.sass", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "--checkout", type=Path, default=ROOT, metavar="FOLDER", help="by default this one"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts there, too")
    parser.add_argument("--nvcc", metavar="FILE", help="the compiler; else it is looked for")
    parser.add_argument("--nvdisasm", metavar="FILE", help="the disassembler, likewise")
    options = parser.parse_args(argv)
    kernels = options.checkout / "xpnet" / "ops" / "cupy" / "kernels"
    try:
        if not kernels.is_dir():
            raise ToolError(f"--checkout: {kernels} is no folder")
        tools = find("nvcc", options.nvcc), find("nvdisasm", options.nvdisasm)
        find("g++")
        sys.path[:0] = [str(options.checkout.resolve()), str(ROOT)]
        from tests import emulator

        emulator.install(devices=1)
        from xpnet.ops.cupy.kernels import source

        single, double = (compiled(source(), real, *tools) for real in ("float", "double"))
        counts = [c for case in CASES for c in counted(case, single, double)]
    except (ToolError, SassError) as error:
        print(f"machine instructions cannot be counted: {error}", file=sys.stderr)
        return 2
    print(table(counts))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(c) for c in counts], indent=1) + "\n")
    return int(any(c.target is not None and c.instructions > c.target for c in counts))


if __name__ == "__main__":
    raise SystemExit(main())
