"""What the README says is true: its Python runs, its commands and links exist."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.test_frames import Frame
from xpnet.cli import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def put_data(folder: Path) -> None:
    """Put the files that the README reads into a folder."""
    header = ",".join(["label", *(f"pixel{k}" for k in range(784))])
    (folder / "train.csv").write_text(f"{header}\n7{',255' * 784}\n")
    (folder / "test.csv").write_text(f"{header[6:]}\n{','.join('0' * 784)}\n")
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (folder / "pets" / part / name).mkdir(parents=True)
            Image.new("RGB", (30, 20)).save(folder / "pets" / part / name / "one.png")
    np.savez(folder / "data.npz", x_train=np.eye(3), y_train=np.arange(3))


def test_the_python_in_the_readme_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    put_data(tmp_path)
    names: dict[str, object] = {"frame": Frame({"size": [1.5, 2], "species": ["setosa", "other"]})}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert float(printed[0]) >= 0.97
    errors = eval(printed[-1])
    assert errors.keys() == {"gamma", "x"}
    assert max(errors.values()) < 1e-6
    assert (tmp_path / "convnet.safetensors").exists()
    assert (tmp_path / "submission.csv").read_text().startswith("ImageId,Label\n1,")


def test_the_op_of_the_readme_has_equal_bodies() -> None:
    import xpnet

    names: dict[str, object] = {}
    block = next(b for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "@op" in b)
    exec(compile(block, "README.md", "exec"), names)
    distance = names["squared_distance"]
    x, y = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    fast = distance(x, y)  # type: ignore[operator]
    with xpnet.ops.generic_only():
        generic = distance(x, y)  # type: ignore[operator]
    np.testing.assert_allclose(fast, generic)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", README))
def test_what_the_readme_links_to_exists(target: tuple[str, str]) -> None:
    path = target[0] or target[1]
    if not path.startswith("http"):
        assert (ROOT / path).exists()


def test_what_stands_under_where_things_are_exists() -> None:
    section = README.partition("## Where things are\n")[2].partition("\n## ")[0]
    names = re.findall(r"`([^`]+)`", section)
    assert len(names) > 8
    for name in names:
        places = (ROOT / name, ROOT / "xpnet" / name, ROOT / "xpnet" / f"{name}.py")
        assert any(place.exists() for place in places), name


def test_every_option_that_the_readme_names_exists() -> None:
    from scripts import train
    from scripts.bench import cpu
    from scripts.gallery import harness

    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README))
    known = "".join(import_module(f"xpnet.cli.{name}").parser().format_help() for name in COMMANDS)
    known += train.parser().format_help() + harness.parser().format_help()
    known += (ROOT / "scripts/gallery/__main__.py").read_text()
    known += cpu.parser().format_help() + (ROOT / "tests/conftest.py").read_text()
    assert all(option in known for option in options - {"--help"})
