"""The profile of a training step: which layer takes the time, and which keeps the memory."""

from __future__ import annotations

import contextlib
import copy
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, get_args

from xpnet.arrays import Array
from xpnet.checks import one_of, whole_number
from xpnet.data import Batches, Dataset
from xpnet.layers import Layer, Network, Sequential
from xpnet.layers.network import Step
from xpnet.tables import readable_bytes, ruled
from xpnet.training.prepare import check_fit, prepared
from xpnet.training.trainer import Trainer

__all__ = ["Profile", "ProfileRow", "profile_step"]

By = Literal["steps", "layers"]


@dataclass(frozen=True)
class ProfileRow:
    """What one part of a training step takes.

    Attributes
    ----------
    path : str
        The layer's path; ``"1-3"`` for layers 1 to 3 computed as one; empty for what is no layer.
    name : str
        The classes of the layers, or ``"gather"``, ``"loss"`` or ``"update"``.
    forward, backward : float
        Seconds in either direction, without those of layers within that have rows of their own;
        0 where there is no such pass.
    seconds : float
        Both directions, or what gather or update take.
    share : float
        Of the sum over all rows, at most 1.
    kept : int
        Bytes kept for the backward pass, as the layers count them.
    """

    path: str
    name: str
    forward: float
    backward: float
    seconds: float
    share: float
    kept: int


@dataclass(frozen=True)
class Profile:
    """Where the time of a training step goes; ``str`` makes a table of it.

    Attributes
    ----------
    rows : tuple of ProfileRow
        The layers in the order of the network, then gather (a batch made of the data), loss and
        update.
    step : float
        Seconds of a whole step that is timed from outside alone.  The rows may add up to more:
        on an accelerator each of them waits until its work is done.
    steps : int
        How many steps the medians are of.
    batch_size : int
    device : str
        Its name.
    """

    rows: tuple[ProfileRow, ...]
    step: float
    steps: int
    batch_size: int
    device: str

    def __str__(self) -> str:
        cells: list[tuple[str, ...]] = [
            ("path", "layer", "forward ms", "backward ms", "ms", "share", "kept")
        ]
        for row in (*self.rows, self._total()):
            times = [_readable_ms(s) for s in (row.forward, row.backward, row.seconds)]
            share, kept = f"{100 * row.share:.1f} %", readable_bytes(row.kept)
            cells.append((row.path, row.name, *times, share, kept))
        about = (
            f"medians of {self.steps} steps of {self.batch_size} samples on {self.device}; "
            f"a step timed as a whole: {_readable_ms(self.step)} ms"
        )
        return f"{ruled(cells, left=2)}\n{about}"

    def _total(self) -> ProfileRow:
        sums = (sum(column) for column in zip(*map(_numbers, self.rows), strict=True))
        return ProfileRow("", "total", *sums)


def profile_step(
    trainer: Trainer,
    data: Dataset,
    batch_size: int = 100,
    *,
    steps: int = 20,
    warmup: int = 3,
    by: By = "steps",
) -> Profile:
    """Time the parts of a training step.

    The steps are real ones, made by a copy of network, loss and optimizer: the trainer, what it
    trains and the batches and masks to come stay as they are.

    Parameters
    ----------
    trainer : Trainer
    data : Dataset
        What it trains on; gone through again where the steps need more.
    batch_size : int
        Samples in a step; all there are, if they are fewer.
    steps : int
        How many steps each figure is the median of.
    warmup : int
        Steps made before.
    by : "steps" or "layers"
        Whether layers that are computed together (a convolution, its ReLU and its pooling, say)
        share a row, as they run, or are taken apart and run one by one, each with its own row.

    Returns
    -------
    Profile

    Raises
    ------
    ValueError
        The data does not fit the network, or a number is out of range.

    Notes
    -----
    Layers within layers have rows of their own, except that a Sequential is no more than the sum
    of its parts.  ``kept`` is the layers' own count (:meth:`~xpnet.layers.Layer.cache_bytes`)
    times the samples of a step; layers computed together may keep less.
    """
    batch_size = whole_number("batch_size", batch_size, 1)
    steps, warmup = whole_number("steps", steps, 1), whole_number("warmup", warmup)
    one_of("by", by, get_args(By))
    check_fit(trainer.net, data)
    net, loss, optimizer = copy.deepcopy((trainer.net, trainer.loss, trainer.optimizer))
    with contextlib.ExitStack() as hooks:
        for path in _every_layer(net) if by == "layers" else trainer.net.hooked:
            hooks.enter_context(net.hook(path, _nothing))
        twin = Trainer(net, loss, optimizer, seed=trainer.seed)
        return _timed(twin, data, min(batch_size, len(data)), steps, warmup)


def _timed(twin: Trainer, data: Dataset, batch_size: int, steps: int, warmup: int) -> Profile:
    """Return the profile of a trainer's steps, which are made."""
    net, loss, optimizer = twin.net, twin.loss, twin.optimizer
    batches = Batches(
        prepared(net, data), batch_size, device=net.device, seed=twin.seed, drop_last=True
    )
    source = (batch for epoch in count() for batch in batches.epoch(epoch))
    wait = net.device.synchronize
    clock, parts = _Clock(wait), list(_parts(net, net))
    for number, part in enumerate(parts):
        clock.watch(part.step, "forward", number)
        clock.watch(part.step, "backward", number)
    clock.watch(loss, "forward", "loss")
    clock.watch(loss, "backward", "loss")
    clock.watch(optimizer, "update", "update")
    gather = clock.timed(source.__next__, ("gather", "gather"))
    entire = []
    with net.threads():
        # by turns as a whole and in parts: noise hits both
        for number in range(-warmup, 2 * steps):
            clock.runs = number >= 0 and number % 2 == 1
            wait()
            began = time.perf_counter()
            twin.step(*gather())
            wait()
            if clock.runs:
                clock.step_ends()
            elif number >= 0:
                entire.append(time.perf_counter() - began)

    figures = [
        (part.path, part.name, *clock.medians(number), part.kept * batch_size)
        for number, part in enumerate(parts)
    ]
    figures.append(("", "gather", 0.0, 0.0, clock.median("gather", "gather"), 0))
    figures.append(("", "loss", *clock.medians("loss"), 0))
    figures.append(("", "update", 0.0, 0.0, clock.median("update", "update"), 0))
    total = sum(row[4] for row in figures)
    rows = tuple(ProfileRow(*row[:5], row[4] / total, row[5]) for row in figures)
    return Profile(rows, _median(entire), steps, batch_size, net.device.name)


@dataclass(frozen=True)
class _Part:
    """What gets a row: a layer, or a run of layers that one step computes."""

    path: str
    name: str
    kept: int  # bytes per sample
    step: Step


def _parts(layer: Layer, step: Step) -> Iterator[_Part]:
    """Yield the parts of a layer that a step computes, itself before what is within it."""
    if not isinstance(layer, Sequential):
        within = [child for _, child in layer.children()]
        kept = layer.cache_bytes() - sum(child.cache_bytes() for child in within)
        yield _Part(layer.path, type(layer).__name__, kept, step)
        for child in within:
            yield from _parts(child, child)
        return
    for span, inner in zip(layer.plan.spans, layer.plan.steps, strict=True):
        run = [layer.layers[i] for i in span]
        if len(run) == 1:
            yield from _parts(run[0], inner)
            continue
        path = f"{run[0].path}-{span[-1]}"
        name = "+".join(type(one).__name__ for one in run)
        yield _Part(path, name, sum(one.cache_bytes() for one in run), inner)


def _every_layer(net: Network) -> list[str]:
    """Return the paths of the layers that a hook may look at."""
    return [
        f"{path}.{name}" if path else name
        for path, layer in net.walk(innermost=False)
        if isinstance(layer, Sequential)
        for name, _ in layer.children()
    ]


def _nothing(path: str, x: Array, y: Array) -> None:
    """Be a hook: a layer with a hook runs by itself."""


class _Clock:
    """Adds up, under a key, the seconds within calls but not within watched calls they make."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self.runs = False
        self._wait = wait
        self._within = 0.0  # seconds of the calls that the call in progress has made
        self._spent: defaultdict[Any, float] = defaultdict(float)
        self._steps: list[dict[Any, float]] = []

    def watch(self, target: object, method: str, key: object) -> None:
        """Time an object's method from now on."""
        setattr(target, method, self.timed(getattr(target, method), (key, method)))

    def timed(self, call: Callable[..., Any], key: Any) -> Callable[..., Any]:
        """Return the function, timed."""

        def timed(*arguments: Any, **options: Any) -> Any:
            if not self.runs:
                return call(*arguments, **options)
            self._wait()
            before, self._within = self._within, 0.0
            began = time.perf_counter()
            result = call(*arguments, **options)
            self._wait()
            seconds = time.perf_counter() - began
            self._spent[key] += seconds - self._within
            self._within = before + seconds
            return result

        return timed

    def step_ends(self) -> None:
        """Begin the sums anew."""
        self._steps.append(dict(self._spent))
        self._spent.clear()

    def median(self, key: object, method: str) -> float:
        """Return the median over the steps, in seconds."""
        return _median([step.get((key, method), 0.0) for step in self._steps])

    def medians(self, key: object) -> tuple[float, float, float]:
        """Return those of the forward and the backward pass, and their sum."""
        forward, backward = self.median(key, "forward"), self.median(key, "backward")
        return forward, backward, forward + backward


def _median(values: list[float]) -> float:
    ordered, middle = sorted(values), len(values) // 2
    return (ordered[middle] + ordered[~middle]) / 2


def _numbers(row: ProfileRow) -> tuple[Any, ...]:
    return row.forward, row.backward, row.seconds, row.share, row.kept


def _readable_ms(seconds: float) -> str:
    return f"{1000 * seconds:,.3f}" if seconds else "-"
