"""The book's trainer (``common/trainer.py``)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from xpnet.arrays import Array, to_numpy
from xpnet.book._globals import chosen
from xpnet.book.optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop
from xpnet.book.util import rows
from xpnet.checks import one_of

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "Momentum",
    "Nesterov",
    "RMSprop",
    "Trainer",
    "np",
    "os",
    "sys",
]

_OPTIMIZERS: dict[str, Any] = {
    kind.__name__.lower(): kind for kind in (SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam)
}
_LR = MappingProxyType({"lr": 0.01})


class Trainer:
    """Trains a network on batches drawn with replacement from NumPy's global generator.

    After each update the loss of its batch is computed anew.  Where ``current_iter`` is a multiple
    of ``iter_per_epoch``, which need not be whole, the accuracies follow: as in the book, an epoch
    that no update begins with is not evaluated.

    Parameters
    ----------
    network : one of the book's networks
    x_train, t_train, x_test, t_test : array
    epochs, mini_batch_size : int
    optimizer : str
        ``"SGD"``, ``"Momentum"``, ``"Nesterov"``, ``"AdaGrad"``, ``"RMSprop"`` or ``"Adam"``, in
        any case.
    optimizer_param : mapping
        The optimizer's arguments.
    evaluate_sample_num_per_epoch : int, optional
        How many samples the accuracies of an epoch are taken of; by default all.
    verbose : bool
        Whether losses and accuracies are printed.

    Attributes
    ----------
    network, x_train, t_train, x_test, t_test, epochs, evaluate_sample_num_per_epoch, verbose
        As given.
    batch_size, train_size : int
    iter_per_epoch : float
        Updates in an epoch, ``max(train_size / batch_size, 1)``.
    max_iter : int
        Updates that :meth:`train` makes.
    current_iter, current_epoch : int
        Updates and evaluations so far.
    optimizer : object
    train_loss_list : list of NumPy numbers
        For each update, the loss after it.
    train_acc_list, test_acc_list : list of NumPy numbers
        For each evaluation.
    """

    def __init__(
        self,
        network: Any,
        x_train: Array,
        t_train: Array,
        x_test: Array,
        t_test: Array,
        epochs: int = 20,
        mini_batch_size: int = 100,
        optimizer: str = "SGD",
        optimizer_param: Mapping[str, Any] = _LR,
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,
    ) -> None:
        one_of("optimizer", optimizer.lower(), _OPTIMIZERS)
        self.network = network
        self.verbose = verbose
        self.x_train, self.t_train = x_train, t_train
        self.x_test, self.t_test = x_test, t_test
        self.epochs = epochs
        self.batch_size = mini_batch_size
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        self.optimizer = _OPTIMIZERS[optimizer.lower()](**optimizer_param)
        self.train_size = int(x_train.shape[0])
        self.iter_per_epoch = max(self.train_size / mini_batch_size, 1)
        self.max_iter = int(epochs * self.iter_per_epoch)
        self.current_iter = 0
        self.current_epoch = 0
        self.train_loss_list: list[Any] = []
        self.train_acc_list: list[Any] = []
        self.test_acc_list: list[Any] = []

    def train_step(self) -> None:
        """Draw a batch, update the network, record the loss, and what belongs to a new epoch."""
        batch = chosen(self.train_size, self.batch_size)
        x, t = rows(self.x_train, batch), rows(self.t_train, batch)
        self.optimizer.update(self.network.params, self.network.gradient(x, t))
        loss = _number(self.network.loss(x, t))
        self.train_loss_list.append(loss)
        self._say(f"train loss:{loss}")
        if self.current_iter % self.iter_per_epoch == 0:
            self._evaluate()
        self.current_iter += 1

    def _evaluate(self) -> None:
        self.current_epoch += 1
        part = slice(self.evaluate_sample_num_per_epoch)
        x, t = self.x_train[part, ...], self.t_train[part, ...]
        train_acc = _number(self.network.accuracy(x, t))
        x, t = self.x_test[part, ...], self.t_test[part, ...]
        test_acc = _number(self.network.accuracy(x, t))
        self.train_acc_list.append(train_acc)
        self.test_acc_list.append(test_acc)
        self._say(f"=== epoch:{self.current_epoch}, train acc:{train_acc}, test acc:{test_acc} ===")

    def train(self) -> None:
        """Train for all epochs; then, where verbose, print the accuracy on all test samples."""
        for _ in range(self.max_iter):
            self.train_step()
        test_acc = _number(self.network.accuracy(self.x_test, self.t_test))
        self._say("=============== Final Test Accuracy ===============")
        self._say(f"test acc:{test_acc}")

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text)


def _number(value: Any) -> Any:
    """Return a 0-d array of any library as a NumPy number, and a number as it is."""
    return value if isinstance(value, (float, int, np.generic)) else to_numpy(value)[()]
