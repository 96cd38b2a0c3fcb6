"""Callbacks: what else happens while a network trains."""

from __future__ import annotations

import inspect
import math
import re
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, TextIO, TypeGuard

from xpnet.arrays import Array
from xpnet.checks import (
    Constructible,
    came,
    file_path,
    nearest,
    one_of,
    positive,
    takes_exactly,
    whole_number,
)
from xpnet.config import Configurable
from xpnet.files import check_writable, versions
from xpnet.layers import ArrayMap, Network
from xpnet.losses import Loss
from xpnet.optimizers import Optimizer
from xpnet.training.history import History
from xpnet.training.metrics import MEASURED, MEASURES, better

__all__ = [
    "Callback",
    "Checkpoint",
    "HistoryFile",
    "LearnsNothing",
    "Run",
    "Table",
    "check_measured",
    "checked_callbacks",
    "decides",
    "overrides",
]

ALMOST = 0.99
"""Times the loss of guessing: what is above has learned nothing."""


class Run(Protocol):
    """What a callback sees of a run: the trainer, of which this is a part."""

    net: Network
    loss: Loss
    optimizer: Optimizer
    history: History
    epoch: int

    @property
    def finished(self) -> bool:
        """Whether the last step of the fit was made."""

    @property
    def resumes(self) -> bool:
        """Whether the fit goes on where one was interrupted, and is no new one."""

    @property
    def validates(self) -> bool:
        """Whether the fit evaluates a validation set."""

    @property
    def fit_epochs(self) -> int:
        """Epochs of the fit that have ended, before an interruption too."""

    @property
    def epoch_steps(self) -> int:
        """Steps made in the epoch in progress."""

    @property
    def step_loss(self) -> Array | None:
        """The mean loss of the last step's batch, on the device: ``float`` of it waits."""

    def running_loss(self) -> float:
        """Return the mean loss of the epoch in progress; waits for an accelerator."""

    def running_throughput(self) -> float:
        """Return the samples trained per second in the epoch in progress."""

    def guessing_loss(self) -> float | None:
        """Return the mean loss of the best constant answer."""

    def save(
        self, path: str | Path, *, keep: int = 1, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Write a checkpoint."""

    def stop(self) -> None:
        """End the fit after this step, or this epoch."""


class Callback(Constructible):
    """Called by a trainer at each stage of a fit; each method may do nothing.

    What a callback may count on of the trainer is :class:`Run`.

    Two stages are part of the step itself, ``after_backward`` and ``after_update``.  A GPU that
    replays steps records what they do to arrays, in place, with the rest of the step; a processor
    makes such steps without replaying them.  Arrays of the callback's own that they change are its
    ``buffers``.

    One that decides the numbers of a run derives from :class:`~xpnet.config.Configurable` too: its
    arguments are then part of what a fit is given, and a fit that is resumed must have the same.

    Attributes
    ----------
    every_step : bool
        Whether ``step_ends`` is to be called after each single step.  Where no callback wants
        that, several steps that are replayed are made between two calls.
    last : bool
        Whether it is called after those that are not, wherever it stands among them: for what
        saves a run, and so has to see what the others did.
    rank_zero_only : bool
        Whether, of a run on several processes, only the first calls it: for what prints or writes.
        One that changes the run must be called on each.
    """

    every_step: bool = True
    last: ClassVar[bool] = False
    rank_zero_only: ClassVar[bool] = False

    def fit_begins(self, trainer: Any, epochs: int, steps: int) -> None:
        """Before the first step; ``steps`` is the number of steps in an epoch."""

    def epoch_begins(self, trainer: Any) -> None:
        """Before the first step of an epoch, or of what an interruption left of it."""

    def after_backward(self, grads: ArrayMap) -> None:
        """Between backward and update: ``grads.flat`` is all gradients as one array."""

    def after_update(self, params: ArrayMap) -> None:
        """After the update: ``params.flat`` is all parameters as one array."""

    def step_ends(self, trainer: Any) -> None:
        """After each update, and what the trainer counts of it."""

    def validation_begins(self, trainer: Any) -> None:
        """After an epoch's last step, before its validation if there is one."""

    def epoch_ends(self, trainer: Any, row: dict[str, Any]) -> None:
        """After each epoch and its validation, with the row just added to the history."""

    def interrupted(self, trainer: Any) -> None:
        """Before Ctrl-C, or another signal that Python handles, ends the fit; a step is whole."""

    def fit_ends(self, trainer: Any) -> None:
        """After the last epoch, and when an error or Ctrl-C ends the fit."""

    def state(self) -> dict[str, Any]:
        """Return what it remembers beside its arguments and the history, for checkpoints.

        Arrays by name, and values that JSON can hold.  A run that is restored needs the callbacks
        that decide its numbers; others may come and go.
        """
        return {}

    def load_state(self, trainer: Any, state: dict[str, Any]) -> None:
        """Take up what :meth:`state` returned, its arrays on the host.

        Raises
        ------
        ValueError, KeyError, TypeError
            It is no such state, or one of another network than the trainer's.
        """

    @property
    def buffers(self) -> list[Array]:
        """The arrays on the device that ``after_backward`` and ``after_update`` change."""
        return []


def overrides(callback: Callback, stage: str) -> bool:
    """Return whether a callback does something at a stage."""
    return getattr(type(callback), stage) is not getattr(Callback, stage)


def decides(callback: Callback) -> TypeGuard[Configurable]:
    """Return whether the numbers of a run depend on a callback: others may come and go."""
    return isinstance(callback, Configurable)


def check_measured(name: str, column: str, trainer: Run) -> None:
    """Raise unless a fit will measure a column of the history that a callback goes by."""
    if column.startswith("validation") and not trainer.validates:
        raise ValueError(f"{name}: {column!r} is not measured: give fit validation=")


def checked_callbacks(callbacks: Any) -> list[Callback]:
    """Return callbacks as a list, in the order in which they are called.

    Raises
    ------
    TypeError
        One is no Callback, or a class of them, or this is no list; a method's name is nearly that
        of a stage of a fit, or it takes other arguments than that stage gives.
    """
    if isinstance(callbacks, Callback):
        raise TypeError(
            f"callbacks: expected a list, got one {type(callbacks).__name__} alone: put it into "
            f"brackets, callbacks=[...]"
        )
    if not isinstance(callbacks, Iterable) or isinstance(callbacks, (str, bytes, dict)):
        raise TypeError(
            f"callbacks: expected a list of callbacks, such as [Table()], got {came(callbacks)}"
        )
    chosen = list(callbacks)
    for callback in chosen:
        if not isinstance(callback, Callback):
            how = (
                ": derive a class from xpnet.training.Callback, with a method such as "
                "epoch_ends(self, trainer, row)"
            )
            raise TypeError(
                f"callbacks: expected Callback objects, got {came(callback)}"
                f"{'' if isinstance(callback, type) else how}"
            )
        _check_stages(callback)
    return sorted(chosen, key=lambda callback: callback.last)


STAGES = {
    name: tuple(inspect.signature(method).parameters)[1:]
    for name, method in vars(Callback).items()
    if inspect.isfunction(method)
}
"""The methods of a callback, and what each is called with."""

_USUAL_NAMES = (
    ("(?<=[a-z])(?=[A-Z])", "_"), ("^(on|after|before)_", ""), ("batch|iteration", "step"),
    ("train(ing)?_", "fit_"), ("_(end|ended|finish|finished|done)$", "_ends"),
    ("_(begin|began|start|starts|started)$", "_begins"),
)  # fmt: skip
"""How names that other libraries give to stages become ours."""


def _check_stages(callback: Callback) -> None:
    kind = type(callback)
    for name in dir(kind):
        if name.startswith("_") or not callable(getattr(kind, name)):
            continue
        if name in STAGES:
            given = takes_exactly(getattr(callback, name), len(STAGES[name]))
            if given is not None:
                raise TypeError(
                    f"callbacks: {kind.__name__}.{name} is called with "
                    f"({', '.join(STAGES[name])}), but takes {given}"
                )
        elif not hasattr(Callback, name):
            _check_name(kind.__name__, name)


def _check_name(kind: str, name: str) -> None:
    usual = name
    for pattern, ours in _USUAL_NAMES:
        usual = re.sub(pattern, ours, usual)
    near = nearest(usual, STAGES, 0.85)
    if near or re.fullmatch("(fit|epoch|step)_(begins|ends)", usual):
        stages = ", ".join(stage for stage in STAGES if "state" not in stage)
        raise TypeError(
            f"callbacks: {kind}.{name} is never called{near or ':'} A trainer calls {stages}"
        )


class Table(Callback):
    """One printed row an epoch, of what was measured.

    Parameters
    ----------
    file : text stream, optional
        By default standard output.
    """

    rank_zero_only = True

    COLUMNS = (
        ("epoch", "epoch", "d"),
        *(
            (f"{part}_{measure}", f"{short} {word}", ".4f")
            for part, short in (("train", "train"), ("validation", "val"))
            for measure, word in zip(MEASURES, ("loss", "acc", "exact", "mae"), strict=True)
        ),
        ("lr", "lr", ".2e"),
        ("seconds", "seconds", ".1f"),
        ("samples_per_second", "samples/s", ",.0f"),
    )

    def __init__(self, file: TextIO | None = None) -> None:
        self.file = file
        self._titles: list[str] = []

    def epoch_ends(self, trainer: Run, row: dict[str, Any]) -> None:
        """Print the row, below a heading where the last one was of other columns."""
        shown = [column for column in self.COLUMNS if row.get(column[0]) is not None]
        titles = [f"{title:>10}" for _, title, _ in shown]
        if titles != self._titles:
            print("  ".join(titles), file=self.file)
            self._titles = titles
        cells = (
            f"{row[name]:>{len(title)}{form}}"
            for (name, _, form), title in zip(shown, titles, strict=True)
        )
        print("  ".join(cells), file=self.file, flush=True)


class HistoryFile(Callback):
    """The history so far in a file of JSON lines, brought up to date after each epoch.

    Parameters
    ----------
    path : path
    """

    rank_zero_only = True

    def __init__(self, path: str | Path) -> None:
        self.path = file_path(path)

    def epoch_ends(self, trainer: Run, row: dict[str, Any]) -> None:
        """Write the file."""
        trainer.history.save(self.path)


class LearnsNothing(Callback):
    """A warning at a fit's end if the network has learned nothing: a constant answer is as good.

    Parameters
    ----------
    stop_after : int, optional
        Epochs without learning anything after which the fit is ended; by default it goes on.

    Notes
    -----
    What a constant answer costs is said by the loss (``Loss.of_guessing``).
    """

    rank_zero_only = True

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = None if stop_after is None else whole_number("stop_after", stop_after, 1)
        self._guessing: float | None = None
        self._epochs = 0
        self._loss: float | None = None

    def fit_begins(self, trainer: Run, epochs: int, steps: int) -> None:
        """Find out what guessing costs."""
        self._guessing, self._epochs = trainer.guessing_loss(), trainer.fit_epochs
        self._loss = trainer.history[-1]["train_loss"] if self._epochs else None

    def epoch_ends(self, trainer: Run, row: dict[str, Any]) -> None:
        """Remember the loss, and end the fit if that is asked for."""
        self._loss, self._epochs = row["train_loss"], trainer.fit_epochs
        if self.stop_after and self._epochs >= self.stop_after and self._nothing:
            trainer.stop()

    def fit_ends(self, trainer: Run) -> None:
        """Warn if nothing was learned."""
        if trainer.finished and self._nothing:
            warnings.warn(
                f"the network has learned nothing: its training loss, {self._loss:.4g}, is not "
                f"below {self._guessing:.4g}, that of the best constant answer: try a lower "
                f"learning rate ({trainer.optimizer.lr:g}) or other initial weights, and see "
                f"whether the samples belong to their targets",
                RuntimeWarning,
                stacklevel=3,
            )

    @property
    def _nothing(self) -> bool:
        if self._loss is None or self._guessing is None:
            return False
        # The first epoch's mean has the losses of the beginning in it.
        return self._loss > (ALMOST if self._epochs > 1 else 2) * self._guessing


class Checkpoint(Callback):
    """The whole state of a run in a file, from which it continues as if never interrupted.

    It is written after epochs, if asked to also within them, when Ctrl-C or another signal ends
    the fit, and at the fit's end; never while the loss is infinite or NaN.
    :meth:`Trainer.restore` reads it.

    Parameters
    ----------
    path : path
        Replaced whole each time.
    every : int
        Epochs between two.
    every_seconds : float, optional
        Seconds between two within an epoch; by default none is written there.
    keep : int
        Versions to keep: the one before is ``name.1.suffix``.  A restoration goes on from it if
        the newest was damaged.
    best : str, optional
        A column of the history, such as ``"validation_loss"``: the epoch in which it was lowest
        (accuracies: highest) stays in ``name.best.suffix``.
    metadata : mapping, optional
        What else to keep in the file: see :meth:`Trainer.save`.
    """

    last = True
    rank_zero_only = True

    def __init__(
        self,
        path: str | Path,
        every: int = 1,
        *,
        every_seconds: float | None = None,
        keep: int = 2,
        best: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = file_path(path)
        self.every = whole_number("every", every, 1)
        self.every_seconds = (
            None if every_seconds is None else positive("every_seconds", every_seconds)
        )
        self.keep = whole_number("keep", keep, 1)
        self.best = best if best is None else one_of("best", best, MEASURED)
        self.metadata = metadata
        self.every_step = False
        self._ours = False
        self._complete = False
        self._since = 0.0

    def fit_begins(self, trainer: Run, epochs: int, steps: int) -> None:
        """Write the checkpoint if there is none yet, else see whether it could be written."""
        if self.best:
            check_measured("best", self.best, trainer)
        self._complete = False
        self._ours = trainer.optimizer.steps > 0
        if versions(self.path):
            check_writable(self.path)
            self._since = time.monotonic()
        else:
            self._save(trainer)

    def step_ends(self, trainer: Run) -> None:
        """Write the checkpoint if it is time."""
        if self.every_seconds and time.monotonic() - self._since >= self.every_seconds:
            self._save(trainer)

    def epoch_ends(self, trainer: Run, row: dict[str, Any]) -> None:
        """Write the checkpoint if it is time, and the best if this is it."""
        # The best first: a run killed in between makes this epoch again, and finds it again.
        if self._is_best(row, trainer.history[:-1]):
            place = self.path.with_name(f"{self.path.stem}.best{self.path.suffix}")
            trainer.save(place, metadata=self.metadata)
        if row["epoch"] % self.every == 0 and not trainer.finished:
            self._save(trainer)

    def interrupted(self, trainer: Run) -> None:
        """Write the checkpoint."""
        self._save(trainer)

    def fit_ends(self, trainer: Run) -> None:
        """Write the checkpoint of the finished fit, as the other callbacks leave it."""
        if trainer.finished and not self._complete:
            self._save(trainer)

    def _save(self, trainer: Run) -> None:
        if not math.isfinite(trainer.running_loss()):
            return  # diverged: what is there is worth more
        # What another run left there is no version of this one.
        trainer.save(self.path, keep=self.keep if self._ours else 1, metadata=self.metadata)
        for stale in versions(self.path)[1:] if not self._ours else []:
            stale.unlink(missing_ok=True)
        self._ours, self._complete, self._since = True, trainer.finished, time.monotonic()

    def _is_best(self, row: dict[str, Any], before: History) -> bool:
        best = self.best
        return best is not None and all(
            better(best, row[best], than.get(best)) for than in ({}, *before)
        )
