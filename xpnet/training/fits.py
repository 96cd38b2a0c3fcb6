"""The fits of a run: what each was given, and whether it is finished.

A script that trains is run again from its start after an interruption.  Its calls of ``fit`` are
then matched, in order, with those that a checkpoint remembers: a finished one has nothing left to
do, the unfinished one goes on, and one that is given something else than before is refused.
"""

from __future__ import annotations

import re
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from xpnet import ops
from xpnet.data import Batches, Blocks, Dataset
from xpnet.data.fingerprint import fingerprint
from xpnet.layers import Network
from xpnet.schedules import Schedule
from xpnet.training.callbacks import Callback, decides
from xpnet.training.prepare import rate_factors

__all__ = ["Fit", "Fits", "depends_on", "given_to"]

RESUMED_ELSEWHERE = ("device", "precision")
"""What an inexact resumption may change."""

STEPS = {"epochs", "batch_size", "drop_last", "train"}
"""What the number of a fit's steps comes from."""

LOOKS = 100
"""Steps of a fit at which its schedule is looked at, or nearly that many."""

BY_BLAS = "of BLAS, where it is as wide"
"""By what matrix products are computed on a processor, where steps are not recorded."""


@dataclass
class Fit:
    """One call of ``Trainer.fit``.

    Attributes
    ----------
    given : dict
        What decides the numbers that it computes, as JSON can hold it.
    began : int
        The epoch at which it began.
    finished : bool
    depends : dict
        What the last bits of those numbers depend on beside: threads and versions.
    hyperparameters, left : dict
        Of the optimizer: as the fit began; as it ended, or where a checkpoint left it.
    frozen : list of str, optional
        The layers that were frozen as it ended, or where a checkpoint left it.
    """

    given: dict[str, Any]
    began: int
    finished: bool = False
    depends: dict[str, Any] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    left: dict[str, Any] = field(default_factory=dict)
    frozen: list[str] | None = None

    @property
    def last(self) -> int:
        """The epoch at which it ends."""
        return self.began + int(self.given["epochs"])

    def described(self) -> dict[str, Any]:
        """Return all of it, for JSON."""
        return asdict(self)


class Setting(Protocol):
    """What a fit is given by its trainer."""

    net: Network
    schedule: Schedule
    callbacks: list[Callback]
    accumulate: int


def given_to(
    batches: Batches,
    train: Dataset,
    validation: Dataset | None,
    epochs: int,
    trainer: Setting,
    shards: int | None = None,
) -> dict[str, Any]:
    """Return what a fit is given, as :class:`Fit` keeps it."""
    total, name = epochs * len(batches), batches.device.name
    factors = rate_factors(trainer.schedule, range(0, total, max(1, total // LOOKS)), total)
    shuffle = batches.shuffle
    deciding = [one for one in trainer.callbacks if decides(one)]
    return {
        "epochs": epochs,
        "batch_size": batches.batch_size,
        "shuffle": asdict(shuffle) if isinstance(shuffle, Blocks) else shuffle,
        "drop_last": batches.drop_last,
        "train": fingerprint(train),
        "validation": None if validation is None else fingerprint(validation),
        "device": _of_all(name, shards),
        "precision": trainer.net.own.precision,
        "accumulate": trainer.accumulate,
        "shards": shards,
        "augmentation": train.augmentation and train.augmentation.described(),
        "callbacks": [[type(one).__name__, one.config()] for one in deciding],
        "schedule": f"of checksum {zlib.crc32(repr(factors).encode()):08x}",
        "frozen": trainer.net.frozen,
    }


def depends_on(
    net: Network, threads: int, shards: int | None = None, *, loops: bool = False
) -> dict[str, Any]:
    """Return what the bits of a run depend on, beside what it is given.

    Parameters
    ----------
    net : Network
    threads : int
    shards : int or None
    loops : bool
        Whether steps are made by compiled loops alone, products too.
    """
    place = net.device
    found = {**place.describe(), "bodies": ops.serving(place.library), "threads": threads}
    if place.records_loops:
        found["products"] = "of compiled loops" if loops else BY_BLAS
    return found | {"device": _of_all(place.name, shards)}


def _of_all(device: str, shards: int | None) -> str:
    """Return what the devices of a run are called: of several processes each has a GPU."""
    return device if shards is None else re.sub(r":\d+$", "", device)


class Fits:
    """The fits of a trainer, in order, and which of them comes next.

    Parameters
    ----------
    past : sequence of Fit
        Those that a checkpoint remembers.
    hyperparameters : mapping, optional
        The optimizer's, as the checkpoint brought them back.
    exact : bool
        Whether they are to go on bit for bit.
    """

    def __init__(
        self,
        past: list[Fit] | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        *,
        exact: bool = True,
    ) -> None:
        self.all = list(past or [])
        self.exact = exact
        self._restored = hyperparameters
        self._next = 0

    @property
    def current(self) -> Fit | None:
        """The fit in progress, or the last one."""
        return self.all[self._next - 1] if self._next else None

    @property
    def unfinished(self) -> bool:
        """Whether the last fit was interrupted."""
        return bool(self.all) and not self.all[-1].finished

    def upcoming(self, *, resume: bool) -> Fit | None:
        """Return the fit that the next call goes on with, or repeats; None if it is a new one."""
        at = self._next - (self.unfinished and self._next == len(self.all))
        return self.all[at] if resume and at < len(self.all) else None

    def begin(
        self,
        given: dict[str, Any],
        epoch: int,
        *,
        resume: bool,
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> Fit:
        """Return the fit that a call is: the next one remembered, or a new one.

        Parameters
        ----------
        given : dict
            As :func:`given_to` returns it.
        epoch : int
            At which a new one begins.
        resume : bool
            False: it is a new one, whatever is remembered.
        hyperparameters : mapping, optional
            The optimizer's.  Those of a fit remembered from a checkpoint, its ``left``, are to be
            set then, and its ``frozen`` layers: what a script does between two fits is done to the
            right ones.

        Raises
        ------
        ValueError
            The next one that is remembered was given something else.
        """
        now = dict(hyperparameters or {})
        at = self._next if resume else len(self.all)
        if not resume:
            for fit in self.all:
                fit.finished = True
        elif self.unfinished and self._next == len(self.all):
            at -= 1  # interrupted, and called again in the same process
            self._restored = now  # changed on purpose, or not at all
        if at == len(self.all):
            self.all.append(Fit(given, epoch, hyperparameters=now))
        else:
            fit = self.all[at]
            untouched = now == self._restored
            if "frozen" in fit.given and given.get("frozen") == fit.frozen:
                given = given | {"frozen": fit.given["frozen"]}  # as callbacks had left it
            self._check(at, given, fit.hyperparameters if untouched else now)
            fit.given = given
        self._next = at + 1
        return self.all[at]

    def forget(self, fit: Fit) -> None:
        """Forget the fit in progress, the last one."""
        self.all.remove(fit)
        self._next -= 1

    def check_depends(self, depends: dict[str, Any]) -> None:
        """Note what the bits of the fit in progress depend on; warn if that has changed."""
        fit = self.all[self._next - 1]
        before = fit.depends
        if before and "products" in depends:  # as it was where nothing was said of it
            before = {"products": BY_BLAS} | before
        differing = differences(before, depends) if before else {}
        fit.depends = depends
        if differing:
            warn_of_bits(differing)

    def _check(self, at: int, given: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        fit = self.all[at]
        differing = differences(fit.given, given) | differences(fit.hyperparameters, now)
        if differing.keys() & STEPS:
            differing.pop("schedule", None)  # it was looked at where the steps were others
        allowed = () if self.exact else RESUMED_ELSEWHERE
        refused = [d for name, d in differing.items() if name not in allowed]
        if refused:
            cure = "give it what it began with, or begin a new fit from here with resume=False"
            if not differing.keys() - set(RESUMED_ELSEWHERE):
                cure += ", or go on all the same, with other rounding, after restore(exact=False)"
            raise ValueError(
                f"fit: the fit to go on with, number {at + 1} of this run, was given "
                f"something else: {'; '.join(refused)}: {cure}"
            )
        if differing:
            warn_of_bits(differing)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Return in words what differs between two flat descriptions, by name.

    What only one of them says was unknown to the version that wrote the other.
    """
    return {
        name: f"{name} expected {before[name]!r}, got {now[name]!r}"
        for name in sorted(before.keys() & now.keys())
        if before[name] != now[name]
    }


def warn_of_bits(differing: Mapping[str, str]) -> None:
    """Warn that a run goes on with other bits than it would have had."""
    warnings.warn(
        f"the run goes on, but its last bits will differ from those of a run never interrupted: "
        f"{'; '.join(differing.values())}",
        RuntimeWarning,
        stacklevel=4,
    )
