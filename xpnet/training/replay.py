"""A fit's steps, recorded once on a GPU and replayed with one launch each.

A step of a small network asks the GPU for some ten small pieces of work, and asking takes longer
than doing.  What a step asks for is the same each time if whatever changes lies on the device:
the order of the samples, the timetable of the learning rate, the counters of dropout, and the
record of the epoch, whose count of batches says which samples and which row come next.  Then the
work can be written down once (a CUDA graph) and asked for as a whole.

The steps before the recording and the short last batch run one piece of work after the other, by
the same functions and so with the same results.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from xpnet import ops
from xpnet.data import Batches
from xpnet.layers import Sequential
from xpnet.layers.base import Layer
from xpnet.ops.update import Timetable
from xpnet.training.callbacks import Callback

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer

__all__ = ["Replay", "hindrance"]

TOGETHER = 10
"""Steps that are recorded and launched together where no callback looks in between."""


def hindrance(trainer: Trainer) -> str | None:
    """Return why a trainer's steps cannot be recorded and replayed; None if they can."""
    place = trainer.net.device
    if not place.records:
        return f"the network is on {place.name}: GPUs through CuPy ('gpu') replay steps"
    for part in (trainer.loss, trainer.optimizer):
        if not _says_replayable(part):
            return f"{type(part).__name__} does not say that it is replayable"
    for layer in [trainer.net, *trainer.net._below()]:
        if not _says_replayable(layer):
            return f"{layer.label} does not say that it is replayable"
        if isinstance(layer, Sequential) and layer._hooks:
            return f"a hook looks at layer {next(iter(layer._hooks))} of {layer.label}"
    return ops.not_recordable(place.library)


def _says_replayable(part: Layer | Any) -> bool:
    return bool(vars(type(part)).get("replayable", False))


class Replay:
    """The steps of a fit, paced by the device.

    Parameters
    ----------
    trainer : Trainer
    batches : Batches
        Whose set is resident on a device that records work.
    """

    def __init__(self, trainer: Trainer, batches: Batches) -> None:
        place = batches.device
        self.trainer = trainer
        self.batches = batches
        self._lane = place.lane()
        record = place.zeros(3, "float64")
        self._timetable = Timetable(place.zeros((len(batches), 4), "float64"), record)
        self._order = place.zeros(len(batches.data), "int64") if batches.shuffle else None
        self._recorded: dict[int, Any] = {}
        self._seen: Any = None
        self._began = 0  # the optimizer's steps before this epoch

    def steps(self, factors: list[float]) -> Generator[None]:
        """Make the steps of an epoch, each with its factor of the rate; yield after each launch."""
        trainer, batches = self.trainer, self.batches
        self._began = trainer.optimizer.steps
        self._scale = trainer.net.entrance()
        trainer._tally.record = self._timetable.record
        looked_at = any(type(one).step_ends is not Callback.step_ends for one in trainer.callbacks)
        together = 1 if looked_at else TOGETHER
        full = batches.samples // batches.batch_size
        with self._lane.open():
            self._timetable.record[...] = 0.0
            order = batches.order(trainer.epoch)
            if order is not None and self._order is not None:
                self._order[...] = order
            done = 0
            while done < len(factors):
                self._settle(factors, done)
                count = together if full - done >= together else 1
                if done >= full:
                    self._run_short(done)
                elif trainer.not_replayed is None:
                    count = self._replay(done, count)
                else:
                    count = 1
                    self._run(1)
                done += count
                trainer.optimizer.steps = self._began + done
                trainer.optimizer.lr_factor = factors[done - 1]
                samples = min(done * batches.batch_size, batches.samples)
                trainer._tally.count(samples - trainer._tally.samples, count)
                yield

    def close(self) -> None:
        """Give back the memory of the recordings."""
        self._recorded.clear()
        self._lane.close()

    def _settle(self, factors: list[float], done: int) -> None:
        """Lay down the coming paces, anew where a setting has changed since; drop recordings then.

        A recording holds the settings (beta, label smoothing ...) that it was made with.
        """
        trainer = self.trainer
        settings = trainer.optimizer.config(), trainer.loss.config()
        if done and settings == self._seen:
            return
        if settings != self._seen:
            self._recorded.clear()
        self._seen = settings
        rows = []
        for number in range(done, len(factors)):
            trainer.optimizer.lr_factor = factors[number]
            rows.append(trainer.optimizer.pace(self._began + number + 1).row)
        place = self.batches.device
        self._timetable.rows[done:, :] = place.asarray(rows, "float64")

    def _replay(self, done: int, count: int) -> int:
        """Make steps by a recording, or where there is none yet, make them and record them."""
        launch = self._recorded.get(count)
        if launch is not None:
            launch()
            return count
        if not self._recorded and not done:
            self._run(1)  # compiles, and makes what lasts longer than the recordings
            return 1
        work = partial(self._run, count)
        with self._lane.memory():
            work()
        try:
            self._recorded[count] = self._lane.record(work)
        except Exception as error:
            if self.trainer.graph == "on":
                raise
            self.trainer.net.forget()
            self.trainer.not_replayed = f"recording a step failed: {error}"
        return count

    def _run(self, count: int) -> None:
        """Make steps of full batches, each piece of work by itself."""
        for _ in range(count):
            self._advance(self._timetable.record, self.batches.batch_size)

    def _run_short(self, done: int) -> None:
        """Make the step of the last, shorter batch."""
        first = done * self.batches.batch_size
        self._advance(first, self.batches.samples - first)

    def _advance(self, first: Any, n: int) -> None:
        trainer, data = self.trainer, self.batches.data
        x, t = ops.batch.take(data.x, data.t, self._order, first, n, self._scale, trainer.net.dtype)
        start = 0 if self._scale is None else 1
        value, scores = trainer._step(x, t, start, self._timetable)
        trainer._tally.record_batch(value, scores, t)
