"""Callbacks: what else happens while a network trains."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Protocol, TextIO

from xpnet.arrays import Array
from xpnet.checks import whole_number
from xpnet.layers import Network
from xpnet.losses import Loss
from xpnet.optimizers import Optimizer
from xpnet.training.history import History

__all__ = ["Callback", "Checkpoint", "HistoryFile", "ProgressBar", "Run", "Table"]


class Run(Protocol):
    """What a callback sees of a run: the trainer, of which this is a part."""

    net: Network
    loss: Loss
    optimizer: Optimizer
    history: History
    epoch: int

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

    def save(self, path: str | Path) -> None:
        """Write a checkpoint."""

    def stop(self) -> None:
        """End the fit after this step, or this epoch."""


class Callback:
    """Called by a trainer at each stage of a fit; each method may do nothing.

    What a callback may count on of the trainer is :class:`Run`.

    Attributes
    ----------
    every_step : bool
        Whether ``step_ends`` is to be called after each single step.  Where no callback wants
        that, a GPU that replays steps makes several between two calls.
    """

    every_step: bool = True

    def fit_begins(self, trainer: Any, epochs: int, steps: int) -> None:
        """Before the first step; ``steps`` is the number of steps in an epoch."""

    def step_ends(self, trainer: Any) -> None:
        """After each update."""

    def epoch_ends(self, trainer: Any, row: dict[str, Any]) -> None:
        """After each epoch and its validation, with the row just added to the history."""

    def fit_ends(self, trainer: Any) -> None:
        """After the last epoch, and when an error or Ctrl-C ends the fit."""


class ProgressBar(Callback):
    """A bar for each epoch with loss and throughput; silent unless stderr is a terminal.

    Parameters
    ----------
    every : int
        Steps between two looks at the loss, each of which waits for an accelerator.
    """

    def __init__(self, every: int = 50) -> None:
        self.every = whole_number("every", every, 1)
        self.every_step = False
        self._bar: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_bar": None}  # a terminal's, which stays where it is

    def fit_begins(self, trainer: Run, epochs: int, steps: int) -> None:
        """Remember the sizes."""
        self._epochs, self._steps = epochs, steps

    def step_ends(self, trainer: Run) -> None:
        """Move the bar on."""
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=self._steps,
                desc=f"epoch {trainer.epoch + 1}",
                unit="step",
                leave=False,
                disable=None,
                file=sys.stderr,
            )
        if self._bar.disable:
            return
        before = self._bar.n
        self._bar.update(trainer.epoch_steps - before)
        if self._bar.n // self.every > before // self.every:
            self._bar.set_postfix(
                loss=f"{trainer.running_loss():.4f}",
                images_per_s=f"{trainer.running_throughput():,.0f}",
                refresh=False,
            )

    def epoch_ends(self, trainer: Run, row: dict[str, Any]) -> None:
        """Take the bar away."""
        self.fit_ends(trainer)

    def fit_ends(self, trainer: Run) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Table(Callback):
    """One printed row an epoch.

    Parameters
    ----------
    file : text stream, optional
        By default standard output.
    """

    COLUMNS = (
        ("epoch", "epoch", "d"),
        ("train_loss", "train loss", ".4f"),
        ("train_accuracy", "train acc", ".4f"),
        ("validation_loss", "val loss", ".4f"),
        ("validation_accuracy", "val acc", ".4f"),
        ("lr", "lr", ".2e"),
        ("seconds", "seconds", ".1f"),
        ("samples_per_second", "samples/s", ",.0f"),
    )

    def __init__(self, file: TextIO | None = None) -> None:
        self.file = file
        self._headed = False

    def epoch_ends(self, trainer: Run, row: dict[str, Any]) -> None:
        """Print the row, below a heading the first time."""
        shown = [column for column in self.COLUMNS if row[column[0]] is not None]
        if not self._headed:
            print("  ".join(f"{title:>10}" for _, title, _ in shown), file=self.file)
            self._headed = True
        cells = (f"{row[name]:>10{form}}" for name, _, form in shown)
        print("  ".join(cells), file=self.file, flush=True)


class HistoryFile(Callback):
    """The history so far in a file of JSON lines, brought up to date after each epoch.

    Parameters
    ----------
    path : path
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def epoch_ends(self, trainer: Run, row: dict[str, Any]) -> None:
        """Write the file."""
        trainer.history.save(self.path)


class Checkpoint(Callback):
    """The whole state of a run in a file, from which it continues as if never interrupted.

    Parameters
    ----------
    path : path
        Replaced whole each time.
    every : int
        Epochs between two.
    """

    def __init__(self, path: str | Path, every: int = 1) -> None:
        self.path = Path(path)
        self.every = whole_number("every", every, 1)

    def epoch_ends(self, trainer: Run, row: dict[str, Any]) -> None:
        """Write the checkpoint."""
        if row["epoch"] % self.every == 0:
            trainer.save(self.path)
