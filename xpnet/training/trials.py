"""The trials of a search, and where they and their trainers are kept: in memory or in a folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from xpnet.arrayfiles import read_arrays, write_arrays
from xpnet.checks import flag
from xpnet.files import UnreadableError, json_value, reading
from xpnet.layers import Network
from xpnet.training.callbacks import Checkpoint
from xpnet.training.checkpoint import read_metadata
from xpnet.training.fits import differences
from xpnet.training.history import History
from xpnet.training.trainer import Trainer

__all__ = ["Keeper", "Trial", "in_folder", "in_memory", "read_trial", "write_trial"]

EVERY_SECONDS = 30.0
"""The most training that a killed search makes again."""


@dataclass(frozen=True)
class Trial:
    """One draw and how it fared.

    Attributes
    ----------
    number : int
        From 0, in the order of the draws.
    values : dict
        The hyper-parameters by name.
    rungs : dict
        The scores each time that it was compared: by the epochs that it could have had by then, a
        tuple of one score for each fold, or of one alone.
    histories : tuple of History
        One for each fold, or one alone; of a row for each epoch.
    scored_by : str
        The column of the history that the scores are from, or the name of the metric's function.
    accuracy : float or None
        On the samples held out, the mean over the folds; 0 if the loss diverged, None where answers
        are neither right nor wrong.
    loss : float
        On the samples held out, the mean over the folds; infinite if the loss diverged.
    diverged : bool
        Whether the loss became infinite or NaN; the folds after that one were left out.
    net : Network or None
        The trained network of the best trial of a search without folds; None of all others.
    """

    number: int
    values: dict[str, Any]
    rungs: dict[int, tuple[float, ...]]
    histories: tuple[History, ...]
    scored_by: str
    accuracy: float | None
    loss: float
    diverged: bool = False
    net: Network | None = field(default=None, repr=False, compare=False)

    @property
    def epochs(self) -> int:
        """The epochs after which it was compared last; a callback may have ended it before."""
        return max(self.rungs)

    @property
    def scores(self) -> tuple[float, ...]:
        """The last score of each fold, or the one alone."""
        return self.rungs[self.epochs]

    @property
    def score(self) -> float:
        """What trials are ranked by: the mean of the last scores."""
        return fmean(self.scores)

    @property
    def history(self) -> History:
        """The history, of the first fold where there are several."""
        return self.histories[0]


def write_trial(path: Path, trial: Trial) -> None:
    """Write how a trial fared; its values are to be drawn again."""
    about = {
        "number": trial.number,
        "rungs": list(trial.rungs.items()),
        "histories": [history.as_json() for history in trial.histories],
        "scored_by": trial.scored_by,
        "accuracy": trial.accuracy,
        "loss": trial.loss,
        "diverged": trial.diverged,
    }
    write_arrays(path, {}, {"trial": json.dumps(about)})  # as text columns stay in order


def read_trial(path: Path, number: int, until: int, values: dict[str, Any]) -> Trial:
    """Read how a trial fared that was compared last after an epoch.

    Raises
    ------
    ValueError
        The file holds no such trial; the sentence begins with its path.
    """
    _, found = read_arrays(path)
    if "trial" not in found:
        raise UnreadableError(f"{path}: holds no trial")
    with reading(path, "holds no such trial"):
        about = json_value(found["trial"])
        rungs = {int(epochs): tuple(map(float, scores)) for epochs, scores in about["rungs"]}
        accuracy = about["accuracy"]
        trial = Trial(
            number,
            values,
            rungs,
            tuple(History([dict(row) for row in rows]) for rows in about["histories"]),
            str(about["scored_by"]),
            None if accuracy is None else float(accuracy),
            float(about["loss"]),
            flag("diverged", about["diverged"]),
        )
        if (about["number"], trial.epochs) != (number, until):
            raise ValueError(f"number {about['number']} after epoch {trial.epochs}")
        if not len(trial.scores) == len(trial.histories) > 0:
            raise ValueError(f"{len(trial.scores)} scores, {len(trial.histories)} histories")
    return trial


class Keeper(Protocol):
    """Where the trials of a search are kept, and the trainers of those that may go on."""

    def find(self, number: int, until: int, values: dict[str, Any]) -> Trial | None:
        """Return a trial as it was after an epoch, given its values, if it is there."""

    def keep(self, trial: Trial) -> Trial:
        """Keep a trial; return it as it is found again."""

    def trainer(self, number: int, fold: int, until: int, make: Callable[[], Trainer]) -> Trainer:
        """Return a trainer where it is in its run, that is to be trained until an epoch."""

    def pause(self, number: int, fold: int, trainer: Trainer) -> None:
        """Keep a trainer that may go on."""

    def finish(self, number: int, *, net: bool) -> None:
        """Keep in memory no more of a trial that does not go on than its network, if that."""

    def net(self, number: int) -> Network | None:
        """Return the network of a trial that is finished, if it is in memory."""

    def drop(self, number: int) -> None:
        """Forget the trainers of a trial."""

    def lend(self, number: int) -> Keeper:
        """Return what keeps the trainers of one trial, in another process perhaps."""

    def take_back(self, lent: Keeper) -> None:
        """Keep what was lent, as it comes back."""


class _Memory:
    def __init__(self) -> None:
        self._trainers: dict[tuple[int, int], Trainer] = {}
        self._nets: dict[int, Network] = {}

    def find(self, number: int, until: int, values: dict[str, Any]) -> Trial | None:
        return None

    def keep(self, trial: Trial) -> Trial:
        return trial

    def trainer(self, number: int, fold: int, until: int, make: Callable[[], Trainer]) -> Trainer:
        if (number, fold) not in self._trainers:
            self._trainers[number, fold] = make()
        return self._trainers[number, fold]

    def pause(self, number: int, fold: int, trainer: Trainer) -> None:
        """Do nothing: it is there."""

    def finish(self, number: int, *, net: bool) -> None:
        trainers = self._of(number)
        if net:
            self._nets[number] = trainers[number, 0].net

    def net(self, number: int) -> Network | None:
        return self._nets.get(number)

    def drop(self, number: int) -> None:
        self._of(number)
        self._nets.pop(number, None)

    def lend(self, number: int) -> Keeper:
        lent = _Memory()
        lent._trainers = self._of(number)
        return lent

    def take_back(self, lent: Keeper) -> None:
        assert isinstance(lent, _Memory)
        self._trainers |= lent._trainers
        self._nets |= lent._nets
        lent._trainers, lent._nets = {}, {}  # nobody else keeps what is dropped here

    def _of(self, number: int) -> dict[tuple[int, int], Trainer]:
        """Return the trainers of a trial, which are here no longer."""
        keys = [key for key in self._trainers if key[0] == number]
        return {key: self._trainers.pop(key) for key in keys}


@contextmanager
def in_memory() -> Iterator[Keeper]:
    """Keep trainers in memory, where nothing is left of them after an interruption."""
    yield _Memory()


class _Folder:
    """A file for each trial each time it is compared, and a checkpoint for each trainer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, number: int, until: int, values: dict[str, Any]) -> Trial | None:
        path = self._trial(number, until)
        if not path.exists():
            return None
        with _removable(path):
            return read_trial(path, number, until, values)

    def keep(self, trial: Trial) -> Trial:
        path = self._trial(trial.number, trial.epochs)
        write_trial(path, trial)
        return read_trial(path, trial.number, trial.epochs, trial.values)

    def trainer(self, number: int, fold: int, until: int, make: Callable[[], Trainer]) -> Trainer:
        trainer, path = make(), self._checkpoint(number, fold)
        # None at an epoch's end, where a callback may have ended the fit: that is not in it
        saving = Checkpoint(path, every=sys.maxsize, every_seconds=EVERY_SECONDS, keep=1)
        trainer.callbacks = [*trainer.callbacks, saving]
        if path.exists():
            with _removable(path):
                trainer.restore(path)
        if trainer.epoch > until:  # somebody removed the trial's file
            path.unlink()
            return self.trainer(number, fold, until, make)
        return trainer

    def pause(self, number: int, fold: int, trainer: Trainer) -> None:
        trainer.save(self._checkpoint(number, fold))

    def finish(self, number: int, *, net: bool) -> None:
        """Do nothing: none is in memory."""

    def net(self, number: int) -> Network | None:
        return None

    def lend(self, number: int) -> Keeper:
        return self

    def take_back(self, lent: Keeper) -> None:
        """Do nothing: it is there."""

    def drop(self, number: int) -> None:
        for path in self._folder.glob(f"trial-{number}-fold-*.safetensors"):
            path.unlink()

    def _checkpoint(self, number: int, fold: int) -> Path:
        return self._folder / f"trial-{number}-fold-{fold}.safetensors"

    def _trial(self, number: int, until: int) -> Path:
        return self._folder / f"trial-{number}-epoch-{until}.safetensors"


@contextmanager
def in_folder(folder: Path, given: Mapping[str, Any], first: Trainer) -> Iterator[Keeper]:
    """Keep trials and checkpoints in a folder, where the same search finds them again.

    Parameters
    ----------
    folder : path
        Made if there is none.
    given : mapping
        What the search is given, as JSON can hold it.
    first : Trainer
        A new one, as it is made for the first trial.

    Raises
    ------
    ValueError
        Another search began there, or one is in progress.
    """
    import filelock

    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = filelock.FileLock(folder / ".lock").acquire(timeout=0)
    except filelock.Timeout:
        raise ValueError(
            f"{folder}: another process searches there: wait for it, or give another folder"
        ) from None
    with lock:
        _begin(folder, given, first)
        yield _Folder(folder)


def _begin(folder: Path, given: Mapping[str, Any], first: Trainer) -> None:
    """Note what a search is given, or raise unless it is what the folder's was given."""
    path = folder / "search.safetensors"
    if path.exists():
        differing = differences(read_metadata(path), given)
        if differing:
            raise ValueError(
                f"{path}: another search began there: {'; '.join(differing.values())}: give it "
                f"what it began with, or give another folder"
            )
        first.restore(path)  # raises unless it is made as the first one was
    elif any(folder.glob("trial-*.safetensors")):
        raise ValueError(f"{path}: expected it beside the trials of a search: give another folder")
    else:
        first.save(path, metadata=given)


@contextmanager
def _removable(path: Path) -> Iterator[None]:
    """Say of a damaged file that it may go."""
    try:
        yield
    except UnreadableError as error:
        raise UnreadableError(f"{error}, or remove it, and the search makes it again") from None
