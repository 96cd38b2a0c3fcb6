# ruff: noqa: NPY002
"""The book's trainer: its draws, its lists and its epochs."""

from __future__ import annotations

import numpy as np
import pytest

import xpnet.book
from tests.book.straight_numpy import Straight
from tests.conftest import HAS_TORCH
from xpnet.book.multi_layer_net_extend import MultiLayerNetExtend
from xpnet.book.trainer import Trainer
from xpnet.book.two_layer_net import TwoLayerNet
from xpnet.devices import device

RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(60, 8)), RNG.integers(0, 3, 60)
X_TEST, T_TEST = RNG.normal(size=(25, 8)), RNG.integers(0, 3, 25)
STEPS = [("affine", 1), ("relu", 1), ("dropout", 1, 0.3), ("affine", 2)]


def test_a_run_is_that_of_a_plain_loop_with_the_same_seed(capsys):
    np.random.seed(7)
    net = MultiLayerNetExtend(8, [6], 3, use_dropout=True, dropout_ration=0.3)
    own = Straight(net.params, STEPS)
    trainer = Trainer(net, X, T, X_TEST, T_TEST, epochs=3, mini_batch_size=20,
                      optimizer="Momentum", optimizer_param={"lr": 0.1},
                      evaluate_sample_num_per_epoch=15)  # fmt: skip
    trainer.train()
    np.random.seed(7)
    np.random.randn(8 * 6 + 6 * 3)  # the weights
    v = dict.fromkeys(own.params, 0.0)
    losses, train, test, printed = [], [], [], []
    for i in range(9):
        batch = np.random.choice(60, 20)
        grads = own.gradient(X[batch], T[batch])
        for key in own.params:
            v[key] = 0.9 * v[key] - 0.1 * grads[key]
            own.params[key] += v[key]
        losses.append(own.loss(X[batch], T[batch]))
        printed.append("train loss:")
        if i % 3 == 0:
            train.append(own.accuracy(X[:15], T[:15]))
            test.append(own.accuracy(X_TEST[:15], T_TEST[:15]))
            printed.append(
                f"=== epoch:{i // 3 + 1}, train acc:{train[-1]}, test acc:{test[-1]} ==="
            )
    assert trainer.train_loss_list == pytest.approx(losses, abs=1e-9)
    assert trainer.train_acc_list == train
    assert trainer.test_acc_list == test
    assert len(set(train + test)) > 2
    for key, p in own.params.items():
        np.testing.assert_allclose(net.params[key], p, rtol=1e-9, atol=1e-12)
    lines = capsys.readouterr().out.splitlines()
    printed += ["=============== Final Test Accuracy ===============", "test acc:"]
    assert len(lines) == len(printed)
    assert all(line.startswith(start) for line, start in zip(lines, printed, strict=True))
    assert float(lines[0].removeprefix("train loss:")) == trainer.train_loss_list[0]
    assert float(lines[-1].removeprefix("test acc:")) == own.accuracy(X_TEST, T_TEST)


def evaluations(samples, batch, epochs):
    trainer = Trainer(TwoLayerNet(8, 4, 3), X[:samples], T[:samples], X_TEST, T_TEST,
                      epochs=epochs, mini_batch_size=batch, verbose=False)  # fmt: skip
    at = []
    for i in range(trainer.max_iter):
        trainer.train_step()
        if len(trainer.train_acc_list) > len(at):
            at.append(i)
    assert len(trainer.test_acc_list) == trainer.current_epoch == len(at)
    assert len(trainer.train_loss_list) == trainer.current_iter == trainer.max_iter
    return trainer, at


def test_an_epoch_is_evaluated_where_an_update_begins_with_it():
    trainer, at = evaluations(50, 20, 6)
    assert trainer.iter_per_epoch == 2.5
    assert trainer.max_iter == 15
    assert at == [0, 5, 10]


def test_multiples_of_a_fraction_are_those_of_floating_point():
    trainer, at = evaluations(50, 30, 7)
    assert trainer.max_iter == 11
    assert trainer.iter_per_epoch == 50 / 30
    assert at == [0]  # in exact numbers also 5 and 10


class Counting:
    """A network that learns nothing and counts."""

    def __init__(self):
        self.params, self.asked = {"x": 0.0}, []

    def gradient(self, x, t):
        return {"x": 1.0}

    def loss(self, x, t):
        return np.float64(0.5)

    def accuracy(self, x, t):
        self.asked.append(len(x))
        return np.float64(0.25)


def test_1050_samples_in_batches_of_100():
    x, t = np.zeros((1050, 1)), np.zeros(1050)
    net = Counting()
    trainer = Trainer(net, x, t, x[:7], t[:7], epochs=5, verbose=False)
    assert (trainer.iter_per_epoch, trainer.max_iter) == (10.5, 52)
    trainer.train()
    # at the updates 0, 21 and 42; then the last, of all test samples, though nothing is printed
    assert net.asked == [1050, 7] * 3 + [7]
    assert trainer.current_epoch == len(trainer.test_acc_list) == 3
    assert len(trainer.train_loss_list) == trainer.current_iter == 52


def test_the_lists_hold_numpys_numbers_and_prints_are_as_the_books(capsys):
    np.random.seed(0)
    trainer = Trainer(TwoLayerNet(8, 4, 3), X, T, X_TEST, T_TEST, epochs=1, mini_batch_size=60)
    trainer.train()
    lists = trainer.train_loss_list, trainer.train_acc_list, trainer.test_acc_list
    assert [type(each[0]) for each in lists] == [np.float64] * 3
    loss, train, test = (str(each[0]) for each in lists)
    final = str(trainer.network.accuracy(X_TEST, T_TEST))
    assert capsys.readouterr().out.splitlines() == [
        "train loss:" + loss,
        "=== epoch:1, train acc:" + train + ", test acc:" + test + " ===",
        "=============== Final Test Accuracy ===============",
        "test acc:" + final,
    ]


def test_what_is_set_on_a_trainer_acts():
    trainer = Trainer(Counting(), X, T, X_TEST, T_TEST, mini_batch_size=20, verbose=False)
    trainer.max_iter, trainer.iter_per_epoch = 4, 2
    trainer.evaluate_sample_num_per_epoch, trainer.batch_size = 5, 10
    trainer.optimizer.lr = 3.0
    trainer.train()
    assert trainer.network.asked == [5, 5, 5, 5, 25]
    assert trainer.network.params["x"] == -12.0


def test_whole_epochs_are_evaluated_at_their_first_update():
    assert evaluations(60, 20, 4)[1] == [0, 3, 6, 9]


def test_a_batch_larger_than_the_data_makes_epochs_of_one_update():
    trainer, at = evaluations(10, 20, 3)
    assert trainer.iter_per_epoch == 1
    assert at == [0, 1, 2]


def test_silence_and_defaults(capsys):
    trainer = Trainer(TwoLayerNet(8, 4, 3), X, T, X_TEST, T_TEST, epochs=1, verbose=False)
    trainer.train()
    assert capsys.readouterr().out == ""
    assert trainer.optimizer.lr == 0.01
    assert type(trainer.optimizer).__name__ == "SGD"
    assert (trainer.batch_size, trainer.train_size) == (100, 60)


@pytest.mark.parametrize("name", ["sgd", "momentum", "Nesterov", "AdaGrad", "rmsprop", "ADAM"])
def test_optimizers_by_name(name):
    trainer = Trainer(TwoLayerNet(8, 4, 3), X, T, X_TEST, T_TEST, optimizer=name)
    assert type(trainer.optimizer).__name__.lower() == name.lower()


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(
        ValueError, match=r"optimizer: expected 'sgd', .*, got 'adamw': did you mean 'adam'"
    ):
        Trainer(TwoLayerNet(8, 4, 3), X, T, X_TEST, T_TEST, optimizer="adamw")


def test_a_whole_run_on_another_library_has_the_same_numbers():
    if not HAS_TORCH:
        pytest.skip("PyTorch is not installed")
    runs = []
    for name in ("cpu", "torch:cpu"):
        xpnet.book.use(name)
        try:
            np.random.seed(0)
            net = MultiLayerNetExtend(8, [6], 3, use_dropout=True, use_batchnorm=True)
        finally:
            xpnet.book.use("cpu")
        data = [device(name).asarray(a) for a in (X, T, X_TEST, T_TEST)]
        trainer = Trainer(net, *data, epochs=2, mini_batch_size=20, verbose=False)
        trainer.train()
        runs.append(trainer.train_loss_list + trainer.train_acc_list + trainer.test_acc_list)
    assert runs[0] == pytest.approx(runs[1], abs=1e-12)
