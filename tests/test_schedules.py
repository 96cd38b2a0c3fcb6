"""Schedules: what the learning rate is multiplied by."""

from __future__ import annotations

import math
import re
from dataclasses import FrozenInstanceError
from itertools import pairwise

import numpy as np
import pytest

from xpnet import schedules
from xpnet.schedules import constant, cosine, one_cycle, schedule, step, warmup

EVERY = {
    "constant": constant,
    "step": step,
    "cosine": cosine,
    "one-cycle": one_cycle,
    "warmup": warmup,
}


def factors(made: schedules.Schedule, total: int) -> list[float]:
    return [made(number, total) for number in range(total)]


def close(values: list[float]) -> object:
    return pytest.approx(values, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("made", "total", "expected"),
    [
        (constant(), 3, [1, 1, 1]),
        (step(), 9, [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]),
        (step(0.5, 0.2), 6, [1, 1, 1, 0.2, 0.2, 0.2]),
        (step(1, 0.5), 3, [1, 1, 1]),
        (step(0.25, 0.5), 4, [1, 0.5, 0.25, 0.125]),
        (cosine(), 3, [1, 0.5, 0]),
        (cosine(0.2), 3, [1, 0.6, 0.2]),
        (cosine(), 5, [1, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4, 0]),
        (one_cycle(0.5, 0.2, 0), 5, [0.2, 0.6, 1, 0.5, 0]),
        (one_cycle(0.25, 0.1, 0.3), 5, [0.1, 1, 0.825, 0.475, 0.3]),
        (one_cycle(0, 0.5, 0), 3, [1, 0.5, 0]),  # the peak at once: cosine
        (warmup(0.5), 6, [1 / 3, 2 / 3, 1, 1, 1, 1]),
        (warmup(0.4, cosine()), 5, [0.5, 1, 1, 0.5, 0]),
        (warmup(0.01), 3, [1, 1, 1]),  # one step of warming up is none
    ],
)
def test_factors_are_those_computed_by_hand(made, total, expected):
    assert factors(made, total) == close(expected)


@pytest.mark.parametrize("total", [2, 7, 100, 1001])
def test_a_default_schedule_starts_and_ends_where_its_documentation_says(total):
    ends = {name: (made()(0, total), made()(total - 1, total)) for name, made in EVERY.items()}
    assert ends["constant"] == (1, 1)
    assert ends["step"][0] == 1
    assert ends["cosine"] == close([1, 0])
    assert ends["one-cycle"] == close([1 / 25, 1e-4])
    assert ends["warmup"] == close([1 / math.ceil(total / 20), 1])


@pytest.mark.parametrize("total", [101, 1001])
def test_one_cycle_rises_to_one_at_its_peak_and_falls_after_it(total):
    values = factors(one_cycle(0.3), total)
    peak = 3 * (total - 1) // 10
    assert values[peak] == pytest.approx(1, abs=1e-12)
    assert all(a < b for a, b in pairwise(values[: peak + 1]))
    assert all(a > b for a, b in pairwise(values[peak:]))


@pytest.mark.parametrize("every", [1 / 3, 0.1, 0.07, 0.3])
@pytest.mark.parametrize("total", [10, 30, 100, 300, 700, 60_000])
def test_a_drop_comes_exactly_on_its_border_whatever_rounding_says(every, total):
    border = round(every * total, 6)
    if border != int(border):
        pytest.skip("the border lies between two steps")
    made = step(every, 0.5)
    for k in range(1, int(1 / every)):
        assert made(k * int(border) - 1, total) == 0.5 ** (k - 1)
        assert made(k * int(border), total) == 0.5**k


@pytest.mark.parametrize("share", [0.05, 0.07, 0.1, 0.29, 0.57])
def test_warming_up_takes_its_share_of_the_steps_whatever_rounding_says(share):
    values = factors(warmup(share, lambda step, total: 2.0), 100)
    assert values.count(2.0) == 100 - round(100 * share)


@pytest.mark.parametrize("name", schedules.NAMES)
def test_a_run_of_one_step_has_a_rate(name):
    assert 0 < schedule(name)(0, 1) <= 1


@pytest.mark.parametrize("name", schedules.NAMES)
def test_a_schedule_has_no_memory(name):
    made = schedule(name)
    there = factors(made, 20)
    assert [made(number, 20) for number in reversed(range(20))] == there[::-1]


def test_every_schedule_is_known_by_name():
    assert set(schedules.NAMES) == set(EVERY)
    for name, made in EVERY.items():
        assert factors(schedule(name), 50) == factors(made(), 50)


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(
        ValueError,
        match=r"schedule: expected 'constant', 'step', 'cosine', 'one-cycle' or 'warmup', got "
        r"'onecycle': did you mean 'one-cycle'\?$",
    ):
        schedule("onecycle")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: step(0), "every: expected a share of the run, 0 < every <= 1, got 0"),
        (lambda: step(1.5), "every: expected a share of the run, 0 < every <= 1, got 1.5"),
        (lambda: one_cycle(1), "peak: expected a share of the run, 0 <= peak < 1, got 1"),
        (lambda: one_cycle(-0.1), "peak: expected a share of the run, 0 <= peak < 1, got -0.1"),
        (lambda: warmup(0), "share: expected a share of the run, 0 < share < 1, got 0"),
        (lambda: warmup(1), "share: expected a share of the run, 0 < share < 1, got 1"),
        (lambda: warmup(math.nan), "share: expected a share of the run, 0 < share < 1, got nan"),
    ],
)
def test_a_share_outside_the_run_is_refused(make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cosine("0"), "last: expected a number >= 0, got '0'"),
        (lambda: step(factor=math.nan), "factor: expected a number >= 0, got nan"),
        (lambda: one_cycle(first=True), "first: expected a number >= 0, got True"),
        (lambda: warmup(then=0.5), "then: expected a function of (step, total), got 0.5"),
    ],
)
def test_what_is_no_factor_is_refused(make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


def test_schedules_are_values():
    assert cosine() == cosine(0) == cosine(np.float32(0)) != cosine(0.1)
    assert warmup(0.1, cosine()) == warmup(0.1, cosine()) != warmup(0.1, step())
    assert len({cosine(), cosine(0.0), constant()}) == 2
    assert repr(warmup(0.1, cosine())) == "warmup(share=0.1, then=cosine(last=0.0))"
    assert type(cosine(np.float32(0.5))(3, 10)) is float
    with pytest.raises(FrozenInstanceError):
        cosine().last = 0.5


class TestAsTorchComputesThem:
    """PyTorch's schedulers, read step by step."""

    def rates(self, make, total: int) -> list[float]:
        torch = pytest.importorskip("torch")
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        scheduler = make(torch.optim.lr_scheduler, optimizer)
        rates = []
        for _ in range(total):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return rates

    @pytest.mark.parametrize("last", [0.0, 0.1])
    def test_cosine(self, last):
        def make(torch, optimizer):
            return torch.CosineAnnealingLR(optimizer, T_max=19, eta_min=last)

        assert factors(cosine(last), 20) == close(self.rates(make, 20))

    @pytest.mark.parametrize(("total", "share"), [(20, 0.3), (50, 0.5)])
    def test_one_cycle(self, total, share):
        def make(torch, optimizer):
            return torch.OneCycleLR(
                optimizer, 1.0, total_steps=total + 1, pct_start=share, cycle_momentum=False
            )

        # PyTorch reaches its peak one step earlier than the share says, of the total it is told.
        peak = (share * (total + 1) - 1) / total
        made = one_cycle(peak, last=1 / 25 / 1e4)
        assert [made(n, total + 1) for n in range(total)] == close(self.rates(make, total))
