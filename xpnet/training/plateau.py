"""What is done once the epochs bring nothing more: an end, or a lower rate.

What these callbacks know of the epochs they read in the history, so that a run which was
interrupted decides as one which was not.
"""

from __future__ import annotations

from typing import Any

from xpnet.arrays import Array, namespace
from xpnet.checks import Hyperparameter, flag, not_negative, number, one_of, whole_number
from xpnet.config import Configurable
from xpnet.layers import Network
from xpnet.serialize import assign, check_arrays
from xpnet.training.callbacks import Callback, Run, check_measured
from xpnet.training.history import History
from xpnet.training.metrics import MEASURED, better

__all__ = ["EarlyStopping", "ReduceLROnPlateau"]


class Plateau(Configurable, Callback):
    """Base of callbacks that wait for a measure to get better.

    Attributes
    ----------
    monitor : str
        A column of the history: accuracies are to rise, all else is to fall.
    patience : int
        Epochs without getting better that are too many.
    min_delta : float
        By how much the measure has to get better, to count as better.
    """

    monitor = Hyperparameter(one_of, MEASURED)
    patience = Hyperparameter(whole_number, 1)
    min_delta = Hyperparameter(not_negative)

    def fit_begins(self, trainer: Run, epochs: int, steps: int) -> None:
        """See whether there will be something to go by."""
        check_measured("monitor", self.monitor, trainer)

    def improves(self, row: dict[str, Any], best: dict[str, Any] | None) -> bool:
        """Return whether a row is better than the best one before it."""
        than = None if best is None else best[self.monitor]
        return better(self.monitor, row[self.monitor], than, self.min_delta)


class EarlyStopping(Plateau):
    """The end of a fit once a measure has not got better for some epochs.

    Parameters
    ----------
    patience : int
        Epochs without getting better after which the fit ends.
    monitor : str
        A column of the history: accuracies are to rise, all else is to fall.
    min_delta : float
        By how much the measure has to get better, to count as better.
    restore_best : bool
        Whether the network has the parameters and statistics of the best epoch as the fit ends, at
        its last epoch too.  A copy of them is kept on the network's device.

    Attributes
    ----------
    best_epoch : int or None
        The best epoch of the fit so far: its row is ``trainer.history[best_epoch - 1]``.

    Notes
    -----
    Prechelt, "Early stopping - but when?", 1998.
    """

    restore_best = Hyperparameter(flag)

    def __init__(
        self,
        patience: int = 10,
        monitor: str = "validation_loss",
        *,
        min_delta: float = 0.0,
        restore_best: bool = True,
    ) -> None:
        self.patience = patience
        self.monitor = monitor
        self.min_delta = min_delta
        self.restore_best = restore_best
        self.best_epoch: int | None = None
        self._began: int | None = None
        self._best: dict[str, Array] = {}

    def fit_begins(self, trainer: Run, epochs: int, steps: int) -> None:
        """Begin to watch, or go on."""
        super().fit_begins(trainer, epochs, steps)
        if self._began is None or not trainer.resumes:
            self._began, self._best = trainer.epoch, {}
        self._look(trainer)  # the run may have been killed between its last epoch and its end

    def epoch_ends(self, trainer: Run, row: dict[str, Any]) -> None:
        """Keep what is best so far, and end the fit if that was long ago."""
        self._look(trainer)
        if self.restore_best and self.best_epoch == trainer.epoch:
            self._best = _copies(trainer.net)

    def fit_ends(self, trainer: Run) -> None:
        """Put back what was best."""
        if trainer.finished:
            if self._best and self.best_epoch != trainer.epoch:
                assign(trainer.net, self._best)
            self._best = {}

    def _look(self, trainer: Run) -> None:
        best = None
        for row in trainer.history[self._began :]:
            best = row if self.improves(row, best) else best
        self.best_epoch = None if best is None else best["epoch"]
        if trainer.epoch - (self.best_epoch or self._began or 0) >= self.patience:
            trainer.stop()

    def state(self) -> dict[str, Any]:
        """Return the epoch at which it began, and what was best."""
        return {"began": self._began, **self._best}

    def load_state(self, trainer: Any, state: dict[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        best = dict(state)
        began = best.pop("began")
        if best:
            check_arrays(trainer.net, best, type(self).__name__)
        self._began = None if began is None else whole_number("began", began)
        self._best = best


def _copies(net: Network) -> dict[str, Array]:
    """Return copies of all arrays of a network by name, on its device."""
    with net.device.scope():
        return {
            f"{kind}/{name}": namespace(array).asarray(array, copy=True)
            for kind, arrays in (("params", net.params), ("state", net.state))
            for name, array in arrays.items()
        }


class ReduceLROnPlateau(Plateau):
    """A lower learning rate whenever a measure has not got better for some epochs.

    It changes ``trainer.optimizer.lr``, which a schedule multiplies.

    Parameters
    ----------
    factor : float
        What the rate is multiplied by, below 1.
    patience : int
        Epochs without getting better after which the rate is lowered.
    monitor : str
        A column of the history: accuracies are to rise, all else is to fall.
    min_delta : float
        By how much the measure has to get better, to count as better.
    cooldown : int
        Epochs after a lowering that do not count.
    min_lr : float
        The rate goes no lower.
    """

    factor = Hyperparameter(number, lambda x: 0 < x < 1, "0 < factor < 1")
    cooldown = Hyperparameter(whole_number)
    min_lr = Hyperparameter(not_negative)

    def __init__(
        self,
        factor: float = 0.1,
        patience: int = 10,
        monitor: str = "validation_loss",
        *,
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        self.factor = factor
        self.patience = patience
        self.monitor = monitor
        self.min_delta = min_delta
        self.cooldown = cooldown
        self.min_lr = min_lr

    def epoch_ends(self, trainer: Run, row: dict[str, Any]) -> None:
        """Lower the rate if it is time."""
        optimizer = trainer.optimizer
        if self._is_time(trainer.history[trainer.epoch - trainer.fit_epochs :]):
            lower = max(optimizer.lr * self.factor, self.min_lr)
            if 0 < lower < optimizer.lr:
                optimizer.lr = lower

    def _is_time(self, rows: History) -> bool:
        """Return whether the last of a fit's rows is one too many without getting better."""
        best, waited, cooling = None, 0, 0
        for row in rows:
            if waited == self.patience:
                waited, cooling = 0, self.cooldown
            if self.improves(row, best):
                best, waited = row, 0
            elif cooling == 0:
                waited += 1
            cooling = max(0, cooling - 1)
        return waited == self.patience
