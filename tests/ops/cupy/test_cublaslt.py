"""nvmath-python's binding of cuBLASLt is found where it can be; where not, the reason is told.

The packages ``nvmath`` are made up, and import what the tests say: the real one needs a GPU.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xpnet.ops.cupy.cublaslt import bindings, failure

MISSING_CORE = "raise ModuleNotFoundError(\"No module named 'cuda.core'\", name='cuda.core')\n"
VERSION = "def get_version():\n    return 130000\n"

Install = Callable[..., None]


def _forget() -> dict[str, object]:
    names = [name for name in sys.modules if name.split(".")[0] == "nvmath"]
    return {name: sys.modules.pop(name) for name in names}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """What writes a package ``nvmath``, given the code of its parts, in place of any other."""

    def write(nvmath: str = "", bindings: str = "", cublas: str = "", lt: str = VERSION) -> None:
        parts = {
            "__init__.py": "from nvmath import bindings\n" + nvmath,
            "bindings/__init__.py": "from nvmath.bindings import cublas, cublasLt\n" + bindings,
            "bindings/cublas.py": cublas,
            "bindings/cublasLt.py": "from nvmath.bindings import _internal\n" + lt,
            "bindings/_internal/__init__.py": "",
        }
        for name, code in parts.items():
            file = tmp_path / "nvmath" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(code, encoding="utf-8")
        importlib.invalidate_caches()

    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a file may change within a second
    monkeypatch.syspath_prepend(tmp_path)
    real = _forget()
    yield write
    _forget()
    sys.modules.update(real)  # type: ignore[arg-type]


def test_a_sound_package_is_imported_as_usual(install):
    install()
    cublas, lt = bindings()
    assert (cublas.__name__, lt.get_version()) == ("nvmath.bindings.cublas", 130000)
    assert sys.modules["nvmath"].bindings.cublasLt is lt


UNFIT = {
    "the package needs what is missing": {"nvmath": MISSING_CORE},
    "the bindings' package does": {"bindings": MISSING_CORE},
    "what it needs is too new": {"nvmath": "import sys\nsys.no_such_attribute\n"},
}


@pytest.mark.parametrize("parts", UNFIT.values(), ids=UNFIT)
class TestAPackageThatDoesNotImport:
    def test_its_binding_does(self, install, parts):
        install(**parts)
        cublas, lt = bindings()
        assert (cublas.__name__, lt.get_version()) == ("nvmath.bindings.cublas", 130000)

    def test_it_still_does_not_import_afterwards(self, install, parts):
        install(**parts)
        with pytest.raises((ImportError, AttributeError)) as before:
            importlib.import_module("nvmath")
        bindings()
        assert "nvmath" not in sys.modules
        with pytest.raises(before.type, match=str(before.value)):
            importlib.import_module("nvmath")

    def test_it_is_whole_once_it_imports(self, install, parts):
        install(**parts)
        _, lt = bindings()
        install()
        nvmath = importlib.import_module("nvmath")
        assert nvmath.bindings.cublasLt is lt
        assert nvmath.bindings.cublas.__name__ == "nvmath.bindings.cublas"


def test_nothing_is_left_of_a_package_whose_binding_does_not_import(install):
    install(nvmath=MISSING_CORE, lt="import no_such_module\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        bindings()
    assert not {"nvmath", "nvmath.bindings", "nvmath.bindings.cublasLt"} & set(sys.modules)


CUDA_LIBRARIES = (
    "CUDA's libraries come with `pip install 'cupy-cuda13x[ctk]'` (CUDA 13) or "
    "`pip install 'cupy-cuda12x[ctk]'` (CUDA 12)"
)
FAILURES = {
    "a module": (
        MISSING_CORE,
        "(ModuleNotFoundError: No module named 'cuda.core'): run `pip install cuda-core`",
    ),
    "a package of several": (
        "raise ModuleNotFoundError(\"No module named 'cuda'\", name='cuda')",
        "(ModuleNotFoundError: No module named 'cuda'): run `pip install nvmath-python`",
    ),
    "a module without a name": (
        "raise ModuleNotFoundError('lost')",
        "(ModuleNotFoundError: lost): run `pip install nvmath-python`",
    ),
    "another library's": (
        "import no_such_module.part",
        "(ModuleNotFoundError: No module named 'no_such_module'): run `pip install nvmath-python`",
    ),
    "a name in a module": (
        "raise ImportError(\"cannot import name 'x' from 'cuda.pathfinder'\", "
        "name='cuda.pathfinder')",
        "(ImportError: cannot import name 'x' from 'cuda.pathfinder'): "
        "run `pip install --upgrade cuda-pathfinder`",
    ),
    "a library": (
        'raise RuntimeError(\'Failure finding "libcublasLt.so.13"\\n  listdir("/usr/lib"):\')',
        f'(RuntimeError: Failure finding "libcublasLt.so.13"): {CUDA_LIBRARIES}',
    ),
    "the driver": (
        "raise RuntimeError('CUDA driver is not found (libcuda.so.1: cannot open it)')",
        "(RuntimeError: CUDA driver is not found (libcuda.so.1: cannot open it)): install or "
        "update the NVIDIA driver",
    ),
    "a library on Windows": (
        "raise OSError('cublasLt64_13.dll not found')",
        f"(OSError: cublasLt64_13.dll not found): {CUDA_LIBRARIES}",
    ),
    "something": (
        "raise RuntimeError()",
        "(RuntimeError): run `pip install --upgrade nvmath-python`",
    ),
}


@pytest.mark.parametrize("inside", [False, True], ids=["on import", "on first use"])
@pytest.mark.parametrize(("code", "sentence"), FAILURES.values(), ids=FAILURES)
def test_a_failure_names_its_kind_and_its_cure(install, code, sentence, inside):
    install(lt=f"def get_version():\n    {code}\n" if inside else code)
    with pytest.raises((ImportError, OSError, RuntimeError)) as caught:
        bindings()
    assert failure(caught.value) == sentence


def test_without_nvmath_it_is_told_to_install_it(install, monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ModuleNotFoundError) as caught:
        bindings()
    assert failure(caught.value) == (
        "(ModuleNotFoundError: No module named 'nvmath'): run `pip install nvmath-python`"
    )
