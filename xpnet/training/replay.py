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

AHEAD = 128
"""Steps whose paces are laid down at a time."""


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
        self._recorder = place.recorder()
        record = place.zeros(3, "float64")
        self._timetable = Timetable(place.zeros((len(batches), 4), "float64"), record)
        self._order = place.zeros(len(batches.data), "int64") if batches.shuffle else None
        self._recorded: dict[int, Any] = {}
        self._baked: list[Any] = []
        self._paced: Any = None
        self._laid = 0  # rows of the timetable that hold the paces of this epoch
        self._began = 0  # the optimizer's steps before this epoch

    def steps(self, factors: list[float]) -> Generator[None]:
        """Make the steps of an epoch, each with its factor of the rate; yield after each launch."""
        trainer, batches = self.trainer, self.batches
        if trainer.not_replayed is None:
            trainer.not_replayed = trainer.hindrance(batches)
            if trainer.graph == "on" and trainer.not_replayed:
                raise ValueError(f"graph='on': {trainer.not_replayed}")
        self._laid = 0
        trainer._tally.record = self._timetable.record
        watched = any(
            one.every_step and type(one).step_ends is not Callback.step_ends
            for one in trainer.callbacks
        )
        full = batches.samples // batches.batch_size
        with self._recorder.stream():
            self._timetable.record[...] = 0.0
            order = batches.order(trainer.epoch)
            if order is not None and self._order is not None:
                self._order[...] = order
            done = 0
            while done < len(factors):
                self._scale = trainer.net.entrance()
                self._began = trainer.optimizer.steps - done  # a callback may have set them
                count = TOGETHER if full - done >= TOGETHER and not watched else 1
                if trainer.not_replayed is not None or done >= full:
                    count = 1
                    self._make(done, factors[done])
                else:
                    self._lay(done, factors)
                    count = self._replay(done, count, factors)
                done += count
                trainer.optimizer.steps = self._began + done
                trainer.optimizer.lr_factor = factors[done - 1]
                samples = min(done * batches.batch_size, batches.samples)
                trainer._tally.count(samples - trainer._tally.samples, count)
                yield

    def close(self) -> None:
        """Give back the memory of the recordings."""
        self._recorded.clear()
        self._recorder.close()

    def _lay(self, done: int, factors: list[float]) -> None:
        """Lay down paces of coming steps, anew where the rate or what else they hold changed."""
        optimizer = self.trainer.optimizer
        paced = optimizer.config(), self._began
        if paced == self._paced and self._laid >= min(done + TOGETHER, len(factors)):
            return
        self._paced, self._laid = paced, min(done + AHEAD, len(factors))
        rows = []
        for number in range(done, self._laid):
            optimizer.lr_factor = factors[number]
            rows.append(optimizer.pace(self._began + number + 1).row)
        rows_there = self.batches.device.asarray(rows, "float64")
        self._timetable.rows[done : self._laid, :] = rows_there

    def _still_valid(self) -> bool:
        """Return whether recordings would do what their steps would do now.

        A recording holds settings, and the addresses of arrays that nobody else may hold by now.
        """
        trainer, net = self.trainer, self.trainer.net
        layers = [net, *net._below()]
        settings = [one.config() for one in (trainer.loss, trainer.optimizer)]
        settings[1].pop("lr", None)  # which the timetable holds
        settings += [layer.config() for layer in layers if not isinstance(layer, Sequential)]
        plans = (layer._plan for layer in layers if isinstance(layer, Sequential))
        arrays = [net._packed, net._copy, *trainer.optimizer._flat_slots, *plans]
        bound = trainer.optimizer._flat is net.params.flat
        before, self._baked = self._baked, [settings, arrays]
        if not before or not bound or before[0] != settings or len(before[1]) != len(arrays):
            return False
        return all(a is b for a, b in zip(before[1], arrays, strict=True))

    def _replay(self, done: int, count: int, factors: list[float]) -> int:
        """Make steps by a recording, or where there is none yet, make them and record them."""
        if not self._still_valid():
            self._recorded.clear()
            self._make(done, factors[done])  # compiles, and makes what outlasts the recordings
            self._still_valid()
            self._recorder.empty_cache()
            return 1
        launch = self._recorded.get(count)
        if launch is not None:
            launch()
            return count
        work = partial(self._run, count)
        with self._recorder.memory_pool():
            work()
        try:
            self._recorded[count] = self._recorder.record(work)
        except Exception as error:
            if self.trainer.graph == "on":
                raise
            self.trainer.net.forget()
            self.trainer.not_replayed = f"recording a step failed: {error}"
            self._recorded.clear()
            self._recorder.close()
        return count

    def _run(self, count: int) -> None:
        """Make steps of full batches, paced by the device, each piece of work by itself."""
        for _ in range(count):
            record = self._timetable.record
            self._advance(record, self.batches.batch_size, self._timetable)

    def _make(self, done: int, factor: float) -> None:
        """Make one step, paced by the host, each piece of work by itself."""
        optimizer, batches = self.trainer.optimizer, self.batches
        optimizer.steps, optimizer.lr_factor = self._began + done, factor
        first = done * batches.batch_size
        self._advance(first, min(batches.batch_size, batches.samples - first), None)

    def _advance(self, first: Any, n: int, timetable: Timetable | None) -> None:
        trainer, data = self.trainer, self.batches.data
        x, t = ops.batch.take(data.x, data.t, self._order, first, n, self._scale, trainer.net.dtype)
        start = 0 if self._scale is None else 1
        value, scores = trainer._step(x, t, start, timetable)
        trainer._tally.record_batch(value, scores, t)
