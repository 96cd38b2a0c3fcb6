"""Random search: draws, order, divergence and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

import xpnet
from xpnet import models
from xpnet.data import Dataset
from xpnet.random import Stream
from xpnet.training import LogUniform, Trial, random_search


def data(n: int = 60) -> Dataset:
    t = np.arange(n) % 2
    return Dataset(Stream(0, "x").normal((n, 4)) + 2.0 * t[:, None], t, classes=2)


def make_trainer(lr: float) -> xpnet.Trainer:
    net = models.mlp((8,), 2, input_shape=(4,), rescale=None)
    return xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.SGD(lr=lr))


SPACE = {"lr": LogUniform(1e-4, 1.0)}


def test_draws_are_even_over_orders_of_magnitude() -> None:
    drawn = [LogUniform(1e-6, 1e-2).draw(Stream(0, "search.lr"), i) for i in range(4000)]
    assert min(drawn) >= 1e-6
    assert max(drawn) < 1e-2
    counts, _ = np.histogram(np.log10(drawn), 4, (-6, -2))
    assert counts.min() > 900
    assert counts.max() < 1100


def test_best_comes_first_and_repeats() -> None:
    trials = random_search(make_trainer, data(), SPACE, 6, 3, 20, seed=1)
    assert sorted(trial.number for trial in trials) == list(range(6))
    scores = [trial.accuracy for trial in trials]
    assert scores == sorted(scores, reverse=True)
    assert all(len(trial.history) == 3 for trial in trials)
    again = random_search(make_trainer, data(), SPACE, 6, 3, 20, seed=1)
    assert [t.values for t in again] == [t.values for t in trials]
    assert [t.accuracy for t in again] == scores


def test_more_trials_leave_the_first_as_they_are() -> None:
    few, many = (
        {t.number: t.values for t in random_search(make_trainer, data(), SPACE, n, 1)}
        for n in (2, 5)
    )
    assert {number: many[number] for number in few} == few


def test_trials_are_reported_as_they_end() -> None:
    seen: list[Trial] = []
    random_search(make_trainer, data(), SPACE, 3, 1, report=seen.append)
    assert [trial.number for trial in seen] == [0, 1, 2]


def test_a_trial_that_diverges_is_last() -> None:
    def wild(lr: float) -> xpnet.Trainer:
        net = models.mlp((8,), 2, input_shape=(4,), rescale=None)
        return xpnet.Trainer(net, xpnet.SquaredError(), xpnet.SGD(lr=lr))

    x = Stream(0, "x").normal((40, 4))
    one_hot = Dataset(x, np.eye(2)[np.arange(40) % 2], classes=2)
    space = {"lr": LogUniform(1e-3, 1e6)}
    with np.errstate(all="ignore"):
        trials = random_search(wild, one_hot, space, 8, 30, 20)
    assert trials[-1].diverged
    assert trials[-1].accuracy == 0
    assert math.isfinite(trials[-1].values["lr"])
    assert not trials[0].diverged


@pytest.mark.parametrize(
    ("low", "high", "sentence"),
    [
        (0, 1, "^low: expected a number above 0, got 0$"),
        (-1, 1, "^low: expected a number above 0, got -1$"),
        (1, 1, r"^high: expected a number above low, 1\.0, got 1$"),
        (2, 1, r"^high: expected a number above low, 2\.0, got 1$"),
        (1, math.inf, r"^high: expected a number above low, 1\.0, got inf$"),
    ],
)
def test_a_range_that_is_none_is_said(low: float, high: float, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LogUniform(low, high)


def test_bad_arguments_are_said() -> None:
    with pytest.raises(ValueError, match="trials: expected a whole number"):
        random_search(make_trainer, data(), SPACE, 0, 1)
    with pytest.raises(ValueError, match="epochs: expected a whole number"):
        random_search(make_trainer, data(), SPACE, 1, 0)
    with pytest.raises(ValueError, match="space: expected at least one range"):
        random_search(make_trainer, data(), {}, 1, 1)
    with pytest.raises(ValueError, match="fraction"):
        random_search(make_trainer, data(), SPACE, 1, 1, held_out=1.5)


def test_targets_that_are_no_classes_are_said() -> None:
    def regression(lr: float) -> xpnet.Trainer:
        net = models.mlp((8,), 1, input_shape=(4,), rescale=None)
        return xpnet.Trainer(net, xpnet.SquaredError(), xpnet.SGD(lr=lr))

    values = Dataset(Stream(0, "x").normal((20, 4)), np.zeros((20, 1)))
    with pytest.raises(ValueError, match="have no accuracy"):
        random_search(regression, values, {"lr": LogUniform(1e-4, 1e-3)}, 1, 1)
