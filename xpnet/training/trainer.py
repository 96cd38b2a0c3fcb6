"""The trainer: a network, a loss and an optimizer, taken through a data set."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from xpnet.arrays import Array
from xpnet.checks import finite, one_of, whole_number
from xpnet.data import Batches, Dataset
from xpnet.data.batches import fits
from xpnet.layers import Network
from xpnet.losses import Loss
from xpnet.optimizers import Optimizer
from xpnet.schedules import Schedule, constant
from xpnet.training.callbacks import Callback
from xpnet.training.checkpoint import load_checkpoint, save_checkpoint
from xpnet.training.device_epoch import AfterBackward, Step
from xpnet.training.history import History
from xpnet.training.metrics import Evaluation
from xpnet.training.prepare import check_fit, classifies, prepared
from xpnet.training.stats import Stats
from xpnet.training.steps import Eager, Look, Recorded, Runner, not_recordable

__all__ = ["DivergedError", "Trainer"]

Graph = Literal["auto", "on", "off"]
"""Whether a step is recorded once and replayed as one launch."""

CHECK_EVERY = 100
"""Steps between two looks at the loss for NaN, each of which waits for an accelerator."""


class DivergedError(ValueError):
    """The loss is no longer a finite number."""


class Trainer:
    """Trains and evaluates a network.

    Parameters
    ----------
    net : Network
        Such as a Sequential with an input shape; the trainer works on the device it is on.
    loss : Loss
    optimizer : Optimizer
    schedule : Schedule, optional
        What the learning rate is multiplied by at each step; by default 1.
    callbacks : sequence of Callback
    after_backward : callable, optional
        Called with the network's gradients between backward and update, to change them in place:
        ``grads.flat`` is all of them as one array.
    seed : int
        Of the batches' order.
    graph : "auto", "on" or "off"
        Whether steps are recorded once, as a CUDA graph, and replayed with one launch each:
        where that can be and was proved to leave the same bits (the default), always (or a
        ValueError says why not), or never.

    Attributes
    ----------
    not_replayed : str or None
        Why the last fit did not replay its steps; None if it did.
    history : History
        A row for each epoch trained.
    epoch : int
        Epochs trained so far, and so the number of the one in progress, from 0.
    began : int or None
        The epoch at which the fit in progress, or the one to resume, began.
    runner : Runner or None
        What runs the steps of the fit in progress.
    """

    def __init__(
        self,
        net: Network,
        loss: Loss,
        optimizer: Optimizer,
        *,
        schedule: Schedule | None = None,
        callbacks: Sequence[Callback] = (),
        after_backward: AfterBackward | None = None,
        seed: int = 0,
        graph: Graph = "auto",
    ) -> None:
        for name, value, kind in (
            ("net", net, Network), ("loss", loss, Loss), ("optimizer", optimizer, Optimizer)
        ):  # fmt: skip
            if not isinstance(value, kind):
                raise TypeError(f"{name}: expected {kind.__name__}, got {value!r}")
        if not (schedule is None or callable(schedule)):
            raise TypeError(
                f"schedule: expected a function of (step, total) such as "
                f"xpnet.schedules.one_cycle(), got {schedule!r}"
            )
        one_of("graph", graph, get_args(Graph))
        self.net = net
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule or constant()
        self.callbacks = list(callbacks)
        self.after_backward = after_backward
        self.seed = whole_number("seed", seed)
        self.graph = graph
        self.not_replayed: str | None = None
        self.history = History()
        self.epoch = 0
        self.began: int | None = None
        self.runner: Runner | None = None
        self._stats: Stats | None = None
        self._stopped = False

    def step(self, x: Array, t: Array) -> tuple[Array, Array]:
        """Make one update from a batch on the network's device.

        Returns
        -------
        loss : array, 0-d
        scores : array, shape (n, ...)
        """
        return self._step(x, t)

    @property
    def _step(self) -> Step:
        return Step(self.net, self.loss, self.optimizer, self.after_backward)

    def fit(
        self,
        train: Dataset,
        epochs: int,
        batch_size: int = 100,
        *,
        validation: Dataset | None = None,
        drop_last: bool = False,
    ) -> History:
        """Train for a number of epochs; every sample is seen once in each.

        After :meth:`restore` the fit that was interrupted goes on: give it the same arguments.

        Parameters
        ----------
        train : Dataset
        epochs : int
        batch_size : int
        validation : Dataset, optional
            Evaluated after each epoch.
        drop_last : bool
            Whether a last, shorter batch is left out.

        Returns
        -------
        History
            Of all epochs of this trainer.

        Raises
        ------
        ValueError
            The data does not fit the network, or steps cannot be replayed and ``graph="on"``
            insists; nothing has changed then.
        DivergedError
            The loss became infinite or NaN.
        """
        epochs = whole_number("epochs", epochs, 1)
        for data in (train, validation):
            if data is not None:
                check_fit(self.net, data)
        batches = Batches(
            prepared(self.net, train),
            batch_size,
            device=self.net.device,
            seed=self.seed,
            drop_last=drop_last,
        )
        self.not_replayed = self.not_recordable(batches)
        if self.graph == "on" and self.not_replayed:
            raise ValueError(f"graph='on': {self.not_replayed}")
        if validation is not None and fits(validation, self.net.device):
            validation = prepared(self.net, validation).to(self.net.device)  # once for all epochs
        if self.began is None:
            self.began = self.epoch
        last = self.began + epochs
        if self.epoch >= last:
            raise ValueError(
                f"epochs: the restored fit has trained {self.epoch - self.began} already and "
                f"goes on, expected more than that, got {epochs}"
            )
        self._stopped = False
        self.runner = runner = self._runner(batches)
        try:
            for callback in self.callbacks:
                callback.fit_begins(self, epochs, len(batches))
            while self.epoch < last and not self._stopped:
                with self.net.threads(), self.net.device.scope():
                    row = self._train_epoch(runner, batches, epochs * len(batches))
                if row is None:
                    break
                if validation is not None:
                    result = self.evaluate(validation)
                    row["validation_loss"], row["validation_accuracy"] = result[:2]
                self.epoch += 1
                if self.epoch == last:
                    self.began = None
                self.history.append(row)
                for callback in self.callbacks:
                    callback.epoch_ends(self, row)
        finally:
            self.began, self.optimizer.lr_factor, self.runner = None, 1.0, None
            try:
                runner.close()
            finally:
                for callback in self.callbacks:
                    callback.fit_ends(self)
        return self.history

    def stop(self) -> None:
        """End the fit in progress, for a callback to call.

        From ``step_ends``: after this step; the epoch in progress is not counted and leaves no
        row in the history.  From ``epoch_ends``: after this epoch.  All callbacks still hear of
        the step or epoch, and of the end.
        """
        self._stopped = True

    def not_recordable(self, batches: Batches) -> str | None:
        """Return why steps through batches cannot be recorded and replayed; None if they may."""
        return self._unwanted() or not_recordable(self.net, batches.resident)

    def _unwanted(self) -> str | None:
        if self.graph == "off":
            return "graph='off' asks for it"
        own = type(self).step is not Trainer.step
        return f"{type(self).__name__} has a step of its own" if own else None

    def _runner(self, batches: Batches) -> Runner:
        plain = type(self).step is Trainer.step
        if plain and batches.resident and self.net.device.records:
            insist, unwanted = self.graph == "on", self._unwanted()
            return Recorded(self._step, batches, insist=insist, unwanted=unwanted)
        return Eager(self.step, self.optimizer, batches)

    def _look(self) -> Look:
        looking = [c for c in self.callbacks if type(c).step_ends is not Callback.step_ends]
        if any(callback.every_step for callback in looking):
            return "steps"
        return "sometimes" if looking else "never"

    def _train_epoch(self, runner: Runner, batches: Batches, total: int) -> dict[str, Any] | None:
        """Train an epoch and return its row; None if a callback stopped it half way."""
        assert self.began is not None
        first = (self.epoch - self.began) * len(batches)
        self._stats = stats = Stats(self.net.device, classifies(self.net, batches.data))
        factors = [finite("schedule", self.schedule(first + k, total)) for k in range(len(batches))]
        checked = 0
        with contextlib.closing(runner.epoch(self.epoch, factors, stats, self._look())) as steps:
            for _ in steps:
                self._note(runner)
                if stats.batches // CHECK_EVERY > checked:
                    checked = stats.batches // CHECK_EVERY
                    self._check_finite()
                for callback in self.callbacks:
                    callback.step_ends(self)
                if self._stopped and stats.batches < len(batches):
                    return None
        self._check_finite()
        seconds = time.perf_counter() - stats.since
        result = stats.result()
        return {
            "epoch": self.epoch + 1,
            "steps": self.optimizer.steps,
            "lr": self.optimizer.rate,
            "train_loss": result.loss,
            "train_accuracy": result.accuracy,
            "validation_loss": None,
            "validation_accuracy": None,
            "seconds": seconds,
            "samples_per_second": result.samples / seconds,
        }

    def _note(self, runner: Runner) -> None:
        if isinstance(runner, Recorded):
            self.not_replayed = runner.reason

    def _check_finite(self) -> None:
        loss = self.running_loss()
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss became {loss} within {CHECK_EVERY} steps before step "
                f"{self.optimizer.steps} (epoch {self.epoch + 1}): begin again from a new "
                f"network with a lower learning rate ({self.optimizer.rate:.3g}), or look for NaN "
                f"in the data"
            )

    @property
    def step_loss(self) -> Array | None:
        """The mean loss of the last step's batch, 0-d, on the device; None before the first.

        ``float`` of it waits for an accelerator.  It holds until the next step.
        """
        return None if self._stats is None else self._stats.loss

    def running_loss(self) -> float:
        """Return the mean loss of the epoch in progress; waits for an accelerator."""
        return 0.0 if self._stats is None else self._stats.result().loss

    @property
    def epoch_steps(self) -> int:
        """Steps made in the epoch in progress."""
        return 0 if self._stats is None else self._stats.batches

    def running_throughput(self) -> float:
        """Return the samples trained per second in the epoch in progress."""
        if self._stats is None:
            return 0.0
        return self._stats.samples / (time.perf_counter() - self._stats.since)

    def evaluate(self, data: Dataset, batch_size: int = 1000) -> Evaluation:
        """Return the network's mean loss and accuracy on a data set.

        Parameters
        ----------
        data : Dataset
        batch_size : int
            Samples computed at a time.
        """
        check_fit(self.net, data)
        place = self.net.device
        stats = Stats(place, classifies(self.net, data))
        batches = Batches(prepared(self.net, data), batch_size, device=place, shuffle=False)
        with self.net.threads(), place.scope():
            for x, t in batches.epoch(0):
                scores = self.net.forward(x)
                stats.add(self.loss.forward(scores, t), scores, t)
        return stats.result()

    def save(self, path: str | Path) -> None:
        """Write a checkpoint, from which the run goes on bit for bit; see :meth:`restore`."""
        save_checkpoint(self, path)

    def restore(self, path: str | Path) -> None:
        """Take up a run where a checkpoint left it.

        Parameters
        ----------
        path : path
            Written by a trainer with an equal network, loss, optimizer, schedule and seed.
        """
        load_checkpoint(self, path)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to a fit in progress."""
        return vars(self) | {"runner": None, "_stats": None}
