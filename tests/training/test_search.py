"""Random search: draws, order, divergence and bad input."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import xpnet
from xpnet import models
from xpnet.data import Dataset
from xpnet.random import Stream
from xpnet.training import History, LogUniform, Trial, random_search, search


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
    scores = [trial.score for trial in trials]
    assert scores == [trial.accuracy for trial in trials]
    assert scores == [trial.history[-1]["validation_accuracy"] for trial in trials]
    assert {trial.scored_by for trial in trials} == {"validation_accuracy"}
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
    with pytest.raises(ValueError, match="make_trainer: expected a function of the names in space"):
        random_search(make_trainer(0.1), data(), SPACE, 1, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="report: expected a function of a Trial, got True"):
        random_search(make_trainer, data(), SPACE, 1, 1, report=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed: expected a whole number"):
        random_search(make_trainer, data(), SPACE, 1, 1, seed=0.5)  # type: ignore[arg-type]
    for given in ({}, {"validation": data()}):
        with pytest.raises(TypeError, match=r"random_search: expected a Dataset, got a tuple"):
            random_search(make_trainer, (1, 2), SPACE, 1, 1, **given)  # type: ignore[arg-type]


def test_the_space_is_named_ranges_or_choices() -> None:
    for space, sentence in [
        ([LogUniform(1, 2)], "^space: expected a mapping such as {'lr': LogUniform"),
        ({"lr": 0.1}, r"^space: expected LogUniform\(low, high\) or a list of choices for 'lr'"),
        ({"lr": "0.1"}, "^space: .* for 'lr', got '0.1'"),
        ({"lr": {0.1, 0.2}}, "^space: .* for 'lr', got {"),
        ({"lr": LogUniform}, "^space: .* for 'lr', got <class"),
    ]:
        with pytest.raises(TypeError, match=sentence):
            random_search(make_trainer, data(), space, 1, 1)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"^space: expected at least one choice for 'lr', got none"
    ):
        random_search(make_trainer, data(), {"lr": []}, 1, 1)


@pytest.mark.parametrize("choices", [[0.1, 0.2, 0.4], (0.1, 0.2, 0.4), np.array([0.1, 0.2, 0.4])])
def test_each_of_some_choices_is_drawn_as_often(choices: list[float]) -> None:
    space = search._range("lr", choices)
    drawn = [space.draw(Stream(0, "search.lr"), i) for i in range(3000)]
    assert {type(one) for one in drawn} == {float}
    assert sorted(set(drawn)) == [0.1, 0.2, 0.4]
    assert all(900 < drawn.count(one) < 1100 for one in set(drawn))


def test_choices_may_be_anything() -> None:
    def make(hidden: tuple[int, ...], rule: type) -> xpnet.Trainer:
        net = models.mlp(hidden, 2, input_shape=(4,), rescale=None)
        return xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), rule())

    space = {"hidden": [(8,), (4, 4)], "rule": (xpnet.SGD, xpnet.Adam)}
    trials = random_search(make, data(), space, 8, 1)
    assert {trial.values["hidden"] for trial in trials} == {(8,), (4, 4)}
    assert {trial.values["rule"] for trial in trials} == {xpnet.SGD, xpnet.Adam}


def test_a_validation_set_of_one_s_own_is_what_trials_are_compared_on() -> None:
    seen = []

    def watched(lr: float) -> xpnet.Trainer:
        seen.append(make_trainer(lr))
        return seen[-1]

    held = data(31)
    trials = random_search(watched, data(), SPACE, 3, 2, 7, validation=held)
    for trial in trials:
        made = seen[trial.number]
        assert trial.accuracy == (made.net.predict(held.x).argmax(axis=1) == held.t).mean()
        assert trial.loss == made.evaluate(held).loss
        assert trial.history["steps"] == [9, 18]  # all of the 60 samples, not four fifths


def squares(outputs: int, *last: xpnet.layers.Layer) -> Callable[..., xpnet.Trainer]:
    def make(lr: float) -> xpnet.Trainer:
        net = xpnet.Sequential([xpnet.layers.Linear(outputs), *last], input_shape=(4,))
        return xpnet.Trainer(net, xpnet.SquaredError(), xpnet.SGD(lr=lr))

    return make


def test_a_regression_is_ranked_by_its_loss() -> None:
    x = Stream(0, "x").normal((50, 4))
    values = Dataset(x, x @ np.ones((4, 2)))
    trials = random_search(squares(2), values, {"lr": LogUniform(1e-4, 0.3)}, 5, 3, 10)
    losses = [trial.history[-1]["validation_loss"] for trial in trials]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1] / 2
    for trial, loss in zip(trials, losses, strict=True):
        assert trial.accuracy is None
        assert (trial.score, trial.loss, trial.scored_by) == (loss, loss, "validation_loss")


def test_a_regression_that_diverges_is_last() -> None:
    x = Stream(0, "x").normal((50, 4))
    with np.errstate(all="ignore"):
        trials = random_search(squares(1), Dataset(x, x[:, :1]), {"lr": [0.1, 1e9]}, 6, 20, 10)
    assert [trial.diverged for trial in trials] == sorted(trial.diverged for trial in trials)
    assert (trials[-1].values["lr"], trials[-1].accuracy, trials[-1].score) == (1e9, None, math.inf)


def test_one_output_of_squares_is_ranked_by_the_answers_that_are_right() -> None:
    seen = []

    def watched(lr: float) -> xpnet.Trainer:
        seen.append(squares(1, xpnet.layers.Sigmoid())(lr))
        return seen[-1]

    samples = data()
    trials = random_search(
        watched, samples, {"lr": LogUniform(1e-3, 10)}, 6, 10, validation=samples
    )
    for trial in trials:
        guess = seen[trial.number].net.predict(samples.x)[:, 0] > 0.5
        assert trial.accuracy == (guess == samples.t).mean()
    assert trials[0].score == max(trial.score for trial in trials) > 0.9


def test_a_loss_that_is_no_number_ranks_behind_those_that_are() -> None:
    history = History([{"epoch": 1}])
    trials = [Trial(i, {}, None, history, loss=loss) for i, loss in enumerate([math.nan, 2.0, 1.0])]
    assert [trial.number for trial in sorted(trials, key=search._rank)] == [2, 1, 0]


def test_each_trial_wants_a_trainer_and_a_network_of_its_own() -> None:
    once = make_trainer(0.1)

    def same_network(lr: float) -> xpnet.Trainer:
        return xpnet.Trainer(once.net, xpnet.SoftmaxCrossEntropy(), xpnet.SGD(lr=lr))

    for make in (lambda lr: once, same_network):
        with pytest.raises(
            TypeError, match=r"^make_trainer: expected a new trainer with a new net"
        ):
            random_search(make, data(), SPACE, 3, 1)
    with pytest.raises(
        TypeError, match=r"^make_trainer: expected it to return a Trainer, got None"
    ):
        random_search(lambda lr: None, data(), SPACE, 3, 1)  # type: ignore[arg-type, return-value]
