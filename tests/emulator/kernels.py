"""Raw CUDA kernels, compiled for the host."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from . import state
from .arrays import ndarray
from .memory import Block, MemoryPointer
from .state import EmulationError

__all__ = ["CompileException", "RawKernel", "RawModule"]

_HEADER = Path(__file__).with_name("cuda_emulation.hpp")
_CACHE = Path(tempfile.gettempdir()) / f"xpnet-emulator-{os.getuid()}"
_FLAGS = [
    *("-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-ffp-contract=off", "-fno-strict-aliasing"),
    *("-fwrapv", "-U_FORTIFY_SOURCE"),
]
_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+(?:__launch_bounds__\s*\(([^()]*)\)\s*)?void\s+'
    r"(?:__launch_bounds__\s*\(([^()]*)\)\s*)?(\w+)\s*\("
)
_DYNAMIC_SHARED = re.compile(
    r"extern\s+__shared__\s+(?:__align__\s*\(\s*\d+\s*\)\s*|alignas\s*\(\s*\d+\s*\)\s*)?"
    r"([\w\s]+?)\s+(\w+)\s*\[\s*\]\s*;"
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)

_NUMBERS = {bool: np.bool_, int: np.int64, float: np.float64, complex: np.complex128}


class CompileException(Exception):  # noqa: N818
    """The compiler does not accept a kernel's source."""


def _gxx(arguments: Sequence[str], source: str) -> subprocess.CompletedProcess[str]:
    compiler = shutil.which("g++")
    if compiler is None:
        raise EmulationError("emulated CUDA kernels need the compiler g++, which is not installed")
    command = [compiler, *arguments, "-x", "c++", "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=False)


def _kernels(code: str, defines: Sequence[str]) -> dict[str, int | None]:
    """Return the names of a source's kernels, with the most threads they may be launched with."""
    if re.search(r"#\s*define[^\n]*(\\\n[^\n]*)*__global__", code):
        done = _gxx(["-E", "-P", *defines], code)
        if done.returncode:
            raise CompileException(done.stderr)
        code = done.stdout
    found: dict[str, int | None] = {}
    for before, after, name in _KERNEL.findall(_COMMENT.sub(" ", code)):
        bound = (before or after).split(",")[0].strip()
        found[name] = int(bound) if bound.isdigit() else None
    return found


def _source(code: str, names: Sequence[str]) -> str:
    """Return the C++ of a CUDA source: its kernels, and what launches each."""
    code = _DYNAMIC_SHARED.sub(
        r"\1 *const \2 = static_cast<\1 *>(emulation::dynamic_shared);", code
    )
    launchers = "".join(
        f"""
extern "C" const char *{name}__run(const unsigned *grid, const unsigned *block, void **arguments,
                                   void *shared, std::size_t shared_bytes) {{
  return emulation::run_grid(grid, block, arguments, emulation::Launcher<&{name}>::call, shared,
                             shared_bytes);
}}
extern "C" int {name}__sizes(int *out) {{ return emulation::Launcher<&{name}>::sizes(out); }}
"""
        for name in names
    )
    return f'#include "{_HEADER}"\n#line 1 "kernels.cu"\n{code}\n{launchers}'


def _compile(source: str, defines: Sequence[str]) -> Path:
    """Return the library of a source, which is kept from one run to the next."""
    _CACHE.mkdir(mode=0o700, exist_ok=True)
    digest = hashlib.sha256()
    for part in (source, _HEADER.read_text(), *defines, *_FLAGS):
        digest.update(part.encode() + b"\0")
    library = _CACHE / f"{digest.hexdigest()[:32]}.so"
    with FileLock(library.with_suffix(".lock")):  # another process waits, and finds it compiled
        if library.exists():
            return library
        made = library.with_suffix(".tmp")
        arguments = [*_FLAGS, *defines, "-o", str(made)]
        done = _gxx(arguments, source)
        if "section type conflict" in done.stderr:  # shared memory of a template
            done = _gxx([*arguments, "-DEMULATION_PLAIN_SHARED"], source)
        if done.returncode:
            raise CompileException(done.stderr)
        made.replace(library)
    return library


class RawModule:
    """CUDA source with ``extern "C"`` kernels; compiled when the first is asked for."""

    def __init__(
        self,
        code: str | None = None,
        *,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Sequence[str] | None = None,
        jitify: bool | None = None,
    ) -> None:
        if code is None or path is not None:
            raise NotImplementedError("only modules of source code are emulated")
        if not isinstance(options, tuple):
            raise TypeError(f"options: expected a tuple, got {type(options).__name__}")
        if translate_cucomplex or enable_cooperative_groups or name_expressions or jitify:
            raise NotImplementedError("of RawModule's options only `options` are emulated")
        if backend not in ("nvrtc", "nvcc"):
            raise ValueError(f"backend: expected 'nvrtc' or 'nvcc', got {backend!r}")
        self.code = code
        self.options = options
        self._loaded: tuple[ctypes.PyDLL, dict[str, int | None]] | None = None

    def compile(self, log_stream: Any = None) -> None:
        """Compile and load the module, if that has not been done."""
        if self._loaded is not None:
            return
        state.refuse_in_capture("cuModuleLoadData", anywhere=True)
        defines = [option for option in self.options if option.startswith(("-D", "-U"))]
        names = _kernels(self.code, defines)
        library = ctypes.PyDLL(str(_compile(_source(self.code, list(names)), defines)))
        self._loaded = library, names

    def get_function(self, name: str) -> Function:
        """Return a kernel."""
        self.compile()
        assert self._loaded is not None
        library, names = self._loaded
        if name not in names:
            raise EmulationError(f"no kernel {name!r}; there are {', '.join(names) or 'none'}")
        return Function(name, library, names[name])


class Function:
    """A kernel that can be launched."""

    def __init__(self, name: str, library: ctypes.PyDLL, most_threads: int | None) -> None:
        self.name = name
        self.max_dynamic_shared_size_bytes = 48 * 1024
        self._most_threads = most_threads or 1024
        self._run = library[f"{name}__run"]
        self._run.restype = ctypes.c_char_p
        sizes = (ctypes.c_int * 256)()
        count = library[f"{name}__sizes"](sizes)
        self._sizes = list(sizes[:count])

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        *,
        shared_mem: int = 0,
    ) -> None:
        """Run the kernel for every thread of every block."""
        grid3, block3 = _three(grid, "grid"), _three(block, "block")
        if block3[0] * block3[1] * block3[2] > self._most_threads or block3[2] > 64:
            raise EmulationError(
                f"{self.name}: a block of {block} threads, at most {self._most_threads} may be"
            )
        if grid3[0] >= 2**31 or max(grid3[1:]) >= 2**16:
            raise EmulationError(f"{self.name}: a grid of {grid} blocks is too large")
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise EmulationError(
                f"{self.name}: {shared_mem} bytes of shared memory, at most "
                f"max_dynamic_shared_size_bytes = {self.max_dynamic_shared_size_bytes} may be"
            )
        if len(args) != len(self._sizes):
            raise TypeError(f"{self.name}: expected {len(self._sizes)} arguments, got {len(args)}")
        blocks: list[Block] = []
        values = np.full((max(len(args), 1), 16), 0xAB, np.uint8)
        for index, (argument, size) in enumerate(zip(args, self._sizes, strict=True)):
            raw = _bytes_of(argument, blocks)
            real, size = size < 0, abs(size)
            if real != isinstance(argument, (float, np.floating)):
                raise EmulationError(
                    f"{self.name}: argument {index} is {argument!r}, the kernel reads "
                    f"{'a real' if real else 'no real'} number from its bytes"
                )
            if len(raw) < size:
                raise TypeError(
                    f"{self.name}: argument {index} has {len(raw)} bytes, the kernel reads {size}"
                )
            values[index, : len(raw)] = np.frombuffer(raw, np.uint8)
        start = values.ctypes.data
        pointers = (ctypes.c_void_p * max(len(args), 1))(
            *(start + 16 * index for index in range(max(len(args), 1)))
        )
        dims = (ctypes.c_uint * 3)(*grid3), (ctypes.c_uint * 3)(*block3)
        run, name = self._run, self.name

        def work() -> None:
            shared = np.empty(shared_mem + 16, np.uint8)
            address = shared.ctypes.data
            address += -address % 16
            _ = values  # what the pointers point to
            error = run(*dims, pointers, ctypes.c_void_p(address), ctypes.c_size_t(shared_mem))
            if error:
                raise EmulationError(f"{name}: {error.decode()}")

        state.execute(self.name, work, blocks)


def _three(sizes: tuple[int, ...], what: str) -> tuple[int, int, int]:
    if not isinstance(sizes, tuple) or not 1 <= len(sizes) <= 3:
        raise TypeError(f"{what}: expected a tuple of up to 3 whole numbers, got {sizes!r}")
    x, y, z = (int(size) for size in (*sizes, 1, 1)[:3])
    if min(x, y, z) < 1:
        raise state.CUDARuntimeError(1, f"{what} {sizes}")
    return x, y, z


def _bytes_of(argument: Any, blocks: list[Block]) -> bytes:
    """Return an argument as the driver gets it; None is a null pointer."""
    if argument is None:
        return bytes(8)
    if isinstance(argument, ndarray):
        argument.check_device()
        if argument.block is not None:
            blocks.append(argument.block)
        return argument.data.ptr.to_bytes(8, "little")
    if isinstance(argument, MemoryPointer):
        if argument.mem.block is not None:
            blocks.append(argument.mem.block)
        return argument.ptr.to_bytes(8, "little")
    if isinstance(argument, np.generic):
        return argument.tobytes()
    if type(argument) in _NUMBERS:
        return _NUMBERS[type(argument)](argument).tobytes()
    raise TypeError(f"Unsupported type {type(argument)}")


class RawKernel:
    """One kernel of a source; compiled when it is first launched."""

    def __init__(
        self, code: str, name: str, options: tuple[str, ...] = (), backend: str = "nvrtc"
    ) -> None:
        self._module = RawModule(code=code, options=options, backend=backend)
        self._name = name
        self._function: Function | None = None

    def compile(self, log_stream: Any = None) -> None:
        """Compile and load the kernel, if that has not been done."""
        if self._function is None:
            self._function = self._module.get_function(self._name)

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        *,
        shared_mem: int = 0,
    ) -> None:
        """Run the kernel for every thread of every block."""
        self.compile()
        assert self._function is not None
        self._function(grid, block, args, shared_mem=shared_mem)
