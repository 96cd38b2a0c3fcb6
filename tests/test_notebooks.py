"""The notebooks run from top to bottom, and what their cells show is of the kinds kept in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def kinds(notebook: Any) -> list[list[tuple[str, ...]]]:
    """Return for each cell of code the kinds of its outputs: streams, or how a value is shown."""
    return [
        [
            (one.output_type, *sorted(one.get("data", {})), one.get("name", ""))
            for one in cell.outputs
        ]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def run(notebook: Any, folder: Path) -> Any:
    """Return a copy of a notebook as it is after its cells have run, in a folder."""
    copy = nbformat.from_dict(notebook)
    resources = {"metadata": {"path": str(folder)}}
    return nbclient.NotebookClient(copy, timeout=300, resources=resources).execute()


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_showed(path, tmp_path):
    stored = nbformat.read(path, as_version=4)
    assert kinds(run(stored, tmp_path)) == kinds(stored)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_executed_and_small(path):
    stored = nbformat.read(path, as_version=4)
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    assert any("image/png" in kind for shown in kinds(stored) for kind in shown)
    assert path.stat().st_size < 500_000
    assert str(Path.home()) not in path.read_text()


def test_the_lesson_shows_its_bar():
    stored = nbformat.read(ROOT / "notebooks" / "lesson.ipynb", as_version=4)
    shown = [o.get("data", {}) for c in stored.cells for o in c.get("outputs", [])]
    assert any(one.get("text/plain", "").startswith("epoch 8: 100%|██") for one in shown)


def test_both_are_there():
    assert {path.stem for path in NOTEBOOKS} == {"lesson", "table"}


def test_a_cell_that_raises_and_another_kind_of_output_are_seen(tmp_path):
    cells = [nbformat.v4.new_code_cell(source) for source in ("1", "print(1)", "1 / 0")]
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="ZeroDivisionError"):
        run(nbformat.v4.new_notebook(cells=cells), tmp_path)
    shown = run(nbformat.v4.new_notebook(cells=cells[:2]), tmp_path)
    assert kinds(shown) == [[("execute_result", "text/plain", "")], [("stream", "stdout")]]


@pytest.mark.parametrize(
    "first",
    [
        "import matplotlib.pyplot",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("", "%matplotlib inline")),
    ],
)
def test_a_picture_is_shown_once_whether_pyplot_is_there_or_not(first, tmp_path):
    sources = (f"{first}\nfrom xpnet import plots", "plots.confusion([[1, 0], [0, 1]])")
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    shown = run(nbformat.v4.new_notebook(cells=cells), tmp_path)
    assert kinds(shown) == [[], [("execute_result", "image/png", "text/plain", "")]]
