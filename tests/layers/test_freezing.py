"""Frozen layers: they stay as they are, the others learn as if they were given functions."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

import xpnet
from tests.conftest import Backend, assert_close
from tests.layers.test_network import Parallel
from xpnet import optimizers
from xpnet.arrays import to_numpy
from xpnet.data import Dataset
from xpnet.gradients import gradient_check
from xpnet.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Network,
    ReLU,
    Residual,
    Sequential,
    Tanh,
)
from xpnet.losses import SoftmaxCrossEntropy, SquaredError
from xpnet.optimizers import SGD, Adam, Momentum
from xpnet.training import AveragedWeights, Callback, ClipNorm, Trainer, profile_step

RULES = [name for name in optimizers.__all__ if name != "Optimizer"]


def perceptron(dtype: str = "float64") -> Sequential:
    layers = [
        Linear(5), BatchNorm(), ReLU(), Linear(6), BatchNorm(), Tanh(), Linear(4), ReLU(),
        Linear(3),
    ]  # fmt: skip
    return Sequential(layers, input_shape=(4,), seed=2, dtype=dtype)


def convnet() -> Sequential:
    """A network of runs that are computed together, of composites and of dropout."""
    block = [Conv2d(3, 3, pad=1), BatchNorm(), ReLU(), Dropout(0.2), Conv2d(3, 3, pad=1)]
    layers = [Conv2d(3, 3), ReLU(), MaxPool2d(2), Residual(block), Flatten(), Linear(3)]
    return Sequential(layers, input_shape=(1, 8, 8), seed=3, dtype="float64")


def batch(net: Network, step: int = 0, n: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(step)
    return rng.normal(1, 2, (n, *net.input_shape)).astype(net.dtype), np.arange(n) % 3


def train(net: Network, optimizer: optimizers.Optimizer, steps: range) -> None:
    loss = SoftmaxCrossEntropy()
    for step in steps:
        x, t = (net.device.asarray(a) for a in batch(net, step))
        loss.forward(net.forward(x, train=True), t)
        net.backward(loss.backward())
        optimizer.update(net.params, net.grads)


def host(net: Network) -> dict[str, bytes]:
    """Return the bits of parameters and state, by path."""
    return {key: to_numpy(a).tobytes() for key, a in [*net.params.items(), *net.state.items()]}


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    """Return the paths of the layers whose parameters or state differ."""
    return {key.rpartition(".")[0] for key in before if before[key] != after[key]}


# What stays, and what learns


FROZEN = {
    "the first": ["0"],
    "all but the last": ["0", "1", "3", "4", "6"],
    "some in the middle": ["3", "4"],
    "each BatchNorm": ["1", "4"],
    "the last": ["8"],
    "every other": ["0", "3", "6"],
}
each = pytest.mark.parametrize("paths", FROZEN.values(), ids=FROZEN)


@each
def test_torch_agrees_where_gradients_are_not_required(paths):
    torch = pytest.importorskip("torch")
    net = perceptron()
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 5), torch.nn.BatchNorm1d(5), torch.nn.ReLU(), torch.nn.Linear(5, 6),
        torch.nn.BatchNorm1d(6), torch.nn.Tanh(), torch.nn.Linear(6, 4), torch.nn.ReLU(),
        torch.nn.Linear(4, 3),
    ).double()  # fmt: skip
    pairs = {}  # ours to theirs, each with whether ours is theirs transposed
    for i, layer in enumerate(theirs):
        if isinstance(layer, torch.nn.Linear):
            pairs |= {f"{i}.W": (layer.weight, True), f"{i}.b": (layer.bias, False)}
        elif isinstance(layer, torch.nn.BatchNorm1d):
            pairs |= {f"{i}.gamma": (layer.weight, False), f"{i}.beta": (layer.bias, False)}
            pairs |= {
                f"{i}.mean": (layer.running_mean, False),
                f"{i}.var": (layer.running_var, False),
            }
    with torch.no_grad():
        for key, values in net.params.items():
            one, turned = pairs[key]
            one.copy_(torch.tensor(values.T if turned else values))
    decayed = [one for key, (one, _) in pairs.items() if key.endswith("W")]
    others = [one for key, (one, _) in pairs.items() if key.endswith(("b", "gamma", "beta"))]
    rule = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others}], lr=0.05, momentum=0.9
    )
    optimizer = Momentum(lr=0.05, momentum=0.9, weight_decay=0.1)

    for step in range(12):
        if step == 4:  # both remember how they moved until then
            net.freeze(*paths)
            for path in paths:
                theirs[int(path)].requires_grad_(False).eval()
                for parameter in theirs[int(path)].parameters():
                    parameter.grad = None
        if step == 8:
            net.unfreeze()
            theirs.requires_grad_(True).train()
        train(net, optimizer, range(step, step + 1))
        x, t = map(torch.tensor, batch(net, step))
        rule.zero_grad()
        torch.nn.functional.cross_entropy(theirs(x), t).backward()
        rule.step()
        for key, values in [*net.params.items(), *net.state.items()]:
            one, turned = pairs[key]
            one = one.detach().numpy()
            assert_close(values, one.T if turned else one, rtol=1e-9, atol=1e-11)


@each
def test_frozen_layers_stay_and_all_others_change(xp: Backend, paths):
    net = perceptron().to(xp.device)
    optimizer = Momentum(lr=0.05, weight_decay=0.1)
    train(net, optimizer, range(2))
    before = host(net.freeze(*paths))
    train(net, optimizer, range(2, 5))
    assert changed(before, host(net)) == {"0", "1", "3", "4", "6", "8"} - set(paths)
    before = host(net.unfreeze())
    train(net, optimizer, range(5, 6))
    assert changed(before, host(net)) == {"0", "1", "3", "4", "6", "8"}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_no_rule_moves_them_nor_what_is_remembered_of_them(rule, decay):
    net, optimizer = perceptron("float32"), getattr(optimizers, rule)(lr=0.01, weight_decay=decay)
    train(net, optimizer, range(3))
    before, remembered = host(net.freeze("0", "3", "4")), optimizer.state()
    train(net, optimizer, range(3, 70))  # past a flush of small moments
    assert changed(before, host(net)) == {"1", "6", "8"}
    for path, values in optimizer.state().items():
        stays = path.split("/")[1].split(".")[0] in ("0", "3", "4")
        assert np.array_equal(values, remembered[path]) == stays, path


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("rule", RULES)
def test_the_others_take_the_very_step_that_they_take_without(xp: Backend, rule, decay):
    def after_a_step(*paths: str) -> dict[str, bytes]:
        layers = [Linear(5), ReLU(), Residual([Linear(5), Tanh()]), Linear(6), ReLU(), Linear(3)]
        net = Sequential(layers, input_shape=(4,), seed=2).to(xp.device)
        net.frozen = list(paths)
        train(net, getattr(optimizers, rule)(lr=0.01, weight_decay=decay), range(1))
        return host(net)

    for paths in (["0", "3"], ["2.body.0"], ["5"]):
        assert changed(after_a_step(), after_a_step(*paths)) == set(paths)


@pytest.mark.parametrize("need_dx", [None, True])
@pytest.mark.parametrize("paths", [["0"], ["0", "3"], ["3"], ["3.body.0", "5"], ["3.body.4"]])
def test_their_gradients_are_zero_and_the_others_as_without(xp: Backend, paths, need_dx):
    net, twin = convnet().to(xp.device), convnet().to(xp.device)
    for one in (net, twin):
        one.freeze("3.body.1")  # whose statistics would differ
        one.forward(xp.array(batch(net)[0]), train=True)
        one.backward(xp.array(batch(net)[0][:, 0, 0, :3]))  # fills them all
    net.freeze(*paths)
    dx = [one.forward(xp.array(batch(net)[0]), train=True) for one in (net, twin)]
    dx = [one.backward(y, need_dx=need_dx) for one, y in zip((net, twin), dx, strict=True)]
    for key, expected in twin.grads.items():
        still = key.startswith(tuple(f"{path}." for path in paths))
        assert_close(
            net.grads[key], 0 * to_numpy(expected) if still else to_numpy(expected), rtol=0
        )
    norms = [float((to_numpy(one.grads.flat) ** 2).sum()) for one in (net, twin)]
    assert 0 < norms[0] < norms[1]
    if need_dx:
        np.testing.assert_array_equal(*map(to_numpy, dx))


class Counting(Layer):
    """Passes on, and counts the passes back."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def setup(self, input_shape, rng):
        self.add_param("gain", np.ones(input_shape), decay=True)
        return input_shape

    def forward(self, x, *, train=False):
        return x * self.params["gain"]

    def backward(self, dy, *, need_dx=True):
        self.count += 1
        self.grads["gain"] = dy.sum(axis=0)
        return dy * self.params["gain"] if need_dx else None


def test_the_backward_pass_ends_at_the_first_layer_that_learns():
    layers = [Counting(), Residual([Counting()]), Sequential([Counting(), Counting()]), Counting()]
    net = Sequential(layers, input_shape=(3,))
    parts = [part for _, part in net.walk()]
    learns = [part.learns for part in net.layers]
    assert learns == [True] * 4
    net.freeze("0", "1", "2.0")
    assert [part.learns for part in net.layers] == [False, False, True, True]
    train(net, SGD(), range(1))
    assert [part.count for part in parts] == [0, 0, 0, 1, 1]
    train(net.freeze("2").unfreeze("0"), SGD(), range(1))
    assert [part.count for part in parts] == [1, 1, 1, 2, 2]
    assert [part.learns for part in net.layers] == [True, False, False, True]


def test_optimizers_are_asked_once_for_each_stretch_that_learns():
    class Noting(SGD):
        def rule(self, p, g, *slots, scalars, decay):
            sizes.append((p.shape[0], decay))
            super().rule(p, g, *slots, scalars=scalars, decay=decay)

    def asked(decay: float, *paths: str) -> list[tuple[int, float]]:
        sizes.clear()
        net.frozen = list(paths)
        train(net, Noting(lr=0.1, weight_decay=decay), range(1))
        return sizes

    sizes: list[tuple[int, float]] = []
    layers = [Linear(64, bias=False), Linear(64, bias=False), Linear(64), Linear(3)]
    net = Sequential(layers, input_shape=(64,))
    W, last, b, b3 = 4096, 192, 64, 64  # b3 with what fills its 256 bytes
    assert asked(0.5) == [(3 * W + last, 0.5), (b + b3, 0)]
    assert asked(0.0) == [(3 * W + last + b + b3, 0)]
    assert asked(0.5, "0") == [(2 * W + last, 0.5), (b + b3, 0)]
    assert asked(0.0, "0") == [(2 * W + last + b + b3, 0)]
    assert asked(0.5, "1") == [(W, 0.5), (W + last, 0.5), (b + b3, 0)]
    assert asked(0.0, "1", "2") == [(W, 0), (last, 0), (b3, 0)]
    assert asked(0.5, "0", "1", "2") == [(last, 0.5), (b3, 0)]
    assert asked(0.0, "3") == [(3 * W, 0), (b, 0)]


class TestBatchNorm:
    @pytest.mark.parametrize("shape", [(3,), (2, 4, 3)], ids=str)
    def test_frozen_it_is_the_same_map_in_training_as_at_inference(self, xp: Backend, shape):
        net = Sequential([BatchNorm(eps=0.1)], input_shape=shape, dtype="float64").to(xp.device)
        rng, c = np.random.default_rng(0), shape[0]
        gamma, beta, mean, var = rng.uniform(0.5, 2, (4, c))
        net.params.update({"0.gamma": gamma, "0.beta": beta})
        net.state.update({"0.mean": mean, "0.var": var})
        before = host(net.freeze("0"))
        x, dy = rng.normal(size=(2, 5, *shape))
        y = net.forward(xp.array(x), train=True)
        dx = net.backward(xp.array(dy), need_dx=True)
        by_channel = (slice(None),) + (None,) * (len(shape) - 1)
        scale = (gamma / np.sqrt(var + 0.1))[by_channel]
        assert_close(y, (x - mean[by_channel]) * scale + beta[by_channel], rtol=1e-12, atol=1e-13)
        assert_close(dx, dy * scale, rtol=1e-12)
        assert host(net) == before
        assert not to_numpy(net.grads.flat).any()
        np.testing.assert_array_equal(to_numpy(net.forward(xp.array(x))), to_numpy(y))

    def test_slopes_through_frozen_ones_are_those_of_differences(self):
        for net, paths in ((perceptron(), ("1", "3")), (convnet(), ("3.body",))):
            train(net, SGD(lr=0.01), range(3))
            x, t = batch(net.freeze(*paths))
            errors = gradient_check(net, x, SoftmaxCrossEntropy(), t)
            assert max(errors.values()) < 1e-5
            frozen = tuple(f"{path}." for path in paths)
            assert set(errors) == {"x", *(key for key in net.params if not key.startswith(frozen))}

    def test_frozen_it_takes_a_batch_of_one(self):
        net = Sequential([BatchNorm(), Linear(3)], input_shape=(4,)).freeze("0")
        net.forward(np.ones((1, 4), "float32"), train=True)


def test_dropout_in_frozen_parts_goes_on():
    net = Sequential([Linear(50), Dropout(0.5), Linear(3)], input_shape=(4,)).freeze("0", "1")
    x = batch(net)[0]
    masked = [net.forward(x, train=True) for _ in range(2)]
    assert not np.array_equal(*masked)
    assert int(net.state["1.counter"]) == 2
    assert net.frozen == ["0"]


# Which layers


def test_a_path_stands_for_all_within():
    net = convnet()
    assert net.frozen == []
    assert net.freeze("3").frozen == ["3.body.0", "3.body.1", "3.body.4"]
    assert net.freeze("3.body.1", "0").frozen == ["0", "3.body.0", "3.body.1", "3.body.4"]
    assert net.unfreeze("3.body.0", "0").frozen == ["3.body.1", "3.body.4"]
    assert net.unfreeze("3.body").frozen == []
    assert net.freeze().frozen == ["0", "3.body.0", "3.body.1", "3.body.4", "5"]
    assert net.unfreeze("5").frozen == ["0", "3.body.0", "3.body.1", "3.body.4"]
    assert net.unfreeze().frozen == []


def test_1_is_not_10():
    net = Sequential([Linear(3) for _ in range(11)], input_shape=(3,))
    assert net.freeze("1").frozen == ["1"]
    assert net.freeze("10").unfreeze("1").frozen == ["10"]


def test_what_was_read_can_be_assigned():
    net, other = convnet(), convnet().freeze("3.body", "5")
    net.freeze("0").frozen = other.frozen
    assert net.frozen == other.frozen == ["3.body.0", "3.body.1", "3.body.4", "5"]
    net.frozen = []
    assert net.frozen == []


def test_a_composite_has_parameters_beside_those_of_its_parts():
    net = Sequential([Parallel(Linear(3), Linear(3)), Linear(3)], input_shape=(4,))
    before = host(net.freeze("0").unfreeze("0.left"))
    assert net.frozen == ["0", "0.right"]
    train(net, SGD(), range(1))
    assert changed(before, host(net)) == {"0.left", "1"}
    twin = Sequential([Parallel(Linear(3), Linear(3)), Linear(3)], input_shape=(4,))
    twin.frozen = net.frozen
    train(twin, SGD(), range(1))
    assert host(twin) == host(net)


class Own(Network):
    """A network of one's own, with a parameter of its own."""

    def __init__(self, layer, head, input_shape=None, dtype="float32"):
        super().__init__(seed=1)
        self.layer = layer
        self.head = head
        if input_shape is not None:
            self.stand_alone(input_shape, dtype)

    def setup(self, input_shape, rng):
        shape = self.layer.build(input_shape, rng.child("layer"), self.dtype)
        self.add_param("gain", np.full(shape, 2.0))
        return self.head.build(shape, rng.child("head"), self.dtype)

    def run(self, x, *, train, start=0):
        y = self.layer(x, train=train)
        if train:
            self.keep(y)
        return self.head(y * self.params["gain"], train=train)

    def run_back(self, dy, *, need_dx):
        y = self.take()
        dy = self.head.backward(dy)
        self.own.grads["gain"] = (dy * y).sum(axis=0)
        return self.layer.backward(dy * self.params["gain"], need_dx=need_dx)


@pytest.mark.parametrize(
    ("paths", "learning"),
    [
        (["layer"], {"", "head.0", "head.2"}),
        (["layer.0", "head.2"], {"", "layer.2", "head.0"}),
        (["head"], {"", "layer.0", "layer.2"}),
    ],
)
def test_a_network_of_ones_own_freezes_too(paths, learning):
    parts = [Linear(5), ReLU(), Linear(4)], [Linear(5), ReLU(), Linear(3)]
    net = Own(*map(Sequential, parts), input_shape=(4,))
    before = host(net.freeze(*paths))
    train(net, Adam(weight_decay=0.1), range(2))
    assert changed(before, host(net)) == learning
    for key, gradient in net.grads.items():
        assert gradient.any() == (key.rpartition(".")[0] in learning)
    before = host(net.freeze().unfreeze("head.2"))
    assert net.frozen == ["", "layer.0", "layer.2", "head.0"]
    train(net, Adam(weight_decay=0.1), range(2))
    assert changed(before, host(net)) == {"head.2"}


def test_complex_networks_freeze_too(xp: Backend):
    layers = [Linear(4), Linear(3), Linear(1)]
    net = Sequential(layers, input_shape=(2,), dtype="complex128").to(xp.device)
    before = host(net.freeze("0", "1"))
    rng, loss = np.random.default_rng(0), SquaredError()
    x, t = xp.array(rng.normal(size=(5, 2)) + 0j), xp.array(rng.normal(size=(5, 1)) + 0j)
    loss.forward(net.forward(x, train=True), t)
    net.backward(loss.backward(), need_dx=True)
    Adam(weight_decay=0.1).update(net.params, net.grads)
    assert changed(before, host(net)) == {"2"}


# Through a network's life


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_and_moves_keep_what_is_frozen(xp: Backend, copied):
    net, twin = convnet().freeze("3.body.0"), copied(convnet().freeze("3.body.0").to(xp.device))
    twin = copied(twin.to("cpu"))
    assert twin.frozen == ["3.body.0"]
    before = host(twin)
    for one in (net, twin):
        train(one, Adam(weight_decay=0.1), range(2))
    assert changed(before, host(twin)) == {"0", "3.body.1", "3.body.3", "3.body.4", "5"}
    assert host(net) == host(twin)


def test_files_of_networks_do_not(tmp_path):
    net = convnet().freeze("3")
    net.save(tmp_path / "net")
    assert xpnet.load(tmp_path / "net").frozen == []


def test_what_a_forward_pass_kept_is_forgotten_where_that_changes():
    net = perceptron()
    y = net.forward(batch(net)[0], train=True)
    net.freeze("1")
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        net.backward(y)
    y = net.forward(batch(net)[0], train=True)
    net.freeze("1")  # it is already
    net.backward(y)


def test_hooks_see_frozen_layers():
    net, seen = convnet(), []
    with net.hook("0", lambda path, x, y: seen.append(path)):
        net.freeze("0")
        train(net, SGD(), range(1))
    net.unfreeze("0")
    train(net, SGD(), range(1))
    assert seen == ["0"]


def test_the_summary_says_what_is_frozen_and_how_much_learns():
    net = Sequential([Linear(10), ReLU(), Linear(3)], input_shape=(4,))
    plain = net.summary()
    assert "frozen" not in plain
    lines = net.freeze("0").summary().splitlines()
    rows = [re.split(r"\s{2,}", line.strip())[:3] for line in lines]
    assert rows[2] == ["0 Linear (frozen)", "10", "50"]
    assert rows[4] == ["2 Linear", "3", "33"]
    assert rows[-1][:2] == ["total (33 learn)", "83"]
    assert net.unfreeze().summary() == plain


def test_the_profile_goes_on():
    net = convnet().freeze("0", "3.body.0")
    trainer = Trainer(net, SoftmaxCrossEntropy(), SGD())
    for by in ("steps", "layers"):
        first, *others = profile_step(trainer, Dataset(*batch(net)), steps=2, by=by).rows
        assert first.backward == 0 < max(row.backward for row in others)


# In training


def data() -> Dataset:
    net = perceptron()
    return Dataset(*batch(net, n=40))


class Thawing(Callback):
    """Lets layers learn one after the other, from the last."""

    def step_ends(self, trainer):
        if trainer.optimizer.steps in (3, 9):
            trainer.net.unfreeze(trainer.net.frozen[-1])

    def epoch_ends(self, trainer, row):
        if row["epoch"] == 3:
            trainer.net.freeze("8")


def test_a_callback_freezes_and_thaws_between_steps(xp: Backend):
    net = perceptron().to(xp.device).freeze("0", "1", "3")
    Trainer(net, SoftmaxCrossEntropy(), Adam(), callbacks=[Thawing()], seed=4).fit(data(), 4, 10)
    by_hand, loss, optimizer = perceptron().to(xp.device), SoftmaxCrossEntropy(), Adam()
    by_hand.freeze("0", "1", "3")
    for epoch in range(4):
        order = xpnet.random.Stream(4, "batches").permutation(40, epoch)
        for start in range(0, 40, 10):
            match optimizer.steps:
                case 3:
                    by_hand.unfreeze("3")
                case 9:
                    by_hand.unfreeze("1")
                case 12:
                    by_hand.freeze("8")
            chosen = order[start : start + 10]
            x, t = (by_hand.device.asarray(a[chosen]) for a in (data().x, data().t))
            loss.forward(by_hand.forward(x, train=True), t)
            by_hand.backward(loss.backward())
            optimizer.update(by_hand.params, by_hand.grads)
    assert net.frozen == by_hand.frozen == ["0", "8"]
    assert host(net) == host(by_hand)


def test_a_clip_by_norm_counts_what_learns_alone():
    seen = []

    def clip(grads):
        grads.flat /= (grads.flat**2).sum() ** 0.5
        seen.append({key.partition(".")[0] for key, g in grads.items() if g.any()})

    net = perceptron().freeze("0", "3")
    before = net.params.flat.copy()
    Trainer(net, SoftmaxCrossEntropy(), SGD(lr=1.0), after_backward=clip).fit(data(), 1, 40)
    assert seen == [{"1", "4", "6", "8"}]
    assert np.linalg.norm(net.params.flat - before) == pytest.approx(1)


def test_they_stay_where_weights_are_averaged_and_batches_computed_in_parts(xp: Backend):
    net = perceptron().to(xp.device)
    before = host(net.freeze("0", "4"))
    callbacks = [ClipNorm(1.0), AveragedWeights(0.9)]
    rule = Adam(weight_decay=0.1)
    Trainer(net, SoftmaxCrossEntropy(), rule, callbacks=callbacks, accumulate=2).fit(data(), 2, 10)
    assert changed(before, host(net)) == {"1", "3", "6", "8"}


def test_where_nothing_learns_training_is_refused_and_dx_is_to_be_had():
    net = perceptron().freeze()
    sentence = (
        r"every layer with parameters is frozen: write net.unfreeze\('8'\), or net.unfreeze\(\)"
    )
    before = host(net)
    with pytest.raises(ValueError, match=f"^fit: .*{sentence}"):
        Trainer(net, SoftmaxCrossEntropy(), SGD()).fit(data(), 1, 10)
    assert host(net) == before
    x, t = batch(net)
    loss = SoftmaxCrossEntropy()
    loss.forward(net.forward(x, train=True), t)
    assert net.backward(loss.backward(), need_dx=True).shape == x.shape
    assert not net.grads.flat.any()
    assert Trainer(net, loss, SGD()).evaluate(data()).samples == 40
