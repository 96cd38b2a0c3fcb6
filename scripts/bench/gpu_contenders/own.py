"""xpnet, by its trainer: steps that are replayed, and steps piece by piece."""

from __future__ import annotations

import contextlib
import re
import statistics
import time
from collections.abc import Generator
from typing import Any, ClassVar

import xpnet
from scripts.bench.gpu_contenders.base import Contender, Figures
from scripts.bench.gpu_trace import Event, Profile
from xpnet.data import Dataset
from xpnet.training import Callback, trainer
from xpnet.training.replay import Replay


class EnoughError(Exception):
    """Ends a fit from a callback."""


class Xpnet(Contender):
    """xpnet, its steps recorded and replayed."""

    needs: ClassVar[dict[str, str]] = {"cupy": "CuPy"}
    precisions: ClassVar[tuple[str, ...]] = ("float32", "tf32", "bf16")
    graph: ClassVar[trainer.Graph] = "on"

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
        watch = _Watch(seconds)
        self.trainer.callbacks = [watch]
        with _timed_replays() as timed, contextlib.suppress(EnoughError):
            self.trainer.fit(self.data, 10**6, self.workload.batch_size, drop_last=True)
        (replay,) = timed
        rows = self.trainer.history
        steps = len(self.data) // self.workload.batch_size
        if not replay.spans[1:]:
            raise RuntimeError(f"{steps} steps an epoch are launched at once: more are needed")
        return {
            "step_us": statistics.median(replay.spans[1:]),
            "epoch_us": 1e6 * statistics.median(rows["seconds"][1:]) / steps,
            "epochs": len(replay.spans) - 1,
            "loss": rows["train_loss"][0],
            "launches": replay.pieces,
        }

    def kernels(self, steps: int) -> list[Event]:
        """Return the pieces of the GPU's work of an epoch of some steps.

        What an epoch does once, its order and its record, is among them.
        """
        look = _Look()
        self.trainer.callbacks = [look]
        data, size = self.data.take(steps * self.workload.batch_size), self.workload.batch_size
        with contextlib.suppress(EnoughError):
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
    """Ends a fit after so many seconds from the end of its first epoch, after two at least."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.until: float | None = None

    def epoch_ends(self, trainer: xpnet.Trainer, row: dict[str, Any]) -> None:
        """End the fit if it is time."""
        now = time.perf_counter()
        if self.until is None:
            self.until = now + self.seconds
        elif now >= self.until:
            raise EnoughError


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
            raise EnoughError


class TimedReplay(Replay):
    """A fit's steps with an event after the first launch of each epoch and after the last.

    A callback that looks at every step would have every step launched by itself, so the time is
    taken here.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._cuda = self.batches.device.xp.cuda
        self.spans: list[float] = []
        """Microseconds of a step, for each epoch."""
        self.pieces: float | None = None
        """Pieces of work in a step, where it was recorded."""

    def steps(self, factors: list[float]) -> Generator[None]:
        """Make the steps of an epoch."""
        optimizer = self.trainer.optimizer
        begun, start, first, end = optimizer.steps, self._cuda.Event(), 0, None
        with contextlib.closing(super().steps(factors)) as steps:
            for _ in steps:
                done = optimizer.steps - begun
                if not first:
                    first = done
                    start.record()
                if done == len(factors) and done > first:
                    end = self._cuda.Event()
                    end.record()
                yield
        if end is not None:
            end.synchronize()
            between = self._cuda.get_elapsed_time(start, end)
            self.spans.append(1e3 * between / (len(factors) - first))

    def close(self) -> None:
        """Count the pieces, then give back the memory of the recordings."""
        with contextlib.suppress(AttributeError, RuntimeError):
            for count, launch in self._recorded.items():
                self.pieces = _nodes(launch.func.__self__) / count or None
        super().close()


def _nodes(graph: Any) -> int:
    """Return how many pieces of work a recording holds."""
    return len(set(re.findall(r'"(graph_\d+_node_\d+)"', graph.debug_dot_str())))


@contextlib.contextmanager
def _timed_replays() -> Generator[list[TimedReplay]]:
    """Have trainers pace their steps by timed replays; yields those that were made."""
    made: list[TimedReplay] = []

    def make(*args: Any) -> TimedReplay:
        made.append(TimedReplay(*args))
        return made[-1]

    trainer.Replay = make  # type: ignore[assignment, misc]
    try:
        yield made
    finally:
        trainer.Replay = Replay  # type: ignore[misc]
