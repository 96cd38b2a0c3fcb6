"""The trainer: what it learns, what it records, what it refuses and what it leaves behind."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from tests.conftest import Backend, backend
from xpnet import schedules
from xpnet.arrays import dtype_name, to_numpy
from xpnet.data import Batches, Dataset
from xpnet.devices import device_of
from xpnet.layers import (
    Linear,
    ReLU,
    Rescale,
    Sequential,
    Sigmoid,
)
from xpnet.losses import Answers, Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from xpnet.models import mlp
from xpnet.optimizers import SGD, Adam
from xpnet.random import Stream
from xpnet.training import Callback, DivergedError, Trainer

MEASURES = ("loss", "accuracy", "exact_match", "mean_absolute_error")
COLUMNS = {
    "epoch", "steps", "lr", "seconds", "samples_per_second",
    *(f"train_{measure}" for measure in MEASURES),
    *(f"validation_{measure}" for measure in MEASURES),
}  # fmt: skip
TINY = 1e-30  # a learning rate that moves nothing


def blobs(n: int = 53, dtype: str = "float32", seed: int = 0, **options) -> Dataset:
    """Return points around three far corners, with the corner as label."""
    rng = np.random.default_rng(seed)
    t = np.arange(n) % 3
    x = 3 * np.eye(3)[t] + rng.normal(0, 0.3, (n, 3))
    return Dataset(x.astype(dtype), t, **{"classes": 3, "name": "blobs", **options})


def on(xp: Backend, data: Dataset) -> Dataset:
    return Dataset(xp.array(data.x), xp.array(data.t), data.classes, data.name)


def network(dtype: str = "float32", **options) -> Sequential:
    options = {"dropout": 0.2, "batch_norm": True, **options}
    return mlp([8], 3, input_shape=(3,), rescale=None, dtype=dtype, **options)


def linear(dtype: str = "float64") -> Sequential:
    return Sequential([Linear(3)], input_shape=(3,), dtype=dtype)


def trainer(net: Sequential, lr: float = 0.02, **options) -> Trainer:
    return Trainer(net, SoftmaxCrossEntropy(), Adam(lr=lr), **options)


def contents(net: Sequential) -> dict[str, bytes]:
    both = [*net.params.items(), *net.state.items()]
    return {name: to_numpy(a).tobytes() for name, a in both}


def cross_entropy(net: Sequential, data: Dataset) -> tuple[float, float]:
    """Return mean loss and accuracy of a linear network, by hand."""
    W, b = (to_numpy(net.params[name]).astype(np.float64) for name in ("0.W", "0.b"))
    scores, t = to_numpy(data.x) @ W + b, to_numpy(data.t)
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(t)), t]
    return float(losses.mean()), float((scores.argmax(axis=1) == t).mean())


class Seen(Callback):
    """Keeps what a fit does: the stages, and the rate of each step."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.rates: list[float] = []

    def fit_begins(self, trainer, epochs, steps):
        self.stages.append(f"begins {epochs} x {steps}")

    def step_ends(self, trainer):
        self.stages.append("step")
        self.rates.append(trainer.optimizer.rate)

    def epoch_ends(self, trainer, row):
        self.stages.append(f"epoch {row['epoch']}")

    def fit_ends(self, trainer):
        self.stages.append("ends")


class StopAfter(Callback):
    """Ctrl-C after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step_ends(self, trainer):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture
def batches_seen(monkeypatch) -> list[np.ndarray]:
    """Return a list of the batches that steps will be given."""
    seen, step = [], Trainer.step

    def watched(self, x, t):
        seen.append(to_numpy(x).copy())
        return step(self, x, t)

    monkeypatch.setattr(Trainer, "step", watched)
    return seen


class TestLearning:
    def test_a_small_problem_is_learned_on_every_library(self, xp: Backend):
        made = trainer(network().to(xp.device))
        history = made.fit(on(xp, blobs()), 8, 10, validation=on(xp, blobs(seed=1)))
        losses = history["train_loss"]
        assert losses[-1] < losses[0] / 2
        assert history["validation_accuracy"][-1] == 1
        assert made.evaluate(on(xp, blobs(seed=2))).accuracy == 1
        assert {device_of(a) for a in made.net.params.values()} == {xp.device}

    def test_data_may_lie_elsewhere(self, xp: Backend):
        at_home, away = trainer(network().to(xp.device)), trainer(network().to(xp.device))
        at_home.fit(on(xp, blobs()), 2, 10)
        away.fit(blobs(), 2, 10)
        assert contents(at_home.net) == contents(away.net)

    def test_the_same_run_gives_the_same_bits(self, xp: Backend):
        runs = [trainer(network().to(xp.device), seed=3) for _ in range(2)]
        rows = [
            [{k: v for k, v in row.items() if "second" not in k} for row in run.fit(blobs(), 3, 10)]
            for run in runs
        ]
        assert rows[0] == rows[1]
        assert contents(runs[0].net) == contents(runs[1].net)

    def test_a_fit_is_the_steps_written_out(self):
        net, by_hand, data = network(), network(), blobs()
        trainer(net, seed=5).fit(data, 2, 10)
        loss, optimizer = SoftmaxCrossEntropy(), Adam(lr=0.02)
        for epoch in range(2):
            order = Stream(5, "batches").permutation(53, epoch)
            for start in range(0, 53, 10):
                chosen = order[start : start + 10]
                loss.forward(by_hand.forward(data.x[chosen], train=True), data.t[chosen])
                by_hand.backward(loss.backward())
                optimizer.update(by_hand.params, by_hand.grads)
        assert contents(net) == contents(by_hand)

    @pytest.mark.parametrize("batch_size", [1, 10, 52, 53, 54])
    def test_every_sample_is_seen_once_an_epoch(self, batches_seen, batch_size):
        net = network(batch_norm=False)
        history = trainer(net).fit(blobs(), 3, batch_size)
        steps = math.ceil(53 / batch_size)
        assert history["steps"] == [steps, 2 * steps, 3 * steps]
        expected = np.sort(blobs().x, axis=0)
        for epoch in range(3):
            rows = np.concatenate(batches_seen[epoch * steps : (epoch + 1) * steps])
            np.testing.assert_array_equal(np.sort(rows, axis=0), expected)

    def test_a_last_short_batch_may_be_left_out(self, batches_seen):
        trainer(network()).fit(blobs(), 2, 10, drop_last=True)
        assert [len(x) for x in batches_seen] == [10] * 10

    def test_there_is_one_forward_pass_a_step(self):
        calls = []
        net = network()
        with net.hook("1", lambda path, x, y: calls.append(len(x))):
            trainer(net).fit(blobs(), 2, 10)
        assert calls == [10, 10, 10, 10, 10, 3] * 2

    def test_another_fit_goes_on_with_new_orders(self, batches_seen):
        twice = trainer(network())
        twice.fit(blobs(), 2, 10)
        history = twice.fit(blobs(), 1, 10)
        assert history["epoch"] == [1, 2, 3]
        assert history["steps"] == [6, 12, 18]
        once = trainer(network())
        once.fit(blobs(), 3, 10)
        assert contents(once.net) == contents(twice.net)
        epochs = [np.concatenate(batches_seen[k : k + 6]) for k in (0, 6, 12)]
        assert not np.array_equal(epochs[0], epochs[1])
        assert not np.array_equal(epochs[1], epochs[2])

    @pytest.mark.parametrize(("data", "net"), [("float64", "float32"), ("float32", "float64")])
    def test_real_numbers_are_taken_in_the_networks_dtype(self, xp: Backend, data, net):
        given, same = blobs(dtype=data), blobs(dtype=data).astype(net)
        runs = [trainer(network(net).to(xp.device)) for _ in range(2)]
        for run, x in zip(runs, (given, same), strict=True):
            run.fit(on(xp, x), 1, 10, validation=on(xp, x))
        assert contents(runs[0].net) == contents(runs[1].net)
        assert given.x.dtype == data

    def test_the_data_is_left_as_it_was(self):
        data = blobs()
        x, t = data.x.copy(), data.t.copy()
        trainer(network()).fit(data, 1, 10, validation=data)
        np.testing.assert_array_equal(data.x, x)
        np.testing.assert_array_equal(data.t, t)

    @pytest.mark.parametrize("name", schedules.NAMES)
    def test_the_schedule_decides_the_rate_of_every_step(self, name):
        seen, schedule = Seen(), schedules.schedule(name)
        made = trainer(network(), 0.02, schedule=schedule, callbacks=[seen])
        history = made.fit(blobs(), 3, 10)
        assert seen.rates == [0.02 * schedule(n, 18) for n in range(18)]
        assert history["lr"] == seen.rates[5::6]
        seen.rates.clear()
        made.fit(blobs(), 2, 10)  # a schedule of its own
        assert seen.rates == [0.02 * schedule(n, 12) for n in range(12)]


class TestRecord:
    def test_a_row_has_every_column(self):
        history = trainer(network()).fit(blobs(), 3, 10)
        assert [set(row) for row in history] == [COLUMNS] * 3
        assert history["epoch"] == [1, 2, 3]
        for measure in MEASURES:
            assert history[f"validation_{measure}"] == [None] * 3
        for row in history:
            assert row["seconds"] > 0
            assert row["samples_per_second"] == pytest.approx(53 / row["seconds"])

    @pytest.mark.parametrize("batch_size", [10, 53])
    def test_loss_and_accuracy_are_means_over_the_samples(self, xp: Backend, batch_size):
        net, data, other = linear().to(xp.device), blobs(dtype="float64"), blobs(20, "float64", 1)
        made = Trainer(net, SoftmaxCrossEntropy(), SGD(lr=TINY))
        (row,) = made.fit(on(xp, data), 1, batch_size, validation=on(xp, other))
        for part, samples in (("train", data), ("validation", other)):
            loss, accuracy = cross_entropy(net, samples)
            assert row[f"{part}_loss"] == pytest.approx(loss, rel=1e-12)
            assert row[f"{part}_accuracy"] == accuracy
        result = made.evaluate(on(xp, other), batch_size=7)
        assert result[:3] == pytest.approx((*cross_entropy(net, other), 20), rel=1e-12)

    def test_the_training_loss_is_that_before_each_update(self):
        net, data = linear(), blobs(dtype="float64")
        before = cross_entropy(net, data)
        (row,) = Trainer(net, SoftmaxCrossEntropy(), SGD(lr=1.0)).fit(data, 1, 53)
        assert (row["train_loss"], row["train_accuracy"]) == pytest.approx(before, rel=1e-12)
        assert cross_entropy(net, data)[0] < before[0] / 2

    def test_validation_is_after_the_epoch_and_without_dropout(self):
        made = trainer(network())
        (row,) = made.fit(blobs(), 1, 10, validation=blobs(seed=1))
        result = made.evaluate(blobs(seed=1))
        assert (row["validation_loss"], row["validation_accuracy"]) == result[:2]

    def test_validation_does_not_change_the_run(self):
        with_it, without = trainer(network()), trainer(network())
        with_it.fit(blobs(), 3, 10, validation=blobs(seed=1))
        without.fit(blobs(), 3, 10)
        assert contents(with_it.net) == contents(without.net)
        assert with_it.history["train_loss"] == without.history["train_loss"]

    def test_evaluating_changes_nothing(self, xp: Backend):
        made = trainer(network().to(xp.device))
        made.fit(blobs(), 1, 10)
        before = contents(made.net), made.optimizer.steps, made.epoch, list(made.history)
        results = {made.evaluate(blobs(seed=1), batch_size=size) for size in (20, 20)}
        assert len(results) == 1
        assert (contents(made.net), made.optimizer.steps, made.epoch, list(made.history)) == before

    def test_the_batch_size_of_an_evaluation_changes_rounding_alone(self):
        made = trainer(network("float64"))
        results = [made.evaluate(blobs(seed=1), size) for size in (1, 7, 53, 1000)]
        assert {r.samples for r in results} == {53}
        assert len({r.accuracy for r in results}) == 1
        assert [r.loss for r in results] == pytest.approx([results[0].loss] * 4, rel=1e-12)

    def test_one_hot_targets_train_as_their_labels_do(self, xp: Backend):
        labels = blobs(dtype="float64")
        rows = Dataset(labels.x, np.eye(3)[labels.t], classes=3)
        runs = [trainer(network("float64").to(xp.device)) for _ in range(2)]
        history = [
            run.fit(on(xp, d), 3, 10, validation=on(xp, d))
            for run, d in zip(runs, (labels, rows), strict=True)
        ]
        for column in ("train_loss", "validation_loss"):
            assert history[1][column] == pytest.approx(history[0][column], rel=1e-9)
        for column in ("train_accuracy", "validation_accuracy"):
            assert history[1][column] == history[0][column]

    @pytest.mark.parametrize("outputs", [1, 2])
    @pytest.mark.parametrize("dtype", ["float64", "complex128"])
    def test_a_regression_has_no_accuracy_but_a_mean_error(self, xp: Backend, dtype, outputs):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(40, 3)).astype(dtype)
        host = Dataset(x, x @ rng.normal(size=(3, outputs)))
        data = on(xp, host)
        net = Sequential([Linear(outputs)], input_shape=(3,), dtype=dtype).to(xp.device)
        made = Trainer(net, SquaredError(), SGD(lr=0.3))
        history = made.fit(data, 20, 10, validation=data)
        assert set(history["train_accuracy"] + history["validation_accuracy"]) == {None}
        assert history["validation_loss"][-1] < 1e-4 < history["validation_loss"][0]
        result = made.evaluate(data, batch_size=7)
        error = np.abs(net.predict(x) - host.t).mean()
        assert result[1:4] == (None, 40, None)
        assert result.mean_absolute_error == pytest.approx(error, rel=1e-9)
        assert history["validation_mean_absolute_error"][-1] == pytest.approx(error, rel=1e-9)

    def test_a_single_output_tells_two_classes_apart(self, xp: Backend):
        two = blobs().select(np.flatnonzero(blobs().t < 2))
        data = on(xp, Dataset(two.x, two.t[:, None].astype(np.float32)))
        net = Sequential([Linear(1)], input_shape=(3,)).to(xp.device)
        made = Trainer(net, SigmoidCrossEntropy(), Adam(lr=0.1))
        assert made.fit(data, 10, 10)["train_loss"][-1] < 0.1
        guess = made.net.predict(two.x)[:, 0] > 0
        np.testing.assert_array_equal(guess, two.t == 1)


class TestAnswers:
    """What is measured is what plain NumPy finds in the predictions."""

    @staticmethod
    def net(outputs: int, *last, device) -> Sequential:
        return Sequential([Linear(outputs), *last], input_shape=(3,), dtype="float64").to(device)

    @staticmethod
    def x(n: int = 60) -> np.ndarray:
        return np.random.default_rng(5).normal(size=(n, 3))

    def test_one_output_of_squares_is_cut_at_a_half(self, xp: Backend):
        x = self.x()
        t = (x @ [1.0, -2.0, 0.5] > 0.3).astype(int)
        data = Dataset(xp.array(x), xp.array(t), classes=2)
        net = self.net(1, Sigmoid(), device=xp.device)
        made = Trainer(net, SquaredError(), Adam(lr=0.1))
        before = made.evaluate(data)
        assert before.accuracy == ((net.predict(x)[:, 0] > 0.5) == t).mean()
        history = made.fit(data, 60, 10, validation=data)
        guess = net.predict(x)[:, 0] > 0.5
        assert history["validation_accuracy"][-1] == (guess == t).mean() > 0.9
        assert set(history["validation_exact_match"]) == {None}
        assert set(history["validation_mean_absolute_error"]) == {None}

    @pytest.mark.parametrize("classes", [3, None])
    def test_answers_of_yes_and_no_are_counted_one_by_one(self, xp: Backend, classes):
        x = self.x()
        t = x @ np.random.default_rng(1).normal(size=(3, 3)) > 0.2
        data = Dataset(xp.array(x), xp.array(t * 1.0), classes)
        net = self.net(3, device=xp.device)
        made = Trainer(net, SigmoidCrossEntropy(), Adam(lr=0.05))
        history = made.fit(data, 6, 10, validation=data)
        right = (net.predict(x) > 0) == t
        result = made.evaluate(data, batch_size=7)
        assert right.all(axis=1).mean() < right.mean()
        assert result.accuracy == pytest.approx(right.mean())
        assert result.exact_match == pytest.approx(right.all(axis=1).mean())
        assert history["validation_accuracy"][-1] == result.accuracy
        assert history["validation_exact_match"][-1] == result.exact_match

    def test_several_marks_of_squares_are_counted_one_by_one(self, xp: Backend):
        x = self.x()
        t = x @ np.random.default_rng(1).normal(size=(3, 3)) > 0.2
        data = Dataset(xp.array(x), xp.array(t * 1.0), classes=3)
        net = self.net(3, device=xp.device)
        result = Trainer(net, SquaredError(), SGD()).evaluate(data)
        right = (net.predict(x) > 0.5) == t
        assert result.accuracy == pytest.approx(right.mean())
        assert result.exact_match == pytest.approx(right.all(axis=1).mean())

    @pytest.mark.parametrize("loss", [SquaredError(), SigmoidCrossEntropy()], ids=repr)
    def test_labels_of_several_outputs_are_one_class_a_sample(self, xp: Backend, loss):
        net, data = self.net(3, device=xp.device), blobs(dtype="float64")
        result = Trainer(net, loss, SGD()).evaluate(on(xp, data))
        assert result.accuracy == (net.predict(data.x).argmax(axis=1) == data.t).mean()
        assert result.exact_match is None

    def test_the_measures_of_training_are_those_before_each_update(self, xp: Backend):
        x, t = self.x(), np.random.default_rng(2).random((60, 2)) > 0.5
        net = self.net(2, device=xp.device)
        before = (net.predict(x) > 0) == t
        data = Dataset(xp.array(x), xp.array(t * 1.0))
        (row,) = Trainer(net, SigmoidCrossEntropy(), SGD(lr=TINY)).fit(data, 1, 7)
        assert row["train_accuracy"] == pytest.approx(before.mean())
        assert row["train_exact_match"] == pytest.approx(before.all(axis=1).mean())

    def test_a_loss_of_one_s_own_says_where_it_cuts(self):
        class Hinge(Loss):
            def compute(self, scores, targets, weights):
                slack = np.maximum(0, 1 - scores * targets)
                return slack.mean(), -targets * (slack > 0) / len(scores)

        class HingeWithAnswers(Hinge):
            def answers(self, outputs, targets, classes=None):
                return Answers("yes or no", cut=0.0)

        x = self.x()
        t = np.where(x[:, :1] > 0, 1.0, -1.0)
        net, data = self.net(1, device="cpu"), Dataset(x, t)
        unknown = Trainer(net, Hinge(), SGD()).evaluate(data)
        assert unknown[1:] == (None, 60, None, None)
        known = Trainer(net, HingeWithAnswers(), SGD()).evaluate(data)
        assert known.accuracy == (np.sign(net.predict(x)) == t).mean()

    def test_samples_that_are_no_numbers_are_not_right(self, xp: Backend):
        data, held = blobs(), blobs(12, seed=1)
        held.x[::3] = np.nan  # all those of class 0, the class of no score in particular
        made = trainer(network(batch_norm=False).to(xp.device))
        (row,) = made.fit(on(xp, data), 1, 10, validation=on(xp, held))
        assert math.isnan(row["validation_loss"])
        right = made.net.predict(held.x).argmax(axis=1) == held.t
        right[::3] = False
        assert row["validation_accuracy"] == right.mean()


class TestRefusing:
    @pytest.mark.parametrize("as_validation", [False, True])
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (
                Dataset(np.zeros((4, 2), np.float32), np.zeros(4, int), name="d"),
                "d: expected samples of shape (3,), got (2,)",
            ),
            (
                Dataset(np.zeros((4, 3, 1), np.float32), np.zeros(4, int), name="d"),
                "d: expected samples of shape (3,), got (3, 1): write x.reshape(-1, 3)",
            ),
            (
                Dataset(np.zeros((4, 3), np.float32), np.array([0, 3, 1, 2]), name="d"),
                "d: expected labels of 0 to 2, one of the network's 3 outputs, got 3 at index 1",
            ),
            (
                Dataset(np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32), name="d"),
                "d: expected targets of shape (3,), the network's output, got (2,)",
            ),
            (
                Dataset(np.zeros((4, 3), np.float32), np.array([0, 1, 0.5, 2], "f"), name="d"),
                "d: expected labels of 0 to 2, one of the network's 3 outputs, got 0.5 at index 2",
            ),
        ],
        ids=["shape", "axes", "labels", "one-hot", "numbers"],
    )
    def test_data_that_does_not_fit_before_anything_changes(
        self, xp: Backend, data, message, as_validation
    ):
        seen = Seen()
        made = trainer(network().to(xp.device), callbacks=[seen])
        before = contents(made.net)
        train, validation = (blobs(), data) if as_validation else (data, None)
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            made.fit(on(xp, train), 1, 10, validation=validation and on(xp, validation))
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            made.evaluate(on(xp, data))
        assert contents(made.net) == before
        assert (made.epoch, made.optimizer.steps, len(made.history)) == (0, 0, 0)
        assert seen.stages == []

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"epochs": 0}, "epochs: expected a whole number >= 1, got 0"),
            ({"epochs": 1.5}, "epochs: expected a whole number >= 1, got 1.5"),
            ({"epochs": True}, "epochs: expected a whole number >= 1, got True"),
            ({"batch_size": 0}, "batch_size: expected a whole number >= 1, got 0"),
            (
                {"batch_size": 54, "drop_last": True},
                "batch_size: 54 with drop_last leaves no batch of 53 samples",
            ),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        made = trainer(network())
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            made.fit(blobs(), **{"epochs": 1, "batch_size": 10, **arguments})

    def test_labels_of_a_single_output_are_numbers_to_come_near_to(self):
        net = Sequential([Linear(1)], input_shape=(3,))
        made = Trainer(net, SquaredError(), SGD(lr=0.01))
        history = made.fit(Dataset(blobs().x, blobs().t), 3)
        assert history["train_loss"][-1] < history["train_loss"][0]
        assert history["train_accuracy"] == [None] * 3

    def test_two_classes_may_have_a_single_output(self):
        net = Sequential([Linear(1)], input_shape=(3,))
        made = Trainer(net, SigmoidCrossEntropy(), Adam(lr=0.1))
        both = blobs().t < 2
        data = Dataset(blobs().x[both], blobs().t[both], classes=2)
        assert made.fit(data, 20, 10)["train_accuracy"][-1] > 0.9

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            ({"loss": SquaredError}, "loss: expected a Loss, such as"),
            ({"optimizer": "adam"}, "optimizer: expected an Optimizer, such as"),
        ],
    )
    def test_a_part_of_the_wrong_kind_is_refused(self, given, sentence):
        parts = {"loss": SquaredError(), "optimizer": SGD()} | given
        with pytest.raises(TypeError, match=sentence):
            Trainer(network(), **parts)

    def test_data_that_are_no_data_set_are_refused(self):
        with pytest.raises(TypeError, match="expected a Dataset"):
            trainer(network()).fit((blobs().x, blobs().t), 1)


class TestDivergence:
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    def test_it_ends_the_run_with_step_and_epoch(self, xp: Backend, value):
        good, bad = blobs(), blobs()
        bad.x[7, 1] = value
        seen = Seen()
        made = trainer(network(batch_norm=False).to(xp.device), callbacks=[seen])
        made.fit(on(xp, good), 2, 10)
        with pytest.raises(
            DivergedError,
            match=r"^the loss became nan within 100 steps before step 18 \(epoch 3\): blobs: "
            rf"expected finite numbers, got {value} in x of sample 7, at \[1\]$",
        ):
            made.fit(on(xp, bad), 1, 10)
        assert len(made.history) == 2
        assert seen.stages[-1] == "ends"

    def test_it_is_noticed_within_a_hundred_steps(self):
        data = blobs(250)
        data.x[:] = np.nan
        made = trainer(network(batch_norm=False))
        with pytest.raises(DivergedError, match=r"before step 100 \(epoch 1\)"):
            made.fit(data, 1, 1)
        assert made.optimizer.steps == 100

    def test_it_is_a_value_error(self):
        assert issubclass(DivergedError, ValueError)


class TestInterruption:
    def test_callbacks_are_called_at_each_stage_and_ended(self):
        seen = Seen()
        trainer(network(), callbacks=[seen]).fit(blobs(), 2, 20)
        epoch = ["step"] * 3
        assert seen.stages == ["begins 2 x 3", *epoch, "epoch 1", *epoch, "epoch 2", "ends"]

    def test_ctrl_c_ends_the_callbacks_and_keeps_whole_epochs(self):
        seen = Seen()
        made = trainer(network(), callbacks=[seen, StopAfter(8)])
        with pytest.raises(KeyboardInterrupt):
            made.fit(blobs(), 3, 10)
        assert seen.stages[-1] == "ends"
        assert seen.stages.count("ends") == 1
        assert (made.epoch, len(made.history), made.optimizer.steps) == (1, 1, 8)

    def test_ctrl_c_as_a_later_callback_begins_ends_the_earlier_ones(self):
        class Impatient(Callback):
            def fit_begins(self, trainer, epochs, steps):
                raise KeyboardInterrupt

        seen = Seen()
        with pytest.raises(KeyboardInterrupt):
            trainer(network(), callbacks=[seen, Impatient()]).fit(blobs(), 1, 10)
        assert seen.stages == ["begins 1 x 6", "ends"]

    def test_the_next_call_goes_on_where_it_was(self, batches_seen):
        seen = Seen()
        made = trainer(network(), callbacks=[StopAfter(8), seen], schedule=schedules.cosine())
        with pytest.raises(KeyboardInterrupt):
            made.fit(blobs(), 3, 10)
        assert made.optimizer.rate == made.optimizer.lr
        history = made.fit(blobs(), 3, 10)
        assert history["epoch"] == [1, 2, 3]
        assert made.optimizer.steps == 18
        whole = batches_seen[:]
        batches_seen.clear()
        trainer(network()).fit(blobs(), 3, 10)
        for one, other in zip(whole, batches_seen, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_a_new_fit_begins_the_epoch_in_progress_anew(self, batches_seen):
        seen = Seen()
        made = trainer(network(), callbacks=[StopAfter(8), seen], schedule=schedules.cosine())
        with pytest.raises(KeyboardInterrupt):
            made.fit(blobs(), 3, 10)
        seen.rates.clear()
        history = made.fit(blobs(), 3, 10, resume=False)
        assert history["epoch"] == [1, 2, 3, 4]
        assert seen.rates == [0.02 * schedules.cosine()(n, 18) for n in range(18)]
        for before, after in zip(batches_seen[6:8], batches_seen[8:10], strict=True):
            np.testing.assert_array_equal(before, after)


def test_pixels_lie_on_the_device_as_bytes(xp: Backend, monkeypatch):
    held = []

    def watched(*args, **options):
        held.append(Batches(*args, **options))
        return held[-1]

    monkeypatch.setattr("xpnet.training.trainer.Batches", watched)
    data = Dataset(np.zeros((4, 3), np.uint8), np.arange(4, dtype=np.uint8) % 3)
    net = Sequential([Rescale(1 / 255), Linear(4), ReLU(), Linear(3)], input_shape=(3,))
    trainer(net.to(xp.device)).fit(data, 1, 2)
    (batches,) = held
    assert batches.resident
    assert (dtype_name(batches.data.x), dtype_name(batches.data.t)) == ("uint8", "int64")
    assert device_of(batches.data.x) == xp.device


def test_the_running_figures_are_those_of_the_epoch_so_far():
    figures = []

    class Watching(Callback):
        def step_ends(self, trainer):
            figures.append((trainer.running_loss(), trainer.running_throughput()))

    made = trainer(network(), callbacks=[Watching()])
    (row,) = made.fit(blobs(), 1, 10)
    assert figures[-1][0] == row["train_loss"]
    assert all(speed > 0 for _, speed in figures)


class TestStopping:
    """A callback may end a fit: nothing is raised, and everybody hears of the end."""

    class StopAt(Seen):
        def __init__(self, step=None, epoch=None):
            super().__init__()
            self.step, self.epoch, self.ended = step, epoch, 0

        def step_ends(self, trainer):
            super().step_ends(trainer)
            if trainer.optimizer.steps == self.step:
                trainer.stop()

        def epoch_ends(self, trainer, row):
            super().epoch_ends(trainer, row)
            if row["epoch"] == self.epoch:
                trainer.stop()

        def fit_ends(self, trainer):
            super().fit_ends(trainer)
            self.ended += 1

    def test_after_an_epoch(self):
        stop = self.StopAt(epoch=2)
        made = trainer(network(), callbacks=[stop])
        history = made.fit(blobs(), 5, 10)
        assert history["epoch"] == [1, 2]
        assert (made.epoch, made.optimizer.steps, stop.ended) == (2, 12, 1)

    def test_within_an_epoch_which_then_has_no_row(self):
        stop = self.StopAt(step=8)
        made = trainer(network(), callbacks=[stop])
        history = made.fit(blobs(), 5, 10)
        assert history["epoch"] == [1]
        assert (made.epoch, made.optimizer.steps, stop.ended) == (1, 8, 1)

    def test_at_an_epochs_last_step_which_then_has_one(self):
        made = trainer(network(), callbacks=[self.StopAt(step=6)])
        assert made.fit(blobs(), 5, 10)["epoch"] == [1]

    def test_a_later_fit_begins_as_if_nothing_had_been(self):
        made = trainer(network(), callbacks=[self.StopAt(epoch=1)])
        made.fit(blobs(), 3, 10)
        made.callbacks = []
        assert made.fit(blobs(), 2, 10)["epoch"] == [1, 2, 3]

    @pytest.mark.gpu
    def test_steps_that_are_replayed_stop_too(self):
        stop = self.StopAt(step=8)
        made = Trainer(network().to("gpu"), SoftmaxCrossEntropy(), Adam(), callbacks=[stop])
        made.fit(blobs(), 5, 10)
        assert (made.not_replayed, made.epoch, made.optimizer.steps) == (None, 1, 8)


class TestBetweenTheSteps:
    def test_gradients_may_be_changed_before_the_update(self, xp):
        def clip(grads):
            grads.flat[...] = 0.0 * grads.flat

        net = linear().to(xp.device)
        before = contents(net)
        made = Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), after_backward=clip)
        made.fit(on(xp, blobs(dtype="float64")), 1, 10)
        assert contents(net) == before

    def test_a_callback_has_the_loss_of_each_step(self, xp):
        losses = []

        class Look(Callback):
            def step_ends(self, trainer):
                assert device_of(trainer.step_loss) == trainer.net.device
                losses.append(float(trainer.step_loss))

        net, data = linear().to(xp.device), blobs(30, "float64")
        made = Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), callbacks=[Look()])
        assert made.step_loss is None
        history = made.fit(on(xp, data), 2, 10)
        assert len(losses) == 6
        np.testing.assert_allclose(
            np.reshape(losses, (2, 3)).mean(axis=1), history["train_loss"], rtol=1e-12
        )


class TestWeights:
    """A sample of weight 2 is one that is there twice; one of weight 0 is not there."""

    def data(self, xp: Backend, n: int = 12) -> Dataset:
        rng = np.random.default_rng(5)
        x = rng.normal(size=(n, 3))
        return Dataset(xp.array(x), xp.array(np.arange(n) % 2), classes=2)

    def net(self, xp: Backend) -> Sequential:
        made = Sequential([Linear(4), Sigmoid(), Linear(2)], input_shape=(3,), dtype="float64")
        return made.to(xp.device)

    def test_training_is_that_of_samples_repeated(self, xp: Backend):
        data, counts = self.data(xp), np.arange(12) % 4
        repeated = data.select(np.repeat(np.arange(12), counts))
        one, other = (trainer(self.net(xp), callbacks=[]) for _ in range(2))
        weighed = one.fit(data.weighted(counts), 5, 12, validation=data.weighted(counts))
        expected = other.fit(repeated, 5, len(repeated), validation=repeated)
        for column in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
            assert weighed[column] == pytest.approx(expected[column], rel=1e-12), column
        for name, array in one.net.params.items():
            np.testing.assert_allclose(to_numpy(array), to_numpy(other.net.params[name]))

    @pytest.mark.parametrize("loss", [SigmoidCrossEntropy(), SquaredError()], ids=repr)
    def test_what_is_measured_counts_by_weight(self, xp: Backend, loss):
        rng = np.random.default_rng(6)
        t, weights = rng.integers(0, 2, (9, 2)).astype(float), rng.random(9)
        x = xp.array(rng.normal(size=(9, 3)))
        data = Dataset(x, xp.array(t), classes=None, weights=weights)
        made = Trainer(self.net(xp), loss, SGD())
        found = made.evaluate(data, batch_size=4)
        scores = made.net.predict(x)
        weights = weights.astype("float32").astype(float)
        if found.accuracy is None:
            expected = np.average(abs(scores - t).mean(axis=1), weights=weights)
            assert found.mean_absolute_error == pytest.approx(expected)
            return
        right = (scores > 0) == (t > 0.5)
        assert found.accuracy == pytest.approx(np.average(right.mean(axis=1), weights=weights))
        assert found.exact_match == pytest.approx(np.average(right.all(axis=1), weights=weights))

    def test_a_batch_that_counts_nothing_moves_nothing(self, xp: Backend):
        data = self.data(xp).weighted(np.arange(12) == 0)
        made = trainer(self.net(xp), callbacks=[])
        made.fit(data, 2, 3)
        assert all(map(np.isfinite, made.history["train_loss"]))

    def test_weights_are_part_of_what_a_fit_is_given(self, tmp_path):
        cpu = backend("numpy")
        made = trainer(self.net(cpu), callbacks=[])
        made.fit(self.data(cpu), 1, 4)
        made.save(tmp_path / "c")
        again = trainer(self.net(cpu), callbacks=[])
        again.restore(tmp_path / "c")
        with pytest.raises(ValueError, match="something else: train expected"):
            again.fit(self.data(cpu).weighted("balanced"), 1, 4)

    def test_a_rare_class_that_counts_as_much_is_found(self):
        rng = np.random.default_rng(0)
        t = (rng.random(2000) < 0.05).astype(int)
        x = (rng.normal(size=(2000, 5)) + 0.7 * t[:, None]).astype("float32")
        train, test = Dataset(x, t, classes=2).split(0.5)
        recalls, balanced = [], []
        for data in (train, train.weighted("balanced")):
            net = Sequential([Linear(10), ReLU(), Linear(2)], input_shape=(5,))
            Trainer(net, SoftmaxCrossEntropy(), Adam(lr=0.01)).fit(data, 10, 50)
            guess = net.predict(test.x).argmax(axis=1)
            of_class = [(guess == test.t)[test.t == label].mean() for label in (0, 1)]
            recalls.append(of_class[1])
            balanced.append(np.mean(of_class))
        assert recalls[0] < 0.2
        assert recalls[1] >= 0.6
        assert balanced[1] >= 0.75
