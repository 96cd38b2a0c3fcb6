"""The benchmark beside scikit-learn and skorch: that it measures, and its arithmetic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.bench import sklearn as bench


def row(contender: str, seconds: float) -> bench.Row:
    more = {"spread": 0.0, "threads": 1, "accuracy": 0.9}
    return {"contender": contender, "seconds": seconds} | more


@pytest.mark.slow
def test_it_measures_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--epochs", "5", "--rounds", "1", "--fits", "1", "--json", str(tmp_path / "f.json")]
    bench.main([*quick, "--contenders", "xpnet-plain", "MLPClassifier"])
    found = json.loads((tmp_path / "f.json").read_text())
    assert [row["contender"] for row in found["rows"]] == ["xpnet-plain", "MLPClassifier"]
    assert all(row["seconds"] > 0 and row["accuracy"] > 0.8 for row in found["rows"])
    assert "xpnet to MLPClassifier: " in capsys.readouterr().out


@pytest.mark.parametrize("name", bench.CONTENDERS)
def test_every_contender_trains_the_same_network(name: str) -> None:
    if bench.lacks(name):
        pytest.skip(f"{bench.lacks(name)} is not installed")
    settings = {"hidden": [20], "batch": 100, "epochs": 20, "features": 30, "fits": 1}
    assert bench.measure(name, settings)["accuracy"] > 0.9
    made = bench.CONTENDERS[name][0](settings)
    told = str(made.get_params(deep=False)) if name != "skorch" else str(vars(made))
    assert "100" in told


def test_ratios_are_those_of_xpnet_to_the_others() -> None:
    rows = [row("xpnet", 3.0), row("MLPClassifier", 6.0), row("skorch", 30.0)]
    assert bench.ratios(rows) == {"MLPClassifier": 0.5, "skorch": 0.1}
    assert bench.ratios([row("xpnet-plain", 3.0), *rows[1:2]]) == {"MLPClassifier": 0.5}
    assert bench.ratios(rows[1:]) == {}
    assert bench.table(rows).splitlines()[1].split() == ["xpnet", "3000.0", "0.0", "1", "0.9000"]


def test_a_contender_that_is_not_installed_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contenders = {"skorch": (bench.skorch, {}, ("no_such_module",))}
    monkeypatch.setattr(bench, "CONTENDERS", bench.CONTENDERS | contenders)
    bench.main(["--rounds", "1", "--contenders", "skorch"])
    assert "no skorch: no_such_module is not installed" in capsys.readouterr().out
