"""The average of the parameters that training goes through."""

from __future__ import annotations

from typing import Any

from xpnet.arrays import Array, dtype_name, namespace, real_dtype
from xpnet.checks import Hyperparameter, flag, fraction, not_negative
from xpnet.config import Configurable
from xpnet.devices import device_of
from xpnet.layers import ArrayMap, Network
from xpnet.layers.buffers import Layout
from xpnet.training.callbacks import Callback, Run

__all__ = ["AveragedWeights"]


class AveragedWeights(Configurable, Callback):
    """An exponential moving average of the parameters: what is validated, saved and used.

    Training goes on with the parameters themselves.  From an epoch's last step to the next one's
    first, and after the fit, the network has the average.

    Parameters
    ----------
    decay : float
        How much of the average stays at each update, at most: after n updates it is
        (1 + n) / (10 + n) while that is less, so that the beginning is soon forgotten.

    Notes
    -----
    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.  There is
    another array of all parameters on the network's device, and while both are exchanged two.
    BatchNorm's running statistics are not averaged: they are those of the training.
    """

    decay = Hyperparameter(fraction)

    def __init__(self, decay: float = 0.999) -> None:
        self.decay = decay
        self._layout: Layout | None = None
        self._other: Array | None = None  # the average, or while the network has that, the trained
        self._updates: Array | None = None  # their number, where a replayed step can count it
        self._swapped = False

    def fit_begins(self, trainer: Run, epochs: int, steps: int) -> None:
        """Begin with the parameters as they are, or go on."""
        if self._other is None or not trainer.resumes:
            self._begin(trainer.net.params)
        else:
            self._lay(self._other, self._count, trainer.net.params)

    def epoch_begins(self, trainer: Run) -> None:
        """Give the network its parameters back."""
        if self._swapped:
            self.swap(trainer.net)

    def after_update(self, params: ArrayMap) -> None:
        """Move the average towards the parameters."""
        if self._other is None:  # a loop by hand
            self._begin(params)
        flat: Any = params.flat
        average: Any = self._other
        xp = namespace(flat)
        self._updates += 1.0  # type: ignore[operator]
        share = xp.maximum(9.0 / (self._updates + 10.0), 1.0 - self.decay)
        average += (flat - average) * xp.astype(share, getattr(xp, real_dtype(dtype_name(flat))))

    def validation_begins(self, trainer: Run) -> None:
        """Give the network the average."""
        self.swap(trainer.net)

    def fit_ends(self, trainer: Run) -> None:
        """Leave the average with the network, and forget all else."""
        if trainer.finished and self._other is not None:
            if not self._swapped:  # another callback ended the fit within an epoch
                self.swap(trainer.net)
            self._layout = self._other = self._updates = None
            self._swapped = False

    def swap(self, net: Network) -> None:
        """Exchange the network's parameters and the average, or the other way round.

        For loops by hand: a fit does it.
        """
        flat: Any = net.params.flat
        other: Any = self._other
        with net.device.scope():
            before = namespace(flat).asarray(flat, copy=True)
            flat[...], other[...] = other, before
        self._swapped = not self._swapped

    @property
    def buffers(self) -> list[Array]:
        """The average, and the number of updates."""
        return [a for a in (self._other, self._updates) if a is not None]

    def _begin(self, params: ArrayMap) -> None:
        self._lay(params.flat, 0.0, params)
        self._swapped = False

    @property
    def _count(self) -> float:
        return 0.0 if self._updates is None else float(self._updates[0])

    def _lay(self, other: Array | None, updates: float, params: ArrayMap) -> None:
        """Take copies of arrays to where the parameters are."""
        place = device_of(params.flat)
        with place.scope():
            self._other = namespace(params.flat).asarray(place.asarray(other), copy=True)
            self._updates = place.asarray([updates], "float64")
        self._layout = params.layout

    def state(self) -> dict[str, Any]:
        """Return the number of updates, and by the parameters' names what the network has not."""
        if self._layout is None or self._other is None:
            return {}
        arrays = self._layout.views_of(self._other)
        return {"updates": self._count, "swapped": self._swapped, **arrays}

    def load_state(self, trainer: Any, state: dict[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        self._layout = self._other = self._updates = None
        self._swapped = False
        if not state:
            return
        arrays, params = dict(state), trainer.net.params
        updates = not_negative("updates", arrays.pop("updates"))
        swapped = flag("swapped", arrays.pop("swapped"))
        self._lay(params.flat, updates, params)
        ArrayMap(params.views_of(self._other)).update(arrays)
        if arrays.keys() != params.keys():
            raise ValueError(f"lacks {sorted(params.keys() - arrays.keys())}")
        self._swapped = swapped
