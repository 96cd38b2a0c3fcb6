"""The CUDA source compiles for every GPU that CuPy serves, where NVIDIA's compiler is at hand."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
from pathlib import Path

import pytest

from xpnet.ops.cupy.kernels import source

SOURCE = source()
ARCHITECTURES = [70, 80, 90]


@functools.cache
def compilers() -> list[ctypes.CDLL]:
    """Return NVIDIA's run-time compilers that pip has installed, in all versions."""
    found = importlib.util.find_spec("nvidia")
    folders = [] if found is None else list(found.submodule_search_locations or [])
    paths = [path for folder in folders for path in Path(folder).rglob("libnvrtc.so.*[0-9]")]
    return [ctypes.CDLL(str(path)) for path in sorted(paths) if "builtins" not in path.name]


def compiler_for(architecture: int) -> ctypes.CDLL:
    for nvrtc in compilers():
        count = ctypes.c_int()
        assert nvrtc.nvrtcGetNumSupportedArchs(ctypes.byref(count)) == 0
        known = (ctypes.c_int * count.value)()
        assert nvrtc.nvrtcGetSupportedArchs(known) == 0
        if architecture in known:
            return nvrtc
    pytest.skip(f"needs a CUDA compiler for sm_{architecture}: pip install nvidia-cuda-nvrtc-cu12")


def compile_source(nvrtc: ctypes.CDLL, code: str, *options: str) -> tuple[int, str, bytes]:
    """Return (status, log, machine code)."""
    program = ctypes.c_void_p()
    text = code.encode()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, b"kernels.cu", 0, None, None) == 0
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    status = nvrtc.nvrtcCompileProgram(program, len(options), given)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    binary = b""
    if status == 0:
        nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
        machine = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetCUBIN(program, machine)
        binary = machine.raw
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return status, log.value.decode(), binary


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("real", ["float", "double"])
def test_every_kernel_compiles_without_a_warning(architecture, real):
    nvrtc = compiler_for(architecture)
    options = ("-std=c++17", f"-DREAL={real}", f"-arch=sm_{architecture}")
    status, log, binary = compile_source(nvrtc, SOURCE, *options)
    log = re.sub(r"nvrtc: warning: Architectures prior to .* are deprecated.*\n", "", log)
    assert (status, log) == (0, "")
    names = re.findall(r'extern "C" __global__ __launch_bounds__\(\d+\)\nvoid (\w+)\(', SOURCE)
    assert len(names) == SOURCE.count("__global__") > 20  # each with its bounds, which it keeps to
    for name in names:
        assert name.encode() in binary


def test_the_compiler_finds_mistakes():
    nvrtc = compiler_for(ARCHITECTURES[-1])
    wrong = SOURCE.replace("return sum;", "return summ;", 1)
    status, log, _ = compile_source(nvrtc, wrong, "-DREAL=float")
    assert status != 0
    assert "summ" in log
