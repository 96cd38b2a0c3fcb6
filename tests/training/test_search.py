"""Random search: order, halving, folds, metrics, divergence and bad input."""

from __future__ import annotations

import math
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xpnet
from tests.training.searches import SPACE as ALL_RANGES
from tests.training.searches import labels, made, numbers, rows
from xpnet import models
from xpnet.data import Dataset
from xpnet.random import Stream
from xpnet.training import (
    AveragedWeights,
    Callback,
    History,
    LogUniform,
    SuccessiveHalving,
    Trial,
    random_search,
)


def data(n: int = 60) -> Dataset:
    t = np.arange(n) % 2
    return Dataset(Stream(0, "x").normal((n, 4)) + 2.0 * t[:, None], t, classes=2)


def make_trainer(lr: float, **given: Any) -> xpnet.Trainer:
    net = models.mlp((8,), 2, input_shape=(4,), rescale=None)
    return xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.SGD(lr=lr), **given)


def with_callbacks(kind: type[Callback]) -> Callable[..., xpnet.Trainer]:
    return lambda lr: make_trainer(lr, callbacks=[kind()])


SPACE = {"lr": LogUniform(1e-4, 1.0)}


def test_best_comes_first_and_repeats() -> None:
    trials = random_search(make_trainer, data(), SPACE, 6, 3, 20, seed=1)
    assert sorted(trial.number for trial in trials) == list(range(6))
    scores = [trial.score for trial in trials]
    assert scores == [trial.accuracy for trial in trials]
    assert scores == [trial.history[-1]["validation_accuracy"] for trial in trials]
    assert {trial.scored_by for trial in trials} == {"validation_accuracy"}
    assert scores == sorted(scores, reverse=True)
    assert all(len(trial.history) == 3 for trial in trials)
    assert all(trial.rungs == {3: (trial.score,)} for trial in trials)
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


def test_the_best_has_its_network_and_the_others_are_freed() -> None:
    held, nets, most = data(31), [], 0

    def watched(lr: float) -> xpnet.Trainer:
        nonlocal most
        trainer = make_trainer(lr)
        nets.append(weakref.ref(trainer.net))
        most = max(most, sum(net() is not None for net in nets))
        return trainer

    trials = random_search(watched, data(), SPACE, 8, 2, 20, validation=held)
    best = trials[0].net
    assert best is nets[trials[0].number]()
    assert best is not None
    assert trials[0].accuracy == (best.predict(held.x).argmax(axis=1) == held.t).mean()
    assert [trial.net for trial in trials[1:]] == [None] * 7
    assert most <= 3
    assert sum(net() is not None for net in nets) == 1
    again = pickle.loads(pickle.dumps(trials))
    np.testing.assert_array_equal(again[0].net.predict(held.x), best.predict(held.x))


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


def test_where_all_diverge_none_has_a_network() -> None:
    x = Stream(0, "x").normal((50, 4))
    with np.errstate(all="ignore"):
        trials = random_search(
            squares(1), Dataset(x, x[:, :1]), {"lr": [1e9]}, 4, 20, 10, halving=2
        )
    assert [(t.number, t.diverged, t.net, t.epochs) for t in trials] == [
        (k, True, None, 1) for k in range(4)
    ]


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
    for given in ({}, {"validation": data()}, {"folds": 3}):
        with pytest.raises(TypeError, match=r"random_search: expected a Dataset, got a tuple"):
            random_search(make_trainer, (1, 2), SPACE, 1, 1, **given)  # type: ignore[arg-type]


def accuracy(trainer: xpnet.Trainer, held: Dataset) -> float | None:
    return trainer.evaluate(held).accuracy


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"folds": 1}, "folds: expected a whole number from 2 to 60, got 1"),
        ({"folds": 2, "validation": data()}, "folds: expected None beside validation=, which is"),
        ({"validation": (1, 2)}, r"validation: expected a Dataset, got a tuple: write Dataset\("),
        ({"halving": 1}, "halving: expected a whole number >= 2, got 1"),
        ({"halving": "yes"}, "halving: expected a whole number >= 2, got 'yes'"),
        (
            {"halving": SuccessiveHalving(3, 5)},
            "halving: expected min_epochs of at most epochs, 2, got 5",
        ),
        ({"metric": "accuracy"}, "metric: expected .* got 'accuracy': did you mean '.*accuracy'"),
        ({"metric": 3}, "metric: expected a function of .trainer, dataset., got 3"),
        ({"metric": lambda trainer: 1}, r"metric: expected .* of \(trainer, dataset\), got one of"),
        ({"metric": accuracy}, "maximize: expected True or False, got None .whether the highest"),
        (
            {"metric": "validation_loss", "maximize": False},
            "maximize: expected None, for the name of a column tells",
        ),
        (
            {"metric": "validation_mean_absolute_error"},
            "metric: expected what is measured, train_loss, train_accuracy, validation_loss, "
            "validation_accuracy, got 'validation_mean_absolute_error'",
        ),
        (
            {"metric": lambda trainer, held: "good", "maximize": True},
            "metric: expected it to return a number, got 'good'",
        ),
        ({"folder": 3}, "folder: expected the path of a file, got 3"),
    ],
)
def test_what_else_is_no_way_to_compare_is_said(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{sentence}"):
        random_search(make_trainer, data(), SPACE, 1, 2, **given)


@pytest.mark.parametrize(("factor", "least"), [(1, 1), (2, 0), (2.5, 1)])
def test_a_halving_that_is_none_is_said(factor: int, least: int) -> None:
    with pytest.raises(ValueError, match=r"^(factor|min_epochs): expected a whole number >= "):
        SuccessiveHalving(factor, least)


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
        trained = seen[trial.number]
        assert trial.accuracy == (trained.net.predict(held.x).argmax(axis=1) == held.t).mean()
        assert trial.loss == trained.evaluate(held).loss
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


# Metrics


@pytest.mark.parametrize(
    ("metric", "rising"),
    [("validation_accuracy", True), ("validation_loss", False), ("train_loss", False)],
)
def test_any_column_of_the_history_may_rank_in_its_own_direction(metric: str, rising: bool) -> None:
    trials = random_search(make_trainer, data(), SPACE, 5, 2, 20, metric=metric)
    scores = [trial.score for trial in trials]
    assert scores == [trial.history[-1][metric] for trial in trials]
    assert scores == sorted(scores, reverse=rising) != sorted(scores, reverse=not rising)
    assert {trial.scored_by for trial in trials} == {metric}


def test_a_regression_may_be_ranked_by_its_mean_absolute_error() -> None:
    metric = "validation_mean_absolute_error"
    trials = random_search(squares(2), numbers(), SPACE, 5, 2, 10, metric=metric)
    net, (_, held) = trials[0].net, numbers().split(0.2)
    assert net is not None
    assert trials[0].score == pytest.approx(np.abs(net.predict(held.x) - held.t).mean(), rel=1e-5)
    assert trials[0].score == min(trial.score for trial in trials)


@pytest.mark.parametrize("maximize", [True, False])
def test_a_function_may_rank(maximize: bool) -> None:
    held = data(31)

    def largest_weight(trainer: xpnet.Trainer, samples: Dataset) -> Any:
        assert samples is held
        return np.abs(trainer.net.params.flat).max()  # a NumPy scalar

    trials = random_search(
        make_trainer, data(), SPACE, 5, 2, 20,
        metric=largest_weight, maximize=maximize, validation=held,
    )  # fmt: skip
    scores = [trial.score for trial in trials]
    assert scores == sorted(scores, reverse=maximize)
    assert len(set(scores)) == 5
    assert trials[0].net is not None
    assert scores[0] == np.abs(trials[0].net.params.flat).max()
    assert trials[0].scored_by == "largest_weight"


class Largest(Callback):
    """A column of the largest weight."""

    def epoch_ends(self, trainer: xpnet.Trainer, row: dict[str, Any]) -> None:
        row["largest_weight"] = float(np.abs(trainer.net.params.flat).max())


@pytest.mark.parametrize("maximize", [True, False])
def test_a_callback_s_column_may_rank(maximize: bool) -> None:
    trials = random_search(
        with_callbacks(Largest), data(), SPACE, 5, 2, 20, metric="largest_weight", maximize=maximize
    )
    scores = [trial.score for trial in trials]
    assert scores == [trial.history[-1]["largest_weight"] for trial in trials]
    assert scores == sorted(scores, reverse=maximize)
    with pytest.raises(
        ValueError, match=r"^metric: expected what is measured, .*, largest_weight, got 'large'$"
    ):
        random_search(with_callbacks(Largest), data(), SPACE, 1, 1, metric="large", maximize=True)


@pytest.mark.parametrize("maximize", [True, False])
def test_a_score_that_is_no_number_ranks_behind_those_that_are(maximize: bool) -> None:
    given = iter([math.nan, 2.0, 1.0, math.nan])
    trials = random_search(
        make_trainer, data(), SPACE, 4, 1, metric=lambda *_: next(given), maximize=maximize
    )
    assert [trial.number for trial in trials] == [*([1, 2] if maximize else [2, 1]), 0, 3]


def test_equal_scores_are_in_the_order_they_were_drawn() -> None:
    trials = random_search(make_trainer, data(), SPACE, 5, 1, metric=lambda *_: 1, maximize=True)
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]


class EndsAtTheFirst(Callback):
    """The weights of the first epoch, brought back after the second, with which all ends."""

    def epoch_ends(self, trainer: xpnet.Trainer, row: dict[str, Any]) -> None:
        if row["epoch"] == 1:
            self.first = trainer.net.params.flat.copy()
        else:
            trainer.stop()

    def fit_ends(self, trainer: xpnet.Trainer) -> None:
        if trainer.finished:
            trainer.net.params.flat[...] = self.first


def test_a_score_is_that_of_the_network_as_a_callback_leaves_it() -> None:
    trials = random_search(
        with_callbacks(EndsAtTheFirst), data(), SPACE, 4, 9, 5, metric="validation_loss"
    )
    for trial in trials:
        first, second = trial.history["validation_loss"]
        assert trial.score == trial.loss == first != second


class StopsInTheFirstEpoch(Callback):
    def step_ends(self, trainer: xpnet.Trainer) -> None:
        trainer.stop()


def test_a_trial_that_a_callback_ends_within_its_first_epoch_has_a_score() -> None:
    trials = random_search(with_callbacks(StopsInTheFirstEpoch), data(), SPACE, 2, 3, 5, halving=2)
    assert [len(trial.history) for trial in trials] == [0, 0]
    assert all(0 <= trial.score <= 1 for trial in trials)


# Folds


def test_folds_give_the_mean_score_of_their_trainers() -> None:
    trials = random_search(make_trainer, data(), SPACE, 3, 2, 20, folds=4, seed=5)
    for trial in trials:
        for fold, (train, held) in enumerate(data().folds(4, 5, stratify=True)):
            trainer = make_trainer(**trial.values)
            history = trainer.fit(train, 2, 20, validation=held)
            assert rows(trial.histories[fold]) == rows(history)
            assert trial.scores[fold] == history[-1]["validation_accuracy"]
        assert trial.score == trial.accuracy == math.fsum(trial.scores) / 4
        assert trial.loss == math.fsum(h[-1]["validation_loss"] for h in trial.histories) / 4
        assert trial.history is trial.histories[0]
        assert trial.net is None


def test_numbers_are_folded_without_strata() -> None:
    (trial,) = random_search(squares(2), numbers(), {"lr": [0.1]}, 1, 1, 10, folds=3)
    losses = []
    for train, held in numbers().folds(3):
        history = squares(2)(lr=0.1).fit(train, 1, 10, validation=held)
        losses.append(history[-1]["validation_loss"])
    assert trial.scores == tuple(losses)


def test_a_trial_that_diverges_in_one_fold_has_diverged() -> None:
    x = Stream(0, "x").normal((50, 4))
    with np.errstate(all="ignore"):
        trials = random_search(
            squares(1), Dataset(x, x[:, :1]), {"lr": [0.1, 1e9]}, 6, 20, 10, folds=2
        )
    for trial in trials:
        assert trial.diverged == (trial.values["lr"] == 1e9)
        assert len(trial.scores) == (1 if trial.diverged else 2)
    assert trials[-1].diverged
    assert trials[-1].score == math.inf


# Halving


@pytest.mark.parametrize(
    ("halving", "epochs", "rungs"),
    [
        (SuccessiveHalving(3, 1), 9, [1, 3, 9]),
        (SuccessiveHalving(3, 1), 10, [1, 3, 9, 10]),
        (SuccessiveHalving(2, 4), 20, [4, 8, 16, 20]),
        (SuccessiveHalving(2, 4), 4, [4]),
    ],
)
def test_trials_are_compared_after_ever_more_epochs(
    halving: SuccessiveHalving, epochs: int, rungs: list[int]
) -> None:
    assert halving.rungs(epochs) == rungs


@pytest.mark.parametrize(
    ("outputs", "loss", "samples", "column"),
    [
        (2, xpnet.SoftmaxCrossEntropy(), labels(), "validation_accuracy"),
        (2, xpnet.SquaredError(), numbers(), "validation_loss"),
    ],
    ids=["classification", "regression"],
)
@pytest.mark.parametrize("folds", [None, 2])
def test_halving_ends_the_worst_and_leaves_the_others_the_bits_of_one_go(
    outputs: int, loss: xpnet.losses.Loss, samples: Dataset, column: str, folds: int | None
) -> None:
    """The whole search, of which each comparison is looked up, is the oracle."""
    make = made(outputs, loss)

    def search(**given: Any) -> list[Trial]:
        return random_search(make, samples, ALL_RANGES, 7, 6, 10, seed=2, folds=folds, **given)

    whole = {trial.number: trial for trial in search()}
    sign = -1 if column == "validation_accuracy" else 1

    def after(epochs: int, number: int) -> float:
        return float(np.mean([h[epochs - 1][column] for h in whole[number].histories]))

    def kept(racing: list[int], epochs: int, count: int) -> list[int]:
        return sorted(sorted(racing, key=lambda k: (sign * after(epochs, k), k))[:count])

    third = kept(list(range(7)), 1, 4)
    racing = {1: list(range(7)), 2: third, 4: kept(third, 2, 2), 6: kept(kept(third, 2, 2), 4, 1)}
    trials = search(halving=2)
    assert sorted(trial.number for trial in trials) == list(range(7))
    for trial in trials:
        epochs = max(until for until, numbers in racing.items() if trial.number in numbers)
        assert trial.epochs == epochs == len(trial.history)
        assert trial.values == whole[trial.number].values
        assert list(trial.rungs) == [until for until in racing if until <= epochs]
        for history, others in zip(trial.histories, whole[trial.number].histories, strict=True):
            assert rows(history) == rows(others)[:epochs]
        for until, scores in trial.rungs.items():
            assert scores == tuple(h[until - 1][column] for h in trial.histories)
    ranks = [(-trial.epochs, sign * trial.score) for trial in trials]
    assert ranks == sorted(ranks)


def test_the_network_that_halving_leaves_is_that_of_one_go() -> None:
    make = made(2, xpnet.SoftmaxCrossEntropy())
    best = random_search(make, labels(), ALL_RANGES, 5, 6, 10, halving=2)[0]
    train, held = labels().split(0.2)
    trainer = make(**best.values)
    trainer.fit(train, 6, 10, validation=held)
    assert best.net is not None
    np.testing.assert_array_equal(best.net.params.flat, trainer.net.params.flat)
    for name, array in trainer.net.state.items():
        np.testing.assert_array_equal(best.net.state[name], array)


@pytest.mark.gpu
def test_halving_where_steps_are_replayed_has_the_bits_of_one_go() -> None:
    def make(**values: Any) -> xpnet.Trainer:
        trainer = made(2, xpnet.SoftmaxCrossEntropy(), AveragedWeights)(**values)
        trainer.net.to("gpu")
        trainer.graph = "on"
        return trainer

    space = ALL_RANGES | {"rule": [xpnet.Adam]}
    whole, halved = (
        {trial.number: trial for trial in random_search(make, labels(), space, 4, 3, 10, **given)}
        for given in ({}, {"halving": 2})
    )
    assert sorted(trial.epochs for trial in halved.values()) == [1, 1, 2, 3]
    for number, trial in halved.items():
        assert rows(trial.history) == rows(whole[number].history)[: trial.epochs]


def test_halving_reports_each_comparison_and_keeps_the_trainers_that_may_go_on() -> None:
    nets: list[weakref.ref[xpnet.Network]] = []
    seen: list[tuple[int, int]] = []
    histories: list[History] = []
    most = 0

    def watched(lr: float) -> xpnet.Trainer:
        trainer = make_trainer(lr)
        nets.append(weakref.ref(trainer.net))
        return trainer

    def report(trial: Trial) -> None:
        nonlocal most
        seen.append((trial.epochs, trial.number))
        histories.append(trial.history)
        most = max(most, sum(net() is not None for net in nets))

    random_search(watched, data(), SPACE, 12, 8, 20, halving=4, report=report)
    assert len(nets) == 12
    assert [epochs for epochs, _ in seen] == [1] * 12 + [4] * 3 + [8]
    assert [len(history) for history in histories] == [epochs for epochs, _ in seen]
    assert most <= 4


class StopsAt(Callback):
    """The end after a number of epochs."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def epoch_ends(self, trainer: xpnet.Trainer, row: dict[str, Any]) -> None:
        if row["epoch"] == self.epoch:
            trainer.stop()


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_trial_that_a_callback_ends_does_not_go_on(epoch: int) -> None:
    """At a comparison, or between two: it is compared as it was left."""
    trials = random_search(
        lambda lr: make_trainer(lr, callbacks=[StopsAt(epoch)]), data(), SPACE, 8, 8, 20, halving=2
    )
    best = trials[0]
    assert best.epochs == 8
    assert [len(trial.history) for trial in trials] == [min(epoch, t.epochs) for t in trials]
    assert best.score == best.history[-1]["validation_accuracy"]


def test_trials_are_compared_with_the_weights_that_were_validated() -> None:
    """An average is the network's between an epoch's last step and the next one's first."""

    def loss(trainer: xpnet.Trainer, held: Dataset) -> float:
        return trainer.evaluate(held).loss

    trials = random_search(
        lambda lr: make_trainer(lr, callbacks=[AveragedWeights(0.8)]), data(), SPACE, 4, 4, 20,
        halving=2, metric=loss, maximize=False,
    )  # fmt: skip
    for trial in trials:
        losses = trial.history["validation_loss"]
        assert trial.rungs == {until: (losses[until - 1],) for until in trial.rungs}


def test_the_callbacks_of_a_trainer_are_its_own_again() -> None:
    seen = []

    def watched(lr: float) -> xpnet.Trainer:
        seen.append(make_trainer(lr, callbacks=[StopsAt(5)]))
        return seen[-1]

    random_search(watched, data(), SPACE, 4, 6, 20, halving=2)
    assert [[type(one) for one in trainer.callbacks] for trainer in seen] == [[StopsAt]] * 4
