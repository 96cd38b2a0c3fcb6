"""Two ways to run the steps of an epoch.

:class:`Eager` asks for each piece of work of each step.  :class:`Recorded` asks once: a step of a
small network is some ten small pieces of work, and asking takes longer than doing on a GPU, and as
long on a processor.  Where whatever changes from step to step lies on the device
(``device_epoch.py``), the work can be written down once, as a CUDA graph or as machine code, and
asked for as a whole.  That a recording does what the step does is not believed but proved before it
is used (``proof.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from typing import Literal

from xpnet import ops
from xpnet.arrays import Array
from xpnet.data import Batches
from xpnet.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Network,
    ReLU,
    Rescale,
    Sequential,
)
from xpnet.losses import SoftmaxCrossEntropy
from xpnet.optimizers import Optimizer
from xpnet.training.device_epoch import DeviceEpoch, Step
from xpnet.training.proof import ELSEWHERE, NotRecordableError, Recording, Settings, record
from xpnet.training.stats import Stats

__all__ = ["Eager", "Look", "Recorded", "Runner", "not_in_loops", "not_recordable"]

IN_LOOPS = (
    BatchNorm, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Rescale, Sequential,
    SoftmaxCrossEntropy,
)  # fmt: skip
"""Layers and losses whose work compiled loops do; where not (a convolution in strides, say), that
is found as a recording is proved."""

WORTH_RECORDING = 1_000
"""Steps of a fit for which a processor records them without being asked to: to record and prove one
takes as long as some hundreds take less afterwards."""

WORTH_KEEPING, MOST_WASTED = 100, 5
"""The steps that make up for a recording, and how often in a row there may be fewer."""

Look = Literal["never", "sometimes", "steps"]
"""When something looks on, or changes settings, between steps; each is more often than the last."""


class Runner(ABC):
    """A way to run the steps of a fit.

    Attributes
    ----------
    batches : Batches
    """

    batches: Batches

    @abstractmethod
    def epoch(
        self, number: int, factors: Sequence[float], stats: Stats, look: Look
    ) -> Generator[None]:
        """Make the steps of an epoch that are left; yield whenever some are made.

        Parameters
        ----------
        number : int
            The epoch's, counted from 0.
        factors : sequence of float
            What the learning rate is multiplied by at each step.
        stats : Stats
            Gets the batches; those that it has already are done.
        look : "never", "sometimes" or "steps"
            Whether something looks on or changes settings between steps: not at all, whenever
            some have been made, or after each single one.
        """

    def agreed(self, stop: bool, signal: int | None, *, now: bool) -> tuple[bool, int | None]:
        """Return whether to stop, and what signal to let through, of what is wished here.

        Parameters
        ----------
        stop : bool
        signal : int or None
        now : bool
            Whether the answer is final: otherwise wishes may be put off to a later step.
        """
        return stop, signal

    def close(self) -> None:  # noqa: B027 - not every way holds something
        """Give back what the runner holds."""


class Eager(Runner):
    """Each piece of work of each step is asked for by itself.

    Parameters
    ----------
    step : callable
        Takes a batch, makes an update and returns loss and scores.
    optimizer : Optimizer
    batches : Batches
    """

    def __init__(
        self,
        step: Callable[..., tuple[Array, Array]],
        optimizer: Optimizer,
        batches: Batches,
    ) -> None:
        self.step = step
        self.optimizer = optimizer
        self.batches = batches

    def epoch(
        self, number: int, factors: Sequence[float], stats: Stats, look: Look
    ) -> Generator[None]:
        """Make the steps of an epoch that are left, and yield after each."""
        done = stats.batches
        for factor, batch in zip(
            factors[done:], self.batches.epoch(number, start=done), strict=True
        ):
            self.optimizer.lr_factor = factor
            value, scores = self.step(*batch)
            stats.add(value, scores, *batch[1:])
            yield


class Recorded(Runner):
    """Steps are recorded once, and replayed with one launch for one or several.

    Steps for which there is no recording (the first of a fit, a short last batch), and all of them
    once a recording could not be made or proved, are run one piece of work after the other, by the
    same functions and so with the same results.

    Parameters
    ----------
    step : Step
    batches : Batches
        Whose set is resident on a device that records work.
    insist : bool
        Whether a ValueError shall say why, where steps cannot be replayed.
    unwanted : str, optional
        Why no step shall be recorded.
    current : callable, optional
        Returns the step as it is to be now, where callbacks may replace its parts.

    Attributes
    ----------
    reason : str or None
        Why steps are not replayed, once that has turned out.
    recordings : dict of int to Recording
        By the steps that each makes.
    """

    def __init__(
        self,
        step: Step,
        batches: Batches,
        *,
        insist: bool = False,
        unwanted: str | None = None,
        current: Callable[[], Step] | None = None,
    ) -> None:
        self.step = step
        self.batches = batches
        self.insist = insist
        self.reason: str | None = None
        self.recordings: dict[int, Recording] = {}
        self._failed = unwanted
        self._current = current
        self._launched = self._wasted = 0
        self._recorder = batches.device.recorder()
        self._epoch = DeviceEpoch(step, batches)
        self._settings: Settings | None = None

    def epoch(
        self, number: int, factors: Sequence[float], stats: Stats, look: Look
    ) -> Generator[None]:
        """Make the steps of an epoch that are left; yield after each launch."""
        epoch, batches = self._epoch, self.batches
        self._look_again()
        with self._recorder.stream():
            epoch.begin(number, stats)
            done = stats.batches
            while done < len(factors):
                with self._recorder.work():
                    if self.reason is not None or done >= epoch.full:
                        count = 1
                        epoch.eager(done, factors, stats)
                    else:
                        most = 1 if look == "steps" else self._recorder.together
                        count = most if epoch.full - done >= most else 1
                        count = self._replay(done, count, factors, stats)
                done += count
                self.step.optimizer.lr_factor = factors[done - 1]
                samples = min(done * batches.batch_size, batches.samples)
                stats.count(samples - stats.samples, count)
                yield
                if look != "never":
                    self._look_again()

    def agreed(self, stop: bool, signal: int | None, *, now: bool) -> tuple[bool, int | None]:
        """Return what the step says of it."""
        return self.step.agreed(stop, signal, now=now)

    def close(self) -> None:
        """Give back the memory of the recordings."""
        self.recordings.clear()
        self._recorder.close()

    def _look_again(self) -> None:
        """Drop the recordings if something that they hold has changed, here or elsewhere."""
        replaced = self._current is not None and self.step.take_parts(self._current())
        holds = self._settings is not None and self._settings.hold() and not replaced
        if not self.step.all_agree(holds):
            if self.recordings:
                self._wasted = self._wasted + 1 if self._launched < WORTH_KEEPING else 0
                if self._wasted == MOST_WASTED and not self.insist:
                    self._failed = "what a recording holds is changed again and again"
            self._settings, self._launched = None, 0
            self.recordings.clear()
            reason = self._failed or not_recordable(self.step.net)
            if not self.step.all_agree(reason is None):
                reason = reason or ELSEWHERE
            self._give_up(reason)

    def _give_up(self, reason: str | None) -> None:
        self.reason = reason
        if reason is not None and self.insist:
            raise ValueError(f"graph='on': {reason}")

    def _replay(self, done: int, count: int, factors: Sequence[float], stats: Stats) -> int:
        """Make steps by a recording, or one step before there is one; return how many."""
        if self._settings is None:
            self._epoch.eager(done, factors, stats)  # compiles, and binds the slots
            self._settings = Settings(self.step)
            self._recorder.empty_cache()
            return 1
        recorded = 1 if self._recorder.one_by_one else count
        if recorded not in self.recordings:
            try:
                self.recordings[recorded] = record(
                    self._recorder, self._epoch, done, recorded, factors, stats.answers
                )
            except NotRecordableError as error:
                self._failed = str(error)
                self.close()
                self._give_up(self._failed)
                self._epoch.eager(done, factors, stats)
                return 1
        self._epoch.lay_scalars(done, count, factors)
        recording = self.recordings[recorded]
        for _ in range(0, count, recorded):
            recording.launch()
        self.step.optimizer.steps += count
        self._launched += count
        stats.loss = recording.loss
        return count


def not_recordable(net: Network, resident: bool = True) -> str | None:
    """Return why steps cannot be recorded and replayed, as far as it shows at once, or None.

    Parameters
    ----------
    net : Network
    resident : bool
        Whether the data set is on the network's device as a whole.
    """
    place = net.device
    if not (place.records or place.records_loops):
        return f"the network is on {place.name}: 'cpu' and GPUs through CuPy ('gpu') replay steps"
    if not resident:
        return "the data set is not kept on the device as a whole"
    if net.hooked:
        return f"a hook looks at layer {net.hooked[0]} of {net.label}"
    return ops.not_recordable(place.library)


def not_in_loops(step: Step, batches: Batches) -> str | None:
    """Return which part of a step is not made of compiled loops alone, as far as it shows at once.

    What does not show is found as a recording is proved.
    """
    layers = [layer for _, layer in step.net.walk(innermost=False)]
    others = [part for part in (*layers, step.loss) if type(part) not in IN_LOOPS]
    rule = step.optimizer
    if not others and not type(rule).__module__.startswith("xpnet."):
        others = [rule]
    what = None
    if others:
        first = others[0]
        what = first.label if isinstance(first, Layer) else type(first).__name__
    elif step.after_backward or step.after_update:
        what = "what follows backward or the update"
    elif step.accumulate > 1:
        what = "a batch in parts"
    elif batches.draws is not None:
        what = "augmentation"
    elif batches.data.weights is not None:
        what = "the weighing of samples"
    return what and f"{what} is not made of compiled loops alone"
