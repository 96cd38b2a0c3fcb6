"""The learning-rate range test: a curve, and a trainer that stays as it was."""

from __future__ import annotations

import copy
import math
import sys
import threading
from typing import Any

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet.arrays import to_numpy
from xpnet.data import Batches, Dataset
from xpnet.layers import BatchNorm, Dropout, Linear, ReLU, Sequential
from xpnet.losses import SoftmaxCrossEntropy, SquaredError
from xpnet.optimizers import SGD, Adam
from xpnet.schedules import one_cycle
from xpnet.training import Callback, ClipNorm, DivergedError, LRCurve, Trainer, find_lr


def data(n: int = 30) -> Dataset:
    rng = np.random.default_rng(0)
    t = np.arange(n) % 2
    return Dataset((rng.normal(size=(n, 3)) + 2 * t[:, None]).astype(np.float32), t, classes=2)


def made(xp: Backend | None = None, **parts: Any) -> Trainer:
    layers = [Linear(6), BatchNorm(), ReLU(), Dropout(0.2), Linear(2)]
    net = Sequential(layers, input_shape=(3,), seed=1)
    parts = {"optimizer": Adam(lr=0.01), "loss": SoftmaxCrossEntropy(), "seed": 5} | parts
    return Trainer(net.to(xp.device) if xp else net, **parts)


def everything(trainer: Trainer) -> tuple[Any, ...]:
    """Return all that a trainer is and holds, as it is now."""
    arrays = {**trainer.net.params, **trainer.net.state, **trainer.optimizer.state()}
    about = (
        {name: to_numpy(array).tobytes() for name, array in arrays.items()},
        trainer.optimizer.config(), trainer.optimizer.steps, trainer.optimizer.lr_factor,
        trainer.history.rows, trainer.epoch, trainer.fits.all, trainer.partial, trainer.callbacks,
    )  # fmt: skip
    return copy.deepcopy(about)


class Unwanted(Callback):
    """Neither called nor copied."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def step_ends(self, trainer: Trainer) -> None:
        raise AssertionError

    def __reduce__(self) -> Any:
        return "Unwanted"

    def __deepcopy__(self, memo: Any) -> Any:
        raise AssertionError


class TestTheCurve:
    def test_rates_rise_by_one_factor_from_low_to_high(self):
        curve = find_lr(made(), data(), 10, low=1e-4, high=1e-2, steps=5)
        np.testing.assert_allclose(curve.rates, [1e-4, 10**-3.5, 1e-3, 10**-2.5, 1e-2], rtol=1e-12)
        assert len(curve.losses) == len(curve.smoothed) == 5
        assert not curve.diverged

    def test_losses_are_those_of_steps_by_hand(self, xp: Backend):
        """On fresh batches, and again on them: three an epoch."""
        curve = find_lr(made(xp), data(35), 10, low=1e-3, high=1e-1, steps=5)
        plain, expected = made(xp), []
        batches = Batches(data(35), 10, device=plain.net.device, seed=5)
        for k, batch in enumerate([*[*batches.epoch(0)][:3], *[*batches.epoch(1)][:2]]):
            plain.optimizer.lr = 1e-3 * 100 ** (k / 4)
            expected.append(float(plain.step(*batch)[0]))
        np.testing.assert_allclose(curve.losses, expected, rtol=1e-6)

    def test_the_smoothed_losses_are_weighted_means(self):
        curve = find_lr(made(), data(), 10, steps=8, high=0.1, smoothing=0.6)
        for k in range(8):
            weights = 0.6 ** np.arange(k, -1, -1)
            mean = np.average(curve.losses[: k + 1], weights=weights)
            assert curve.smoothed[k] == pytest.approx(mean, rel=1e-12)

    def test_without_smoothing_they_are_the_losses(self):
        curve = find_lr(made(), data(), 10, steps=8, high=0.1, smoothing=0)
        assert curve.smoothed == curve.losses

    def test_weights_count(self):
        weighted = data().with_arrays(data().x, data().t, np.where(data().t == 0, 5.0, 1.0))
        one, other = (find_lr(made(), d, 10, steps=4) for d in (data(), weighted))
        assert one.losses[0] != other.losses[0]
        trainer, batches = made(), Batches(weighted, 10, seed=5)
        first = trainer.step(*next(iter(batches.epoch(0))))[0]
        assert other.losses[0] == pytest.approx(float(first), rel=1e-6)

    @pytest.mark.parametrize("n", [2, 7])
    def test_data_of_less_than_a_batch_go_round(self, n):
        assert len(find_lr(made(), data(n), 10, steps=12, high=1e-3).losses) == 12

    def test_a_step_of_ones_own_is_made(self):
        class Doubling(Trainer):
            def step(self, x, t, weights=None):
                loss, scores = super().step(x, t, weights)
                return loss * 2, scores

        net = made().net
        doubled = find_lr(Doubling(net, SoftmaxCrossEntropy(), SGD()), data(), 10, steps=3)
        single = find_lr(Trainer(net, SoftmaxCrossEntropy(), SGD()), data(), 10, steps=3)
        np.testing.assert_allclose(doubled.losses, 2 * np.array(single.losses), rtol=1e-6)

    def test_its_words_are_few(self):
        assert repr(LRCurve([1e-4, 1e-3], [1, 2], [1, 2])) == "LRCurve(2 rates, 0.0001 to 0.001)"
        assert repr(LRCurve([1e-4, 1.0], [1, 2], [1, 2], True)) == (
            "LRCurve(2 rates, 0.0001 to 1, where the loss diverged)"
        )
        assert not hasattr(LRCurve(), "suggestion")

    def test_what_is_part_of_the_step_stays_part_of_it(self):
        clipped = made(optimizer=SGD(), callbacks=[ClipNorm(1e-9), Unwanted()], accumulate=2)
        still = made(optimizer=SGD(), callbacks=[Unwanted()], accumulate=2)
        curve = find_lr(clipped, data(), 10, high=1)
        expected = find_lr(still, data(), 10, low=1e-12, high=1e-11)
        np.testing.assert_allclose(curve.losses, expected.losses, rtol=1e-5)
        assert find_lr(still, data(), 10, high=1).losses[-1] < 0.9 * curve.losses[-1]


class TestTheEnd:
    def regression(self, **options: Any) -> LRCurve:
        x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
        net = Sequential([Linear(8), ReLU(), Linear(8), ReLU(), Linear(1)], input_shape=(3,))
        trainer = Trainer(net, SquaredError(), SGD())
        return find_lr(trainer, Dataset(x, x.sum(1, keepdims=True)), 10, **options)

    def test_it_ends_where_the_smoothed_loss_is_so_many_times_the_lowest(self):
        curve = self.regression(high=1e6, stop_above=3)
        assert curve.diverged
        assert len(curve.rates) < 100
        ratios = [s / min(curve.smoothed[: k + 1]) for k, s in enumerate(curve.smoothed)]
        assert max(ratios[:-1]) <= 3 < ratios[-1]

    @pytest.mark.parametrize("steps", [3, 4, 6])
    def test_it_ends_where_there_is_no_number_without_a_warning(self, steps):
        curve = self.regression(low=1e10, high=1e30, stop_above=1e300, steps=steps)
        assert curve.diverged
        assert len(curve.rates) < steps
        assert all(map(math.isfinite, curve.losses))

    def test_losses_below_zero_do_not_end_it(self):
        class Less(SquaredError):  # noqa: N818 - no error that is raised
            def forward(self, y, t, weights=None):
                return super().forward(y, t) - 100

        net = Sequential([Linear(1)], input_shape=(3,))
        train = Dataset(data().x, data().x[:, :1])
        assert not find_lr(Trainer(net, Less(), SGD()), train, 10, high=1e-3).diverged

    def test_the_first_loss_must_be_a_number(self):
        broken = data()
        broken.x[:] = np.nan
        with pytest.raises(DivergedError, match=r"^find_lr: the first loss is no .* got nan in x"):
            find_lr(made(), broken, 10)
        trainer = made()
        trainer.net.params["0.W"][...] = np.inf
        with pytest.raises(DivergedError, match="begin from a network whose loss is finite"):
            find_lr(trainer, data(), 10)


class TestTheTrainerStays:
    @pytest.mark.parametrize("trained", [0, 2])
    def test_to_the_bit(self, xp: Backend, trained):
        trainer = made(xp, schedule=one_cycle())
        if trained:
            trainer.fit(data(), trained, 10)
        before, twin = everything(trainer), copy.deepcopy(trainer)
        find_lr(trainer, data(), 10, steps=20)
        assert everything(trainer) == before
        for one in (trainer, twin):
            one.fit(data(), 1, 10)
            one.history.rows[-1] |= {"seconds": 0, "samples_per_second": 0}
        assert everything(trainer) == everything(twin)

    def test_in_mid_fit(self):
        class Finding(Callback):
            def step_ends(self, trainer):
                if trainer.optimizer.steps in (2, 5):
                    find_lr(trainer, data(), 10, steps=5)

        rows = []
        for callbacks in ([], [Finding()]):
            trainer = made(callbacks=callbacks, schedule=one_cycle())
            trainer.fit(data(), 2, 10)
            rows.append(trainer.history["train_loss"])
        assert rows[0] == rows[1]

    def test_it_goes_on_from_where_the_trainer_is(self):
        trainer = made()
        trainer.fit(data(), 40, 10)
        assert find_lr(trainer, data(), 10).losses[0] < find_lr(made(), data(), 10).losses[0] / 2

    def test_neither_schedule_nor_callbacks_are_heard_or_copied(self):
        silent = made(schedule=lambda step, total: 1 / 0, callbacks=[Unwanted()])
        silent.optimizer.lr_factor = 0.5  # of the step of a fit in progress
        assert find_lr(silent, data(), 10).losses == find_lr(made(), data(), 10).losses


class TestThePicture:
    def test_it_has_the_losses_over_the_rates(self, tmp_path):
        pytest.importorskip("matplotlib")
        curve = find_lr(made(), data(), 10, high=0.1)
        figure = curve.plot(tmp_path / "lr.png", "a title")
        points, line = figure.axes[0].lines
        assert list(points.get_xdata()) == list(line.get_xdata()) == curve.rates
        assert list(points.get_ydata()) == curve.losses
        assert list(line.get_ydata()) == curve.smoothed
        assert figure.axes[0].get_xscale() == "log"
        assert figure.get_suptitle() == "a title"
        assert (tmp_path / "lr.png").read_bytes().startswith(b"\x89PNG")

    def test_without_a_path_there_is_a_figure_alone(self, tmp_path, monkeypatch):
        pytest.importorskip("matplotlib")
        monkeypatch.chdir(tmp_path)
        assert find_lr(made(), data(), 10, steps=2).plot().axes
        assert list(tmp_path.iterdir()) == []

    def test_without_matplotlib_there_is_one_sentence(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ImportError, match=r"^pictures need matplotlib: run `pip install"):
            LRCurve([0.1], [1.0], [1.0]).plot()


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        ({"low": 0}, ValueError, "low: expected a number above 0, got 0"),
        ({"low": 1.0, "high": 1.0}, ValueError, "high: expected a number above low, 1.0, got 1.0"),
        ({"steps": 1}, ValueError, "steps: expected a whole number >= 2, got 1"),
        ({"smoothing": 1}, ValueError, "smoothing: expected 0 <= smoothing < 1, got 1"),
        ({"stop_above": 1}, ValueError, "stop_above: expected a number above 1, got 1"),
        ({"batch_size": 0}, ValueError, "batch_size: expected a whole number >= 1, got 0"),
        ({"batch_size": "a"}, ValueError, "batch_size: expected a whole number >= 1, got 'a'"),
        ({"min_lr": 1}, TypeError, "find_lr: takes no argument 'min_lr', but trainer, train, "
         "batch_size, low, high, steps, smoothing, stop_above: write "
         "find_lr(trainer, Dataset(x, t), batch_size=...)"),
        ({"trainer": None}, TypeError,
         "trainer: expected a Trainer, such as Trainer(net, loss, optimizer), got None"),
        ({"train": (1, 2)}, TypeError,
         "find_lr: expected a Dataset, got a tuple: write Dataset(x, t) of its two"),
    ],
)  # fmt: skip
def test_a_mistake_gets_its_sentence(given, error, sentence):
    with pytest.raises(error) as caught:
        find_lr(**{"trainer": made(), "train": data(), "batch_size": 10} | given)
    assert str(caught.value) == sentence


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"expected samples of shape \(3,\), got \(2,\)"):
        find_lr(made(), Dataset(data().x[:, :2], data().t), 10)
