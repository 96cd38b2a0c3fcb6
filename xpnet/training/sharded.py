"""Steps of a run on several processes: each batch is cut into shards, whose sums are added.

Whatever a step takes from its batch is a sum over shards: the gradients, what layers move their
running statistics by, and the record of losses and answers.  All of it travels as one array, once
a step, and after it every rank makes the same update.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from xpnet import ops
from xpnet.arrays import Array, is_complex, namespace, to_numpy
from xpnet.data import Batches
from xpnet.layers import Network
from xpnet.losses import Loss
from xpnet.ops.batch import RECORD, Answers
from xpnet.ops.update import DeviceScalars
from xpnet.optimizers import Optimizer
from xpnet.parallel import Processes
from xpnet.parallel.processes import Sums, cut
from xpnet.training.callbacks import Callback
from xpnet.training.device_epoch import AfterBackward, Step
from xpnet.training.stats import Stats
from xpnet.training.steps import Look, Runner

__all__ = ["Shard", "Sharded", "ShardedStep", "digest"]

LOOK_EVERY = 10
"""Steps between two looks at what ranks wish, where a look waits for an accelerator."""

BATCHES, WEIGHT = RECORD.index("batches"), RECORD.index("weight")


def digest(net: Network, optimizer: Optimizer) -> str:
    """Return a digest of all that a step changes: parameters, state and the optimizer's buffers."""
    found = blake2b(digest_size=16)
    for a in (*net.params.values(), *net.state.values(), *optimizer.buffers):
        found.update(to_numpy(a).tobytes())
    return found.hexdigest()


class State:
    """A network's state as shards see it: each begins where the step began.

    Whole numbers are counters of draws, one a pass: shard k of a step draws what follows k others.
    All else is running statistics, and what shards move them by is averaged.
    """

    def __init__(self, net: Network, shards: int) -> None:
        self.net = net
        self._shards = shards
        arrays = list(net.state.values())
        self._counters = [a for a in arrays if namespace(a).isdtype(a.dtype, "integral")]
        self._averages = [a for a in arrays if not namespace(a).isdtype(a.dtype, "integral")]
        self.sizes = [math.prod(a.shape) for a in self._averages]
        self.begin()

    def begin(self) -> None:
        """Note where a step begins."""
        self._before = [namespace(a).asarray(a, copy=True) for a in self._averages]
        self._counts = [namespace(a).asarray(a, copy=True) for a in self._counters]

    def begin_with(self, other: State) -> None:
        """Begin where another network's state does."""
        self._before, self._counts = other._before, other._counts

    def enter(self, shard: int) -> None:
        """Go to where a shard begins."""
        for a, before in zip(self._averages, self._before, strict=True):
            a[...] = before
        for a, before in zip(self._counters, self._counts, strict=True):
            a[...] = before + shard

    def moved(self, n: int) -> list[Array]:
        """Return what a shard of n samples moved the statistics by, n times."""
        pairs = zip(self._averages, self._before, strict=True)
        return [namespace(a).reshape((a - before) * n, (-1,)) for a, before in pairs]

    def leave(self, moved: Sequence[Array], n: int) -> None:
        """Go to where a step of n samples ends, by the sums of what its shards moved."""
        for a, before, total in zip(self._averages, self._before, moved, strict=True):
            a[...] = before + namespace(a).reshape(total / n, a.shape)
        for a, before in zip(self._counters, self._counts, strict=True):
            a[...] = before + self._shards
        self._before, self._counts = [], []  # which may lie in the memory of a recording


class Shard(NamedTuple):
    """A part of a batch: its number among all, its rows, and the layer that x is the input of."""

    number: int
    x: Array
    t: Array
    weights: Array | None
    start: int

    @property
    def samples(self) -> int:
        """How many there are; 0 for the last shards of a short batch."""
        return int(self.t.shape[0])


class ShardedStep(Step):
    """A training step whose batch lies on several ranks.

    Parameters
    ----------
    net, loss, optimizer, after_backward, callbacks
        As those of a :class:`~xpnet.training.device_epoch.Step`.
    processes : Processes
    shards : int

    Attributes
    ----------
    own : range
        The shards of this rank.
    sums : Sums
    """

    def __init__(
        self,
        net: Network,
        loss: Loss,
        optimizer: Optimizer,
        after_backward: AfterBackward | None = None,
        callbacks: Sequence[Callback] = (),
        *,
        processes: Processes,
        shards: int,
    ) -> None:
        super().__init__(net, loss, optimizer, after_backward, callbacks)
        self.processes, self.shards = processes, shards
        self.own = processes.runs(shards)[processes.rank]
        assert net.grads.flat is not None
        self._flat: Array = net.grads.flat
        self._state = State(net, shards)
        size = self._flat.shape[0] + sum(self._state.sizes) + len(RECORD) + 1
        with net.device.scope():
            self.sums = Sums(processes, shards, net.device.zeros(size, net.dtype))
        # of this rank, and in the last step of any: not 0 where the run shall be interrupted
        self._wish, self._wished = (net.device.zeros(1, net.dtype) for _ in range(2))
        self._wishes = False
        self._look_every = LOOK_EVERY if net.device.records else 1
        self._looked = optimizer.steps

    def add(
        self,
        batch: tuple[Array, Array, Array | None],
        stats: Stats,
        *,
        n: int,
        start: int = 0,
        scalars: DeviceScalars | None = None,
    ) -> None:
        """Make one update from this rank's rows of a batch, and add the whole batch."""
        xp, flat, state = namespace(self._flat), self._flat, self._state
        state.begin()
        total = self.sums(self._parts(*batch, n, start, stats.answers))
        grads, *moved, record, wished = _split(total, [flat.shape[0], *state.sizes, len(RECORD), 1])
        weight = xp.where(record[WEIGHT] == 0, 1, record[WEIGHT])
        flat[...] = grads / weight
        state.leave(moved, n)
        self._wished[...] = wished
        self.update(scalars)
        record, loss = (xp.real(a) if is_complex(a) else a for a in (record, record[0] / weight))
        stats.add_record(xp.astype(record, stats.record.dtype), loss)

    def _parts(
        self, x: Array, t: Array, weights: Array | None, n: int, start: int,
        answers: Answers | None,
    ) -> Iterator[Array]:  # fmt: skip
        """Yield what is summed, of each shard of this rank."""
        for shard in self._cut(x, t, weights, n, start):
            record = self._pass(self._state, shard, answers)
            yield self._packed(self._state, shard, record)

    def _cut(self, x: Array, t: Array, weights: Array | None, n: int, start: int) -> list[Shard]:
        """Return the shards of this rank's rows."""
        ends, found = cut(n, self.shards), []
        for number in self.own:
            rows = slice(*(end - ends[self.own.start] for end in ends[number : number + 2]))
            given = None if weights is None else weights[rows]
            found.append(Shard(number, x[rows, ...], t[rows, ...], given, start))
        return found

    def _packed(self, state: State, shard: Shard, record: Array) -> Array:
        """Return what is summed, of one shard, after the pass over it."""
        flat: Any = state.net.grads.flat
        xp = namespace(flat)
        wish = self._wish if shard.number == self.own.start else xp.zeros_like(self._wish)
        parts = (flat, *state.moved(shard.samples), record, wish)
        return xp.concat([xp.astype(a, flat.dtype) for a in parts])

    def _pass(self, state: State, shard: Shard, answers: Answers | None) -> Array:
        """Fill the gradients with sums over a shard; return the record of its answers."""
        net, loss, xp = state.net, self.loss, namespace(shard.t)
        number, x, t, weights, start = shard
        state.enter(number)
        record = net.device.zeros(len(RECORD), "float64")
        if shard.samples == 0:
            flat: Any = net.grads.flat
            flat[...] = 0
            return record
        scores = net.forward(x, train=True, start=start)
        value = loss.forward(scores, t, weights)
        ops.batch.update_stats(record, scores, t, value, weights, answers=answers)
        record[BATCHES] = float(number == 0)  # the batch is one, however it is cut
        share = t.shape[0] if weights is None else xp.astype(xp.sum(weights), value.dtype)
        net.backward(loss.backward() * share, need_dx=False)
        return record

    def all_agree(self, well: bool) -> bool:
        """Return whether all went well on every rank."""
        return all(self.processes.exchange(well))

    def agreed(self, stop: bool, signal: int | None, *, now: bool) -> tuple[bool, int | None]:
        """Return what all ranks wish, where one of them was heard to wish something."""
        if self.processes.size == 1:
            return stop, signal
        self._wish_for(stop or signal is not None)
        if not now:
            if self.optimizer.steps - self._looked < self._look_every:
                return False, None
            self._looked = self.optimizer.steps
            if not float(to_numpy(self._wished)[0].real):
                return False, None
        stops, signals = zip(*self.processes.exchange((stop, signal)), strict=True)
        self._wish_for(False)
        return any(stops), max((s for s in signals if s is not None), default=None)

    def _wish_for(self, interruption: bool) -> None:
        if interruption != self._wishes:
            self._wishes = interruption
            with self.net.device.scope():
                self._wish[...] = float(interruption)

    def close(self) -> None:
        """Give back what the step holds."""


def _split(a: Array, sizes: Sequence[int]) -> list[Array]:
    parts, start = [], 0
    for size in sizes:
        parts.append(a[start : start + size])
        start += size
    return parts


class Sharded(Runner):
    """Steps of which a process has some rows, each piece of work asked for by itself.

    Parameters
    ----------
    step : ShardedStep
    batches : Batches
        Of this rank's rows.
    """

    def __init__(self, step: ShardedStep, batches: Batches) -> None:
        self.step = step
        self.batches = batches

    def epoch(
        self, number: int, factors: Sequence[float], stats: Stats, look: Look
    ) -> Generator[None]:
        """Make the steps of an epoch that are left, and yield after each."""
        done = stats.batches
        for k, (x, t, *weights) in enumerate(self.batches.epoch(number, start=done), done):
            self.step.optimizer.lr_factor = factors[k]
            n = self.batches.size(k)
            self.step.add((x, t, weights[0] if weights else None), stats, n=n)
            stats.count(n)
            yield

    def close(self) -> None:
        """Give back what the step holds."""
        self.step.close()

    def agreed(self, stop: bool, signal: int | None, *, now: bool) -> tuple[bool, int | None]:
        """Return what the step says all ranks wish."""
        return self.step.agreed(stop, signal, now=now)
