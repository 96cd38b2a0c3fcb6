"""What hyper-parameters are drawn from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from xpnet.random import Stream
from xpnet.training import Integers, LogUniform, Uniform
from xpnet.training.spaces import Choice, Range, Space


def draws(space: Range, count: int, name: str = "lr", seed: int = 0) -> list[Any]:
    return [space.draw(Stream(seed, f"search.{name}"), number) for number in range(count)]


def test_draws_are_those_of_earlier_versions() -> None:
    space = {"lr": LogUniform(1e-4, 1), "hidden": (8, 16, 32, 64)}
    drawn = [Space(space, seed=7).draw(number) for number in range(3)]
    assert drawn == [
        {"lr": 0.0051179119322952125, "hidden": 16},
        {"lr": 0.20003298654790172, "hidden": 8},
        {"lr": 0.00014923149392365674, "hidden": 16},
    ]


def test_a_draw_depends_on_seed_name_and_number_alone() -> None:
    lr, n = Uniform(-1, 1), Integers(2, 9)
    both, alone = Space({"n": n, "lr": lr}, 3), Space({"lr": lr}, 3)
    assert [both.draw(k)["lr"] for k in (5, 1)] == [alone.draw(k)["lr"] for k in (5, 1)]
    assert Space({"rate": lr}, 3).draw(1)["rate"] != alone.draw(1)["lr"] != alone.draw(2)["lr"]
    assert Space({"lr": lr}, 4).draw(1) != alone.draw(1)


def test_draws_are_even_over_a_range() -> None:
    drawn = draws(Uniform(-3, 5), 4000)
    assert {type(one) for one in drawn} == {float}
    assert min(drawn) >= -3
    assert max(drawn) < 5
    counts, _ = np.histogram(drawn, 4, (-3, 5))
    assert counts.min() > 900
    assert counts.max() < 1100


def test_draws_are_even_over_orders_of_magnitude() -> None:
    drawn = draws(LogUniform(1e-6, 1e-2), 4000)
    assert min(drawn) >= 1e-6
    assert max(drawn) < 1e-2
    counts, _ = np.histogram(np.log10(drawn), 4, (-6, -2))
    assert counts.min() > 900
    assert counts.max() < 1100


def test_whole_numbers_are_even_with_both_ends() -> None:
    drawn = draws(Integers(2, 5), 4000)
    assert {type(one) for one in drawn} == {int}
    assert sorted(set(drawn)) == [2, 3, 4, 5]
    assert all(900 < drawn.count(one) < 1100 for one in range(2, 6))


def test_whole_numbers_are_even_over_orders_of_magnitude_with_both_ends() -> None:
    drawn = draws(Integers(1, 7, log=True), 9000)
    assert {type(one) for one in drawn} == {int}
    for number in range(1, 8):
        share = math.log((number + 1) / number) / math.log(8)
        assert abs(drawn.count(number) / 9000 - share) < 0.02
    assert set(draws(Integers(8, 9, log=True), 100)) == {8, 9}


@pytest.mark.parametrize("choices", [[0.1, 0.2, 0.4], (0.1, 0.2, 0.4), np.array([0.1, 0.2, 0.4])])
def test_each_of_some_choices_is_drawn_as_often(choices: list[float]) -> None:
    space = Space({"lr": choices}, 0)
    drawn = [space.draw(number)["lr"] for number in range(3000)]
    assert {type(one) for one in drawn} == {float}
    assert sorted(set(drawn)) == [0.1, 0.2, 0.4]
    assert all(900 < drawn.count(one) < 1100 for one in set(drawn))


@pytest.mark.parametrize(
    ("kind", "low", "high", "sentence"),
    [
        (LogUniform, 0, 1, "^low: expected a number above 0, got 0$"),
        (LogUniform, -1, 1, "^low: expected a number above 0, got -1$"),
        (LogUniform, 1, 1, r"^high: expected a number above low, 1\.0, got 1$"),
        (LogUniform, 2, 1, r"^high: expected a number above low, 2\.0, got 1$"),
        (LogUniform, 1, math.inf, r"^high: expected a number above low, 1\.0, got inf$"),
        (Uniform, math.nan, 1, "^low: expected a finite number, got nan$"),
        (Uniform, -1, -2, r"^high: expected a number above low, -1\.0, got -2$"),
        (Integers, -1, 2, "^low: expected a whole number >= 0, got -1$"),
        (Integers, 2.5, 4, r"^low: expected a whole number >= 0, got 2\.5$"),
        (Integers, 2, 2, "^high: expected a whole number >= 3, got 2$"),
    ],
)
def test_a_range_that_is_none_is_said(kind: Any, low: float, high: float, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        kind(low, high)


def test_orders_of_magnitude_begin_at_1() -> None:
    with pytest.raises(ValueError, match=r"^low: expected a whole number >= 1, got 0$"):
        Integers(0, 5, log=True)
    with pytest.raises(ValueError, match=r"^log: expected True or False, got 'yes'$"):
        Integers(0, 5, log="yes")  # type: ignore[arg-type]


def test_the_space_is_named_ranges_or_choices() -> None:
    for space, sentence in [
        ([LogUniform(1, 2)], "^space: expected a mapping such as {'lr': LogUniform"),
        ({"lr": 0.1}, r"^space: expected LogUniform\(low, high\) or a list of choices for 'lr'"),
        ({"lr": "0.1"}, "^space: .* for 'lr', got '0.1'"),
        ({"lr": {0.1, 0.2}}, "^space: .* for 'lr', got {"),
        ({"lr": LogUniform}, "^space: .* for 'lr', got the class LogUniform: write LogUniform"),
    ]:
        with pytest.raises(TypeError, match=sentence):
            Space(space, 0)  # type: ignore[arg-type]
    for empty, sentence in [({}, "one range to draw from"), ({"lr": []}, "one choice for 'lr'")]:
        with pytest.raises(ValueError, match=f"^space: expected at least {sentence}, got none$"):
            Space(empty, 0)  # type: ignore[arg-type]


def test_a_description_names_no_address() -> None:
    space = {"f": [lambda: 0, object()], "c": Choice((1, 2)), "n": Integers(1, 2)}
    words = Space(space, 0).described()
    assert words["space"] == "c, f, n"
    assert words["space.n"] == "Integers(low=1, high=2, log=False)"
    assert "<lambda>>, <object object>" in words["space.f"]
