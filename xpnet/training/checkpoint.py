"""Checkpoints: everything that a run's future depends on, in one safetensors file.

Random numbers are functions of seed and step, so beside the arrays a seed and the position, to the
step, are enough to go on bit for bit.  What a fit was given is there too, for a run that is given
something else is another run.  A file is checked whole before anything in memory changes.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from xpnet.arrayfiles import read_arrays, write_arrays
from xpnet.arrays import Array
from xpnet.checks import came, file_path, flag, one_of, plain, whole_number
from xpnet.config import Configurable
from xpnet.files import UnreadableError, reading, versions
from xpnet.layers import Network
from xpnet.layers.network import described
from xpnet.losses import Loss
from xpnet.ops.batch import RECORD
from xpnet.optimizers import Optimizer
from xpnet.schedules import Schedule
from xpnet.serialize import check_arrays, restore
from xpnet.training.callbacks import Callback, decides, overrides
from xpnet.training.fits import Fit, Fits
from xpnet.training.history import History
from xpnet.training.metrics import COLUMNS
from xpnet.training.stats import Partial

__all__ = ["Resumable", "load_checkpoint", "read_metadata", "save_checkpoint"]

PARTS = ("optimizer", "loss", "schedule", "seed")
"""What a trainer must be made with to go on with a run, beside the network."""

LATER: dict[str, dict[str, Any]] = {"BatchNorm": {"sync": False}}
"""Arguments of layers that files of before lack, and what holds for them."""

CURE = "make it as it was, or begin another run with another file"


class Resumable(Protocol):
    """What a checkpoint holds of a run, and brings back."""

    net: Network
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule
    seed: int
    epoch: int
    fits: Fits
    history: History
    callbacks: list[Callback]
    began_with: list[Any] | None
    _partial: Partial | None

    @property
    def partial(self) -> Partial | None:
        """The position within the epoch in progress."""

    @property
    def plain(self) -> bool:
        """Whether each batch makes one update."""


def save_checkpoint(
    trainer: Resumable,
    path: str | Path,
    *,
    keep: int = 1,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a trainer's network, optimizer and position in its run."""
    arrays = {f"params/{name}": array for name, array in trainer.net.params.items()}
    arrays |= {f"state/{name}": array for name, array in trainer.net.state.items()}
    arrays |= {f"slots/{name}": array for name, array in trainer.optimizer.state().items()}
    partial, remembered = trainer.partial, []
    for i, callback in enumerate(_remembering(trainer)):
        state = callback.state()
        found = {name: value for name, value in state.items() if hasattr(value, "dtype")}
        arrays |= {f"callbacks/{i}/{name}": array for name, array in found.items()}
        values = {name: plain(state[name]) for name in state.keys() - found.keys()}
        remembered.append([type(callback).__name__, values, decides(callback)])
    about = {
        **_made_of(trainer),
        "hyperparameters": trainer.optimizer.config(),
        "frozen": trainer.net.frozen,
        "steps": trainer.optimizer.steps,
        "epoch": trainer.epoch,
        "partial": partial and partial._asdict(),
        "fits": [fit.described() for fit in trainer.fits.all],
        "history": trainer.history.as_json(),
        "callbacks": remembered,
        "metadata": dict(metadata or {}),
    }
    write_arrays(path, arrays, {"checkpoint": about}, keep=keep)


def _remembering(trainer: Resumable) -> list[Callback]:
    """Return the callbacks that remember something."""
    return [callback for callback in trainer.callbacks if overrides(callback, "state")]


def _made_of(trainer: Resumable) -> dict[str, Any]:
    """Return what a trainer was made with, as it comes out of a file."""
    parts = {
        "network": described(trainer.net),
        "seed": trainer.seed,
        "optimizer": trainer.began_with or configuration(trainer.optimizer),
        "loss": configuration(trainer.loss),
        "schedule": [float(trainer.schedule(step, 100)) for step in range(100)],  # told by values
    }
    return dict(json.loads(json.dumps(parts)))


def configuration(part: Configurable) -> list[Any]:
    """Return a class's name and the arguments that make an instance again."""
    return [type(part).__name__, part.config()]


def configure(optimizer: Optimizer, hyperparameters: Mapping[str, Any]) -> None:
    """Give an optimizer what it had: a callback, or a script between two fits, may change it."""
    for name, value in hyperparameters.items():
        if optimizer.config()[name] != value:
            setattr(optimizer, name, value)


class _Remembered(NamedTuple):
    """What a callback remembered."""

    name: str
    state: dict[str, Any]
    deciding: bool


@dataclass
class _Saved:
    """A checkpoint that was read and found whole."""

    path: Path
    arrays: dict[str, Array]
    made_of: dict[str, Any]
    hyperparameters: dict[str, Any]
    frozen: list[str] | None
    steps: int
    epoch: int
    partial: Partial | None
    fits: list[Fit]
    history: list[dict[str, Any]]
    callbacks: list[_Remembered]
    metadata: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> _Saved:
        """Read a file, and check that its parts agree."""
        arrays, about = read_arrays(path)
        if "checkpoint" not in about:
            raise UnreadableError(f"{path}: holds no checkpoint")
        with reading(path, "holds no whole checkpoint"):
            found = cls._parsed(path, arrays, about["checkpoint"])
            found._check()
        return found

    @classmethod
    def _parsed(cls, path: Path, arrays: dict[str, Array], about: dict[str, Any]) -> _Saved:
        partial = about.get("partial")
        if "fits" in about:
            past = [Fit(**fit) for fit in about["fits"]]
        elif about["began"] is None:  # as files were before fits were remembered
            past = []
        else:
            past = [Fit({}, about["began"])]
        return cls(
            path,
            arrays,
            {"network": _completed(about["network"]), **{name: about[name] for name in PARTS}},
            dict(about.get("hyperparameters", about["optimizer"][1])),
            about.get("frozen"),
            about["steps"],
            about["epoch"],
            partial and Partial(**partial),
            past,
            [_in_order(row) for row in about["history"]],
            [
                _Remembered(str(name), dict(values) | _under(f"callbacks/{i}/", arrays), deciding)
                for i, (name, values, deciding) in enumerate(about.get("callbacks", []))
            ],
            dict(about.get("metadata", {})),
        )

    def _check(self) -> None:
        """Raise unless the position, the history and the fits tell of one run."""
        epoch = whole_number("epoch", self.epoch)
        if [row["epoch"] for row in self.history] != list(range(1, epoch + 1)):
            raise ValueError(f"its epoch is {epoch}, its history has {len(self.history)}")
        if self.partial is not None:
            whole_number("batches", self.partial.batches)
            for name, total in self.partial.record.items():
                float(total), one_of("record", name, RECORD)
        whole_number("steps", self.steps, self._steps_before)
        self._check_fits()
        if self.partial is not None and (not self.fits or self.fits[-1].finished):
            raise ValueError("an epoch is in progress, but no fit")

    @property
    def _steps_before(self) -> int:
        """Steps made before the epoch in progress."""
        return int(self.history[-1]["steps"]) if self.history else 0

    def _check_steps(self) -> None:
        """Raise unless each batch was a step: those of one's own may make fewer updates."""
        least = self._steps_before + (self.partial.batches if self.partial else 0)
        whole_number("steps", self.steps, max(least, self.epoch))
        last = self.fits[-1] if self.fits else None
        within = last and last.given and not last.finished and self.epoch > last.began
        if within and self.steps != least:  # there was no step beside those of its epochs
            raise ValueError(f"its steps are {self.steps}, those of its epochs {least}")

    def _check_fits(self) -> None:
        past, epoch = self.fits, self.epoch
        for fit in past:
            whole_number("began", fit.began, 0, epoch)
            flag("finished", fit.finished)
            for part in (fit.given, fit.depends, fit.hyperparameters, fit.left):
                if not isinstance(part, dict):
                    raise ValueError(f"a fit was given {part!r}")
            if fit.given:
                whole_number("epochs", fit.given["epochs"], 1)
        if not all(fit.finished for fit in past[:-1]):
            raise ValueError("a fit follows one that is not finished")
        if past and past[-1].given and not past[-1].finished and epoch >= past[-1].last:
            raise ValueError("its last fit is at its end, but not finished")

    def check_goes_with(self, trainer: Resumable) -> None:
        """Raise unless a trainer may go on with this."""
        path, own = self.path, _made_of(trainer)
        for part in PARTS:
            before, now = self.made_of[part], own[part]
            if part == "schedule" and before == now[::7]:  # fewer values in older files
                continue
            if before != now:
                schedule = part == "schedule"
                what = _other_factor(now, before) if schedule else _difference(now, before, part)
                raise UnreadableError(f"{path}: {what}: {CURE}")
        check_arrays(trainer.net, self.arrays, str(path))
        if self.made_of["network"] != own["network"]:
            difference = _difference(own["network"], self.made_of["network"], "network")
            raise UnreadableError(f"{path}: {difference}: {CURE}")
        if trainer.plain:
            with reading(path, "holds no whole checkpoint"):
                self._check_steps()
        with reading(path, "holds no whole checkpoint"):
            for frozen in (self.frozen, *(fit.frozen for fit in self.fits)):
                if frozen is not None:
                    trainer.net.check_frozen(frozen)
        with reading(path, "holds no state of such an optimizer"):
            trainer.optimizer.check_state(self.slots, self.steps, trainer.net.params)
            for one in (self.hyperparameters, *(fit.left for fit in self.fits)):
                configure(copy.copy(trainer.optimizer), one)
        for callback, (name, state, _) in self.remembered_by(trainer):
            with reading(self.path, f"holds no state of such a {name}"):
                copy.copy(callback).load_state(trainer, state)

    def remembered_by(self, trainer: Resumable) -> list[tuple[Callback, _Remembered]]:
        """Return a trainer's callbacks with what they are to remember; raise if one is missing."""
        callbacks, waiting = _remembering(trainer), list(self.callbacks)
        own = [type(callback).__name__ for callback in callbacks if decides(callback)]
        saved = [name for name, _, deciding in waiting if deciding]
        if own != saved:
            raise UnreadableError(f"{self.path}: {_differ(own, saved, 'callbacks')}: {CURE}")
        pairs = []
        for callback in callbacks:
            same = (one for one in waiting if one.name == type(callback).__name__)
            if (one := next(same, None)) is not None:
                waiting.remove(one)
                pairs.append((callback, one))
        return pairs

    @property
    def slots(self) -> dict[str, Array]:
        """What the optimizer remembered."""
        return _under("slots/", self.arrays)


def _completed(about: Any) -> Any:
    """Return a description of layers with the arguments that older files lack."""
    if isinstance(about, list):
        return [_completed(one) for one in about]
    if isinstance(about, dict) and isinstance(about.get("layer"), str):
        given = {name: _completed(one) for name, one in about.items()}
        return LATER.get(about["layer"], {}) | given
    return about


def _under(start: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays whose names begin so, by what follows."""
    return {n.removeprefix(start): a for n, a in arrays.items() if n.startswith(start)}


def _in_order(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the history with its columns as a run makes them: JSON has them sorted."""
    return {name: row[name] for name in (*COLUMNS, *row) if name in row}


def load_checkpoint(trainer: Resumable, path: str | Path, *, exact: bool = True) -> None:
    """Bring a trainer, made as the one that was saved, to the saved position."""
    saved = _last_whole(file_path(path))
    saved.check_goes_with(trainer)
    restore(trainer.net, saved.arrays, str(saved.path))
    trainer.optimizer.load_state(saved.slots, saved.steps)
    trainer.began_with = saved.made_of["optimizer"] if saved.fits else None
    configure(trainer.optimizer, saved.hyperparameters)
    trainer.epoch, trainer._partial = saved.epoch, saved.partial
    trainer.fits = Fits(saved.fits, saved.hyperparameters, exact=exact)
    if trainer.fits.unfinished:
        saved.fits[-1].left, saved.fits[-1].frozen = saved.hyperparameters, saved.frozen
    trainer.history = History(saved.history)
    for callback, (_, state, _) in saved.remembered_by(trainer):
        callback.load_state(trainer, state)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return what else was kept with the checkpoint that a restoration would take.

    Raises
    ------
    ValueError
        There is no whole checkpoint.
    OSError
        It cannot be read.
    """
    return _last_whole(file_path(path)).metadata


def _last_whole(path: Path) -> _Saved:
    """Return the newest version of a checkpoint that is whole; say so if it is not the newest."""
    newest, first = [path] * path.exists(), None
    for one in [*newest, *versions(path)[len(newest) :]] or [path]:
        try:
            saved = _Saved.read(one)
        except ValueError as error:
            first = first or error
            continue
        if first is not None:
            warnings.warn(
                f"{first}: going on from the version before it, {one}, after step {saved.steps}",
                RuntimeWarning,
                stacklevel=4,
            )
        return saved
    assert first is not None
    raise first


def _other_factor(own: list[float], saved: Any) -> str:
    """Return in words where two schedules of 100 steps part, the second out of a file."""
    if not isinstance(saved, list) or len(saved) != len(own):
        return f"expected schedule's factors at {len(own)} steps, got {came(saved)}"
    step = next(i for i, one in enumerate(own) if one != saved[i])
    return f"expected schedule's factor {own[step]} at step {step} of 100, got {saved[step]}"


def _difference(own: Any, saved: Any, at: str) -> str:
    """Return where two descriptions that are not equal differ."""
    if type(own) is type(saved) is dict and own.keys() == saved.keys():
        key = next(key for key in own if own[key] != saved[key])
        return _difference(own[key], saved[key], f"{at}.{key}")
    if type(own) is type(saved) is list and len(own) == len(saved):
        if [type(one) for one in own] == [str, dict]:  # a class's name and its arguments
            same = own[0] == saved[0]
            return _difference(own[1], saved[1], at) if same else _differ(own, saved, at)
        i = next(i for i, one in enumerate(own) if one != saved[i])
        return _difference(own[i], saved[i], f"{at}.{i}")
    return _differ(own, saved, at)


def _differ(own: Any, saved: Any, at: str) -> str:
    return f"expected {at} {came(own)}, got {came(saved)}"
