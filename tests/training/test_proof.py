"""A recording is used only where it was proved: whoever counts or draws on the host is told.

Each network here is trained twice, with ``graph="auto"`` and ``graph="off"``: whatever is tried out
to record a step must leave no trace.
"""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from xpnet import schedules
from xpnet.arrays import namespace, to_numpy
from xpnet.data import Dataset
from xpnet.layers import BatchNorm, Dropout, Flatten, Layer, Linear, ReLU, Rescale, Sequential
from xpnet.losses import SoftmaxCrossEntropy
from xpnet.optimizers import SGD, Adam, Optimizer
from xpnet.training import Callback, Trainer

pytestmark = pytest.mark.gpu


def images(n=87, seed=0):
    rng = np.random.default_rng(seed)
    t = rng.integers(0, 4, n)
    x = rng.integers(0, 64, (n, 1, 8, 8)) + 48 * t[:, None, None, None]
    return Dataset(x.astype(np.uint8), t, classes=4)


def trained(graph, layer=None, rule=None, loss=None, batch_size=10, precision=None, **options):
    layers = [
        Rescale(1 / 255), Flatten(), Linear(9), layer or ReLU(), BatchNorm(), Dropout(0.2),
        Linear(4),
    ]  # fmt: skip
    net = Sequential(layers, input_shape=(1, 8, 8), seed=3).to("gpu", precision=precision)
    made = Trainer(
        net, loss or SoftmaxCrossEntropy(), rule or Adam(0.01), schedule=schedules.cosine(),
        graph=graph, seed=1, **options,
    )  # fmt: skip
    made.fit(images(), 2, batch_size)
    return made


def assert_equal(one, other):
    for figure in ("train_loss", "train_accuracy", "lr", "steps"):
        assert one.history[figure] == other.history[figure]
    mine, theirs = one.optimizer.state(), other.optimizer.state()
    for own, its in ((one.net.params, other.net.params), (one.net.state, other.net.state),
                     (mine, theirs)):  # fmt: skip
        for name in its:
            np.testing.assert_array_equal(to_numpy(own[name]), to_numpy(its[name]))


class Through(Layer):
    """A layer that lets everything through."""

    def forward(self, x, *, train=False):
        return x

    def backward(self, dy, *, need_dx=True):
        return dy


class Counting(Through):
    """One that counts on the host, and lets its count be felt."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, x, *, train=False):
        self.count += train
        return x * (1 + 0.01 * self.count)


class CountingBack(Through):
    def __init__(self):
        super().__init__()
        self.count = 0

    def backward(self, dy, *, need_dx=True):
        self.count += 1
        return dy * (1 + 0.01 * self.count)


class Drawing(Through):
    """One that draws numbers on the host."""

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def forward(self, x, *, train=False):
        return x * float(self.rng.uniform(0.9, 1.1))


class Entropic(Through):
    """One that nobody can repeat."""

    def forward(self, x, *, train=False):
        return x * (1 + int.from_bytes(os.urandom(2)) / 2**16)


class Reading(Through):
    """One that reads from the device."""

    def forward(self, x, *, train=False):
        return x * (1.0 if float(x[0, 0]) > -1e9 else 2.0)


class Learning(Through):
    """One whose gradient depends on what the host counts, though nothing else does."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def setup(self, input_shape, rng):
        self.add_param("b", np.zeros(input_shape))
        return input_shape

    def forward(self, x, *, train=False):
        return x + self.params["b"]

    def backward(self, dy, *, need_dx=True):
        self.count += 1
        self.grads["b"] = namespace(dy).sum(dy, axis=0) * (1 + 0.01 * self.count)
        return dy


class Lion(Optimizer):
    """Chen et al., "Symbolic discovery of optimization algorithms", 2023."""

    slot_names = ("m",)

    def __init__(self, lr=1e-3, beta1=0.9, beta2=0.99, weight_decay=0.0):
        super().__init__(lr, weight_decay)
        self.beta1, self.beta2 = beta1, beta2

    def rule(self, p, g, m, *, scalars, decay):
        way = namespace(p).sign(self.beta1 * m + (1 - self.beta1) * g)
        p -= scalars.lr * (way + decay * p)
        m *= self.beta2
        m += (1 - self.beta2) * g


class Corrected(SGD):
    """One with a scalar of its own that changes from step to step."""

    def scalars(self, step):
        return super().scalars(step) | {"warm": 1 - 0.5**step}

    def rule(self, p, g, *, scalars, decay):
        p -= scalars.lr * scalars.warm * g


class Stale(SGD):
    """One that reads the rate where it should take it from the scalars."""

    def rule(self, p, g, *, scalars, decay):
        p -= self.rate * g


class StaleStep(SGD):
    def rule(self, p, g, *, scalars, decay):
        p -= scalars.lr * (1 - 0.9 ** (self.steps + 1)) * g


class OnTheHost(SGD):
    """One that computes with the rate on the host."""

    def rule(self, p, g, *, scalars, decay):
        p -= math.sqrt(float(scalars.lr) ** 2) * g


class Halving(SoftmaxCrossEntropy):
    """A loss that counts on the host."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def compute(self, scores, targets, weights):
        self.count += 1
        value, slope = super().compute(scores, targets, weights)
        return value, slope * (1 + 1 / self.count)


class TestWhatIsReplayed:
    @pytest.mark.parametrize("rule", [Lion, Corrected])
    def test_a_rule_from_outside_without_any_declaration(self, rule):
        runs = [trained(graph, rule=rule(0.01, weight_decay=0.1)) for graph in ("on", "off")]
        assert runs[0].not_replayed is None
        assert_equal(*runs)

    def test_a_layer_from_outside_without_any_declaration(self):
        runs = [trained(graph, layer=Through()) for graph in ("on", "off")]
        assert runs[0].not_replayed is None
        assert_equal(*runs)

    @pytest.mark.parametrize("batch_size", [40, 87])
    def test_steps_of_few_batches_or_of_a_single_one(self, batch_size):
        runs = [trained(graph, batch_size=batch_size) for graph in ("on", "off")]
        assert runs[0].not_replayed is None
        assert_equal(*runs)

    def test_what_is_done_to_gradients_after_backward(self):
        def halved(grads):
            grads.flat *= 0.5

        runs = [trained(graph, after_backward=halved) for graph in ("on", "off")]
        assert runs[0].not_replayed is None
        assert_equal(*runs)
        plain = trained("off", rule=SGD(0.1)), trained("off", rule=SGD(0.2), after_backward=halved)
        assert plain[0].history["train_loss"] == pytest.approx(plain[1].history["train_loss"])

    def test_narrow_products(self):
        runs = [trained(graph, precision="bf16") for graph in ("on", "off")]
        assert_equal(*runs)


class TestWhatIsNot:
    """The fit goes on piece by piece, as if nobody had tried, and says which part it was."""

    @pytest.mark.parametrize(
        ("layer", "reason"),
        [
            (Counting, 'a replayed step differs from the step itself in Counting "3"'),
            (CountingBack, 'a replayed step differs from the step itself in CountingBack "3"'),
            (Drawing, 'a replayed step differs from the step itself in Drawing "3"'),
            (Reading, 'Reading "3" cannot be recorded: '),
            (Learning, 'a replayed step differs from the step itself in Learning "3"'),
        ],
    )
    def test_a_layer(self, layer, reason):
        run = trained("auto", layer=layer())
        assert run.not_replayed.startswith(reason)
        assert_equal(run, trained("off", layer=layer()))
        with pytest.raises(ValueError, match="graph='on': "):
            trained("on", layer=layer())

    @pytest.mark.parametrize(
        ("rule", "reason"),
        [
            (Stale, "a replayed step differs from the step itself in the rule of Stale"),
            (StaleStep, "in the rule of StaleStep"),
            (OnTheHost, "the rule of OnTheHost cannot be recorded: "),
        ],
    )
    def test_a_rule(self, rule, reason):
        run = trained("auto", rule=rule(0.1))
        assert reason in run.not_replayed
        assert_equal(run, trained("off", rule=rule(0.1)))

    def test_a_loss(self):
        run = trained("auto", loss=Halving())
        assert run.not_replayed == "a replayed step differs from the step itself in Halving"
        assert_equal(run, trained("off", loss=Halving()))

    def test_a_layer_that_cannot_be_repeated(self):
        run = trained("auto", layer=Entropic())
        assert run.not_replayed == 'two equal steps differ in Entropic "3"'

    def test_what_is_done_after_backward(self):
        class Growing:
            count = 0

            def __call__(self, grads):
                self.count += 1
                grads.flat *= 1 + 0.01 * self.count

        run = trained("auto", after_backward=Growing())
        assert run.not_replayed == "two equal steps differ in after_backward"


class TestSettings:
    def test_a_recording_is_proved_again_when_a_setting_changes(self):
        class Changing(Callback):
            def step_ends(self, trainer):
                if trainer.optimizer.steps == 6:
                    trainer.net[5].rate = 0.6

        runs = [trained(graph, callbacks=[Changing()]) for graph in ("on", "off")]
        assert_equal(*runs)

    def test_an_attribute_that_no_config_names_is_a_setting_too(self):
        class Scaled(Through):
            factor = 1.0

            def __init__(self):
                super().__init__()
                self.factor = 1.0

            def forward(self, x, *, train=False):
                return x * self.factor

            def backward(self, dy, *, need_dx=True):
                return dy * self.factor

        class Changing(Callback):
            def step_ends(self, trainer):
                trainer.net[3].factor = 1.0 if trainer.optimizer.steps < 7 else 0.5

        runs = [trained(g, layer=Scaled(), callbacks=[Changing()]) for g in ("on", "off")]
        assert_equal(*runs)
