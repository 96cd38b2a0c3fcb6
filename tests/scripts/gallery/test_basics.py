"""The gallery's runner, its perceptrons and functions, and the pictures that it draws."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts.gallery import __main__ as gallery
from scripts.gallery import _drawings, harness
from tests.conftest import Backend
from tests.scripts.gallery.mutations import by_hand
from xpnet import plots

NAMES = [
    "perceptron_gates",
    "xor_gate",
    "broadcasting",
    "softmax",
    "loss_functions",
    "three_layer_forward",
    "derivative_tangent",
    "gradient_descent_path",
    "apple_graph",
    "apple_orange_graph",
    "optimizer_paths",
    *by_hand.MUTATIONS,
]
ON_MNIST = ["gradient_check_mnist", "numerical_training"]


def show(name: str, out: Path, device: str = "cpu", largest: int = 150_000) -> dict:
    """Run a demonstration quickly; check its row and its pictures, of so many bytes at most."""
    args = harness.parser().parse_args(["--quick", "--out", str(out), "--device", device])
    row = harness.show(importlib.import_module(f"scripts.gallery.{name}"), harness.demo_of(args))
    assert row["figures"]
    assert [figure for figure in row["figures"] if not figure["pass"]] == []
    assert row["pass"] is True
    assert row["pictures"]
    for picture in row["pictures"]:
        content = (out / picture).read_bytes()
        assert content.startswith(b"\x89PNG\r\n")
        assert len(content) < largest
    json.dumps(row, allow_nan=False)
    return row


@pytest.mark.gallery
@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_as_expected(name: str, tmp_path: Path) -> None:
    show(name, tmp_path)


@pytest.mark.gallery
@pytest.mark.mnist
@pytest.mark.skipif("XPNET_DATA" not in os.environ, reason="XPNET_DATA is not set")
@pytest.mark.parametrize("name", ON_MNIST)
def test_every_figure_on_mnist_is_as_expected(name: str, tmp_path: Path) -> None:
    show(name, tmp_path)


@pytest.mark.gallery
@pytest.mark.parametrize(
    "name",
    ["xor_gate", "broadcasting", "softmax", "loss_functions", "apple_graph", "optimizer_paths"],
)
def test_the_same_command_runs_on_torch(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    show(name, tmp_path, "torch:cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_as_expected_on_the_gpu(name: str, tmp_path: Path) -> None:
    show(name, tmp_path, "gpu")


def test_rounding_keeps_json_valid() -> None:
    shown = harness._rounded([float("nan"), np.float32(0.5), np.array([1e-12, np.inf])])
    assert shown == ["nan", 0.5, [1e-12, "inf"]]


# The runner, on demonstrations made for the purpose

GOOD = """
ROWS = ("B2", "B3")
TITLE = "a good one"
def run(demo):
    demo.figure("answer", 42, "42", True)
    demo.note("<mode>", demo.mode)
    demo.note("seeds", [demo.seed, demo.seeds])
    demo.picture("good").write_bytes(b"")
"""
MISSED = """
ROWS = ("B10",)
TITLE = "one that misses"
def run(demo):
    demo.figure("answer", 41.0, "42 & no less", False)
"""
BROKEN = """
ROWS = ("A1",)
TITLE = "one that breaks"
def run(demo):
    demo.figure("before", 1, "1", True)
    raise RuntimeError("the cord is torn")
"""
DOES_NOT_IMPORT = "import no_such_module_anywhere"
COMMON = "def helper(): pass"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """A function that makes a package of demonstrations."""

    def make(**sources: str) -> str:
        name = f"demos_{abs(hash(request.node.nodeid))}"
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        for module, source in sources.items():
            (tmp_path / name / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        return name

    return make


def status(*argv: object, package: str = "scripts.gallery") -> int:
    with pytest.raises(SystemExit) as stopped:
        gallery.main([str(word) for word in argv], package)
    return stopped.value.code


def test_without_arguments_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert status() == 0
    listed = capsys.readouterr().out
    for name in NAMES + ON_MNIST:
        assert f" {name} " in listed
    assert "harness" not in listed
    rows = [line.split()[0].rstrip(",") for line in listed.splitlines()]
    assert rows == sorted(rows, key=gallery._place)


def test_row_order_counts_numbers(package, capsys) -> None:
    name = package(late=MISSED, early=GOOD, common=COMMON, first=BROKEN)
    assert list(gallery.discover(name)) == ["first", "early", "late"]


def test_names_and_rows_choose(package, tmp_path: Path, capsys) -> None:
    name = package(late=MISSED, early=GOOD, first=BROKEN)
    out = tmp_path / "out"
    assert status("early", "--quick", "--seed", 3, "--out", out, package=name) == 0
    shown = capsys.readouterr().out
    assert "# B2, B3: a good one" in shown
    assert "answer: 42  (expected 42)" in shown
    assert "<mode>: quick" in shown
    assert "seeds: [3, 1]" in shown
    assert "misses" not in shown
    assert status("B3", "B10", "--out", out, package=name) == 1
    assert "answer: 41.0  (expected 42 & no less)  MISSED" in capsys.readouterr().out
    assert not (out / "gallery.json").exists()


def test_all_writes_the_rows_and_the_page(package, tmp_path: Path, capsys) -> None:
    name = package(good=GOOD)
    out = tmp_path / "out"
    assert status("--all", "--full", "--seeds", 2, "--out", out, package=name) == 0
    (row,) = json.loads((out / "gallery.json").read_text())
    seconds = row.pop("seconds")
    assert 0 <= seconds < 60
    assert row == {
        "id": ["B2", "B3"],
        "name": "good",
        "title": "a good one",
        "figures": [
            {"name": "answer", "value": 42, "expected": "42", "pass": True},
            {"name": "<mode>", "value": "full", "expected": None, "pass": True},
            {"name": "seeds", "value": [0, 2], "expected": None, "pass": True},
        ],
        "pictures": ["good.png"],
        "pass": True,
    }
    page = (out / "index.html").read_text()
    assert '<img src="good.png" alt="a good one"' in page
    assert "&lt;mode&gt;" in page
    assert "1 of 1 demonstrations show what they should" in page
    assert "http" not in page


def test_one_that_breaks_fails_and_the_others_run(package, tmp_path: Path, capsys) -> None:
    name = package(bad=BROKEN, late=MISSED, good=GOOD, lost=DOES_NOT_IMPORT)
    out = tmp_path / "out"
    assert status("--all", "--out", out, package=name) == 1
    rows = {row["name"]: row for row in json.loads((out / "gallery.json").read_text())}
    assert list(rows) == ["lost", "bad", "good", "late"]
    assert rows["bad"]["error"] == "RuntimeError: the cord is torn"
    assert rows["bad"]["figures"][0]["name"] == "before"
    assert "no_such_module_anywhere" in rows["lost"]["error"]
    assert [rows[name]["pass"] for name in ("bad", "good", "late", "lost")] == [
        False, True, False, False,
    ]  # fmt: skip
    assert "missed: lost, bad, late" in capsys.readouterr().out
    page = (out / "index.html").read_text()
    assert "the cord is torn" in page
    assert "42 &amp; no less" in page


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["nosuch"], "expected demonstrations of .*softmax.*, got 'nosuch'"),
        (["softmax", "--all"], "expected names or --all, got both"),
        (["--device", "abacus"], "device: expected 'cpu'"),
        (["--seed", "-1"], "expected a whole number >= 0, got '-1'"),
        (["--seeds", "0"], "expected a whole number >= 1, got '0'"),
        (["--quick", "--full"], "not allowed with"),
    ],
)
def test_a_users_error_is_one_sentence(argv, sentence, tmp_path: Path, capsys) -> None:
    assert status(*argv, "--out", tmp_path) == 2
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(errors)


def test_a_program_runs_by_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.gallery.softmax", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "0.0182112733" in done.stdout
    assert (tmp_path / "softmax.png").exists()


def test_a_program_says_what_is_missing(tmp_path: Path, capsys, monkeypatch) -> None:
    module = importlib.import_module("scripts.gallery.softmax")
    with pytest.raises(SystemExit) as stopped:
        harness.main(module, ["--device", "abacus", "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert "error: device: expected 'cpu'" in capsys.readouterr().err


# Pictures: what cannot be drawn is said in one sentence, and no file appears

ROW = np.array([1.0, 2.0])


def zero(x: np.ndarray) -> np.ndarray:
    return np.zeros(len(x))


@pytest.mark.parametrize(
    ("function", "arguments", "options", "sentence"),
    [
        ("curves", ({},), {}, "curves: expected at least one panel"),
        ("curves", ({"a": {}},), {}, "at least one curve in panel 'a', got none"),
        ("curves", ({"a": {"f": (ROW, np.zeros(3))}},), {}, r"for 'f', got \(2,\) and \(3,\)"),
        ("curves", ({"a": {"": (ROW, ROW)}},), {"points": {"b": {}}}, "name no panel: b"),
        ("decision_regions", ({"a": (zero, [0])}, [1.0]), {}, r"expected points \(n, 2\), got"),
        ("decision_regions", ({"a": (zero, [0])}, [ROW, ROW]), {}, r"labels \(2,\) in panel 'a'"),
        ("decision_regions", ({}, [ROW, ROW]), {}, "decision_regions: expected at least one panel"),
        (
            "decision_regions",
            ({"a": (zero, [0, 1])}, [ROW, ROW + 1]),
            {"lines": {"a": {"flat": (0.0, 0.0, 1.0)}}},
            "the line 'flat' has no direction",
        ),
        ("contour_paths", (lambda x, y: x, {"a": ROW}), {}, r"a walk \(n, 2\) in panel 'a'"),
        ("contour_paths", (lambda x, y: x, {}), {}, "contour_paths: expected at least one panel"),
        ("computation_graph", ({}, []), {}, "expected at least one node, got none"),
        (
            "computation_graph",
            ({"a": (0, 0, "a")}, [("a", "b", 1, 1)]),
            {},
            "'b', which is no node",
        ),
        ("network_diagram", ([ROW, ROW], [np.zeros((2, 3))]), {}, r"got \[\(2, 3\)\]"),
        ("network_diagram", ([], []), {}, "expected weights between layers"),
        ("array_equations", ([],), {}, "expected at least one row, got none"),
        ("array_equations", ([[np.zeros((1, 1, 1))]],), {}, "arrays of at most two axes"),
        (
            "vector_field",
            (np.zeros(2), np.zeros(2)),
            {},
            r"vectors \(n, 2\), got \(2,\) and \(2,\)",
        ),
        ("vector_field", (np.zeros((3, 2)), np.zeros((1, 2))), {}, r"got \(3, 2\) and \(1, 2\)"),
        ("marked_arrays", ({},), {}, "marked_arrays: expected at least one row, got none"),
        ("marked_arrays", ({"a": [(np.zeros((1, 1, 1)), 0)]},), {}, r"in row 'a', got \(1, 1, 1\)"),
        ("marked_arrays", ({"a": [(np.zeros(2), [1])]},), {}, r"got \(1, 2\) and \(1,\)"),
        (
            "scattered",
            ({},),
            {"xlabel": "x", "ylabel": "y"},
            "scattered: expected at least one panel",
        ),
        ("bars", ({},), {}, "bars: expected at least one panel"),
        ("bars", ({"a": {"x": ROW, "y": np.zeros(3)}},), {}, r"one shape \(n,\) in panel 'a'"),
        ("bars", ({"a": {"x": ROW}},), {"ticks": ["one"]}, "expected 2 ticks, got 1"),
    ],
)
def test_pictures_refuse_what_cannot_be_drawn(
    function: str, arguments: tuple, options: dict, sentence: str, tmp_path: Path
) -> None:
    draw = getattr(plots if hasattr(plots, function) else _drawings, function)
    with pytest.raises(ValueError, match=sentence):
        draw(*arguments, tmp_path / "picture.png", **options)
    assert list(tmp_path.iterdir()) == []


def test_pictures_of_arrays_of_every_library(xp: Backend, tmp_path: Path) -> None:
    row = xp.array([1.0, 2.0], "float64")
    plots.bars({"a": {"x": row}}, tmp_path / "bars.png")
    plots.curves({"a": {"x": (row, row)}}, tmp_path / "curves.png", log=True)
    _drawings.array_equations([[row, "=", row]], tmp_path / "arrays.png", title="equal")
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 3.0])
def test_a_figure_beside_its_band_misses(value: float, tmp_path: Path) -> None:
    demo = harness.demo_of(harness.parser().parse_args(["--out", str(tmp_path)]))
    demo.between("one", 1.0, (1.0, 2.0))
    assert demo.passed
    demo.between("another", value, (1.0, 2.0))
    assert [figure["pass"] for figure in demo.figures] == [True, False]
    demo.at_least("least", min(value, 0.5), 1.0)
    demo.at_most("most", max(value, 2.5), 2.0)
    assert [figure["pass"] for figure in demo.figures[2:]] == [False, False]
