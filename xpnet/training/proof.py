"""The proof that a recorded step does what the step does, and the search for what does not.

A recording holds what a step asked of the device when it was recorded.  Whatever a layer, a loss
or a rule of somebody's own does on the host (counts, draws, reads a rate) is not in it.  So before
a recording is used, it is replayed at another step, on another batch, with other counters and
another rate, and must leave the very bits that the step itself leaves there from the same state.
Afterwards everything is as it was.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from xpnet import ops
from xpnet.arrays import Array, namespace, to_numpy
from xpnet.devices import Recorder
from xpnet.devices.base import first_line
from xpnet.layers import Layer
from xpnet.ops.batch import Answers
from xpnet.training.callbacks import Callback
from xpnet.training.device_epoch import DeviceEpoch, Step
from xpnet.training.stats import Stats

__all__ = ["ELSEWHERE", "NotRecordableError", "Recording", "Settings", "record"]

OTHER_FACTOR = 0.618
"""What the rate is multiplied by at each step while a recording is proved."""

ELSEWHERE = "steps cannot be recorded on another rank"

PLAIN = (bool, int, float, complex, str, bytes, type(None))
PACED = {"lr", "lr_factor", "steps"}
"""Attributes of an optimizer that its scalars follow from, and no recording holds."""


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)


class NotRecordableError(RuntimeError):
    """Steps that cannot be replayed: the message says why, and which part it is."""


class Recording(NamedTuple):
    """Recorded steps.

    Attributes
    ----------
    launch : callable
        Makes them.
    loss : array, 0-d
        Where the last one's mean loss will lie.
    """

    launch: Callable[[], None]
    loss: Array


def record(
    recorder: Recorder, epoch: DeviceEpoch, number: int, count: int, factors: Sequence[float],
    answers: Answers | None,
) -> Recording:  # fmt: skip
    """Record steps, to be replayed together, and prove that they are the steps.

    Whatever is tried out, in the end all is as it was.

    Parameters
    ----------
    recorder : Recorder
    epoch : DeviceEpoch
    number : int
        Of the first step.
    count : int
        Steps to record.
    factors : sequence of float
        Of the learning rate, for each step of the epoch.
    answers : Answers or None
        What scores answer, and the record counts.

    Raises
    ------
    NotRecordableError
        Something cannot be recorded, or does other than its recording.
    """
    state, stats = State(epoch), Stats(epoch.batches.device, answers, epoch.record)
    with state.kept():
        saved = state.saved()
        epoch.lay_scalars(number, count, factors)
        launch = reason = None
        try:
            launch = recorder.record(partial(epoch.ask, count, stats))
        except Exception as error:
            reason = f"recording a step failed: {first_line(error)}"
        if epoch.step.all_agree(reason is None) and launch is not None:
            try:
                same = _proved(launch, epoch, number, count, state, answers)
                reason = None if same else "a replayed step differs from the step itself"
            except Exception as error:
                reason = f"recording a step failed: {first_line(error)}"
        if not epoch.step.all_agree(reason is None) or launch is None:
            reason = reason or ELSEWHERE
            state.restore(saved)
            epoch.lay_scalars(number, count, factors)
            raise NotRecordableError(_culprit(recorder, epoch, number, state) or reason)
    return Recording(launch, stats.loss)


def _proved(
    launch: Callable[[], None], epoch: DeviceEpoch, number: int, count: int, state: State,
    answers: Answers | None,
) -> bool:  # fmt: skip
    """Return whether a launch leaves the bits that its steps leave, each time the same."""
    factors = [OTHER_FACTOR] * len(epoch.batches)
    other = epoch.go_elsewhere(number, count, factors)
    scratch = Stats(epoch.batches.device, answers, epoch.record)

    def eager() -> None:
        for k in range(other, other + count):
            epoch.eager(k, factors, scratch)

    def replayed() -> None:
        epoch.lay_scalars(other, count, factors)
        launch()

    saved, bits = state.saved(), []
    for run in (eager, eager, replayed):
        state.restore(saved)
        run()
        bits.append(state.bits())
    return bits[0] == bits[1] == bits[2]


def _culprit(recorder: Recorder, epoch: DeviceEpoch, number: int, state: State) -> str | None:
    """Return which part cannot be recorded, or makes other bits when replayed; None if none."""
    first, second, recorded = (Trace(epoch.step) for _ in range(3))
    launch = failed = None
    try:
        launch = recorder.record(partial(recorded.run, epoch))
    except Exception as error:
        failed = f"{recorded.label} cannot be recorded: {first_line(error)}"
    if not epoch.step.all_agree(failed is None) or launch is None:
        return failed
    factors = [OTHER_FACTOR] * len(epoch.batches)
    epoch.lay_scalars(epoch.go_elsewhere(number, 1, factors), 1, factors)
    saved = state.saved()
    try:
        for run in (partial(first.run, epoch), partial(second.run, epoch), launch):
            state.restore(saved)
            run()
    except Exception:  # what it was has been told
        return None
    label = _first_difference(first, second)
    if label is not None:
        return f"two equal steps differ in {label}"
    label = _first_difference(first, recorded)
    return label and f"a replayed step differs from the step itself in {label}"


class Settings:
    """What a recording holds of its network, loss and optimizer, to see whether it still holds.

    Parameters
    ----------
    step : Step
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._values, self._objects = self._now()

    def _now(self) -> tuple[list[dict[str, Any]], list[Any]]:
        net, loss, optimizer = self._step.net, self._step.loss, self._step.optimizer
        layers = [layer for _, layer in net.walk(innermost=False)]
        values = [
            {name: value for name, value in vars(part).items() if _is_plain(value)}
            for part in (*layers, loss, *self._step.callbacks, optimizer)
        ]
        values[-1] = {k: v for k, v in values[-1].items() if k.lstrip("_") not in PACED}
        arrays = [net.params.flat, net.grads.flat, *self._step.buffers]
        return values, [*arrays, *(getattr(layer, "plan", None) for layer in layers)]

    def hold(self) -> bool:
        """Return whether all is as it was: each setting equal, each array the same object."""
        values, objects = self._now()
        return (
            values == self._values
            and len(objects) == len(self._objects)
            and all(a is b for a, b in zip(objects, self._objects, strict=True))
        )


class State:
    """All that a step changes: arrays on the device, and whatever parts keep on the host.

    Parameters
    ----------
    epoch : DeviceEpoch
        Whose optimizer has made a step of its network.
    """

    def __init__(self, epoch: DeviceEpoch) -> None:
        step, net = epoch.step, epoch.step.net
        layers = (layer for _, layer in net.walk(innermost=False))
        self._parts = [*layers, step.loss, *step.callbacks, step.optimizer]
        self._arrays = [
            net.params.flat, net.grads.flat, *net.state.values(), *step.buffers, epoch.record,
            *([] if epoch.order is None else [epoch.order]),
        ]  # fmt: skip

    def saved(self) -> tuple[list[Array], list[dict[str, Any]]]:
        """Return copies of all of it."""
        copies = [namespace(a).asarray(a, copy=True) for a in self._arrays]
        return copies, [_on_host(part) for part in self._parts]

    def restore(self, saved: tuple[list[Array], list[dict[str, Any]]]) -> None:
        """Make all of it what it was."""
        copies, hosts = saved
        for own, values in zip(self._arrays, copies, strict=True):
            own[...] = values
        for part, host in zip(self._parts, hosts, strict=True):
            vars(part).update(copy.deepcopy(host))
            if isinstance(part, Layer):
                part.keep(None)

    def bits(self) -> list[bytes]:
        """Return digests of the arrays' bits; waits for the device."""
        return [hashlib.blake2b(to_numpy(a).tobytes()).digest() for a in self._arrays]

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Make all of it what it was when this context ends, whatever happens within."""
        saved = self.saved()
        try:
            yield
        finally:
            self.restore(saved)


def _on_host(part: Any) -> dict[str, Any]:
    """Return copies of the attributes of a part that are no arrays and hold none."""
    found = {}
    for name, value in vars(part).items():
        foreign = not type(value).__module__.startswith(("xpnet.", "builtins"))
        if _is_plain(value) or (foreign and not hasattr(value, "dtype")):
            with contextlib.suppress(Exception):  # what cannot be copied stays as it is
                found[name] = copy.deepcopy(value)
    return found


class Trace:
    """A step made part by part, to find the one that a recording does not hold.

    Parameters
    ----------
    step : Step

    Attributes
    ----------
    label : str
        The part that was run last: a layer, the loss, or the rule.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        self.label = step.net.label
        self._found: list[tuple[str, Array]] = []

    def run(self, epoch: DeviceEpoch) -> None:
        """Make the next step of an epoch, and keep what each part made."""
        self._found = []  # a recording takes the memory that the work before it leaves free
        x, t, weights, start = epoch.batch(epoch.record, epoch.size)
        net, loss, rule = self.step.net, self.step.loss, self.step.optimizer
        parts = net.parts(start)
        net.refresh()
        for self.label, step, _ in parts:
            x = step.forward(x, train=True)
            self._keep(x)
        self.label = type(loss).__name__
        self._keep(loss.forward(x, t, weights))
        dy: Any = loss.backward()
        self._keep(dy)
        first = next((k for k, part in enumerate(parts) if part.learns), 0)
        for k in range(len(parts) - 1, first - 1, -1):
            self.label, step, _ = parts[k]
            dy = step.backward(dy, need_dx=k > first)
            if dy is not None:
                self._keep(dy)
        labels = {path: layer.label for path, layer in net.walk(innermost=False)}
        for name, gradient in net.grads.items():
            self.label = labels[name.rpartition(".")[0]]
            self._keep(gradient)
        for change in self.step.after_backward:
            self.label = _owner(change, "after_backward")
            change(net.grads)
            self._keep(net.grads.flat)
        self.label = f"the rule of {type(rule).__name__}"
        rule.apply(net.params, net.grads, epoch.scalars)
        self._keep(net.params.flat)
        for follow in self.step.after_update:
            self.label = _owner(follow, "after_update")
            follow(net.params)
            for buffer in self.step.buffers:
                self._keep(buffer)
        net.forget()

    def _keep(self, made: Array) -> None:
        self._found.append((self.label, ops.elementwise.copy(made)))

    def bits(self) -> list[tuple[str, bytes]]:
        """Return what each part made, by its label; waits for the device."""
        return [(label, to_numpy(made).tobytes()) for label, made in self._found]


def _owner(function: Callable[..., None], name: str) -> str:
    """Return what to call a function within the step: its callback's class, or a name."""
    owner = getattr(function, "__self__", None)
    return type(owner).__name__ if isinstance(owner, Callback) else name


def _first_difference(one: Trace, other: Trace) -> str | None:
    """Return the label of the first part that made other bits; None if none did."""
    pairs = zip(one.bits(), other.bits(), strict=True)
    return next((label for (label, own), (_, theirs) in pairs if own != theirs), None)
