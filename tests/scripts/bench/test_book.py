"""The benchmark of the book's programs: that both contenders run each, and what the table says."""

from __future__ import annotations

import json

import pytest

from scripts.bench import book


@pytest.mark.parametrize("contender", book.CONTENDERS)
@pytest.mark.parametrize(
    "program", ["numbers, Adam", "two layers", "multi, sigmoid", "extended", "simple convnet"]
)
def test_it_measures_a_program(program: str, contender: str) -> None:
    assert 1 < book.measure(program, contender, 0.0, threads=1) < 1e8


def test_every_network_and_every_rule_is_timed() -> None:
    assert {name for name in book.PROGRAMS if name.startswith("numbers, ")} == {
        f"numbers, {rule}" for rule in book.RULES
    }
    assert {f"multi, {rule}" for rule in book.RULES} < book.PROGRAMS.keys()
    training = [p for p in book.PROGRAMS.values() if p.of == "a step"]
    assert len(training) == 10
    assert {p.target for p in training} == {1.0}


def test_a_ratio_is_the_median_of_the_rounds_and_held_against_its_target() -> None:
    figures = [dict(zip(book.CONTENDERS, pair, strict=True)) for pair in ((1, 2), (9, 3), (4, 2))]
    head, slow = book.lines({"two layers": figures})
    assert head.split()[-2:] == ["at", "most"]
    assert slow.split() == ["two", "layers", "4", "2", "2.00", "0.50-", "3.00", "1.00", "missed"]
    _, quick = book.lines({"two layers": figures[:1]})
    assert quick.split()[-1] == "1.00"


def test_rounds_alternate_and_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def run(command: list[str], text: bool) -> str:
        asked.append(command[-4:])
        return "2.0\n" if command[-3] == "xpnet.book" else "4.0\n"

    monkeypatch.setattr(book.subprocess, "check_output", run)
    book.main(["two layers", "--rounds", "2", "--seconds", "3", "--threads", "2", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert shown == {
        "program": "two layers",
        "us": [{"plain NumPy": 4.0, "xpnet.book": 2.0}] * 2,
    }
    assert [job[1] for job in asked] == [*book.CONTENDERS[::-1], *book.CONTENDERS]
    assert asked[0] == ["two layers", "plain NumPy", "3.0", "2"]


def test_an_unknown_program_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        book.main(["three layers"])
    assert "expected one of gradient check, " in capsys.readouterr().err


def test_a_measurement_by_itself_prints_its_microseconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    book.main(["--one", "numbers, SGD", "plain NumPy", "0", "1"])
    assert float(capsys.readouterr().out) > 1
