"""The trainer: a network, a loss and an optimizer, taken through a data set."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from xpnet import html
from xpnet.arrays import Array
from xpnet.checks import (
    Constructible,
    Hyperparameter,
    arguments,
    flag,
    instance,
    missing_attribute,
    one_of,
    whole_number,
)
from xpnet.data import Batches, Dataset
from xpnet.data.batches import Shuffle, fits
from xpnet.layers import Network
from xpnet.losses import Loss
from xpnet.optimizers import Optimizer
from xpnet.parallel import Engine, Processes, checked_processes
from xpnet.schedules import Schedule
from xpnet.threadpool import counts, threads
from xpnet.training.callbacks import Callback, checked_callbacks
from xpnet.training.checkpoint import configuration, configure, load_checkpoint, save_checkpoint
from xpnet.training.device_epoch import AfterBackward, Step
from xpnet.training.ensemble import Ensemble
from xpnet.training.fits import Fit, Fits, depends_on, given_to
from xpnet.training.history import History
from xpnet.training.interrupts import Interrupts, held_back
from xpnet.training.lockstep import sharded_step, shards_not_recordable
from xpnet.training.metrics import Evaluation
from xpnet.training.prepare import (
    answers,
    check_dataset,
    check_fit,
    check_targets,
    checked_after_backward,
    checked_network,
    checked_schedule,
    not_finite,
    prepared,
    rate_factors,
)
from xpnet.training.sharded import Sharded, digest
from xpnet.training.stats import Partial, Stats
from xpnet.training.steps import (
    WORTH_RECORDING,
    Eager,
    Look,
    Recorded,
    Runner,
    not_in_loops,
    not_recordable,
)

__all__ = ["DivergedError", "Trainer"]

Graph = Literal["auto", "on", "off"]
"""Whether a step is recorded once and replayed as one launch."""

TORN = (
    "the last step was broken off in its middle, and what there is belongs to no step: restore a "
    "checkpoint"
)

CHECK_EVERY = 100
"""Steps between two looks at the loss for NaN, each of which waits for an accelerator."""


ELSEWHERE = {
    "train": "write trainer.fit(Dataset(x, t), epochs=...)",
    "train_on_batch": "write trainer.step(x, t)",
    "predict": "write trainer.net.predict(x)",
    "score": "write trainer.evaluate(Dataset(x, t)).accuracy",
    "model": "write trainer.net",
    "load": "write trainer.restore(path)",
}
"""What to write instead of names that other libraries have."""


class DivergedError(ValueError):
    """The loss is no longer a finite number."""


class Trainer(Constructible):
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
    accumulate : int
        Parts that each batch is computed in, one after the other, their gradients added up: for
        batches whose step the memory does not hold.  The update is that of the whole batch, to
        rounding; BatchNorm's statistics and Dropout's masks are a part's own.
    seed : int
        Of the batches' order.
    processes : "auto", "mpi", "single" or Processes, optional
        The processes that share the run, each calling the same program: see
        :mod:`xpnet.parallel`.  Each batch is then cut into shards, and the run has the same bits
        on any number of them.
    graph : "auto", "on" or "off"
        Whether steps are recorded once and replayed with one launch each: where that can be and
        was proved to leave the same bits (the default), always (or a ValueError says why not), or
        never.  On a GPU a recording is a CUDA graph.  On a processor it is machine code that calls
        one compiled loop after the other, products among them: by default of fits of a thousand
        steps and more, of networks whose layers have such loops.  Where BLAS would compute
        products, the last bits are others than without.

    Attributes
    ----------
    not_replayed : str or None
        Why the last fit did not replay its steps; None if it did.
    history : History
        A row for each epoch trained.
    epoch : int
        Epochs trained so far, and so the number of the one in progress, from 0.
    fits : Fits
        What each fit so far was given, and whether it is finished.
    began_with : list or None
        The optimizer's name and arguments as the first fit began.
    runner : Runner or None
        What runs the steps of the fit in progress.

    Notes
    -----
    Of several processes the first alone writes checkpoints and calls callbacks that print or write
    (``rank_zero_only``).
    """

    cure = "write Trainer(net, loss, optimizer), and all else by name"

    net = Hyperparameter(checked_network)
    loss: Hyperparameter[Loss] = Hyperparameter(instance, Loss, "xpnet.SoftmaxCrossEntropy()")
    optimizer: Hyperparameter[Optimizer] = Hyperparameter(
        instance, Optimizer, "xpnet.Adam(lr=1e-3)"
    )
    schedule = Hyperparameter(checked_schedule)
    callbacks = Hyperparameter(lambda name, given: checked_callbacks(given))
    after_backward = Hyperparameter(checked_after_backward)
    accumulate = Hyperparameter(whole_number, 1)
    seed = Hyperparameter(whole_number)
    processes = Hyperparameter(checked_processes)
    graph = Hyperparameter(one_of, get_args(Graph))

    def __init__(
        self,
        net: Network,
        loss: Loss,
        optimizer: Optimizer,
        *,
        schedule: Schedule | None = None,
        callbacks: Sequence[Callback] = (),
        after_backward: AfterBackward | None = None,
        accumulate: int = 1,
        seed: int = 0,
        processes: Processes | Engine | None = None,
        graph: Graph = "auto",
    ) -> None:
        self.net = net
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.callbacks = callbacks
        self.after_backward = after_backward
        self.accumulate = accumulate
        self.seed = seed
        self.processes = processes
        self.graph = graph
        self.not_replayed: str | None = None
        self.history = History()
        self.epoch = 0
        self.fits = Fits()
        self.runner: Runner | None = None
        self._stats: Stats | None = None
        self.began_with: list[Any] | None = None
        self._partial: Partial | None = None
        self._in_epoch = False
        self._torn = False
        self._stopped = False
        self._resumes = False
        self._interrupts = Interrupts()

    def step(self, x: Array, t: Array, weights: Array | None = None) -> tuple[Array, Array]:
        """Make one update from a batch on the network's device.

        Parameters
        ----------
        x, t : array
        weights : array, shape (n,), optional
            How much each sample counts in the mean loss.

        Returns
        -------
        loss : array, 0-d
        scores : array, shape (n, ...)
        """
        return self._step(x, t, weights)

    @property
    def _step(self) -> Step:
        return Step(*self._parts, accumulate=self.accumulate)

    @property
    def _parts(
        self,
    ) -> tuple[Network, Loss, Optimizer, AfterBackward | None, Sequence[Callback]]:
        """What each kind of step is made of."""
        return self.net, self.loss, self.optimizer, self.after_backward, self.callbacks

    @arguments("write trainer.fit(Dataset(x, t), epochs=..., batch_size=..., validation=...)")
    def fit(
        self,
        train: Dataset,
        epochs: int,
        batch_size: int = 100,
        *,
        validation: Dataset | None = None,
        shuffle: Shuffle = True,
        drop_last: bool = False,
        resume: bool = True,
    ) -> History:
        """Train for a number of epochs; every sample is seen once in each.

        A fit that was interrupted goes on where it was, in this process or after
        :meth:`restore`, bit for bit; one that is finished is not made again.  For that, give it
        what it was given before.

        Ctrl-C, and SIGTERM where Python handles it, end a fit after the step in progress; a
        second one at once.

        Parameters
        ----------
        train : Dataset
        epochs : int
        batch_size : int
        validation : Dataset, optional
            Evaluated after each epoch.
        shuffle : bool, "blocks" or Blocks
            Whether each epoch has an order of its own; ``"blocks"`` is one for samples on a disk:
            see :class:`~xpnet.data.Blocks`.
        drop_last : bool
            Whether a last, shorter batch is left out.
        resume : bool
            False: this is a new fit, from the parameters as they are, whatever was interrupted
            or restored.

        Returns
        -------
        History
            Of all epochs of this trainer.

        Raises
        ------
        ValueError
            The data does not fit the network; steps cannot be replayed and ``graph="on"``
            insists; or the fit to go on with was given something else.  Nothing has changed then.
        DivergedError
            The loss became infinite or NaN.
        """
        self._check_idle("fit")
        check_dataset("fit", train)
        self.net.check_learns("fit")
        epochs = whole_number("epochs", epochs, 1)
        self.callbacks = self.callbacks  # some may have been appended
        for data in (train, validation):
            if data is not None:
                check_fit(self.net, data)
                check_targets(self.net, self.loss, data)
        processes, shards = self.processes, self._shards(resume=flag("resume", resume))
        batches = Batches(
            prepared(self.net, train),
            batch_size,
            device=self.net.device,
            shuffle=shuffle,
            seed=self.seed,
            drop_last=drop_last,
            rows=partial(processes.rows, shards) if processes and shards else None,
        )
        steps_of_fit = epochs * len(batches)
        not_replayed = self._not_recordable(batches, shards, steps_of_fit)
        if self.graph == "on" and not_replayed:
            raise ValueError(f"graph='on': {not_replayed}")
        given = given_to(batches, train, validation, epochs, self, shards)
        self._check_alike(given)
        fit = self._begin(given, resume=resume)
        self.not_replayed, self._stopped = not_replayed, False
        if fit.finished:
            return self.history
        steps, new, self._stats = self.optimizer.steps, not fit.depends, None
        self._resumes = not new
        with held_back() as self._interrupts:
            try:
                if validation is not None and fits(validation, self.net.device):
                    # once for all epochs
                    validation = prepared(self.net, validation).to(self.net.device)
                self.runner = runner = self._runner(batches, shards, steps_of_fit)
                for callback in self._called:
                    callback.fit_begins(self, epochs, len(batches))
                with contextlib.nullcontext() if shards is None else threads(counts().own or 1):
                    self._run(fit, runner, batches, validation)
            finally:
                ended, self.runner = self.runner, None
                self._partial = None if self._torn else self.partial
                self._in_epoch, self.optimizer.lr_factor = False, 1.0
                fit.frozen = self.net.frozen
                if fit.finished:
                    fit.left = self.optimizer.config()
                try:
                    if ended is not None:
                        ended.close()
                finally:
                    for callback in self._called:
                        callback.fit_ends(self)
                    made = (self.optimizer.steps, self.epoch, self.epoch_steps)
                    if new and made == (steps, fit.began, 0) and not fit.finished:
                        self.fits.forget(fit)  # nothing has come of it
                        self._torn = False
        return self.history

    def _shards(self, *, resume: bool) -> int | None:
        """Return the parts that batches of the next fit are cut into; None if they are not."""
        processes = self.processes
        if processes is None:
            return None
        if not self.plain:
            raise ValueError(f"processes: {type(self).__name__} has a step of its own")
        if self.accumulate > 1:
            raise ValueError("processes: expected accumulate=1, as shards are parts of a batch")
        fit = self.fits.upcoming(resume=resume)
        begun = None if fit is None or processes.shards else fit.given.get("shards")
        shards = begun or processes.default_shards()
        processes.check_shards(shards)
        return shards

    def _check_alike(self, given: dict[str, Any]) -> None:
        """Raise, on every rank, unless all ranks are about to make the same fit."""
        if self.processes is not None:
            about = {
                **given,
                "optimizer": configuration(self.optimizer),
                "steps": self.optimizer.steps,
            }
            about["arrays"] = digest(self.net, self.optimizer)
            cure = "start all ranks with the same program, arguments and files"
            self.processes.check_alike(about, cure)

    @property
    def _called(self) -> list[Callback]:
        """The callbacks that this process calls."""
        if self.processes is None or self.processes.rank == 0:
            return self.callbacks
        return [callback for callback in self.callbacks if not callback.rank_zero_only]

    def _check_idle(self, call: str) -> None:
        """Raise unless no fit is in progress."""
        if self.runner is not None:
            raise ValueError(
                f"{call}: a fit of this trainer is in progress: let a callback end it with "
                f"trainer.stop(), and call {call} when fit has returned"
            )

    def _begin(self, given: dict[str, Any], *, resume: bool) -> Fit:
        """Return the fit that a call with these arguments is."""
        if self._torn and resume:
            raise ValueError(f"fit: {TORN}, or begin a new fit from here with resume=False")
        fit = self.fits.begin(
            given, self.epoch, resume=resume, hyperparameters=self.optimizer.config()
        )
        configure(self.optimizer, fit.left)
        if fit.frozen is not None:  # a callback may have changed it
            self.net.frozen = fit.frozen
        if not resume:
            self._partial = None
        if self.began_with is None:
            self.began_with = configuration(self.optimizer)
        self._torn = False
        return fit

    def _run(self, fit: Fit, runner: Runner, batches: Batches, validation: Dataset | None) -> None:
        """Train the epochs of a fit that are left."""
        while not (fit.finished or self._stopped):
            for callback in self._called:
                callback.epoch_begins(self)
            with self.net.threads() as count, self.net.device.scope():
                loops = isinstance(runner, Recorded) and self.net.device.records_loops
                depends = depends_on(self.net, count, fit.given["shards"], loops=loops)
                self.fits.check_depends(depends)
                row = self._train_epoch(fit, runner, batches)
            if row is None:
                break
            for callback in self._called:
                callback.validation_begins(self)
            if validation is not None:
                result = self._validate(validation)
                row |= result.columns("validation")
            self.epoch += 1
            self._in_epoch, fit.finished = False, self.epoch == fit.last
            self.history.append(row)
            for callback in self._called:
                callback.epoch_ends(self, row)
            if self.processes is not None:
                alike = {"arrays": digest(self.net, self.optimizer)}
                self.processes.check_alike(alike, "a callback changed them on one rank alone")
            self._stopped, signal = runner.agreed(self._stopped, self._interrupts.pending, now=True)
            self._let_interrupt(signal)
        self._in_epoch, fit.finished = False, True

    def _validate(self, data: Dataset) -> Evaluation:
        """Return the evaluation of a validation set, which processes share."""
        if self.processes is None:
            return self.evaluate(data)
        return Ensemble([self.net], self.loss).evaluate(data, processes=self.processes)

    def _let_interrupt(self, signal: int | None) -> None:
        """Let a signal end the fit, if one has come and nothing would be lost."""
        if signal is not None and not self._torn:  # a step may evaluate
            for callback in self._called:
                callback.interrupted(self)
            self._interrupts.deliver(signal)

    def _after_batch(self) -> None:
        """Let a signal end an evaluation; ranks first have to agree on it."""
        if self.processes is None:
            self._let_interrupt(self._interrupts.pending)

    def stop(self) -> None:
        """End the fit in progress, for a callback to call.

        From ``step_ends``: after this step; the epoch in progress is not counted and leaves no
        row in the history.  From ``epoch_ends``: after this epoch.  All callbacks still hear of
        the step or epoch, and of the end.
        """
        self._stopped = True

    @property
    def plain(self) -> bool:
        """Whether each batch makes one update: the class has no step of its own."""
        return type(self).step is Trainer.step

    def _not_recordable(self, batches: Batches, shards: int | None, steps: int) -> str | None:
        """Return why steps through batches cannot be recorded and replayed; None if they may."""
        unwanted = self._unwanted(batches, shards, steps)
        return unwanted or not_recordable(self.net, batches.resident)

    def _unwanted(self, batches: Batches, shards: int | None, steps: int) -> str | None:
        if self.graph == "off":
            return "graph='off' asks for it"
        place = self.net.device
        if self.processes is not None and shards is not None:
            if place.records_loops:
                return f"on {place.name} no batches that are cut into shards are recorded"
            return shards_not_recordable(self.net, self.processes, shards, batches.batch_size)
        if not self.plain:
            return f"{type(self).__name__} has a step of its own"
        if not place.records_loops:
            return None
        if self.graph == "auto" and steps < WORTH_RECORDING:
            return f"{steps} steps are fewer than are worth recording: graph='on' insists"
        if self.graph == "auto" and place.records_on_one_core:
            return "on this system a recording has one core: graph='on' insists"
        return not_in_loops(self._step, batches)

    def _runner(self, batches: Batches, shards: int | None, steps: int) -> Runner:
        step, place = self._step, self.net.device
        unwanted = self._unwanted(batches, shards, steps)
        if self.processes is not None and shards is not None:
            step = sharded_step(*self._parts, processes=self.processes, shards=shards)
            if unwanted or not (place.records and batches.resident):
                return Sharded(step, batches)
        recordable = self.plain and place.records and batches.resident
        if place.records_loops:  # what is not recorded there is not made by loops alone, either
            recordable = not (unwanted or not_recordable(self.net, batches.resident))
        if recordable:
            current = (lambda: self._step) if type(step) is Step else None
            return Recorded(
                step, batches, insist=self.graph == "on", unwanted=unwanted, current=current
            )
        return Eager(self.step, self.optimizer, batches)

    def _look(self) -> Look:
        """Return when a callback looks on: of several processes, the one where most do."""
        looking = [c for c in self.callbacks if type(c).step_ends is not Callback.step_ends]
        often: list[Look] = ["never"]
        if looking:
            often = ["steps" if any(callback.every_step for callback in looking) else "sometimes"]
        if self.processes is not None:
            often = self.processes.exchange(often[0])
        return max(often, key=get_args(Look).index)

    def _train_epoch(self, fit: Fit, runner: Runner, batches: Batches) -> dict[str, Any] | None:
        """Train an epoch and return its row; None if a callback stopped it half way."""
        n, called = len(batches), self._called
        first, total = (self.epoch - fit.began) * n, (fit.last - fit.began) * n
        factors = rate_factors(self.schedule, range(first, first + n), total)
        self._stats = stats = Stats(self.net.device, answers(self.net, self.loss, batches.data))
        if self._partial is not None:
            stats.restore(self._partial)
        self._partial, self._in_epoch = None, True
        checked = stats.batches // CHECK_EVERY
        with contextlib.closing(runner.epoch(self.epoch, factors, stats, self._look())) as steps:
            for _ in self._whole(steps):
                self._note(runner)
                if stats.batches // CHECK_EVERY > checked:
                    checked = stats.batches // CHECK_EVERY
                    self._check_finite(batches.data)
                for callback in called:
                    callback.step_ends(self)
                stop, signal = runner.agreed(self._stopped, self._interrupts.pending, now=False)
                if stop and stats.batches < n:
                    self._stopped = True
                    return None
                self._let_interrupt(signal)
        self._check_finite(batches.data)
        self.optimizer.lr_factor = factors[-1]
        seconds = time.perf_counter() - stats.since
        result = stats.result()
        return {
            "epoch": self.epoch + 1,
            "steps": self.optimizer.steps,
            "lr": self.optimizer.rate,
            **result.columns("train"),
            **dict.fromkeys(result.columns("validation")),
            "seconds": seconds,
            "samples_per_second": result.samples / seconds,
        }

    def _whole(self, steps: Iterator[None]) -> Iterator[None]:
        """Yield after each of some steps; remember where one was broken off."""
        self._torn = True
        for _ in steps:
            self._torn = False
            yield
            self._torn = True
        self._torn = False

    def _note(self, runner: Runner) -> None:
        if isinstance(runner, Recorded):
            self.not_replayed = runner.reason

    def _check_finite(self, data: Dataset) -> None:
        loss = self.running_loss()
        if not math.isfinite(loss):
            cause = not_finite(data) or (
                f"begin again from a new network with a lower learning rate "
                f"({self.optimizer.rate:.3g})"
            )
            raise DivergedError(
                f"the loss became {loss} within {CHECK_EVERY} steps before step "
                f"{self.optimizer.steps} (epoch {self.epoch + 1}): {cause}"
            )

    @property
    def finished(self) -> bool:
        """Whether the last step of the fit in progress, or of the last one, was made."""
        return self.fits.current is not None and self.fits.current.finished

    @property
    def resumes(self) -> bool:
        """Whether the fit in progress goes on where one was interrupted, and is no new one."""
        return self._resumes

    @property
    def validates(self) -> bool:
        """Whether the fit in progress, or the last one, evaluates a validation set."""
        fit = self.fits.current
        return fit is not None and fit.given["validation"] is not None

    @property
    def step_loss(self) -> Array | None:
        """The mean loss of the last step's batch, 0-d, on the device; None before the first.

        ``float`` of it waits for an accelerator.  It holds until the next step.
        """
        return None if self._stats is None else self._stats.loss

    def running_loss(self) -> float:
        """Return the mean loss of the epoch in progress; waits for an accelerator."""
        return 0.0 if self._stats is None else self._stats.result().loss

    def guessing_loss(self) -> float | None:
        """Return the mean loss, on the fit's samples, of the best constant answer.

        None where no fit is in progress, or the loss does not know.
        """
        if self.runner is None:
            return None
        data = self.runner.batches.data
        return self.loss.of_guessing(self.net.output_shape, data.t, data.weights)

    @property
    def fit_epochs(self) -> int:
        """Epochs that have ended of the fit in progress, or of the last one."""
        return 0 if self.fits.current is None else self.epoch - self.fits.current.began

    @property
    def epoch_steps(self) -> int:
        """Steps made in the epoch in progress."""
        return 0 if self._stats is None else self._stats.batches

    def running_throughput(self) -> float:
        """Return the samples trained per second in the epoch in progress."""
        if self._stats is None:
            return 0.0
        return self._stats.samples / (time.perf_counter() - self._stats.since)

    def evaluate(
        self, data: Dataset, batch_size: int = 1000, *, copies: int | None = None
    ) -> Evaluation:
        """Return the mean loss on a data set, and how right the network's answers are.

        Parameters
        ----------
        data : Dataset
        batch_size : int
            Samples computed at a time.
        copies : int, optional
            How many changed copies of each sample are answered together, where the data set is
            ``augmented``: see :class:`~xpnet.training.Ensemble`.  By default the sample as it is.
        """
        alone = Ensemble([self.net], self.loss, copies=copies)
        return alone.evaluate(data, batch_size, after_batch=self._after_batch)

    @property
    def partial(self) -> Partial | None:
        """The position within the epoch in progress, if one is; waits for an accelerator."""
        return self._stats.saved() if self._in_epoch and self._stats else self._partial

    def save(
        self, path: str | Path, *, keep: int = 1, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Write a checkpoint, from which the run goes on bit for bit; see :meth:`restore`.

        Of several processes the first alone writes.

        Parameters
        ----------
        path : path
            Replaced whole.
        keep : int
            Versions to keep: those before are ``name.1.suffix``, ``name.2.suffix`` ...
        metadata : mapping, optional
            What else to keep there, as JSON can hold it:
            :func:`~xpnet.training.checkpoint.read_metadata` returns it.

        Raises
        ------
        ValueError
            A step was broken off in its middle: what there is belongs to no step.
        OSError
            The file cannot be written; what was there before is as it was.
        """
        if self._torn:
            raise ValueError(f"save: {TORN}")
        if self.processes is not None and self.processes.rank:
            return
        save_checkpoint(self, path, keep=keep, metadata=metadata)

    def restore(self, path: str | Path, *, exact: bool = True) -> None:
        """Take up a run where a checkpoint left it.

        Then make the calls of :meth:`fit` that the run was made of: those that are finished return
        at once, with the optimizer's hyper-parameters as they left them, and the one that was
        interrupted goes on.

        Parameters
        ----------
        path : path
            Written by a trainer with an equal network, loss, optimizer, schedule and seed.  Where
            it is damaged and there are versions before it, the last whole one is taken, with a
            warning.
        exact : bool
            False: the run may go on with a device or precision of other rounding.

        Raises
        ------
        ValueError
            The file is no whole checkpoint, or one of another run, or a fit is in progress;
            nothing has changed then.
        OSError
            It cannot be read.
        """
        self._check_idle("restore")
        with held_back():  # all of it or nothing
            load_checkpoint(self, path, exact=exact)
            self._stats, self._in_epoch, self._torn = None, False, False

    def _facts(self) -> dict[str, str]:
        """Return what there is to say of a trainer, in a few words each."""
        net, count = self.net, sum(math.prod(a.shape) for a in self.net.params.values())
        shapes = f"{net.input_shape} -> {net.output_shape}"
        return {
            "network": f"{type(net).__name__} {shapes}, {count:,} parameters",
            "loss": repr(self.loss),
            "optimizer": repr(self.optimizer),
            "epoch": str(self.epoch),
            "device": net.device.name,
        }

    def __repr__(self) -> str:
        net, loss, optimizer, epoch, device = self._facts().values()
        return f"{type(self).__name__}({net}; {loss}; {optimizer}; epoch {epoch}, on {device})"

    def _repr_html_(self) -> str:
        facts = html.table([type(self).__name__, ""], list(self._facts().items()), left=2)
        return html.side_by_side([facts]) + (self.history._repr_html_() if self.history else "")

    def __getattr__(self, name: str) -> Any:
        """Say where what is looked for is to be had."""
        raise missing_attribute(self, name, ELSEWHERE)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to a fit in progress."""
        return vars(self) | {
            "runner": None,
            "_stats": None,
            "_partial": self.partial,
            "_in_epoch": False,
            "_interrupts": Interrupts(),
        }
