"""The shape of the package: who may know which library, and which way imports run."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import xpnet

ROOT = Path(xpnet.__file__).parent

# Which modules may import a library.  A folder stands for the modules in it.
IMPORTERS = {
    "PIL": ["data/folders.py"],
    "array_api_compat": ["arrays.py"],
    "array_api_extra": [],
    "array_api_strict": [],
    "cupy": ["devices/cupy.py", "ops/cupy/"],
    "cupyx": ["devices/cupy.py", "ops/cupy/"],
    "jax": [],
    "matplotlib": ["plots/figures.py"],
    "llvmlite": ["devices/host_code.py", "devices/host_cores.py", "ops/numba/vectors.py"],
    "mlflow": ["training/loggers.py"],
    "mpi4py": ["parallel/mpi.py"],
    "numba": ["devices/host_code.py", "ops/numba/"],
    "nvmath": ["ops/cupy/cublaslt.py"],
    "numpy": [
        "arrayfiles.py", "arrays.py", "book/", "cli/", "convert.py", "data/", "devices/",
        "ops/cupy/", "ops/numba/", "ops/numpy/", "parallel/mpi.py", "plots/", "random.py",
        "sklearn/",
    ],
    "scipy": [],
    "sklearn": ["data/moons.py", "sklearn/"],
    "tensorboardX": ["training/loggers.py"],
    "torch": ["devices/torch.py"],
}  # fmt: skip

# Which modules may say a library's name in a string: to load it, or to tell libraries apart.
NAMERS = {
    "cupy": ["devices/", "ops/", "ops/cupy/"],
    "cupyx": ["devices/cupy.py", "ops/cupy/"],
    "jax": [],
    "matplotlib": ["plots/figures.py"],
    "numba": ["ops/", "ops/numba/"],
    "torch": ["devices/"],
    "nvmath": ["ops/cupy/cublaslt.py"],
}

# A room may import from lower ranks, and from its own where that makes no circle.
RANKS = [
    {"arrays", "checks", "convert", "files", "forks", "html", "tables"},
    {"arrayfiles", "config"},
    {"devices", "random", "threadpool"},
    {"functions", "initializers", "ops", "parallel", "schedules"},
    {"layers", "losses", "optimizers"},
    {"data", "gradients", "models", "plots", "serialize"},
    {"training"},
    {"book", "cli", "sklearn"},
    {"__main__"},
]
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}


@dataclass(frozen=True)
class Import:
    target: str  # dotted
    when: str  # "module", "function" or "typing"
    line: int


@dataclass(frozen=True)
class Module:
    name: str  # "ops/dispatch.py"

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse((ROOT / self.name).read_text(encoding="utf-8"), self.name)

    @property
    def room(self) -> str:
        return self.name.split("/")[0].removesuffix(".py")

    @cached_property
    def imports(self) -> list[Import]:
        return list(_imports(self.tree, "module"))

    @cached_property
    def rooms(self) -> dict[str, int]:
        """Return the rooms that something is imported from, with a line."""
        return {
            one.target.split(".")[1]: one.line
            for one in self.imports
            if one.target.startswith("xpnet.") and one.target.split(".")[1] != self.room
        }

    def __str__(self) -> str:
        return self.name


def _imports(node: ast.AST, when: str) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import():
                for alias in child.names:
                    yield Import(alias.name, when, child.lineno)
            case ast.ImportFrom():
                assert child.level == 0, f"line {child.lineno}: imports are absolute"
                for alias in child.names:
                    yield Import(f"{child.module}.{alias.name}", when, child.lineno)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _imports(child, "function" if when == "module" else when)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                for part in child.body:
                    yield from _imports(ast.Module([part], []), "typing")
                for part in child.orelse:
                    yield from _imports(ast.Module([part], []), when)
            case _:
                yield from _imports(child, when)


def allowed(module: Module, names: list[str]) -> bool:
    folder = module.name.rpartition("/")[0] + "/"
    return module.name in names or folder in names


MODULES = [Module(path.relative_to(ROOT).as_posix()) for path in sorted(ROOT.rglob("*.py"))]
INNER = [module for module in MODULES if module.name != "__init__.py"]
every_module = pytest.mark.parametrize("module", INNER, ids=str)


def test_the_modules_are_found():
    assert {"arrays.py", "ops/dispatch.py", "layers/base.py"} <= {module.name for module in MODULES}


@every_module
def test_a_library_is_imported_only_where_it_may_be(module):
    for one in module.imports:
        library = one.target.split(".")[0]
        assert allowed(module, IMPORTERS.get(library, [module.name])), (
            f"line {one.line} imports {library}: begin with xpnet.arrays.namespace(array)"
        )


@every_module
def test_a_library_is_named_only_where_it_may_be(module):
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        named = re.fullmatch(r"(\w+)(\.[\w.]+)?", node.value)
        library = named[1] if named else ""
        assert allowed(module, NAMERS.get(library, [module.name])), (
            f"line {node.lineno} names {library}"
        )


@every_module
def test_nothing_is_reached_through_another_modules_libraries(module):
    """``arrays.np`` and ``_numpy.np`` would be an import by the back door."""
    for one in module.imports:
        last = one.target.rsplit(".", 1)[-1]
        if one.target.startswith("xpnet."):
            assert last not in {*IMPORTERS, "np", "cp", "compat_numpy"}, f"line {one.line}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in {"np", "cp", "compat_numpy"}:
            pytest.fail(f"line {node.lineno} reaches for {node.attr}")


def test_matplotlib_is_imported_only_when_something_is_drawn():
    for module in INNER:
        for one in module.imports:
            if one.target.split(".")[0] == "matplotlib":
                assert one.when == "function", f"{module} line {one.line}"


@every_module
def test_every_module_has_a_room_with_a_rank(module):
    assert module.room in RANK, f"{module}: give the room {module.room!r} a rank in this file"


@every_module
def test_imports_run_one_way(module):
    """Within functions and for annotations too."""
    for room, line in module.rooms.items():
        where = f"line {line}: {module.room} imports {room}"
        assert room in RANK, f"{where}: import from the module, not from the package's front"
        assert RANK[room] <= RANK[module.room], f"{where}, which stands above it"


def imported(module: Module) -> set[str]:
    """Return the files of xpnet that a file imports: modules, and the fronts of packages."""
    found = set()
    for one in module.imports:
        parts = one.target.split(".")
        while len(parts) > 1 and parts[0] == "xpnet":
            path = "/".join(parts[1:])
            if (ROOT / f"{path}.py").is_file():
                found.add(f"{path}.py")
                break
            if (ROOT / path / "__init__.py").is_file():
                found.add(f"{path}/__init__.py")
                break
            parts.pop()
    return found - {module.name}


def test_files_import_each_other_in_no_circle():
    graph = {module.name: imported(module) for module in MODULES if module.name != "__init__.py"}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert (
        order.index("arrays.py") < order.index("layers/base.py") < order.index("training/steps.py")
    )


def test_these_rules_catch_what_they_forbid(monkeypatch, tmp_path):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "layers").mkdir()
    wrong = {
        "import numpy as np": test_a_library_is_imported_only_where_it_may_be,
        "def f():\n    from torch import nn": test_a_library_is_imported_only_where_it_may_be,
        "import importlib\nt = importlib.import_module('torch.nn')": (
            test_a_library_is_named_only_where_it_may_be
        ),
        "from xpnet.arrays import np": test_nothing_is_reached_through_another_modules_libraries,
        "from xpnet import training": test_imports_run_one_way,
        "def f():\n    import xpnet.models": test_imports_run_one_way,
        "from xpnet import Sequential": test_imports_run_one_way,
        "if TYPE_CHECKING:\n    from xpnet.serialize import load": test_imports_run_one_way,
    }
    for number, (source, rule) in enumerate(wrong.items()):
        name = f"layers/wrong{number}.py"
        (tmp_path / name).write_text(source)
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            rule(Module(name))
    with pytest.raises(AssertionError, match="rank"):
        test_every_module_has_a_room_with_a_rank(Module("gadgets/x.py"))


def test_importing_xpnet_loads_nothing_heavy_and_nothing_optional():
    heavy = (
        "cupy torch numba matplotlib pooch requests tqdm sklearn scipy pandas jax "
        "mlflow mpi4py tensorboardX numpy.f2py numpy.testing array_api_compat.numpy"
    )
    program = f"import sys, xpnet; print([m for m in {heavy!r}.split() if m in sys.modules])"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert loaded.strip() == "[]"


def test_no_public_name_hides_a_module():
    for module in INNER:
        dotted = f"xpnet.{module.name.removesuffix('.py').replace('/', '.')}"
        package, _, name = dotted.removesuffix(".__init__").rpartition(".")
        found = getattr(importlib.import_module(package), name, None)
        assert found is None or inspect.ismodule(found), f"{package}.{name} is {found}"
