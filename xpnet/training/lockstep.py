"""Steps whose shards advance together: for layers that look at a batch as a whole.

A layer such as ``BatchNorm(sync=True)`` needs what all shards of a batch give before it can go on
with one, so a rank cannot pass its shards one after the other.  Here each has a replica of the
network, and a pass over it stops at each exchange until the others are there.  A pass may stop
within any number of calls, which a generator cannot: it has a thread of its own.  But only one of
them runs at a time, in the order of shards, and what ranks exchange leaves from the thread of the
fit: nothing is computed at the same time, and nothing depends on how fast a thread is.

Between a forward and a backward pass a rank then holds what all of its shards keep, and gradients
for each; where a rank has one shard, the network itself passes it, without a thread.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any

from xpnet.arrays import Array, dtype_name, namespace
from xpnet.devices.base import first_line
from xpnet.forks import working
from xpnet.layers import BatchNorm, Network
from xpnet.ops.batch import Answers
from xpnet.ops.norm import Gather
from xpnet.parallel import Processes
from xpnet.parallel.processes import cut
from xpnet.training.sharded import Shard, ShardedStep, State

__all__ = ["LockstepStep", "in_lockstep", "sharded_step", "shards_not_recordable"]


class Ended(BaseException):
    """Raised in a pass that shall not go on: no ``except Exception`` on its way keeps it."""


class Pass:
    """A call that stops whenever it exchanges something, and goes on when it is resumed."""

    def __init__(self, pool: Executor, work: Callable[[Gather], Array]) -> None:
        self._given: SimpleQueue[Any] = SimpleQueue()
        self._parts: SimpleQueue[Array | None] = SimpleQueue()
        self.result = pool.submit(copy_context().run, self._run, work)

    def _run(self, work: Callable[[Gather], Array]) -> Array:
        try:
            self._wait()
            return work(self._gather)
        finally:
            self._parts.put(None)

    def _gather(self, part: Array) -> Array:
        self._parts.put(part)
        return self._wait()

    def _wait(self) -> Array:
        with working.left():
            given = self._given.get()
        if given is None:
            raise Ended
        return given

    def resume(self, given: Any) -> Array | None:
        """Let it go on with what it was given; return what it gives next, None if it has ended.

        Its error is raised.
        """
        self._given.put(given)
        part = self._parts.get()
        if part is None:
            self.result.result()
        return part

    def end(self) -> None:
        """Let it go on no more, from the next exchange on."""
        self._given.put(None)


def in_lockstep(
    pool: Executor,
    works: Sequence[Callable[[Gather], Array]],
    exchange: Callable[[Sequence[Array]], Array],
) -> list[Array]:
    """Return what calls come to that advance together from one exchange to the next.

    Parameters
    ----------
    pool : Executor
        With a thread for each call.
    works : sequence of callable
        Each gets a function ``gather``, which takes a part and returns what ``exchange`` makes of
        the parts of all.
    exchange : callable
        Is called by the caller's thread, while all calls wait.

    Raises
    ------
    RuntimeError
        The calls come to different exchanges.

    Notes
    -----
    An error in a call, or in the exchange, ends all; so does an interrupt of the caller.
    """
    if len(works) == 1:
        return [works[0](lambda part: exchange([part]))]
    passes = [Pass(pool, work) for work in works]
    given: Any = ()
    try:
        while True:
            parts = [one.resume(given) for one in passes]
            there = [part for part in parts if part is not None]
            if not there:
                return [one.result.result() for one in passes]
            if len({None if part is None else tuple(part.shape) for part in parts}) > 1:
                raise RuntimeError(
                    "sync=True: expected the shards of a batch to come to the same layers, got "
                    "some that do not: which layers a batch passes must not depend on its samples"
                )
            given = exchange(there)
    finally:
        for one in passes:
            one.end()
        wait([one.result for one in passes])


def syncing(net: Network) -> dict[str, BatchNorm]:
    """Return the layers that look at a batch as a whole, by path."""
    layers = net.walk(innermost=False)
    return {path: one for path, one in layers if isinstance(one, BatchNorm) and one.sync}


def shards_not_recordable(
    net: Network, processes: Processes, shards: int, batch_size: int
) -> str | None:
    """Return why steps of whole batches in shards cannot be recorded and replayed, or None."""
    if not processes.on_device:
        return (
            f"sums over processes are taken by {processes.name}, on the host: between GPUs "
            f"processes='nccl' takes them there"
        )
    if cut(batch_size, shards)[-2] == batch_size:
        return f"batches of {batch_size} leave some of {shards} shards empty"
    if shards > 1 and syncing(net):
        return (
            f"shards advance together, for sync=True in {next(iter(syncing(net).values())).label}"
        )
    return None


def sharded_step(net: Network, *parts: Any, processes: Processes, shards: int) -> ShardedStep:
    """Return a step whose batches are cut into shards, in lockstep where layers want it.

    Parameters
    ----------
    net, *parts
        What a :class:`~xpnet.training.device_epoch.Step` is made of.
    processes : Processes
    shards : int

    Raises
    ------
    DiffersError
        Ranks differ in the layers that do.
    """
    paths = list(syncing(net))
    cure = "start all ranks with the same network"
    processes.check_alike({"layers with sync=True": paths}, cure)
    kind = LockstepStep if paths and shards > 1 else ShardedStep
    return kind(net, *parts, processes=processes, shards=shards)


class LockstepStep(ShardedStep):
    """A training step whose shards advance together.

    Parameters
    ----------
    net, loss, optimizer, after_backward, callbacks, processes, shards
        As those of a :class:`~xpnet.training.sharded.ShardedStep`.

    Raises
    ------
    TypeError
        This rank has several shards, and the network cannot be copied.
    """

    def __init__(self, *parts: Any, processes: Processes, shards: int) -> None:
        super().__init__(*parts, processes=processes, shards=shards)
        self._counts = [len(run) for run in processes.runs(shards)]
        self._pool = ThreadPoolExecutor(len(self.own), "xpnet-shard")
        self._copy()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _parts(
        self, x: Array, t: Array, weights: Array | None, n: int, start: int,
        answers: Answers | None,
    ) -> Iterator[Array]:  # fmt: skip
        """Yield what is summed, of each shard of this rank."""
        if cut(n, self.shards)[1] == n:  # in one shard, which has no others to wait for
            yield from super()._parts(x, t, weights, n, start, answers)
            return
        if self._settings != _settings(self.net):
            self._copy()
        for replica in self._replicas:
            replica.begin_with(self._state)
        shards = self._cut(x, t, weights, n, start)
        filled = [shard for shard in shards if shard.samples]
        pairs = list(zip([self._state, *self._replicas], filled, strict=False))
        if filled:
            works = [partial(self._synced, state, shard, answers) for state, shard in pairs]
            records = in_lockstep(self._pool, works, self._exchange)
        else:
            records = []
            self._stand_by(x)
        for (state, shard), record in zip(pairs, records, strict=True):
            yield self._packed(state, shard, record)
        for shard in shards[len(filled) :]:
            yield self._packed(self._state, shard, self._pass(self._state, shard, answers))

    def _copy(self) -> None:
        """Make a replica for each shard of this rank but the first, whose the network itself is."""
        net = self.net
        self._settings = _settings(net)
        self._expected: list[Array] | None = None
        replicas = [_copied(net.replica) for _ in self.own[1:]]
        self._replicas = [State(replica, self.shards) for replica in replicas]

    def _synced(self, state: State, shard: Shard, answers: Answers | None, gather: Gather) -> Array:
        """Pass a shard whose layers see the others through ``gather``."""
        with state.net.device.scope(), _seen(state.net, gather):
            return self._pass(state, shard, answers)

    def _exchange(self, parts: Sequence[Array]) -> Array:
        """Return what all shards of all ranks give, by the parts of this rank's."""
        xp = namespace(parts[0])
        empty = [xp.zeros_like(parts[0])] * (len(self.own) - len(parts))
        own = xp.stack([*parts, *empty])
        with working.left():
            return self.processes.all_gather(own, self._counts)

    def _stand_by(self, x: Array) -> None:
        """Take part in the exchanges of a step of which this rank has no samples."""
        if self._expected is None:
            self._expected = _exchanged(self.net, x)
        for zeros in self._expected:
            self._exchange([zeros])


@contextlib.contextmanager
def _seen(net: Network, gather: Gather) -> Iterator[None]:
    """Let a network's layers see the other shards through ``gather``, within this context."""
    layers = syncing(net).values()
    for layer in layers:
        layer.gather = gather
    try:
        yield
    finally:
        for layer in layers:
            layer.gather = None


def _exchanged(net: Network, x: Array) -> list[Array]:
    """Return zeros such as shards of samples like x exchange, in the order of a step."""
    net, found = _copied(partial(copy.deepcopy, net)), []  # without hooks

    def gather(part: Array) -> Array:
        found.append(namespace(part).zeros_like(part))
        return part[None, ...]

    with _seen(net, gather):
        samples = net.device.zeros((2, *x.shape[1:]), dtype_name(x))
        samples += 1  # of which layers such as Log make numbers
        scores = net.forward(samples, train=True)
        net.backward(net.device.zeros(tuple(scores.shape), dtype_name(scores)), need_dx=False)
    return found


def _copied(copy: Callable[[], Network]) -> Network:
    """Return a copy of a network, or raise one clear sentence."""
    try:
        return copy()
    except Exception as error:
        raise TypeError(
            f"sync=True: expected a network that copy.deepcopy takes, got {first_line(error)}: "
            f"change that, or start a rank for each shard and let batches be full (drop_last=True)"
        ) from error


def _settings(net: Network) -> list[Any]:
    """Return what replicas were made with, to see whether it still holds."""
    return [
        (layer.config(), layer.is_frozen, layer.own.precision, getattr(layer, "plan", None))
        for _, layer in net.walk(innermost=False)
    ]
