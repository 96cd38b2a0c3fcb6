"""Whole tasks as programs: what they find, and that they are short."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType


def own_statements(program: ModuleType) -> list[ast.stmt]:
    """Return the statements of a program but for imports and docstrings."""
    assert program.__file__ is not None
    return [
        node
        for node in ast.walk(ast.parse(Path(program.__file__).read_text()))
        if isinstance(node, ast.stmt)
        and not isinstance(node, (ast.Import, ast.ImportFrom))
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
