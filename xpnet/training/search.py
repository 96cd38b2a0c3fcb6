"""Random search: hyper-parameters drawn at random, compared on samples held out."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from xpnet.checks import (
    arguments,
    came,
    check_fields,
    file_path,
    flag,
    function,
    one_of,
    plain,
    takes_exactly,
    whole_number,
)
from xpnet.data import Dataset
from xpnet.data.fingerprint import fingerprint
from xpnet.layers import Network
from xpnet.training.callbacks import Callback
from xpnet.training.history import History
from xpnet.training.metrics import COLUMNS, MEASURED, RISING
from xpnet.training.prepare import answers, check_dataset, prepared
from xpnet.training.spaces import Range, Space, in_words
from xpnet.training.trainer import DivergedError, Trainer
from xpnet.training.trials import Keeper, Trial, in_folder, in_memory
from xpnet.training.workers import Calls, Submits, calls

__all__ = ["SuccessiveHalving", "random_search"]

Metric = str | Callable[[Trainer, Dataset], float]

Scores = dict[int, tuple[float, ...]]
"""Of a trial, each time that it was compared: see :attr:`Trial.rungs`."""


@dataclass(frozen=True)
class SuccessiveHalving:
    """Fewer and fewer trials that are trained longer and longer.

    All are trained for ``min_epochs``, the best ``1 / factor`` of them (rounded up) go on to
    ``min_epochs * factor`` epochs, the best of those to ``factor`` times as many, and so on, until
    the last ones have all their epochs.

    Parameters
    ----------
    factor : int
        At least 2.
    min_epochs : int
        At least 1.

    Notes
    -----
    Karnin, Koren and Somekh, "Almost optimal exploration in multi-armed bandits", 2013; Jamieson
    and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", 2016.
    """

    factor: int = 3
    min_epochs: int = 1

    def __post_init__(self) -> None:
        check_fields(self, factor=partial(whole_number, least=2))
        check_fields(self, min_epochs=partial(whole_number, least=1))

    def rungs(self, epochs: int) -> list[int]:
        """Return after how many epochs trials are compared that have ``epochs`` in all."""
        rungs, until = [], self.min_epochs
        while until < epochs:
            rungs.append(until)
            until *= self.factor
        return [*rungs, epochs]

    def survivors(self, trials: int) -> int:
        """Return how many of some trials go on."""
        return -(-trials // self.factor)


@arguments("write random_search(make_trainer, data, space, trials=..., epochs=...)")
def random_search(
    make_trainer: Callable[..., Trainer],
    data: Dataset,
    space: Mapping[str, Range | Sequence[Any]],
    trials: int,
    epochs: int,
    batch_size: int = 100,
    *,
    held_out: float = 0.2,
    validation: Dataset | None = None,
    folds: int | None = None,
    metric: Metric | None = None,
    maximize: bool | None = None,
    halving: int | SuccessiveHalving | None = None,
    folder: str | Path | None = None,
    seed: int = 0,
    report: Callable[[Trial], Any] | None = None,
    executor: Submits | None = None,
) -> list[Trial]:
    """Train with hyper-parameters drawn at random; return the trials, the best first.

    Parameters
    ----------
    make_trainer : callable
        Takes the names in ``space`` as keywords and returns a new trainer with a new network.
    data : Dataset
        With labels, or numbers to come near to.
    space : mapping of str to Uniform, LogUniform or Integers, or to a list of choices
        What is drawn.  A draw depends on seed, name and number alone: more trials leave the first
        as they are.
    trials : int
    epochs : int
        Of each trial.
    batch_size : int
    held_out : float
        The share of the samples, chosen at random, on which trials are compared.
    validation : Dataset, optional
        The samples on which trials are compared; all of ``data`` is trained on then.
    folds : int, optional
        Each of so many parts of ``data`` is held out in turn (:meth:`Dataset.folds`, stratified if
        there are labels), each time for a new trainer; what is compared is the mean.
    metric : str or callable, optional
        What trials are compared by: a column of the history, such as ``"validation_loss"`` or one
        that a callback adds, or a function of (trainer, dataset held out) that returns a number.
        By default the validation's accuracy, or its loss where answers are neither right nor wrong.
    maximize : bool, optional
        Whether the highest number of a function, or of a callback's column, is the best.
    halving : int or SuccessiveHalving, optional
        Trials that are not among the best end early: a third goes on by ``halving=3``.
    folder : path, optional
        Where trials are kept.  The same call made again, after it was interrupted at any instant,
        goes on there, to the same result; without ``halving`` there may be more trials then.
    seed : int
    report : callable, optional
        Called with each trial as it ends; with ``halving``, each time it is compared.
    executor : concurrent.futures.Executor, optional
        Whose workers make the trials, several at a time, with the result that they have one after
        the other: a ProcessPoolExecutor, loky's, Dask's (``client.get_executor()``), MPI's
        (``mpi4py.futures``).  It is not shut down.  See the notes.

    Returns
    -------
    list of Trial
        Those with most epochs first, and of these the best score; equal ones in the order they were
        drawn, and those that diverged last.  Without ``folds`` the first has its trained network:
        ``net = random_search(...)[0].net``.  After ``folds``, train on all of the data:
        ``make_trainer(**best.values).fit(data, epochs)``.

    Raises
    ------
    ValueError
        There is nothing to draw, or a number is out of range; the metric is not measured; the
        folder is that of another search, or a file there is damaged.
    TypeError
        There is something else than a range or choices to draw from, or ``make_trainer`` makes
        something else than a new trainer with a new network; or what workers are to be given
        cannot be pickled.
    OSError
        The folder cannot be written or read.

    Notes
    -----
    Bergstra and Bengio, "Random search for hyper-parameter optimization", 2012.

    A score is that of the network as a trial leaves it: where a callback ends the fit early or
    brings earlier weights back, of those.  The trainers that may go on are in memory; with
    ``folder`` they are checkpoints, and in memory is one.

    With ``executor`` the trials, and the best one's network, have the bits that they have without,
    on equal processors and with equal versions: each worker computes with as many threads as this
    process would, whatever its environment says.  ``with xpnet.threads(1):`` around the call gives
    each one a core.  A worker makes one trial at a time, its threads take turns; of threads of this
    process no use is made.  Trials are reported as they end.  The first error of a trial is raised
    here; then, and on Ctrl-C, those that have not begun are cancelled.

    For each trial, and again each time that it goes on, there travel to a worker ``make_trainer``,
    ``space``, ``metric`` and the data; back come its numbers and histories, and as it ends its
    network, unless there are ``folds``.  A trainer that may go on comes back with its optimizer,
    and goes out again if it does.  With ``folder`` neither networks nor trainers travel: all
    workers are to find it under the same path.  There a trial is kept as it ends, so that a search
    whose process is killed makes at most those again that were in progress, from their checkpoints.

    Functions and classes travel by name, from modules that workers can import; closures, and what a
    script or a notebook defines, travel where cloudpickle is installed.

    Examples
    --------
    >>> with ProcessPoolExecutor(4) as pool, xpnet.threads(1):
    ...     best, *others = random_search(make_trainer, train, space, 20, 9, executor=pool)

    >>> with Client("scheduler:8786") as client:  # of dask.distributed
    ...     best, *others = random_search(
    ...         make_trainer, train, space, 20, 9, executor=client.get_executor()
    ...     )
    """
    if report is not None:
        function("report", report, "a Trial")
    trials, epochs = whole_number("trials", trials, 1), whole_number("epochs", epochs, 1)
    seed, batch_size = whole_number("seed", seed), whole_number("batch_size", batch_size, 1)
    drawn, race = Space(space, seed), _race(halving, epochs)
    maker, score = _Maker(make_trainer, drawn), _Score(metric, maximize)
    parts = _Parts(data, held_out, validation, folds, seed)
    fitting = _Fitting(maker, parts.pairs, score, epochs, batch_size)
    called = calls(fitting.parts_of, executor)
    if folder is None:
        keeping = in_memory()
    else:
        given = {
            **drawn.described(),
            **parts.described(),
            **score.described(),
            "epochs": epochs,
            "batch_size": batch_size,
            "halving": None if halving is None else repr(race),
            "trials": None if halving is None else trials,
        }
        keeping = in_folder(file_path(folder, "folder"), given, maker.new(0))
    with keeping as keeper:
        return _Search(fitting, race, keeper, report, called).run(trials)


def _race(halving: Any, epochs: int) -> SuccessiveHalving:
    """Return when trials are compared, and how many of them go on."""
    if halving is None:
        return SuccessiveHalving(min_epochs=epochs)
    if not isinstance(halving, SuccessiveHalving):
        return SuccessiveHalving(whole_number("halving", halving, 2))
    if halving.min_epochs > epochs:
        raise ValueError(
            f"halving: expected min_epochs of at most epochs, {epochs}, got {halving.min_epochs}"
        )
    return halving


_seen: WeakValueDictionary[int, Network] = WeakValueDictionary()
"""The networks that trials had in this process, those that are still there, by identity."""


class _Maker:
    """What makes the trainer of a trial, and sees that it is a new one."""

    def __init__(self, make_trainer: Callable[..., Trainer], space: Space) -> None:
        function("make_trainer", make_trainer, "the names in space that returns a Trainer")
        taken = takes_exactly(make_trainer, 0, space.ranges)
        if taken is not None:
            raise TypeError(
                f"make_trainer: expected a function that takes {', '.join(space.ranges)} by name, "
                f"as space has them, got one of {taken}"
            )
        self._make, self.values = make_trainer, space.draw

    def new(self, number: int) -> Trainer:
        """Return a new trainer for a trial."""
        made = self._make(**self.values(number))
        if not isinstance(made, Trainer):
            raise TypeError(f"make_trainer: expected it to return a Trainer, got {made!r}")
        if made.epoch or id(made.net) in _seen:
            raise TypeError(
                "make_trainer: expected a new trainer with a new network for each trial, got one "
                "that was trained before: make both within the function"
            )
        _seen[id(made.net)] = made.net
        return made


@dataclass(frozen=True)
class _Folds:
    """The samples to train on and those held out, for each fold."""

    data: Dataset
    count: int
    seed: int

    def __iter__(self) -> Iterator[tuple[Dataset, Dataset]]:
        return self.data.folds(self.count, self.seed, stratify=self.data.has_labels)


Pairs = _Folds | list[tuple[Dataset, Dataset]]


class _Parts:
    """The samples to train on and those held out: once, or for each fold."""

    def __init__(
        self,
        data: Dataset,
        held_out: float,
        validation: Dataset | None,
        folds: int | None,
        seed: int,
    ) -> None:
        check_dataset("random_search", data)
        if validation is not None:
            check_dataset("validation", validation)
        if folds is None:
            once = data.split(held_out, seed) if validation is None else (data, validation)
            self.pairs: Pairs = [once]
        elif validation is not None:
            raise ValueError("folds: expected None beside validation=, which is what is held out")
        else:
            self.pairs = _Folds(data, folds, seed)
            iter(self.pairs)  # may raise
        self._data, self._validation = data, validation
        self._given = {"held_out": held_out, "folds": folds, "seed": seed}

    def described(self) -> dict[str, Any]:
        """Return what the parts are a function of."""
        held_out = self._validation
        return {
            "data": fingerprint(self._data),
            "validation": None if held_out is None else fingerprint(held_out),
            **self._given,
        }


class _Score:
    """What trials are compared by."""

    def __init__(self, metric: Metric | None, maximize: bool | None) -> None:
        self._metric, self._maximize = metric, maximize
        if metric is not None and not isinstance(metric, str):
            function("metric", metric, "(trainer, dataset)")
        elif metric is None or metric in MEASURED:
            if maximize is not None:
                raise ValueError("maximize: expected None, for the name of a column tells")
            return
        elif maximize is None:
            one_of("metric", metric, MEASURED)  # it is none of them
        flag("maximize", maximize, "whether the highest number of metric is the best")

    def described(self) -> dict[str, Any]:
        """Return it in words that are the same in every process."""
        metric = in_words(self._metric) if callable(self._metric) else self._metric
        return {"metric": metric, "maximize": self._maximize}

    def of(self, trainer: Trainer, held: Dataset, row: Mapping[str, Any]) -> tuple[str, float]:
        """Return what a network is scored by, and its score.

        Parameters
        ----------
        row : mapping
            Of the history, about the network as it is.
        """
        if callable(self._metric):
            value = plain(self._metric(trainer, held))
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"metric: expected it to return a number, got {came(value)}")
            return self._name(None), float(value)
        name = self._name(row.get("validation_accuracy"))
        if row.get(name) is None:
            measured = (one for one in row if one in MEASURED or one not in COLUMNS)
            known = ", ".join(one for one in measured if row[one] is not None)
            raise ValueError(f"metric: expected what is measured, {known}, got {name!r}")
        return name, float(row[name])

    def worst(self, accuracy: float | None) -> tuple[str, float]:
        """Return what a network that diverged is scored by, and its score."""
        name = self._name(accuracy)
        if name in MEASURED and name.endswith(RISING):
            return name, 0.0
        return name, -math.inf if self._maximize else math.inf

    def rank(self, trial: Trial) -> tuple[bool, int, float, int]:
        """Return what sorts the best trial first."""
        rising = trial.scored_by.endswith(RISING) if self._maximize is None else self._maximize
        cost = -trial.score if rising else trial.score
        return trial.diverged, -trial.epochs, math.inf if math.isnan(cost) else cost, trial.number

    def _name(self, accuracy: float | None) -> str:
        if callable(self._metric):
            return str(getattr(self._metric, "__name__", type(self._metric).__name__))
        return self._metric or ("validation_loss" if accuracy is None else "validation_accuracy")


class _Part(NamedTuple):
    """How a trial fared on the samples of a fold."""

    history: History
    scored_by: str
    score: float
    accuracy: float | None
    loss: float
    diverged: bool = False


@dataclass(frozen=True)
class _Fitting:
    """How trials are trained and scored: what goes to every worker of an executor."""

    maker: _Maker
    pairs: Pairs
    score: _Score
    epochs: int
    batch_size: int

    @property
    def once(self) -> bool:
        """Whether a trial has one trainer alone."""
        return not isinstance(self.pairs, _Folds)

    def parts_of(self, number: int, until: int, keeper: Keeper) -> tuple[list[_Part], Keeper]:
        """Train a trial until an epoch, and return how it fared, beside what keeps its trainers."""
        parts: list[_Part] = []
        for fold, (train, held) in enumerate(self.pairs):
            parts.append(self._part(number, fold, train, held, until, keeper))
            if parts[-1].diverged:
                break
        diverged = parts[-1].diverged
        if diverged or until == self.epochs:
            keeper.finish(number, net=self.once and not diverged)
        return parts, keeper

    def _part(
        self, number: int, fold: int, train: Dataset, held: Dataset, until: int, keeper: Keeper
    ) -> _Part:
        """Train on the samples of a fold until an epoch, and score the network as it is then."""
        trainer, diverged = self._trained(number, fold, train, held, until, keeper)
        history = trainer.history[:]  # which may go on
        if diverged:  # perhaps before there was a row to tell what is measured
            given = answers(trainer.net, trainer.loss, prepared(trainer.net, held))
            accuracy = 0.0 if given is not None and given.right_or_wrong else None
            worst = self.score.worst(accuracy)
            return _Part(history, *worst, accuracy, math.inf, diverged)
        # not the last row's: a callback may have brought other weights back
        measured = trainer.evaluate(held).columns("validation")
        row = {**(history[-1] if len(history) else {}), **measured}
        scored = self.score.of(trainer, held, row)
        return _Part(history, *scored, row["validation_accuracy"], row["validation_loss"])

    def _trained(
        self, number: int, fold: int, train: Dataset, held: Dataset, until: int, keeper: Keeper
    ) -> tuple[Trainer, bool]:
        """Return a trainer that was trained until an epoch, and whether its loss diverged."""
        trainer = keeper.trainer(number, fold, until, partial(self.maker.new, number))
        own = trainer.callbacks
        trainer.callbacks = [_Pause(until), *own]  # the first, before others begin the epoch
        try:
            if not trainer.finished:
                trainer.fit(train, self.epochs, self.batch_size, validation=held)
        except _PausedError:
            keeper.pause(number, fold, trainer)
        except DivergedError:
            return trainer, True
        finally:
            trainer.callbacks = own
        return trainer, False

    def net(self, number: int, keeper: Keeper) -> Network | None:
        """Return the network of a trial that has all its epochs; None where folds have theirs."""
        if not self.once:
            return None
        net = keeper.net(number)
        if net is None:
            ((train, held),) = self.pairs
            net = self._trained(number, 0, train, held, self.epochs, keeper)[0].net
        return net


@dataclass
class _Search:
    fitting: _Fitting
    race: SuccessiveHalving
    keeper: Keeper
    report: Callable[[Trial], Any] | None
    called: Calls[int, tuple[list[_Part], Keeper]]

    def run(self, trials: int) -> list[Trial]:
        """Return all trials, the best first."""
        rank, epochs = self.fitting.score.rank, self.fitting.epochs
        racing: dict[int, Scores] = {number: {} for number in range(trials)}
        best: list[Trial] = []
        ended: list[Trial] = []
        for until in self.race.rungs(epochs):
            count = 1 if until == epochs else self.race.survivors(len(racing))
            best = []
            with closing(self._trials(racing, until)) as compared:
                for trial in compared:
                    insort(best, trial, key=rank)
                    while best and (len(best) > count or best[-1].diverged):
                        ended.append(best.pop())
                        self.keeper.drop(ended[-1].number)
            racing = {trial.number: trial.rungs for trial in best}
        nets = (self.fitting.net(trial.number, self.keeper) for trial in best)
        best = [replace(trial, net=net) for trial, net in zip(best, nets, strict=True)]
        return [*best, *sorted(ended, key=rank)]

    def _trials(self, racing: Mapping[int, Scores], until: int) -> Generator[Trial]:
        """Yield trials that were trained until an epoch, given their scores before."""
        tasks: dict[int, tuple[int, int, Keeper]] = {}
        for number in racing:
            found = self.keeper.find(number, until, self.fitting.maker.values(number))
            if found is None:
                tasks[number] = (number, until, self.keeper.lend(number))
            else:
                yield found
        with closing(self.called(tasks)) as made:
            for number, (parts, lent) in made:
                self.keeper.take_back(lent)
                trial = self.keeper.keep(self._trial(number, until, racing[number], parts))
                if self.report is not None:
                    self.report(trial)
                yield trial

    def _trial(self, number: int, until: int, rungs: Scores, parts: list[_Part]) -> Trial:
        histories, names, scores, accuracies, losses, diverged = zip(*parts, strict=True)
        return Trial(
            number,
            self.fitting.maker.values(number),
            {**rungs, until: scores},
            histories,
            names[0],
            None if None in accuracies else fmean(accuracies),
            fmean(losses),
            any(diverged),
        )


class _PausedError(Exception):
    """Ends a call of fit, which another call goes on with."""


class _Pause(Callback):
    """Interrupts a fit before an epoch begins, once all other callbacks have seen the last one."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.every_step = False

    def epoch_begins(self, trainer: Trainer) -> None:
        if trainer.fit_epochs >= self.after:
            raise _PausedError
