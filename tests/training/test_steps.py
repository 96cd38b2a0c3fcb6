"""Steps that a GPU replays: the same results, bit for bit, and a reason where it cannot be."""

from __future__ import annotations

import numpy as np
import pytest

import xpnet
from xpnet import models, optimizers, schedules
from xpnet.arrays import to_numpy
from xpnet.data import Batches, Dataset
from xpnet.devices import device
from xpnet.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Rescale,
    Sequential,
)
from xpnet.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from xpnet.training import Callback, DivergedError, ProgressBar, Trainer

gpu = pytest.mark.gpu


def images(n=87, seed=0):
    rng = np.random.default_rng(seed)
    t = rng.integers(0, 4, n)
    x = rng.integers(0, 64, (n, 1, 8, 8)) + 48 * t[:, None, None, None]
    return Dataset(x.astype(np.uint8), t, classes=4)


def network(where="gpu", dtype="float32"):
    layers = [
        Rescale(1 / 255), Conv2d(4, 3, pad=1), ReLU(), MaxPool2d(2), Conv2d(5, 3), BatchNorm(),
        ReLU(), Flatten(), Linear(12), ReLU(), Dropout(0.3), Linear(4),
    ]  # fmt: skip
    return Sequential(layers, input_shape=(1, 8, 8), seed=3, dtype=dtype).to(where)


def trained(net, *, graph="auto", epochs=3, data=None, batch_size=10, rule=None, **options):
    rule = rule or optimizers.Adam(0.01)
    options.setdefault("schedule", schedules.one_cycle())
    made = Trainer(net, SoftmaxCrossEntropy(), rule, graph=graph, seed=1, **options)
    made.fit(data or images(), epochs, batch_size)
    return made


FIGURES = (
    "train_loss", "train_accuracy", "train_exact_match", "train_mean_absolute_error", "lr", "steps"
)  # fmt: skip


def assert_equal_runs(one, other):
    for figure in FIGURES:
        assert one.history[figure] == other.history[figure]
    states = one.optimizer.state(), other.optimizer.state()
    pairs = [(one.net.params, other.net.params), (one.net.state, other.net.state), states]
    for mine, theirs in pairs:
        for name in theirs:
            np.testing.assert_array_equal(to_numpy(mine[name]), to_numpy(theirs[name]))


class Watching(Callback):
    def __init__(self):
        self.steps = []

    def step_ends(self, trainer):
        self.steps.append((trainer.optimizer.steps, trainer.optimizer.rate))


RULES = {
    "sgd": lambda: optimizers.SGD(0.1),
    "momentum": lambda: optimizers.Momentum(0.02, weight_decay=0.01),
    "nesterov": lambda: optimizers.Nesterov(0.02),
    "adagrad": lambda: optimizers.AdaGrad(0.02),
    "rmsprop": lambda: optimizers.RMSprop(0.002),
    "adam": lambda: optimizers.Adam(0.01),
    "adamw": lambda: optimizers.AdamW(0.01),
}


DRAWS = np.random.default_rng(1)
MARKS, NUMBERS = (DRAWS.random((41, 3)) > 0.5) * 1.0, DRAWS.normal(size=(41, 3))
MEASURED = {
    "classes": (SoftmaxCrossEntropy(), np.arange(41) % 3, 3, {"accuracy"}),
    "one-hot rows": (SoftmaxCrossEntropy(), np.eye(3)[np.arange(41) % 3], 3, {"accuracy"}),
    "yes and no": (SigmoidCrossEntropy(), MARKS, None, {"accuracy", "exact_match"}),
    "yes above a half": (SquaredError(), MARKS, 3, {"accuracy", "exact_match"}),
    "numbers": (SquaredError(), NUMBERS, None, {"mean_absolute_error"}),
}


def remember_anew(trainer):
    trainer.optimizer.load_state(trainer.optimizer.state(), trainer.optimizer.steps + 40)


def thaw_or_freeze(trainer):
    trainer.net.frozen = [] if trainer.net.frozen else ["1", "5", "8"]


CHANGES = {
    "move": lambda trainer: trainer.net.to("cpu").to("gpu"),
    "precision": lambda trainer: trainer.net.to("gpu", precision="bf16"),
    "moments": remember_anew,
    "dropout": lambda trainer: setattr(trainer.net[10], "rate", 0.6),
    "beta": lambda trainer: setattr(trainer.optimizer, "beta1", 0.5),
    "smoothing": lambda trainer: setattr(trainer.loss, "label_smoothing", 0.2),
    "frozen layers": thaw_or_freeze,
    "weights": lambda trainer: trainer.net.params.__setitem__("11.b", np.ones(4, "float32")),
}


@gpu
class TestTheSameBits:
    @pytest.mark.parametrize("rule", RULES)
    def test_with_every_rule(self, rule):
        replayed = trained(network(), rule=RULES[rule]())
        assert replayed.not_replayed is None
        assert_equal_runs(replayed, trained(network(), graph="off", rule=RULES[rule]()))

    @pytest.mark.parametrize("paths", [("1", "4", "5"), ("5",), ("4", "11")], ids=str)
    def test_with_frozen_layers(self, paths):
        rule = optimizers.Momentum(0.02, weight_decay=0.01)
        replayed = trained(network().freeze(*paths), rule=rule)
        assert replayed.not_replayed is None
        plain = trained(network().freeze(*paths), graph="off", rule=RULES["momentum"]())
        assert_equal_runs(replayed, plain)
        start = network("cpu").params
        stays = {key for key, values in replayed.net.params.items()
                 if np.array_equal(to_numpy(values), start[key])}  # fmt: skip
        assert stays == {key for key in start if key.startswith(tuple(f"{p}." for p in paths))}

    @pytest.mark.parametrize("batch_size", [1, 7, 29, 30, 87])
    def test_with_full_and_short_batches(self, batch_size):
        runs = []
        for graph in ("on", "off"):
            layers = [Rescale(1 / 255), Flatten(), Linear(9), ReLU(), Dropout(0.2), Linear(4)]
            net = Sequential(layers, input_shape=(1, 8, 8)).to("gpu")
            runs.append(trained(net, graph=graph, batch_size=batch_size))
        assert_equal_runs(*runs)

    def test_with_a_callback_that_looks_at_every_step(self):
        watching = Watching()
        replayed = trained(network(), callbacks=[watching])
        assert replayed.not_replayed is None
        plain = Watching()
        assert_equal_runs(replayed, trained(network(), graph="off", callbacks=[plain]))
        assert watching.steps == plain.steps
        assert [number for number, _ in watching.steps] == list(range(1, 28))

    def test_where_a_callback_changes_the_rate(self):
        class Halving(Callback):
            def step_ends(self, trainer):
                if trainer.optimizer.steps in (5, 13):
                    trainer.optimizer.lr /= 2

        runs = [trained(network(), graph=g, callbacks=[Halving()]) for g in ("on", "off")]
        assert_equal_runs(*runs)

    def test_where_a_callback_changes_the_rate_at_every_step(self):
        class Falling(Callback):
            def step_ends(self, trainer):
                trainer.optimizer.lr *= 0.97

        runs = [trained(network(), graph=g, callbacks=[Falling()]) for g in ("on", "off")]
        assert_equal_runs(*runs)

    @pytest.mark.parametrize("change", CHANGES)
    def test_where_a_callback_changes_what_a_recording_holds(self, change):
        class Changing(Callback):
            def step_ends(self, trainer):
                if trainer.optimizer.steps in (5, 13):
                    CHANGES[change](trainer)

        runs = [trained(network(), graph=g, callbacks=[Changing()]) for g in ("on", "off")]
        assert_equal_runs(*runs)
        assert runs[0].not_replayed is None

    def test_with_numbers_of_numpy(self):
        def rate(step, total):
            return np.float32(0.3)

        runs = [
            trained(network(), graph=g, schedule=rate, batch_size=np.int64(10))
            for g in ("on", "off")
        ]
        assert_equal_runs(*runs)
        cpu = trained(network("cpu"), schedule=rate)
        np.testing.assert_allclose(
            runs[0].history["train_loss"], cpu.history["train_loss"], rtol=1e-4
        )

    @pytest.mark.parametrize("dtype", ["int16", "uint8", "float32"])
    def test_with_pixels_of_any_dtype_in_any_order(self, dtype):
        data = images()
        x = np.asfortranarray(data.x.astype(dtype))
        assert not x.flags.c_contiguous
        runs = [
            trained(network(), graph=graph, data=Dataset(x, data.t, classes=4))
            for graph in ("on", "off")
        ]
        assert_equal_runs(*runs)
        assert_equal_runs(runs[0], trained(network()))

    def test_without_rescale_and_with_rows_as_targets(self):
        rng = np.random.default_rng(0)
        data = Dataset(rng.normal(size=(41, 6)), rng.normal(size=(41, 3)))
        runs = []
        for graph in ("on", "off"):
            net = Sequential([Linear(5), ReLU(), Linear(3)], input_shape=(6,), dtype="float64")
            made = Trainer(net.to("gpu"), SquaredError(), optimizers.SGD(0.05), graph=graph)
            made.fit(data, 3, 4)
            runs.append(made)
        assert_equal_runs(*runs)

    def test_with_label_smoothing_and_one_output(self):
        data = Dataset(np.random.default_rng(0).normal(size=(30, 6)), np.arange(30) % 2)
        runs = []
        for graph in ("on", "off"):
            net = Sequential([Linear(5), ReLU(), Linear(1)], input_shape=(6,), dtype="float64")
            made = Trainer(net.to("gpu"), SigmoidCrossEntropy(), optimizers.SGD(0.05), graph=graph)
            made.fit(data, 2, 4)
            runs.append(made)
        assert_equal_runs(*runs)

    @pytest.mark.parametrize("answers", MEASURED)
    def test_whatever_is_measured(self, answers):
        loss, targets, classes, measured = MEASURED[answers]
        x = np.random.default_rng(0).normal(size=(41, 6))
        runs = []
        for graph, where in (("on", "gpu"), ("off", "gpu"), ("auto", "cpu")):
            net = Sequential([Linear(5), ReLU(), Linear(3)], input_shape=(6,), dtype="float64")
            made = Trainer(net.to(where), loss, optimizers.SGD(0.05), graph=graph)
            made.fit(Dataset(x, targets, classes), 3, 4)
            runs.append(made)
        assert_equal_runs(*runs[:2])
        for figure in FIGURES:
            ours, theirs = (runs[k].history[figure] for k in (0, 2))
            found = figure.removeprefix("train_") in {"loss", "lr", "steps", *measured}
            assert ours == (pytest.approx(theirs, rel=1e-9) if found else [None] * 3)

    def test_when_resumed_from_a_checkpoint(self, tmp_path):
        whole = trained(network(), epochs=4)

        class Stop(Callback):
            def epoch_ends(self, trainer, row):
                if trainer.epoch == 2:
                    trainer.save(tmp_path / "half")
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            trained(network(), epochs=4, callbacks=[Stop()])
        resumed = Trainer(
            network(), SoftmaxCrossEntropy(), optimizers.Adam(0.01), seed=1,
            schedule=schedules.one_cycle(),
        )  # fmt: skip
        resumed.restore(tmp_path / "half")
        resumed.fit(images(), 4, 10)
        assert_equal_runs(resumed, whole)

    def test_in_a_second_fit(self):
        runs = []
        for graph in ("on", "off"):
            made = trained(network(), graph=graph, epochs=1)
            made.fit(images(seed=5), 2, 6)
            runs.append(made)
        assert_equal_runs(*runs)


@gpu
class TestOnTheGpu:
    def test_float64_runs_as_on_the_cpu(self):
        runs = [trained(network(where, "float64"), epochs=8) for where in ("gpu", "cpu")]
        ours, theirs = (np.array(run.history["train_loss"]) for run in runs)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
        for name, values in runs[1].net.params.items():
            # where a gradient is next to nothing Adam follows what rounding leaves of it
            np.testing.assert_allclose(to_numpy(runs[0].net.params[name]), values, atol=1e-6)

    def test_float32_losses_as_on_the_cpu(self):
        runs = [trained(network(where), epochs=5) for where in ("gpu", "cpu")]
        ours, theirs = (np.array(run.history["train_loss"]) for run in runs)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)

    def test_a_set_too_large_to_be_kept_there_comes_piece_by_piece(self, monkeypatch):
        kept = trained(network())
        monkeypatch.setattr("xpnet.data.batches.fits", lambda data, place: False)
        brought = trained(network())
        assert brought.not_replayed == "the data set is not kept on the device as a whole"
        assert_equal_runs(brought, kept)

    def test_batches_that_are_brought_may_be_kept(self):
        data = images()
        brought = Batches(data, 10, device="gpu", resident=False, shuffle=False)
        x = np.concatenate([to_numpy(x) for x, _ in list(brought.epoch(0))])
        np.testing.assert_array_equal(x, data.x)

    def test_divergence_is_noticed(self):
        with pytest.raises(DivergedError), np.errstate(all="ignore"):
            trained(network(), rule=optimizers.SGD(1e30), epochs=60)

    def test_what_follows_an_error_runs_where_it_did_before(self):
        stream = device("gpu").xp.cuda.get_current_stream().ptr

        class Failing(Callback):
            def step_ends(self, trainer):
                if trainer.optimizer.steps == 5:
                    raise OSError("full")

        with pytest.raises(OSError, match="full") as caught:
            trained(network(), callbacks=[Failing()])
        assert caught.tb is not None  # which keeps the frames of the run alive
        assert device("gpu").xp.cuda.get_current_stream().ptr == stream

    def test_on_the_second_gpu(self):
        try:
            second = device("gpu:1")
        except xpnet.DeviceError:
            pytest.skip("needs two GPUs")
        runs = [trained(network(where)) for where in ("gpu", second)]
        assert runs[1].not_replayed is None
        assert_equal_runs(*runs)
        data = images(20, seed=9)
        assert runs[0].evaluate(data) == runs[1].evaluate(data)
        assert runs[1].net.device == second


class TestReasons:
    def fitted(self, *layers, where="gpu", trainer=Trainer, graph="auto", loss=None, rule=None):
        net = Sequential(
            [Rescale(1 / 255), Flatten(), Linear(4), *layers], input_shape=(1, 8, 8)
        ).to(where)
        made = trainer(net, loss or SoftmaxCrossEntropy(), rule or optimizers.SGD(0.1), graph=graph)
        made.fit(images(), 1, 10)
        return made.not_replayed

    def test_the_cpu(self):
        assert "9 steps are fewer than are worth recording" in self.fitted(where="cpu")

    def test_another_library(self):
        pytest.importorskip("array_api_strict")
        where = "array_api_strict:CPU_DEVICE"
        with pytest.raises(ValueError, match="graph='on': the network is on array_api_strict"):
            self.fitted(where=where, graph="on")

    def test_a_wrong_word(self):
        with pytest.raises(ValueError, match="graph: expected 'auto', 'on' or 'off', got True"):
            self.fitted(where="cpu", graph=True)

    @gpu
    def test_none(self):
        assert self.fitted() is None

    @gpu
    def test_off(self):
        assert self.fitted(graph="off") == "graph='off' asks for it"

    @gpu
    def test_a_step_of_ones_own(self):
        class Own(Trainer):
            steps = 0

            def step(self, x, t):
                Own.steps += 1
                return super().step(x, t)

        assert self.fitted(trainer=Own) == "Own has a step of its own"
        assert Own.steps == 9

    @gpu
    def test_a_hook(self):
        seen = []
        net = network()
        with net.hook("2", lambda path, x, y: seen.append(path)):
            made = trained(net, epochs=1)
        assert "a hook looks at layer 2" in made.not_replayed
        assert len(seen) == 9

    @gpu
    def test_a_hook_that_comes_when_the_fit_has_begun(self):
        class Looking(Callback):
            def fit_begins(self, trainer, epochs, steps):
                self.seen = []
                self.context = trainer.net.hook("2", lambda *args: self.seen.append(args))
                self.context.__enter__()

            def fit_ends(self, trainer):
                self.context.__exit__(None, None, None)

        looking = Looking()
        with pytest.raises(ValueError, match="graph='on': a hook looks at layer 2"):
            trained(network(), graph="on", callbacks=[looking])
        made = trained(network(), epochs=2, callbacks=[looking])
        assert "a hook looks at layer 2" in made.not_replayed
        assert len(looking.seen) == 18


@gpu
class TestWhatAStepAsks:
    """Of the driver and of the host: counted by the emulated GPU."""

    @pytest.fixture
    def counters(self, request):
        if not request.config.getoption("--emulated-gpu"):
            pytest.skip("counted by the emulated GPU alone: --emulated-gpu")
        from tests import emulator

        return emulator.counters

    def counted(self, counters, net, graph, steps=40):
        """Return the counters' changes over the steps of an epoch past its first dozen."""
        seen = {}

        class Counting(Callback):
            def step_ends(self, trainer):
                if trainer.optimizer.steps in (12, 12 + steps):
                    seen[trainer.optimizer.steps] = dict(vars(counters))

        trained(net, graph=graph, epochs=1, data=images(640), callbacks=[Counting()])
        first, last = seen.values()
        return {name: last[name] - first[name] for name in first if last[name] != first[name]}

    def test_a_replayed_step_is_one_launch_and_nothing_else(self, counters):
        assert self.counted(counters, network(), "on") == {"graph_launches": 40}

    def test_a_bar_lets_ten_steps_be_one_launch(self, counters):
        before = counters.graph_launches
        trained(network(), epochs=1, data=images(640), callbacks=[ProgressBar()])
        # 64 full batches: the first as it comes, ten to record ten, 5 launches, then single ones
        assert counters.graph_launches - before < 12

    def test_an_evaluation_between_epochs_leaves_recordings_as_they_are(self, counters):
        recorded = []

        class Counting(Callback):
            def epoch_ends(self, trainer, row):
                recorded.append(counters.recorded)

        made = Trainer(network(), SoftmaxCrossEntropy(), optimizers.SGD(), callbacks=[Counting()])
        made.fit(images(), 4, 10, validation=images(20))
        assert recorded[0] > 0
        assert recorded == recorded[:1] * 4

    def test_an_eager_step_waits_for_nothing(self, counters):
        changed = self.counted(counters, network(), "off")
        assert set(changed) == {"launches", "allocations"}

    @pytest.mark.parametrize(
        ("net", "launches"),
        [
            (lambda: models.mlp((50,)), 12),
            (lambda: models.mlp((100,) * 4), 27),
            (lambda: models.mlp((100,) * 5, batch_norm=True, dropout=0.2), 57),
            (models.simple_convnet, 19),
            (models.deep_convnet, 61),
        ],
        ids=["two", "multi", "bn", "simple", "deep"],
    )
    def test_a_step_of_an_mnist_network_is_this_many_launches(self, counters, net, launches):
        # of two images; in a large batch some sums over a convolution's positions take two
        seen = []

        class Counting(Callback):
            def step_ends(self, trainer):
                seen.append(counters.launches)

        data = Dataset(np.zeros((8, 1, 28, 28), np.uint8), np.arange(8), classes=10)
        trained(net().to("gpu"), graph="off", epochs=1, data=data, batch_size=2,
                callbacks=[Counting()])  # fmt: skip
        assert np.diff(seen).tolist() == [launches] * 3

    def test_no_step_asks_for_memory_that_stays(self, counters):
        pool = device("gpu").xp.get_default_memory_pool()
        held = []

        class Weighing(Callback):
            def epoch_ends(self, trainer, row):
                held.append(pool.total_bytes())

        trained(network(), epochs=6, callbacks=[Weighing()])
        assert len(set(held[1:])) == 1
