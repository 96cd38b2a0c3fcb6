"""The trainer: a network, a loss and an optimizer, taken through a data set."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from xpnet import ops
from xpnet.arrays import Array, dtype_kind, namespace, to_numpy
from xpnet.checks import one_of, whole_number
from xpnet.data import Batches, Dataset
from xpnet.data.batches import fits
from xpnet.devices import Device
from xpnet.layers import Sequential
from xpnet.losses import Loss
from xpnet.ops.batch import has_classes
from xpnet.ops.update import Timetable
from xpnet.optimizers import Optimizer
from xpnet.schedules import Schedule, constant
from xpnet.training.callbacks import Callback
from xpnet.training.checkpoint import load_checkpoint, save_checkpoint
from xpnet.training.history import History
from xpnet.training.metrics import Evaluation
from xpnet.training.replay import Replay, hindrance

__all__ = ["DivergedError", "Trainer"]

Graph = Literal["auto", "on", "off"]
"""Whether a step is recorded once and replayed as one launch."""


class DivergedError(ValueError):
    """The loss is no longer a finite number."""


class Trainer:
    """Trains and evaluates a network.

    Parameters
    ----------
    net : Sequential
        A network; the trainer works on the device it is on.
    loss : Loss
    optimizer : Optimizer
    schedule : Schedule, optional
        What the learning rate is multiplied by at each step; by default 1.
    callbacks : sequence of Callback
    seed : int
        Of the batches' order.
    graph : "auto", "on" or "off"
        Whether steps are recorded once, as a CUDA graph, and replayed with one launch each:
        where that can be (the default), always (or a ValueError says why not), or never.  The
        results are the same, bit for bit.

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
    """

    def __init__(
        self,
        net: Sequential,
        loss: Loss,
        optimizer: Optimizer,
        *,
        schedule: Schedule | None = None,
        callbacks: Sequence[Callback] = (),
        seed: int = 0,
        graph: Graph = "auto",
    ) -> None:
        for name, value, kind in (
            ("net", net, Sequential), ("loss", loss, Loss), ("optimizer", optimizer, Optimizer)
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
        self.seed = whole_number("seed", seed)
        self.graph = graph
        self.not_replayed: str | None = None
        self.history = History()
        self.epoch = 0
        self.began: int | None = None
        self._tally = _Tally(net.device, False)

    def step(self, x: Array, t: Array) -> tuple[Array, Array]:
        """Make one update from a batch on the network's device.

        Returns
        -------
        loss : array, 0-d
        scores : array, shape (n, ...)
        """
        return self._step(x, t)

    def _step(
        self, x: Array, t: Array, start: int = 0, timetable: Timetable | None = None
    ) -> tuple[Array, Array]:
        net = self.net
        scores = net.forward(x, train=True, start=start)
        value = self.loss.forward(scores, t)
        net.backward(self.loss.backward(), need_dx=False)
        self.optimizer.update(net.params, net.grads, timetable)
        return value, scores

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
                self._check_fit(data)
        batches = Batches(
            self._prepared(train),
            batch_size,
            device=self.net.device,
            seed=self.seed,
            drop_last=drop_last,
        )
        self.not_replayed = self.hindrance(batches)
        if self.graph == "on" and self.not_replayed:
            raise ValueError(f"graph='on': {self.not_replayed}")
        if validation is not None and fits(validation, self.net.device):
            validation = self._prepared(validation).to(self.net.device)  # once for all epochs
        if self.began is None:
            self.began = self.epoch
        last = self.began + epochs
        if self.epoch >= last:
            raise ValueError(
                f"epochs: the restored fit has trained {self.epoch - self.began} already and "
                f"goes on, expected more than that, got {epochs}"
            )
        paced = batches.resident and self.net.device.records and type(self).step is Trainer.step
        replay = Replay(self, batches) if paced else None
        try:
            for callback in self.callbacks:
                callback.fit_begins(self, epochs, len(batches))
            while self.epoch < last:
                with self.net.threads(), self.net.device.scope():
                    row = self._train_epoch(batches, epochs * len(batches), replay)
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
            self.began, self.optimizer.lr_factor = None, 1.0
            try:
                if replay is not None:
                    replay.close()
            finally:
                for callback in self.callbacks:
                    callback.fit_ends(self)
        return self.history

    def hindrance(self, batches: Batches) -> str | None:
        """Return why steps through batches cannot be recorded and replayed; None if they can."""
        if self.graph == "off":
            return "graph='off' asks for it"
        if type(self).step is not Trainer.step:
            return f"{type(self).__name__} has a step of its own"
        if not batches.resident:
            return "the data set is not kept on the device as a whole"
        return hindrance(self)

    def _train_epoch(self, batches: Batches, total: int, replay: Replay | None) -> dict[str, Any]:
        assert self.began is not None
        first = (self.epoch - self.began) * len(batches)
        self._tally = tally = _Tally(self.net.device, self._classifies(batches.data))
        factors = [self.schedule(first + k, total) for k in range(len(batches))]
        checked = 0
        steps = self._steps(batches, factors) if replay is None else replay.steps(factors)
        with contextlib.closing(steps):
            for _ in steps:
                if tally.batches // CHECK_EVERY > checked:
                    checked = tally.batches // CHECK_EVERY
                    self._check_finite()
                for callback in self.callbacks:
                    callback.step_ends(self)
        self._check_finite()
        seconds = time.perf_counter() - tally.since
        result = tally.result()
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

    def _steps(self, batches: Batches, factors: list[float]) -> Generator[None]:
        """Make the steps of an epoch, each with its factor of the learning rate."""
        for factor, (x, t) in zip(factors, batches.epoch(self.epoch), strict=True):
            self.optimizer.lr_factor = factor
            value, scores = self.step(x, t)
            self._tally.add(value, scores, t)
            yield

    def _check_finite(self) -> None:
        loss = self.running_loss()
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss became {loss} within {CHECK_EVERY} steps before step "
                f"{self.optimizer.steps} (epoch {self.epoch + 1}): begin again from a new "
                f"network with a lower learning rate ({self.optimizer.rate:.3g}), or look for NaN "
                f"in the data"
            )

    def running_loss(self) -> float:
        """Return the mean loss of the epoch in progress; waits for an accelerator."""
        return self._tally.result().loss

    @property
    def epoch_steps(self) -> int:
        """Steps made in the epoch in progress."""
        return self._tally.batches

    def running_throughput(self) -> float:
        """Return the samples trained per second in the epoch in progress."""
        return self._tally.samples / (time.perf_counter() - self._tally.since)

    def evaluate(self, data: Dataset, batch_size: int = 1000) -> Evaluation:
        """Return the network's mean loss and accuracy on a data set.

        Parameters
        ----------
        data : Dataset
        batch_size : int
            Samples computed at a time.
        """
        self._check_fit(data)
        tally = _Tally(self.net.device, self._classifies(data))
        batches = Batches(self._prepared(data), batch_size, device=self.net.device, shuffle=False)
        with self.net.threads(), self.net.device.scope():
            for x, t in batches.epoch(0):
                scores = self.net.forward(x)
                tally.add(self.loss.forward(scores, t), scores, t)
        return tally.result()

    def _check_fit(self, data: Dataset) -> None:
        if not isinstance(data, Dataset):
            raise TypeError(f"expected a Dataset, such as Dataset(x, t), got {type(data).__name__}")
        came, net = tuple(data.x.shape[1:]), self.net
        if came != net.input_shape:
            raise ValueError(
                f"{data.name}: expected samples of shape {net.input_shape}, got {came}"
            )
        scores = net.output_shape
        if not _has_labels(data):
            if tuple(data.t.shape[1:]) != scores:
                raise ValueError(
                    f"{data.name}: expected targets of shape {scores}, the network's output, "
                    f"got {tuple(data.t.shape[1:])}"
                )
        elif len(scores) == 1 and scores[0] > 1:
            highest = int(to_numpy(data.t).max())
            if highest >= scores[0]:
                raise ValueError(
                    f"{data.name}: expected labels below {scores[0]}, the network's number of "
                    f"classes, got {highest}"
                )

    def _classifies(self, data: Dataset) -> bool:
        """Return whether targets are classes; labels of a single output may be any numbers."""
        return data.classes is not None or (_has_labels(data) and self.net.output_shape != (1,))

    def _prepared(self, data: Dataset) -> Dataset:
        """Return the data with real numbers in the network's dtype; integers stay as they are."""
        kind = dtype_kind(namespace(data.x), data.x.dtype)
        if kind == "real" and self.net.dtype.startswith("float"):
            return data.astype(self.net.dtype)
        return data

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


CHECK_EVERY = 100
"""Steps between two looks at the loss for NaN, each of which waits for an accelerator."""


def _has_labels(data: Dataset) -> bool:
    return dtype_kind(namespace(data.t), data.t.dtype) == "exact"


class _Tally:
    """The record of an epoch (see :func:`xpnet.ops.batch.tally`), on the device until asked for."""

    def __init__(self, place: Device, classes: bool) -> None:
        self.since = time.perf_counter()
        self.batches = 0
        self.samples = 0
        self.classes = classes
        self.record = place.zeros(3, "float64")

    def add(self, loss: Array, scores: Array, targets: Array) -> None:
        self.record_batch(loss, scores, targets)
        self.count(scores.shape[0])

    def record_batch(self, loss: Array, scores: Array, targets: Array) -> None:
        """Do the device's part."""
        self.classes = self.classes and has_classes(scores, targets)
        ops.batch.tally(self.record, scores, targets, loss, self.classes)

    def count(self, samples: int, batches: int = 1) -> None:
        """Do the host's part."""
        self.batches += batches
        self.samples += samples

    def result(self) -> Evaluation:
        n = max(self.samples, 1)
        loss, right, _ = map(float, to_numpy(self.record))
        return Evaluation(loss / n, right / n if self.classes else None, self.samples)
