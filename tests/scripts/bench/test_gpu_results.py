"""What a check found becomes a results file, and that the README's table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.bench import gpu_results, readme
from scripts.bench.facts import Fact, Facts

ABOUT = {
    "fact": "about",
    "date": "2020-02-29",
    "versions": {"cupy": "14.2.0", "torch": "2.11.0"},
    "machine": {"gpu": "NVIDIA Made-up 9000 (80GB)"},
    "card": {"gpu": "NVIDIA Made-up 9000 (80GB)"},
}


def begins(part: str) -> Fact:
    return {"fact": "begins", "part": part}


def step(contender: str, us: float, batch: int = 100, **more: Any) -> Fact:
    own = {"contender": contender, "workload": "two", "batch": batch, "step_us": us}
    return {"fact": "step", "precision": "float32", "round": 0, "epoch_us": us} | own | more


FOUND = [
    begins("about"),
    ABOUT,
    begins("steps"),
    step("xpnet", 50.0, launches=13.0),
    step("torch", 200.0),
    step("torch-graph", 100.0),
    step("gemm", 9.0, bytes_us=1.0),
    {"fact": "ends", "part": "steps", "seconds": 3.0, "verdict": "pass"},
    begins("kernels"),
    {"fact": "kernels", "precision": "float32", "contender": "torch", "workload": "two",
     "batch": 100, "steps": 20, "launches": 41.0, "busy_us": 90.0, "kernels": []},
    begins("accuracy"),
    {"fact": "ready", "precision": "float32", "contender": "xpnet", "recipe": "fast",
     "epochs": 1, "ready_s": 2.0},
    *({"fact": "seed", "precision": "float32", "contender": "xpnet", "recipe": "fast", "epochs": 1,
       "seed": seed, "seconds": 0.5 - seed / 10, "accuracy": 0.99 + seed / 1000}
      for seed in range(3)),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a check leaves it."""
    written(tmp_path / "check", FOUND)
    return tmp_path / "check"


def written(folder: Path, found: list[Fact]) -> None:
    folder.mkdir(exist_ok=True)
    for fact in found:
        Facts(folder / "facts.jsonl").add(**fact)


def test_a_checks_facts_become_one_file_of_its_card_and_day(folder: Path, tmp_path: Path) -> None:
    assert gpu_results.main([str(folder), "--out", str(tmp_path)]) == 0
    figures = json.loads((tmp_path / "gpu-made-up-9000-80gb-2020-02-29.json").read_text())
    own, torch, graph = figures["rows"]
    assert (own["step_us"], own["to_torch"], own["to_graph"]) == (50, 0.25, 0.5)
    assert (own["gemm_us"], own["launches"]) == (9, 13)
    assert torch["launches"] == 41  # which the profiler counted
    assert graph["launches"] is None
    assert [target["mark"] for target in figures["targets"]] == ["pass", "pass"]
    (spread,) = figures["accuracy"]
    assert (spread["cold_s"], spread["seconds"]) == (0.5, pytest.approx(0.35))
    assert spread["mean"] == pytest.approx(0.991)
    assert figures["parts"] == [{"part": "steps", "seconds": 3.0, "verdict": "pass"}]


def test_what_was_measured_again_counts_as_it_was_last(folder: Path) -> None:
    again = [begins("steps"), step("xpnet", 40.0), step("xpnet", 44.0, round=1)]
    rows = gpu_results.results([*FOUND, *again])["rows"]
    assert {row["contender"]: row["step_us"] for row in rows} == {
        "xpnet": 42, "torch": 200, "torch-graph": 100,
    }  # fmt: skip


def test_a_check_and_parts_of_it_run_elsewhere_make_one_file(folder: Path, tmp_path: Path) -> None:
    written(tmp_path / "again", [begins("steps"), step("xpnet", 40.0)])
    assert gpu_results.main([str(folder), str(tmp_path / "again"), "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("gpu-*.json")
    rows = json.loads(path.read_text())["rows"]
    assert {row["contender"]: row["step_us"] for row in rows} == {
        "xpnet": 40, "torch": 200, "torch-graph": 100,
    }  # fmt: skip


def without(kind: str) -> list[Fact]:
    return [fact for fact in FOUND if fact["fact"] != kind]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (without("about"), 'no "about" is among the facts'),
        (without("step"), "no time of a step is among the facts: run the check's part 'steps'"),
        ([*FOUND, {"fact": "step", "workload": "two"}], "expected 'precision' in every fact"),
        ([ABOUT | {"card": {}}, *FOUND[2:]], "expected the name of a card"),
        ([ABOUT | {"date": "today"}, *FOUND[2:]], "Invalid isoformat string: 'today'"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], found: list[Fact], words: str
) -> None:
    written(tmp_path / "check", found)
    assert gpu_results.main([str(tmp_path / "check"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_without_facts_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gpu_results.main([str(tmp_path)]) == 2
    assert f"there are no facts in {tmp_path}" in capsys.readouterr().err


# The README -----------------------------------------------------------------------------------


def test_the_readme_says_what_the_newest_results_do() -> None:
    assert readme.README.read_text() == readme.filled(readme.README.read_text())


def test_without_results_no_figure_stands_there(tmp_path: Path) -> None:
    text = readme.filled(readme.README.read_text(), tmp_path)
    assert "no figure stands here" in text
    assert "No figures were measured" in text


def test_the_figures_of_a_processor_make_a_table(tmp_path: Path) -> None:
    times = {"xpnet": 0.25, "xpnet-plain": 0.8, "torch": 1.0, "jax": 0.5, "gemm": 12.34}
    rows = [
        {"workload": "two", "state": "fresh", "contender": name, "step_ms": ms, "batch": 100}
        | {"spread_ms": 0.2 * ms}
        for name, ms in times.items()
    ]
    about = {"date": "2020-02-28", "versions": {"numpy": "2.4.6", "jax": "0.10"}}
    about |= {"machine": {"cores": 2, "processor": "Made-up"}}
    (tmp_path / "cpu-2020-02-28.json").write_text(json.dumps(about | {"rows": rows}))
    made = readme.filled(readme.README.read_text(), tmp_path)
    made = made.partition(readme.BEGIN.format("CPU figures"))[2].partition("<!-- end")[0]
    assert made.strip().splitlines() == [
        "Milliseconds of a training step on 2 cores of a processor that calls itself Made-up, in "
        "float32, by `python -m scripts.bench.cpu` (2020-02-28, numpy 2.4.6, jax 0.10), beside "
        "PyTorch; JAX:",
        "",
        "| | network, batch | xpnet with numba | on NumPy alone | the fastest other "
        "| as a multiple of it "
        "| the products alone |",
        "|---|---|---|---|---|---|---|",
        "| two | 784-50-10, 100 | 0.25 | 0.80 | JAX 0.50 | 0.50 | 12.3 |",
        "",
        "The machine was busy at times: the products alone spread by more than 15 % of their time "
        "at two.",
    ]


def test_the_newest_results_make_the_table(tmp_path: Path) -> None:
    for year, us in ((2020, 50.0), (2019, 70.0)):
        found = [ABOUT | {"date": f"{year}-02-28"}, step("xpnet", us), *FOUND[4:]]
        written(tmp_path / f"{year}", found)
        assert gpu_results.main([str(tmp_path / f"{year}"), "--out", str(tmp_path)]) == 0
    before = readme.filled(readme.README.read_text(), tmp_path / "2018")
    after = readme.filled(before, tmp_path)
    made = after.partition(readme.BEGIN.format("GPU figures"))[2].partition("<!-- end")[0]
    assert made.strip().splitlines() == [
        "Microseconds of a training step on one NVIDIA Made-up 9000 (80GB), in float32, by "
        "`python -m scripts.bench.gpu` (2020-02-28, CuPy 14.2.0, PyTorch 2.11.0):",
        "",
        "| | network, batch "
        "| xpnet | PyTorch, its CUDA graph | PyTorch, eager | the products alone |",
        "|---|---|---|---|---|---|",
        "| two | 784-50-10, 100 | 50.0 | 100 | 200 | 9.0 |",
        "",
        "`models.fast_convnet` reaches 99.10 % on MNIST in one epoch, 0.35 s "
        "(mean and median over 3 seeds).",
    ]
    assert readme.filled(after, tmp_path) == after
    outside = before.partition("<!-- GPU")[0], before.partition("<!-- end of GPU")[2]
    assert (after.partition("<!-- GPU")[0], after.partition("<!-- end of GPU")[2]) == outside


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_file_that_holds_no_results_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "gpu-x.json").write_text(content)
    with pytest.raises(ValueError, match=r"gpu-x\.json: expected JSON with a date"):
        readme.newest("gpu-*.json", tmp_path)


def test_a_readme_without_the_comments_is_refused() -> None:
    with pytest.raises(ValueError, match="expected '<!-- CPU figures"):
        readme.filled("no comments")
