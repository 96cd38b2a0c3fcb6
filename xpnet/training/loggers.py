"""Callbacks that log: the history as CSV, and its numbers to TensorBoard and MLflow.

The libraries of these two are extras, imported when a callback of theirs is made.
"""

from __future__ import annotations

import math
import platform
import time
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from xpnet.arrays import Array, to_numpy
from xpnet.checks import came, file_path, plain, whole_number
from xpnet.files import check_writable
from xpnet.schedules import Schedule
from xpnet.training.callbacks import Callback, Run
from xpnet.training.fits import Fits

__all__ = ["CSVLogger", "MLflow", "TensorBoard"]

BATCH_LOSS = "batch_loss"
"""The name of the losses that are logged between the rows of the history."""

BINS = 50
"""Of a histogram."""


class CSVLogger(Callback):
    """The history so far as comma-separated values, brought up to date after each epoch.

    The file is replaced whole each time, so that a run that was killed and resumed leaves what one
    never interrupted does.  Its columns are those of :meth:`xpnet.training.History.to_csv`.

    Parameters
    ----------
    path : path
    """

    rank_zero_only = True

    def __init__(self, path: str | Path) -> None:
        self.path = file_path(path)

    def fit_begins(self, trainer: Run, epochs: int, steps: int) -> None:
        """See whether the file could be written."""
        check_writable(self.path)

    def epoch_ends(self, trainer: Run, row: dict[str, Any]) -> None:
        """Write the file."""
        trainer.history.to_csv(self.path)


class _Logger(Callback):
    """Hands on the numbers of each row of the history, and between rows the loss of a batch."""

    rank_zero_only = True

    def __init__(self, every: int | None) -> None:
        self.every = None if every is None else whole_number("every", every, 1)
        self.every_step = False
        self._seen = 0

    @abstractmethod
    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Write numbers by the names of their columns; ``step`` counts the optimizer's."""

    def fit_begins(self, trainer: Any, epochs: int, steps: int) -> None:
        """Remember the step."""
        self._seen = trainer.optimizer.steps

    def step_ends(self, trainer: Run) -> None:
        """Log the loss of the step's batch if it is time."""
        before, self._seen = self._seen, trainer.optimizer.steps
        if self.every and before // self.every < self._seen // self.every:
            assert trainer.step_loss is not None
            self.log({BATCH_LOSS: float(trainer.step_loss)}, self._seen)

    def epoch_ends(self, trainer: Run, row: dict[str, Any]) -> None:
        """Log the row."""
        self.log(_numbers(row), row["steps"])


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the entries of a row that are numbers, but for the steps that they are drawn over."""
    values = {name: plain(value) for name, value in row.items() if name != "steps"}
    return {name: float(v) for name, v in values.items() if isinstance(v, (int, float))}


class TensorBoard(_Logger):
    """The numbers of the history in event files, for TensorBoard.

    ``train_loss`` and ``validation_loss`` become ``loss/train`` and ``loss/validation``, and so
    on, other columns keep their names; the horizontal axis is the optimizer's steps.  Needs
    tensorboardX, the extra ``tensorboard``.

    Each fit writes a file, event by event to the disk.  It begins with the word to forget what was
    logged in the folder after the step that the fit goes on from: a run that was killed and resumed
    shows what one never interrupted does, and one that begins anew takes the place of what is
    there.

    Parameters
    ----------
    folder : path
        Of this run; TensorBoard compares the runs in the folders of one.
    every : int, optional
        Steps between two losses of a single batch (``loss/batch``), each of which waits for an
        accelerator; by default there are none.  Where a GPU makes several steps at once it is the
        loss of the last.
    histograms : int, optional
        Epochs between two histograms of each parameter (``params/0.W``; of complex numbers their
        moduli); by default there are none.
    """

    def __init__(
        self, folder: str | Path, every: int | None = None, histograms: int | None = None
    ) -> None:
        super().__init__(every)
        self.folder = file_path(folder, "folder")
        self.histograms = None if histograms is None else whole_number("histograms", histograms, 1)
        self._file: _EventFile | None = None
        _tensorboardx()

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_file": None}  # an open one, which stays where it is

    def fit_begins(self, trainer: Run, epochs: int, steps: int) -> None:
        """Begin a file."""
        super().fit_begins(trainer, epochs, steps)
        self._file = _EventFile(self.folder, trainer.optimizer.steps)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Write numbers."""
        assert self._file is not None
        self._file.write(step, {_tag(name): {"simple_value": x} for name, x in numbers.items()})

    def epoch_ends(self, trainer: Run, row: dict[str, Any]) -> None:
        """Log the row, and histograms if it is time."""
        super().epoch_ends(trainer, row)
        if self.histograms and row["epoch"] % self.histograms == 0:
            assert self._file is not None
            params = {f"params/{name}": array for name, array in trainer.net.params.items()}
            self._file.write_histograms(row["steps"], params)

    def fit_ends(self, trainer: Run) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _tag(column: str) -> str:
    """Return a name that lets TensorBoard draw the same measure of several parts side by side."""
    part, _, measure = column.partition("_")
    return f"{measure}/{part}" if part in ("train", "validation", "batch") else column


def _tensorboardx() -> Any:
    """Return the library, or say in one sentence how to get it."""
    try:
        import tensorboardX
    except ModuleNotFoundError:
        raise ImportError(
            "event files are written with tensorboardX: run `pip install 'xpnet[tensorboard]'`"
        ) from None
    return tensorboardX


class _EventFile:
    """A file of events, each of which is on the disk when the call returns.

    tensorboardX's SummaryWriter hands them to a queue, in which a killed process leaves its last
    ones; its records and messages alone have none.

    Parameters
    ----------
    folder : path
    after : int
        The step after which TensorBoard is to forget what earlier files say.
    """

    def __init__(self, folder: Path, after: int) -> None:
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary

        self._event, self._summary = Event, Summary
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names
        name = f"events.out.tfevents.{time.time_ns()}.{platform.node()}"
        self._records = _tensorboardx().RecordWriter(str(folder / name))
        self._write(0, file_version="brain.Event:2")
        self._write(after + 1, session_log=SessionLog(status=SessionLog.START))

    def _write(self, step: int, **what: Any) -> None:
        event = self._event(wall_time=time.time(), step=step, **what)
        self._records.write(event.SerializeToString())
        self._records.flush()

    def write(self, step: int, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Write values by their tags, each as the field of a summary's value that it is."""
        made = [self._summary.Value(tag=tag, **value) for tag, value in values.items()]
        self._write(step, summary=self._summary(value=made))

    def write_histograms(self, step: int, arrays: Mapping[str, Array]) -> None:
        """Write histograms of arrays by their tags; NaN and infinities have no place in one."""
        from tensorboardX.summary import make_histogram

        finite = {tag: _finite(array) for tag, array in arrays.items()}
        self.write(
            step, {t: {"histo": make_histogram(x, BINS)} for t, x in finite.items() if x.size}
        )

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):  # nothing waits to be written but what could not be
            self._records.close()


def _finite(array: Array) -> Any:
    """Return the finite ones of an array's numbers on the host, of complex ones their moduli."""
    values = to_numpy(array)
    values = abs(values) if values.dtype.kind == "c" else values.astype(float)
    return values[abs(values) < math.inf]


class LoggedRun(Run, Protocol):
    """What :class:`MLflow` sees of a run beside."""

    fits: Fits
    schedule: Schedule
    seed: int


class MLflow(_Logger):
    """The numbers of the history, and what the run is made of, as a run of MLflow.

    Columns keep their names; steps are the optimizer's.  What the MLflow run has no parameter of
    yet becomes one: epochs, batch size, network, optimizer and its hyper-parameters, loss, schedule
    and so on.  Its artifact ``network.txt`` is the network's summary.  Needs the extra ``mlflow``.

    Where an MLflow run is active (``with mlflow.start_run():``) it is that.  Else a fit starts one,
    and ends it as finished, killed or failed.  Checkpoints hold its number: a resumed fit goes on
    in the same run, with what it lacks and without what it has already.  Where runs are kept
    (tracking server, experiment) is said to ``mlflow`` itself.

    Parameters
    ----------
    every : int, optional
        Steps between two losses of a single batch (``batch_loss``), each of which waits for an
        accelerator; by default there are none.  Where a GPU makes several steps at once it is the
        loss of the last.
    run_name : str, optional
        Of a run that is started.

    Attributes
    ----------
    run_id : str or None
        MLflow's number of the run, for a script that resumes it itself:
        ``with mlflow.start_run(run_id=logger.run_id):`` after :meth:`Trainer.restore`.
    """

    def __init__(self, every: int | None = None, *, run_name: str | None = None) -> None:
        super().__init__(every)
        self.run_name = run_name
        self.run_id: str | None = None
        self._restored = self._started = self._interrupted = False
        self._logged: dict[str, int] = {}
        _mlflow()

    def state(self) -> dict[str, Any]:
        """Return the run's number."""
        return {"run_id": self.run_id}

    def load_state(self, trainer: Any, state: dict[str, Any]) -> None:
        """Go on with a run."""
        run_id = state["run_id"]
        if not (run_id is None or isinstance(run_id, str)):
            raise TypeError(f"run_id: expected text, got {came(run_id)}")
        self.run_id, self._restored = run_id, True

    def fit_begins(self, trainer: LoggedRun, epochs: int, steps: int) -> None:
        """Find or start the run, and log what it lacks."""
        super().fit_begins(trainer, epochs, steps)
        mlflow, before = _mlflow(), self.run_id
        if trainer.optimizer.steps == 0 and not self._restored:
            before = None  # of another trainer
        self._restored = self._interrupted = False
        active = mlflow.active_run()
        self._started = active is None
        run = active or mlflow.start_run(run_id=before, run_name=self.run_name)
        self.run_id = run.info.run_id
        self._logged = _last_steps(self.run_id) if self.run_id == before else {}
        present = mlflow.get_run(self.run_id).data.params
        about = {k: v for k, v in _about(trainer).items() if k not in present}
        mlflow.log_params(about, run_id=self.run_id)
        if self.run_id != before:
            mlflow.log_text(trainer.net.summary(), "network.txt", run_id=self.run_id)
        for row in trainer.history:
            self.log(_numbers(row), row["steps"])

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Log numbers, unless they were before."""
        if step > self._logged.get(_kind(numbers), -1):
            _mlflow().log_metrics(dict(numbers), step=step, run_id=self.run_id)

    def interrupted(self, trainer: Run) -> None:
        """Remember it."""
        self._interrupted = True

    def fit_ends(self, trainer: Run) -> None:
        """End the run, if the fit started it."""
        if self._started:
            self._started = False
            stopped = "KILLED" if self._interrupted else "FAILED"
            _mlflow().end_run("FINISHED" if trainer.finished else stopped)


def _mlflow() -> Any:
    """Return the library, or say in one sentence how to get it."""
    try:
        import mlflow
    except ModuleNotFoundError:
        raise ImportError(
            "runs of MLflow are logged with mlflow: run `pip install 'xpnet[mlflow]'`"
        ) from None
    return mlflow


def _kind(numbers: Mapping[str, float]) -> str:
    """Return the name that all numbers logged at such steps have."""
    return "epoch" if "epoch" in numbers else BATCH_LOSS


def _last_steps(run_id: str) -> dict[str, int]:
    """Return the last steps at which a run has numbers, of rows and of batches."""
    logged = _mlflow().MlflowClient().get_metric_history
    return {
        kind: max((metric.step for metric in logged(run_id, kind)), default=-1)
        for kind in ("epoch", BATCH_LOSS)
    }


def _about(trainer: LoggedRun) -> dict[str, Any]:
    """Return what a run is made of."""
    fit, net, optimizer = trainer.fits.current, trainer.net, trainer.optimizer
    assert fit is not None
    given = ("epochs", "batch_size", "accumulate", "callbacks", "device", "precision")
    return {
        **{name: fit.given[name] for name in given},
        "network": type(net).__name__,
        "parameters": sum(math.prod(array.shape) for array in net.params.values()),
        "optimizer": type(optimizer).__name__,
        **optimizer.config(),
        "loss": type(trainer.loss).__name__,
        "schedule": repr(trainer.schedule),
        "seed": trainer.seed,
    }
