"""The learning-rate range test: the loss while the rate rises, as a curve to look at."""

from __future__ import annotations

import copy
import itertools
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xpnet import checks
from xpnet.arrays import Array
from xpnet.checks import arguments, fraction, instance, positive, whole_number
from xpnet.data import Batches, Dataset
from xpnet.training.callbacks import overrides
from xpnet.training.prepare import check_dataset, check_fit, check_targets, not_finite, prepared
from xpnet.training.trainer import DivergedError, Trainer

__all__ = ["LRCurve", "find_lr"]


@dataclass
class LRCurve:
    """The losses of steps whose learning rates rise.

    A rate is good where the smoothed loss falls fast, some way before it turns up; which one is
    for the reader to say.

    Attributes
    ----------
    rates : list of float
        Of each step.
    losses : list of float
        Of each step's batch, before the update of that rate.
    smoothed : list of float
        Exponentially weighted means of the losses so far.
    diverged : bool
        Whether the loss exploded before the highest rate.
    """

    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    smoothed: list[float] = field(default_factory=list)
    diverged: bool = False

    def add(self, rate: float, loss: float, smoothed: float) -> None:
        """Add a step."""
        self.rates.append(rate)
        self.losses.append(loss)
        self.smoothed.append(smoothed)

    def plot(self, path: str | Path | None = None, title: str = "", *, ax: Any = None) -> Any:
        """Draw the losses over the rates; return the figure, which a notebook shows.

        Parameters
        ----------
        path : path, optional
            A file to write the picture to; its suffix decides the format.
        title : str
        ax : matplotlib Axes, optional
            Where to draw instead of in a new figure.

        Raises
        ------
        ImportError
            Matplotlib is not installed.
        """
        from xpnet.plots import loss_over_rates  # which is imported when it is needed

        return loss_over_rates(self.rates, self.losses, self.smoothed, path, title, ax=ax)

    def __repr__(self) -> str:
        ends = f", {self.rates[0]:g} to {self.rates[-1]:.3g}" if self.rates else ""
        where = ", where the loss diverged" if self.diverged else ""
        return f"LRCurve({len(self.rates)} rates{ends}{where})"


@arguments("write find_lr(trainer, Dataset(x, t), batch_size=...)")
def find_lr(
    trainer: Trainer,
    train: Dataset,
    batch_size: int = 100,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.8,
    stop_above: float = 4.0,
) -> LRCurve:
    """Return the losses of some steps whose learning rate rises from low to high.

    The steps are made by a copy of the trainer, without its schedule and the callbacks that only
    look on, from the parameters as they are: the trainer itself, its network and its optimizer stay
    as they were, to the bit.  Batches are drawn as in :meth:`Trainer.fit`, again and again where
    there are fewer than steps; a last, shorter one is left out.

    Parameters
    ----------
    trainer : Trainer
    train : Dataset
    batch_size : int
        As the fit will have it: the best rate depends on it.
    low, high : float
        The rates of the first and the last step; those between rise by the same factor each.
    steps : int
        At least 2.
    smoothing : float
        The weight of the past in the smoothed losses, 0 <= smoothing < 1.
    stop_above : float
        The steps end where the smoothed loss is more than so many times its lowest so far, or is
        no finite number.

    Raises
    ------
    ValueError
        The data does not fit the network, or a number is out of range.
    DivergedError
        There is no finite loss to begin with.

    Notes
    -----
    Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3; there the rate
    rises by the same difference.  The loss is read after each step, for which an accelerator is
    waited for: once it explodes, the next steps would have no numbers.  The copy takes as much
    memory as network and optimizer; an ``after_backward`` that is a plain function is shared.
    """
    instance("trainer", trainer, Trainer, "Trainer(net, loss, optimizer)")
    check_dataset("find_lr", train)
    batch_size = whole_number("batch_size", batch_size, 1)
    rates = _rates(low, high, whole_number("steps", steps, 2))
    smoothing = fraction("smoothing", smoothing)
    stop_above = checks.number("stop_above", stop_above, lambda x: x > 1, "a number above 1")
    check_fit(trainer.net, train)
    check_targets(trainer.net, trainer.loss, train)
    made = _copied(trainer)
    with (
        made.net.threads(),
        made.net.device.scope(),
        warnings.catch_warnings(action="ignore", category=RuntimeWarning),  # of an explosion
    ):
        curve = _climbed(made, rates, _batches(made, train, batch_size), smoothing, stop_above)
    if not curve.rates:
        cause = not_finite(train) or "begin from a network whose loss is finite"
        raise DivergedError(f"find_lr: the first loss is no finite number: {cause}")
    return curve


def _rates(low: float, high: float, steps: int) -> list[float]:
    """Return rates from low to high, each so many times the one before."""
    low = positive("low", low)
    high = checks.number("high", high, lambda x: x > low, f"a number above low, {low}")
    return [low * (high / low) ** (k / (steps - 1)) for k in range(steps)]


def _copied(trainer: Trainer) -> Trainer:
    """Return a copy of a trainer with all that is part of its steps."""
    alone, stages = copy.copy(trainer), ("after_backward", "after_update")
    alone.callbacks = [c for c in trainer.callbacks if any(overrides(c, one) for one in stages)]
    made = copy.deepcopy(alone)  # the other callbacks need not be such as can be copied
    made.optimizer.lr_factor = 1.0
    return made


def _climbed(
    trainer: Trainer,
    rates: list[float],
    batches: Iterator[tuple[Array, ...]],
    smoothing: float,
    stop_above: float,
) -> LRCurve:
    """Return the losses of a trainer's steps, each at its rate, as far as they go."""
    curve, mean = LRCurve(), 0.0
    for rate, batch in zip(rates, batches, strict=False):
        trainer.optimizer.lr = rate
        loss = float(trainer.step(*batch)[0])
        if not math.isfinite(loss):
            curve.diverged = True
            break
        mean = smoothing * mean + (1 - smoothing) * loss
        curve.add(rate, loss, mean / (1 - smoothing ** (len(curve.rates) + 1)))
        lowest = min(curve.smoothed)
        if curve.smoothed[-1] > lowest + (stop_above - 1) * abs(lowest):
            curve.diverged = True
            break
    return curve


def _batches(trainer: Trainer, train: Dataset, batch_size: int) -> Iterator[tuple[Array, ...]]:
    """Yield batches for ever."""
    batches = Batches(
        prepared(trainer.net, train),
        batch_size,
        device=trainer.net.device,
        seed=trainer.seed,
        drop_last=batch_size <= len(train),
    )
    for epoch in itertools.count():
        yield from batches.epoch(epoch)
