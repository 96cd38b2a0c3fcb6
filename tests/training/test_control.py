"""What steers a training: stopping early, lower rates, clipping, averages, batches in parts.

However it is steered, a run that was interrupted ends as one that was not, bit for bit; and a GPU
that replays steps makes of it what the steps make.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tests.conftest import Backend
from tests.training.test_checkpoint import Interrupt, position
from xpnet import schedules
from xpnet.arrays import to_numpy
from xpnet.data import Dataset
from xpnet.layers import BatchNorm, Dropout, Flatten, Linear, ReLU, Rescale, Sequential
from xpnet.losses import SoftmaxCrossEntropy, SquaredError
from xpnet.models import mlp
from xpnet.optimizers import SGD, Adam, Momentum
from xpnet.training import (
    AveragedWeights,
    Callback,
    Checkpoint,
    ClipNorm,
    ClipValue,
    EarlyStopping,
    History,
    ReduceLROnPlateau,
    Trainer,
)

EPOCHS, BATCH, STEPS = 6, 7, 5

KINDS: dict[str, Any] = {
    "early stopping": lambda: {"callbacks": [EarlyStopping(2)]},
    "early stopping by accuracy": lambda: {
        "callbacks": [EarlyStopping(2, "validation_accuracy", min_delta=0.01)]
    },
    "early stopping, nothing put back": lambda: {
        "callbacks": [EarlyStopping(2, restore_best=False)]
    },
    "lower rates": lambda: {"callbacks": [ReduceLROnPlateau(0.5, 1, cooldown=1)]},
    "clipping by norm": lambda: {"callbacks": [ClipNorm(0.1)]},
    "clipping by value": lambda: {"callbacks": [ClipValue(0.01)]},
    "averaged weights": lambda: {"callbacks": [AveragedWeights(0.9)]},
    "batches in parts": lambda: {"accumulate": 3},
    "all of it": lambda: {
        "callbacks": [
            EarlyStopping(2), ReduceLROnPlateau(0.5, 1), AveragedWeights(0.8), ClipNorm(0.5)
        ],
        "accumulate": 2,
    },
}  # fmt: skip


def data(seed: int = 0, n: int = 34) -> Dataset:
    rng = np.random.default_rng(seed)
    t = np.arange(n) % 3
    return Dataset(rng.integers(0, 230, (n, 3), np.uint8) + 20 * np.eye(3, dtype=np.uint8)[t], t)


def made(xp: Backend | None = None, *callbacks: Callback, **options: Any) -> Trainer:
    net = mlp(classes=3, input_shape=(3,), hidden=[8], dropout=0.2, batch_norm=True, seed=4)
    options["callbacks"] = [*options.get("callbacks", []), *callbacks]
    return Trainer(
        net if xp is None else net.to(xp.device), SoftmaxCrossEntropy(), Adam(lr=0.05), seed=11,
        schedule=schedules.one_cycle(), **options,
    )  # fmt: skip


def fit(trainer: Trainer, **options: Any) -> Trainer:
    trainer.fit(data(), EPOCHS, BATCH, validation=data(1), **options)
    return trainer


class TestResumed:
    @pytest.mark.parametrize(
        "interrupt",
        [Interrupt(e, s) for e, s in itertools.product(range(3), (1, None)) if e or s],
        ids=lambda interrupt: f"epoch {interrupt.epoch} step {interrupt.step}",
    )
    @pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
    def test_it_ends_as_if_never_interrupted(self, tmp_path, kind, interrupt):
        assert_resumes(tmp_path / "run", kind, interrupt)

    def test_that_is_tried_of_runs_that_are_steered(self):
        plain = fit(made())
        for kind in KINDS.values():
            trainer = fit(made(**kind()))
            assert position(trainer) != position(plain)
            if any(type(callback) is EarlyStopping for callback in trainer.callbacks):
                assert 2 < trainer.epoch < EPOCHS

    def test_it_does_on_every_library(self, tmp_path, xp: Backend):
        assert_resumes(tmp_path / "run", KINDS["all of it"], Interrupt(1, 2), xp)

    @pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
    def test_it_does_in_the_same_process(self, kind):
        trainer = made(None, Interrupt(1, 2), **kind())
        with pytest.raises(KeyboardInterrupt):
            fit(trainer)
        assert position(fit(trainer)) == position(fit(made(**kind())))

    @pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
    def test_a_run_killed_as_it_stopped_stops_again(self, tmp_path, kind):
        """At its last epoch's end, that is, with what a checkpoint held then."""
        path = tmp_path / "run"

        class Kill(Callback):
            last = True

            def fit_ends(self, trainer):
                if trainer.finished:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fit(made(None, Kill(), Checkpoint(path), **kind()))
        whole, resumed = fit(made(**kind())), made(**kind())
        resumed.restore(path)
        assert position(fit(resumed)) == position(whole)

    def test_other_arguments_are_refused(self, tmp_path):
        path = tmp_path / "run"
        with pytest.raises(KeyboardInterrupt):
            fit(made(None, Checkpoint(path), Interrupt(1), ClipNorm(1.0)))
        for other, words in (
            ({"callbacks": [ClipNorm(2.0)]}, r"callbacks expected \[\['ClipNorm', \{'max_norm': 1"),
            ({"callbacks": []}, r"callbacks expected .* got \[\]"),
            ({"callbacks": [ClipNorm(1.0)], "accumulate": 2}, "accumulate expected 1, got 2"),
        ):
            resumed = made(**other)
            resumed.restore(path)
            with pytest.raises(ValueError, match=words):
                fit(resumed)

    @pytest.mark.parametrize(
        "others", [[], [AveragedWeights()], [EarlyStopping(), EarlyStopping()]]
    )
    def test_other_callbacks_that_remember_are_refused(self, tmp_path, others):
        path = tmp_path / "run"
        fit(made(None, Checkpoint(path), EarlyStopping(2)))
        resumed = made(None, *others)
        before = position(resumed)
        with pytest.raises(ValueError, match=r"callbacks .*EarlyStopping.*: make it as it was"):
            resumed.restore(path)
        assert position(resumed) == before

    def test_those_that_decide_no_numbers_may_come_and_go(self, tmp_path):
        class Remembers(Callback):
            count = 0

            def epoch_ends(self, trainer, row):
                self.count += 1

            def state(self):
                return {"count": self.count}

            def load_state(self, trainer, state):
                self.count = state["count"]

        path, whole = tmp_path / "run", fit(made())
        with pytest.raises(KeyboardInterrupt):
            fit(made(None, Checkpoint(path), Remembers(), Interrupt(2)))
        for callbacks in ([], [Remembers()], [Remembers(), Remembers()]):
            resumed = made(None, *callbacks)
            resumed.restore(path)
            assert [callback.count for callback in callbacks] == [2, 0][: len(callbacks)]
            assert position(fit(resumed)) == position(whole)

    def test_one_may_join_from_where_a_run_was_interrupted(self, tmp_path):
        path, joins = tmp_path / "run", EarlyStopping(1, "train_loss", min_delta=10)
        with pytest.raises(KeyboardInterrupt):
            fit(made(None, Checkpoint(path), Interrupt(2)))
        resumed = made()
        resumed.restore(path)
        resumed.callbacks.append(joins)
        fit(resumed, resume=False)
        assert (joins.best_epoch, resumed.epoch) == (3, 4)


def assert_resumes(path, kind, interrupt: Interrupt, xp: Backend | None = None) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(made(xp, Checkpoint(path), interrupt, **kind()))
    resumed, whole = made(xp, **kind()), fit(made(xp, **kind()))
    resumed.restore(path)
    assert resumed.optimizer.steps == interrupt.epoch * STEPS + (interrupt.step or 0)
    assert position(fit(resumed)) == position(whole)


class Scripted(Callback):
    """Losses and parameters of a script's choice."""

    def __init__(self, *losses: float) -> None:
        self.losses = losses

    def validation_begins(self, trainer):
        trainer.net.params["1.b"] = np.full(3, trainer.epoch + 1.0, np.float32)

    def epoch_ends(self, trainer, row):
        row["validation_loss"] = self.losses[trainer.epoch - 1]


def scripted(losses: list[float], *callbacks: Callback, epochs: int | None = None) -> Trainer:
    net = Sequential([Rescale(1 / 255), Linear(3)], input_shape=(3,), seed=0)
    trainer = Trainer(
        net, SoftmaxCrossEntropy(), SGD(0.5), callbacks=[Scripted(*losses), *callbacks]
    )
    trainer.fit(data(), epochs or len(losses), 34, validation=data(1))
    return trainer


class TestEarlyStopping:
    @pytest.mark.parametrize(
        ("losses", "patience", "min_delta", "ended", "best"),
        [
            ([5, 4, 3, 2, 1], 1, 0, 5, 5),
            ([5, 4, 4, 3, 1], 1, 0, 3, 2),  # an equal one is not better
            ([5, 4, 6, 3, 4, 5], 2, 0, 6, 4),
            ([5, 4, 6, 7, 3], 2, 0, 4, 2),
            ([5, 4.5, 4.1, 3.9, 3], 3, 1.0, 5, 4),  # by little is not better
            ([5, 4.9, 4.8, 4.7, 1], 3, 1.0, 4, 1),
            ([np.nan, np.nan, 1], 2, 0, 2, None),
            ([np.nan, 2, np.nan, 1], 2, 0, 4, 4),
        ],
    )
    def test_the_fit_ends_after_so_many_epochs_and_the_best_is_put_back(
        self, losses, patience, min_delta, ended, best
    ):
        stopping = EarlyStopping(patience, min_delta=min_delta)
        trainer = scripted(losses, stopping)
        assert (trainer.epoch, stopping.best_epoch) == (ended, best)
        assert trainer.net.params["1.b"][0] == (best or ended)
        assert trainer.finished

    def test_nothing_is_put_back_where_that_is_not_wanted(self):
        trainer = scripted([1, 2, 3], EarlyStopping(5, restore_best=False))
        assert trainer.net.params["1.b"][0] == 3

    def test_the_best_is_put_back_where_another_callback_ends_the_fit(self):
        class Stop(Callback):
            def step_ends(self, trainer):
                if trainer.epoch == 3:
                    trainer.stop()

        trainer = scripted([2, 1, 3, 4, 5], EarlyStopping(5), Stop())
        assert (trainer.epoch, trainer.net.params["1.b"][0]) == (4, 2)

    def test_accuracies_are_to_rise(self):
        class Rising(Callback):
            def epoch_ends(self, trainer, row):
                row["validation_accuracy"] = 0.1 * trainer.epoch

        stopping = EarlyStopping(1, "validation_accuracy")
        assert scripted([1, 2, 3, 4], Rising(), stopping).epoch == 4
        assert stopping.best_epoch == 4

    def test_running_statistics_are_put_back_too(self):
        stopping, states = EarlyStopping(1, "train_loss", min_delta=100), []
        trainer = made(None, stopping)

        class Look(Callback):
            def epoch_ends(self, trainer, row):
                states.append({name: to_numpy(a).copy() for name, a in trainer.net.state.items()})

        trainer.callbacks.append(Look())
        fit(trainer)
        assert (stopping.best_epoch, trainer.epoch) == (1, 2)
        assert states[0].keys() == trainer.net.state.keys() != set()
        for name, values in trainer.net.state.items():
            np.testing.assert_array_equal(values, states[0][name])
            assert name.endswith("batches") or (values != states[1][name]).any()

    def test_a_checkpoint_holds_what_was_put_back_wherever_it_stands(self, tmp_path):
        for order in (1, -1):
            path = tmp_path / f"run{order}"
            scripted([1, 2, 3], *[EarlyStopping(2), Checkpoint(path)][::order])
            net = Sequential([Rescale(1 / 255), Linear(3)], input_shape=(3,), seed=0)
            resumed = Trainer(net, SoftmaxCrossEntropy(), SGD(0.5), callbacks=[EarlyStopping(2)])
            resumed.restore(path)
            assert resumed.net.params["1.b"][0] == 1

    def test_each_fit_is_watched_anew(self):
        stopping = EarlyStopping(1, "train_loss", min_delta=100)
        trainer = fit(made(None, stopping))
        assert (trainer.epoch, stopping.best_epoch) == (2, 1)
        fit(trainer)
        assert (trainer.epoch, stopping.best_epoch) == (4, 3)

    def test_without_validation_there_is_nothing_to_go_by(self):
        trainer = made(None, EarlyStopping())
        with pytest.raises(ValueError, match=r"^monitor: 'validation_loss' is not measured: give"):
            trainer.fit(data(), 2, 5)


def rates(losses: list[float], **options: Any) -> list[float]:
    seen = []

    class Look(Callback):
        def epoch_ends(self, trainer, row):
            seen.append(trainer.optimizer.lr)

    scripted(losses, ReduceLROnPlateau(**options), Look())
    return seen


class TestReduceLROnPlateau:
    @pytest.mark.parametrize("patience", [1, 2, 3])
    @pytest.mark.parametrize("cooldown", [0, 1, 3])
    @pytest.mark.parametrize("seed", range(4))
    def test_rates_are_pytorchs(self, patience, cooldown, seed):
        """Whose patience is how many epochs are let pass: one less."""
        torch = pytest.importorskip("torch")
        losses = np.random.default_rng(seed).normal(size=25).cumsum().tolist()
        theirs = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            theirs, factor=0.5, patience=patience - 1, threshold=0.3, threshold_mode="abs",
            cooldown=cooldown, min_lr=0.01,
        )  # fmt: skip
        expected = []
        for loss in losses:
            schedule.step(loss)
            expected.append(theirs.param_groups[0]["lr"])
        assert rates(
            losses, factor=0.5, patience=patience, min_delta=0.3, cooldown=cooldown, min_lr=0.01
        ) == pytest.approx(expected)
        assert len(set(expected)) > 2

    def test_a_rate_below_the_least_stays(self):
        assert rates([1, 2, 3], patience=1, min_lr=0.7) == [0.5, 0.5, 0.5]

    def test_a_rate_does_not_vanish(self):
        assert rates([1.0] * 20, factor=1e-100, patience=1)[-1] > 0

    def test_each_fit_begins_to_wait_anew(self):
        trainer = scripted([1, 2, 1, 2], ReduceLROnPlateau(0.5, 2), epochs=2)
        trainer.fit(data(), 2, 34, validation=data(1))
        assert trainer.optimizer.lr == 0.5


def gradients(values: Any, place: str = "cpu", dtype: str = "float32") -> Any:
    """Return the gradients of a network, set to some numbers."""
    net = Sequential([Linear(2)], input_shape=(2,), dtype=dtype).to(place)
    net.grads["0.W"] = np.asarray(values, dtype).reshape(2, 2)
    return net.grads


class TestClipping:
    @pytest.mark.parametrize("scale", [1e-30, 1e-3, 0.4, 1, 30, 1e20, 1e37])
    def test_gradients_are_shortened_to_the_norm(self, xp: Backend, scale):
        values = np.array([3, 4, -12, 0]) / 13 * scale  # of norm scale
        grads = gradients(values, xp.device)
        ClipNorm(0.5).after_backward(grads)
        expected = values * min(1, 0.5 / scale)
        np.testing.assert_allclose(to_numpy(grads["0.W"]).ravel(), expected, rtol=1e-6)

    def test_complex_ones_too(self):
        grads = gradients([3j, 4, 0, 0], dtype="complex64")
        ClipNorm(1).after_backward(grads)
        np.testing.assert_allclose(grads["0.W"].ravel(), [0.6j, 0.8, 0, 0], rtol=1e-6)

    def test_no_gradient_stays_none(self):
        grads = gradients([0, 0, 0, 0])
        ClipNorm(1).after_backward(grads)
        assert not grads["0.W"].any()

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_numbers_that_are_none_are_not_hidden(self, bad):
        grads = gradients([bad, 1, 1, 1])
        ClipNorm(1).after_backward(grads)
        assert np.isnan(grads["0.W"]).any()

    def test_it_is_pytorchs(self):
        torch = pytest.importorskip("torch")
        values = np.random.default_rng(0).normal(size=(2, 2))
        theirs = torch.nn.Parameter(torch.zeros(2, 2))
        theirs.grad = torch.tensor(values, dtype=torch.float32)
        torch.nn.utils.clip_grad_norm_([theirs], 0.7)
        grads = gradients(values)
        ClipNorm(0.7).after_backward(grads)
        np.testing.assert_allclose(grads["0.W"], theirs.grad.numpy(), rtol=1e-5)

    def test_by_value_each_is_cut(self, xp: Backend):
        grads = gradients([-3, -0.1, 0.2, 9], xp.device)
        ClipValue(0.5).after_backward(grads)
        np.testing.assert_allclose(to_numpy(grads["0.W"]).ravel(), [-0.5, -0.1, 0.2, 0.5])

    def test_complex_ones_have_no_range(self):
        with pytest.raises(ValueError, match="expected real gradients, got complex ones: use Cl"):
            ClipValue(1).after_backward(gradients([1j, 0, 0, 0], dtype="complex64"))

    def test_a_loop_by_hand_is_clipped(self):
        trainer = made(None, ClipNorm(1e-3))
        before = {name: a.copy() for name, a in trainer.net.params.items()}
        trainer.optimizer = SGD(1.0)
        trainer.step(trainer.net.asinput(data().x), data().t)
        moved = sum(((a - before[name]) ** 2).sum() for name, a in trainer.net.params.items())
        assert np.sqrt(moved) == pytest.approx(1e-3, rel=1e-3)


class TestAveragedWeights:
    def trained(self, xp: Backend | None = None, epochs: int = 3, **options: Any) -> Any:
        """Return a trainer and its parameters after each update."""
        path = []

        class Look(Callback):
            def after_update(self, params):
                path.append({name: to_numpy(a).astype("float64") for name, a in params.items()})

        trainer = made(xp, Look(), AveragedWeights(0.9), graph="off", **options)
        start = {name: to_numpy(a).astype("float64") for name, a in trainer.net.params.items()}
        trainer.fit(data(), epochs, BATCH, validation=data(1))
        return trainer, start, path

    def test_the_network_ends_with_the_average(self, xp: Backend):
        trainer, average, path = self.trained(xp)
        for n, params in enumerate(path, 1):
            decay = min(0.9, (1 + n) / (10 + n))
            average = {name: decay * a + (1 - decay) * params[name] for name, a in average.items()}
        assert len(path) == 15
        for name, values in trainer.net.params.items():
            np.testing.assert_allclose(to_numpy(values), average[name], rtol=1e-4, atol=1e-6)

    def test_training_goes_the_same_way(self):
        path = self.trained()[2]
        seen = []

        class Look(Callback):
            def after_update(self, params):
                seen.append({name: a.copy() for name, a in params.items()})

        made(None, Look()).fit(data(), 3, BATCH)
        for one, other in zip(path, seen, strict=True):
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])

    def test_validation_and_callbacks_see_the_average(self):
        seen = []

        class Look(Callback):
            def epoch_ends(self, trainer, row):
                seen.append((row["validation_loss"], trainer.evaluate(data(1)).loss))

        trainer = made(None, Look(), AveragedWeights(0.9))
        trainer.fit(data(), 2, BATCH, validation=data(1))
        assert all(one == other for one, other in seen)
        assert seen[-1][0] == trainer.evaluate(data(1)).loss
        plain = made()
        plain.fit(data(), 2, BATCH, validation=data(1))
        assert plain.history["train_loss"] == trainer.history["train_loss"]
        assert plain.history["validation_loss"] != trainer.history["validation_loss"]

    def test_the_best_epoch_is_put_back_as_it_was_measured(self):
        stopping = EarlyStopping(1, min_delta=100)
        trainer = made(None, stopping, AveragedWeights(0.9))
        fit(trainer)
        assert (trainer.epoch, stopping.best_epoch) == (2, 1)
        assert trainer.evaluate(data(1)).loss == trainer.history[0]["validation_loss"]

    def test_a_second_fit_goes_on_from_the_average(self):
        trainer = made(None, AveragedWeights(0.9))
        fit(trainer)
        loss = trainer.evaluate(data()).loss
        seen = []

        class Look(Callback):
            def epoch_begins(self, trainer):
                seen.append(trainer.evaluate(data()).loss)

        trainer.callbacks.append(Look())
        fit(trainer)
        assert seen[0] == loss

    def test_a_loop_by_hand_may_have_it(self):
        averaged = AveragedWeights(0.5)
        trainer = made(None, averaged)
        x, t = trainer.net.asinput(data().x), data().t
        for _ in range(3):
            trainer.step(x, t)
        trained = trainer.net.params.flat.copy()
        averaged.swap(trainer.net)
        assert (trainer.net.params.flat != trained).any()
        averaged.swap(trainer.net)
        np.testing.assert_array_equal(trainer.net.params.flat, trained)


class TestBatchesInParts:
    """Of a network without statistics and masks of batches, an update is the whole batch's."""

    def trainer(self, accumulate: int, xp: Backend, loss: Any, **network: Any) -> Trainer:
        net = Sequential([Linear(7), ReLU(), Linear(3)], input_shape=(3,), seed=2, dtype="float64")
        return Trainer(net.to(xp.device), loss, Momentum(0.1), accumulate=accumulate, seed=1)

    @pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
    @pytest.mark.parametrize("accumulate", [2, 3, 50])
    def test_the_update_is_that_of_the_whole_batch(self, xp: Backend, accumulate, weighted):
        rng = np.random.default_rng(3)
        train = Dataset(rng.normal(size=(24, 3)), np.arange(24) % 3)
        if weighted:
            train = train.weighted(rng.uniform(0, 2, 24) * (rng.uniform(size=24) > 0.3))
        runs = [self.trainer(parts, xp, SoftmaxCrossEntropy()) for parts in (1, accumulate)]
        for trainer in runs:
            trainer.fit(train, 2, 7)  # the last batch has three
        whole, parts = runs
        assert parts.optimizer.steps == whole.optimizer.steps == 8
        for name, values in parts.net.params.items():
            np.testing.assert_allclose(
                to_numpy(values), to_numpy(whole.net.params[name]), rtol=1e-9, atol=1e-12
            )
        for column in ("train_loss", "train_accuracy"):
            assert parts.history[column] == pytest.approx(whole.history[column], rel=1e-9)

    def test_a_part_that_counts_nothing_adds_nothing(self, xp: Backend):
        trainer = self.trainer(2, xp, SquaredError())
        x = trainer.net.device.asarray(np.ones((4, 3)))
        t = trainer.net.device.asarray(np.ones((4, 3)))
        weights = trainer.net.device.asarray([0.0, 0.0, 1.0, 1.0])
        loss, scores = trainer.step(x, t, weights)
        assert scores.shape == (4, 3)
        expected = self.trainer(1, xp, SquaredError())
        assert float(loss) == pytest.approx(float(expected.step(x[2:, :], t[2:, :])[0]))

    @pytest.mark.parametrize("bad", [0, -1, 1.5, True, "2"])
    def test_parts_are_a_whole_number(self, bad):
        with pytest.raises(ValueError, match=r"^accumulate: expected a whole number >= 1, got"):
            made(accumulate=bad)


@pytest.mark.gpu
class TestReplayed:
    def run(self, graph: str, kind: Any, weighted: bool = False) -> Trainer:
        layers = [
            Rescale(1 / 255), Flatten(), Linear(9), ReLU(), BatchNorm(), Dropout(0.2), Linear(4)
        ]  # fmt: skip
        net = Sequential(layers, input_shape=(1, 8, 8), seed=3).to("gpu")
        rng = np.random.default_rng(0)
        t = rng.integers(0, 4, 87)
        x = (rng.integers(0, 64, (87, 1, 8, 8)) + 48 * t[:, None, None, None]).astype(np.uint8)
        train = Dataset(x, t, classes=4)
        if weighted:
            train = train.weighted(rng.uniform(0, 2, 87))
        trainer = Trainer(net, SoftmaxCrossEntropy(), Adam(0.01), graph=graph, seed=1, **kind())
        trainer.fit(train, 3, 10, validation=train.take(20))
        return trainer

    @pytest.mark.parametrize(
        ("kind", "weighted"),
        [
            *((kind, False) for kind in KINDS if not kind.startswith("early stopping,")),
            ("batches in parts", True),
            ("all of it", True),
        ],
    )
    def test_a_replayed_run_has_the_bits_of_the_steps(self, kind, weighted):
        on, off = (self.run(graph, KINDS[kind], weighted) for graph in ("on", "off"))
        assert on.not_replayed is None
        assert position(on) == position(off)


def test_a_history_of_json_has_the_same_best(tmp_path):
    """NaN is null in a checkpoint."""
    rows = [{"epoch": i, "validation_loss": v} for i, v in enumerate([None, 3.0, None, 2.0], 1)]
    stopping = EarlyStopping(5)
    stopping._began = 0
    trainer = made()
    trainer.history = History(rows)
    trainer.epoch = 4
    stopping._look(trainer)
    assert stopping.best_epoch == 4
