"""The profile of a step: its rows, what it times, and that it leaves no trace."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet.arrays import to_numpy
from xpnet.data import Dataset
from xpnet.devices import Device
from xpnet.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Rescale,
    Residual,
    Sequential,
)
from xpnet.losses import SoftmaxCrossEntropy
from xpnet.optimizers import Adam
from xpnet.training import Profile, ProfileRow, Trainer, profile_step


def images(n: int = 23) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset(rng.integers(0, 256, (n, 1, 8, 8), "uint8"), np.arange(n) % 3, classes=3)


def network() -> Sequential:
    block = Sequential([Conv2d(2, 1), BatchNorm(), ReLU()])
    layers = [
        Rescale(1 / 255), Conv2d(2, 3), ReLU(), MaxPool2d(2), Residual([Conv2d(2, 1), ReLU()]),
        Residual([block, ReLU()], Conv2d(2, 1)), Flatten(), Linear(5), ReLU(), Dropout(0.5),
        Linear(3),
    ]  # fmt: skip
    return Sequential(layers, input_shape=(1, 8, 8))


def trainer(net: Sequential | None = None) -> Trainer:
    return Trainer(net or network(), SoftmaxCrossEntropy(), Adam(lr=0.01))


def small(*layers: Layer) -> Trainer:
    return trainer(Sequential([Flatten(), *layers, Linear(3)], input_shape=(1, 8, 8)))


def profile(work: Trainer, **options) -> Profile:
    rescaled = images()
    if not isinstance(work.net.layers[0], Rescale):
        rescaled = replace(rescaled, x=rescaled.x.astype("float32") / 255)
    return profile_step(work, rescaled, **{"batch_size": 5, "steps": 2, "warmup": 1, **options})


def parts(shown: Profile) -> list[tuple[str, str]]:
    return [(row.path, row.name) for row in shown.rows]


def row(shown: Profile, path: str) -> ProfileRow:
    (found,) = (row for row in shown.rows if path in (row.path, row.name))
    return found


class Slow(Layer):
    """The identity, which takes its time."""

    def forward(self, x, *, train=False):
        time.sleep(0.02)
        return x

    def backward(self, dy, *, need_dx=True):
        time.sleep(0.01)
        return dy


class Twice(Residual):
    """A layer that runs the one within it twice."""

    def forward(self, x, *, train=False):
        self._cache = True
        return self.body.forward(self.body.forward(x, train=train), train=train)

    def backward(self, dy, *, need_dx=True):
        return self.body.backward(dy)


class TestRows:
    def test_layers_that_run_together_share_a_row(self):
        assert parts(profile(trainer())) == [
            ("0", "Rescale"), ("1-3", "Conv2d+ReLU+MaxPool2d"),
            ("4", "Residual"), ("4.body.0-1", "Conv2d+ReLU"),
            ("5", "Residual"), ("5.body.0.0", "Conv2d"), ("5.body.0.1", "BatchNorm"),
            ("5.body.0.2", "ReLU"), ("5.body.1", "ReLU"), ("5.shortcut", "Conv2d"),
            ("6", "Flatten"), ("7-8", "Linear+ReLU"), ("9", "Dropout"), ("10", "Linear"),
            ("", "gather"), ("", "loss"), ("", "update"),
        ]  # fmt: skip

    def test_by_layers_each_has_its_own(self):
        work = trainer()
        shown = dict(parts(profile(work, by="layers"))[:-3])
        leaves = {path: type(leaf).__name__ for path, leaf in work.net.walk()}
        assert shown == leaves | {"4": "Residual", "5": "Residual"}

    @pytest.mark.parametrize("by", ["steps", "layers"])
    def test_every_part_takes_time_and_the_shares_make_one(self, by):
        shown = profile(trainer(), by=by)
        for part in shown.rows:
            assert part.forward > 0 or part.name in ("gather", "update")
            assert part.backward > 0 or part.name in ("gather", "update", "Rescale", "loss")
            assert part.seconds == part.forward + part.backward or not part.forward
            assert 0 < part.share < 1
        assert sum(part.share for part in shown.rows) == pytest.approx(1)
        assert shown.step > 0

    def test_below_the_first_parameters_nothing_runs_backward(self):
        assert row(profile(trainer()), "0").backward == 0

    @pytest.mark.parametrize("by", ["steps", "layers"])
    def test_the_bytes_kept_are_those_that_the_layers_count(self, by):
        work = trainer()
        shown, layers = profile(work, by=by), work.net.layers
        assert sum(part.kept for part in shown.rows) == 5 * work.net.cache_bytes()
        assert row(shown, "9").kept == 5 * layers[9].cache_bytes()
        assert row(shown, "5").kept == 0
        if by == "steps":
            run = sum(layer.cache_bytes() for layer in layers[1:4])
            assert row(shown, "1-3").kept == 5 * run

    def test_a_hooked_layer_runs_by_itself_and_its_hook_is_not_called(self):
        work, calls = trainer(), []
        with work.net.hook("2", lambda *seen: calls.append(seen)):
            shown = profile(work)
        assert parts(shown)[1:4] == [("1", "Conv2d"), ("2", "ReLU"), ("3", "MaxPool2d")]
        assert calls == []
        assert parts(profile(work))[1] == ("1-3", "Conv2d+ReLU+MaxPool2d")


class TestTimes:
    def test_both_directions_are_timed(self):
        shown = profile(small(Linear(4), Slow()))
        assert row(shown, "2").forward >= 0.02
        assert row(shown, "2").backward >= 0.01
        assert shown.step >= 0.03
        assert row(shown, "2").share > 0.5

    def test_a_layer_is_not_charged_for_those_within_it(self):
        shown = profile(small(Linear(4), Residual([Slow()])))
        assert row(shown, "2.body.0").forward >= 0.02
        assert row(shown, "2").forward < 0.01

    def test_a_layer_that_runs_twice_is_charged_twice(self):
        assert row(profile(small(Linear(4), Twice([Slow()]))), "2.body.0").forward >= 0.04

    def test_the_loss_and_the_update_are_timed(self, monkeypatch):
        compute, rule = SoftmaxCrossEntropy.compute, Adam.rule
        monkeypatch.setattr(
            SoftmaxCrossEntropy, "compute", lambda *a: time.sleep(0.01) or compute(*a)
        )
        monkeypatch.setattr(Adam, "rule", lambda *a, **o: time.sleep(0.02) or rule(*a, **o))
        shown = profile(small())
        assert row(shown, "loss").forward >= 0.01
        assert row(shown, "update").seconds >= 0.02

    def test_a_figure_is_the_median_over_the_steps(self, monkeypatch):
        rule, naps = Adam.rule, iter([0.0, 0.3, 0.0, 0.0, 0.0, 0.01])  # in parts: every other one
        monkeypatch.setattr(Adam, "rule", lambda *a, **o: time.sleep(next(naps)) or rule(*a, **o))
        assert 0.01 <= row(profile(small(), steps=3, warmup=0), "update").seconds < 0.1

    def test_an_accelerator_is_waited_for_before_and_after_each_part(self, monkeypatch):
        events = []

        class Noted(Slow):
            def forward(self, x, *, train=False):
                events.append("forward")
                return x

        monkeypatch.setattr(Device, "synchronize", lambda self: events.append("wait"))
        profile(small(Noted()), steps=1, warmup=0)
        (_, at) = (i for i, event in enumerate(events) if event == "forward")
        assert events[at - 1 : at + 2] == ["wait", "forward", "wait"]

    def test_so_many_steps_are_made(self, monkeypatch):
        step, seen = Trainer.step, []
        monkeypatch.setattr(Trainer, "step", lambda *a: seen.append(len(a[1])) or step(*a))
        profile(trainer(), batch_size=10, steps=3, warmup=2)
        assert seen == [10] * (2 + 2 * 3)  # each is timed as a whole or in parts


class TestItLeavesNoTrace:
    @staticmethod
    def contents(work: Trainer) -> dict[str, bytes]:
        kept = [work.net.params, work.net.grads, work.net.state, work.optimizer.state()]
        return {
            f"{k} {name}": to_numpy(array).tobytes()
            for k, arrays in enumerate(kept)
            for name, array in arrays.items()
        }

    @pytest.mark.parametrize("by", ["steps", "layers"])
    def test_the_network_and_the_optimizer_stay_as_they_are(self, by):
        work = trainer()
        work.fit(images(), 1, 5)
        before, steps = self.contents(work), work.optimizer.steps
        profile(work, by=by)
        assert self.contents(work) == before
        assert (work.optimizer.steps, work.epoch, len(work.history)) == (steps, 1, 1)

    @pytest.mark.parametrize("epochs_before", [0, 1])
    def test_training_goes_on_as_without(self, epochs_before):
        profiled, plain = trainer(), trainer()
        for work in (profiled, plain):
            if epochs_before:
                work.fit(images(), epochs_before, 5)
            if work is profiled:
                profile(work)
                profile(work, by="layers")
            work.fit(images(), 2, 5)
        assert self.contents(profiled) == self.contents(plain)
        assert profiled.history["train_loss"] == plain.history["train_loss"]

    def test_callbacks_hear_nothing(self):
        work = trainer()
        work.callbacks.append(None)
        profile(work)


def test_it_runs_on_every_library(xp: Backend):
    work, data = trainer(), images()
    work.net.to(xp.device)
    shown = profile_step(work, Dataset(xp.array(data.x), xp.array(data.t), 3), 5, steps=1)
    assert shown.device == xp.device.name
    assert len(shown.rows) == 17


def test_a_batch_is_no_larger_than_the_data():
    shown = profile(trainer(), batch_size=100)
    assert shown.batch_size == 23
    assert row(shown, "9").kept == 23 * 5 * 4


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batch_size": 0}, "batch_size: expected a whole number >= 1, got 0"),
        ({"steps": 0}, "steps: expected a whole number >= 1, got 0"),
        ({"warmup": -1}, "warmup: expected a whole number >= 0, got -1"),
        ({"by": "classes"}, "by: expected 'steps' or 'layers', got 'classes'"),
    ],
)
def test_what_it_refuses(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        profile(trainer(), **options)


def test_data_that_does_not_fit_is_refused():
    net = Sequential([Linear(3)], input_shape=(5,))
    with pytest.raises(ValueError, match=r"expected samples of shape \(5,\), got \(1, 8, 8\)"):
        profile(trainer(net))


class TestTheTable:
    SHOWN = Profile(
        (
            ProfileRow("0", "Rescale", 0.0001, 0.0, 0.0001, 0.0125, 0),
            ProfileRow("1-3", "Conv2d+ReLU+MaxPool2d", 0.002, 0.005, 0.007, 0.875, 13_536_000),
            ProfileRow("4", "Linear", 0.0003, 0.0004, 0.0007, 0.0875, 999),
            ProfileRow("", "update", 0.0, 0.0, 0.0002, 0.025, 0),
        ),
        step=1.0079,
        steps=20,
        batch_size=100,
        device="cpu",
    )

    def test_it_is_this(self):
        assert str(self.SHOWN).splitlines() == [
            "path  layer                  forward ms  backward ms     ms    share     kept",
            "-" * 77,
            "0     Rescale                     0.100            -  0.100    1.2 %        -",
            "1-3   Conv2d+ReLU+MaxPool2d       2.000        5.000  7.000   87.5 %  13.5 MB",
            "4     Linear                      0.300        0.400  0.700    8.8 %    999 B",
            "      update                          -            -  0.200    2.5 %        -",
            "-" * 77,
            "      total                       2.400        5.400  8.000  100.0 %  13.5 MB",
            "medians of 20 steps of 100 samples on cpu; a step timed as a whole: 1,007.900 ms",
        ]

    @pytest.mark.parametrize(
        ("number", "shown"),
        [
            (0, "-"), (7, "7 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"),
            (999_950, "1.0 MB"), (2_345_678, "2.3 MB"), (9_876_543_210, "9.9 GB"),
            (1_234_500_000_000, "1,234.5 GB"),
        ],
    )  # fmt: skip
    def test_bytes_are_readable(self, number, shown):
        only = replace(self.SHOWN, rows=(replace(self.SHOWN.rows[0], kept=number),))
        assert str(only).splitlines()[2].endswith(f"  {shown}")

    def test_a_real_one_is_aligned(self):
        header, rule, *rows, _ = str(profile(trainer())).splitlines()
        assert {len(line) for line in (header, rule, *rows)} == {len(rule)}
        assert re.match(r"9 +Dropout +\d\.\d{3} +\d\.\d{3} +\d\.\d{3} +\d+\.\d %  ", rows[12])
        assert rows[-1].split()[0] == "total"
