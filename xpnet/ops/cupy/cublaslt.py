"""cuBLASLt as nvmath-python binds it, even where the rest of nvmath-python does not import."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from typing import Any


def bindings() -> tuple[Any, Any]:
    """Return the modules ``cublas`` and ``cublasLt`` of ``nvmath.bindings``.

    ``import nvmath`` imports all of nvmath-python, and with it cuda.core, of which not every
    version fits and which these two modules do not need: they are reached without it as well.

    Raises
    ------
    Exception
        Of any kind: what keeps the modules from being imported, or cuBLASLt from being loaded.
    """
    try:
        from nvmath.bindings import cublas, cublasLt
    except Exception:
        with _packages_not_run("nvmath", "nvmath.bindings"):
            cublas = importlib.import_module("nvmath.bindings.cublas")
            cublasLt = importlib.import_module("nvmath.bindings.cublasLt")
    cublasLt.get_version()  # loads the library itself, which may be missing or another CUDA's
    return cublas, cublasLt


@contextlib.contextmanager
def _packages_not_run(*names: str) -> Iterator[None]:
    """Let modules within packages, outermost first, be imported without running the packages.

    In ``sys.modules`` each is stood for by a module that was made from its specification and not
    executed, and is taken out again: whoever imports the package later runs it.
    """
    made = []
    try:
        for name in names:
            if name in sys.modules:
                continue
            spec = importlib.util.find_spec(name)
            if spec is None:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            sys.modules[name] = importlib.util.module_from_spec(spec)
            made.append(name)
        yield
    finally:
        for name in made:
            del sys.modules[name]


def failure(error: Exception) -> str:
    """Return what kept ``bindings`` from working, and the cure: the end of a sentence."""
    what = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
    return f"({what}): {_cure(error)}"


def _cure(error: Exception) -> str:
    if re.search(r"\blibcuda\.so\b|\bnvcuda\b", str(error)):
        return "install or update the NVIDIA driver"
    if re.search(r"\blib\w+\.so\b|\w\.dll\b", str(error)):
        return (
            "CUDA's libraries come with `pip install 'cupy-cuda13x[ctk]'` (CUDA 13) or "
            "`pip install 'cupy-cuda12x[ctk]'` (CUDA 12)"
        )
    install = "install" if isinstance(error, ModuleNotFoundError) else "install --upgrade"
    name = (error.name if isinstance(error, ImportError) else None) or ""
    needed = re.match(r"cuda\.(core|bindings|pathfinder)\b", name)
    return f"run `pip {install} {f'cuda-{needed[1]}' if needed else 'nvmath-python'}`"
