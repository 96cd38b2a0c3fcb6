"""xpnet, by its trainer: steps that are replayed, and steps piece by piece."""

from __future__ import annotations

import contextlib
import re
import statistics
import time
from typing import Any, ClassVar

import xpnet
from scripts.bench.gpu_contenders.base import Contender, Figures
from scripts.bench.gpu_trace import Event, Profile
from xpnet.data import Dataset
from xpnet.training import Callback
from xpnet.training.steps import Recorded
from xpnet.training.trainer import Graph


class Xpnet(Contender):
    """xpnet, its steps recorded and replayed."""

    needs: ClassVar[dict[str, str]] = {"cupy": "CuPy"}
    precisions: ClassVar[tuple[str, ...]] = ("float32", "tf32", "bf16")
    graph: ClassVar[Graph] = "on"

    def setup(self) -> None:
        """Bring the network to the GPU, and make a trainer."""
        self.net.to("gpu", precision=self.precision)
        loss = xpnet.SoftmaxCrossEntropy(label_smoothing=self.workload.smoothing)
        self.trainer = xpnet.Trainer(
            self.net, loss, self.workload.optimizer(), graph=self.graph, seed=0
        )

    def measure(self, seconds: float) -> Figures:
        """Time the epochs of one fit from the second on.

        A step's time is that between two events in the queue of work, after the first launch of
        an epoch and after its last; an epoch's is the trainer's own record of it, which includes
        the drawing of the order on the host.
        """
        steps = len(self.data) // self.workload.batch_size
        watch = _Watch(self.net.device.xp.cuda, steps, seconds)
        self.trainer.callbacks = [watch]
        self.trainer.fit(self.data, 10**6, self.workload.batch_size, drop_last=True)
        rows = self.trainer.history
        if not watch.spans[1:]:
            raise RuntimeError(f"{steps} steps an epoch are launched at once: more are needed")
        return {
            "step_us": statistics.median(watch.spans[1:]),
            "epoch_us": 1e6 * statistics.median(rows["seconds"][1:]) / steps,
            "epochs": len(watch.spans) - 1,
            "loss": rows["train_loss"][0],
            "launches": watch.pieces,
        }

    def kernels(self, steps: int) -> list[Event]:
        """Return the pieces of the GPU's work of an epoch of some steps.

        What an epoch does once, its order and its record, is among them.
        """
        look = _Look()
        self.trainer.callbacks = [look]
        data, size = self.data.take(steps * self.workload.batch_size), self.workload.batch_size
        self.trainer.fit(data, 10**6, size, drop_last=True)
        return look.profile.events

    def fit(self, epochs: int, schedule: Any, seed: int) -> None:
        """Train for a number of epochs, and wait for the last update."""
        if schedule is not None:
            self.trainer.schedule = schedule
        self.trainer.seed = seed
        self.trainer.fit(self.data, epochs, self.workload.batch_size, drop_last=True)
        self.net.device.synchronize()

    def accuracy(self, test: Dataset) -> float:
        """Return the share of images that are told right."""
        found = self.trainer.evaluate(test).accuracy
        assert found is not None
        return found


class XpnetEager(Xpnet):
    """xpnet, every piece of work of every step asked for by itself."""

    graph = "off"


class _Watch(Callback):
    """Times the steps of each epoch, and ends the fit when it has lasted long enough.

    There is an event in the queue of work after the first launch of an epoch and one after its
    last.  A fit lasts so many seconds from the end of its first epoch, and two epochs at least.

    Attributes
    ----------
    spans : list of float
        Microseconds of a step, for each epoch.
    pieces : float or None
        Pieces of work in a step, where it was recorded.
    """

    every_step = False  # or each step would be a launch of its own

    def __init__(self, cuda: Any, steps: int, seconds: float) -> None:
        self.spans: list[float] = []
        self.pieces: float | None = None
        self._cuda, self._steps, self._seconds = cuda, steps, seconds
        self._until: float | None = None
        self._first, self._start = 0, cuda.Event()

    def step_ends(self, trainer: xpnet.Trainer) -> None:
        """Note when the first launch of an epoch, and when its last, was made."""
        done = trainer.epoch_steps
        if not self._first:
            self._first = done
            self._start.record()
        elif done == self._steps:
            end = self._cuda.Event()
            end.record()
            end.synchronize()
            between = self._cuda.get_elapsed_time(self._start, end)
            self.spans.append(1e3 * between / (done - self._first))

    def epoch_ends(self, trainer: xpnet.Trainer, row: dict[str, Any]) -> None:
        """Count the pieces of what is recorded; end the fit if it is time."""
        now, self._first = time.perf_counter(), 0
        if isinstance(trainer.runner, Recorded):
            for count, recording in trainer.runner.recordings.items():
                self.pieces = _nodes(recording.launch) / count or None
        if self._until is None:
            self._until = now + self._seconds
        elif now >= self._until:
            trainer.stop()


class _Look(Callback):
    """Records the work of a fit's third epoch, in which all is launched as before, and ends it."""

    def __init__(self) -> None:
        self.profile = Profile()

    def epoch_ends(self, trainer: xpnet.Trainer, row: dict[str, Any]) -> None:
        """Begin to record, or end."""
        if trainer.epoch == 2:
            self.profile.__enter__()
        if trainer.epoch == 3:
            self.profile.__exit__(None, None, None)
            trainer.stop()


def _nodes(launch: Any) -> int:
    """Return how many pieces of work a recording holds; 0 where it does not say."""
    with contextlib.suppress(AttributeError, RuntimeError):
        graph = launch.func.__self__.debug_dot_str()
        return len(set(re.findall(r'"(graph_\d+_node_\d+)"', graph)))
    return 0
