"""Samples changed at random as they are trained on: each epoch another way.

Every draw is a function of (seed, epoch, sample).  They are drawn on the host, an epoch at a time,
as small whole numbers; the images are changed where they lie (``ops/image.py``), as bytes, so that
they are the same on every array library.  Changes of place that follow one another are made in one
go: an image is resampled once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from xpnet import ops
from xpnet.arrays import Array, HostArray
from xpnet.checks import (
    Hyperparameter,
    came,
    fraction,
    not_negative,
    number,
    one_of,
    positive,
    whole_number,
)
from xpnet.config import Configurable
from xpnet.random import Stream

__all__ = [
    "Augment",
    "Augmentation",
    "CutOut",
    "Elastic",
    "Flip",
    "MixUp",
    "Noise",
    "Rotate",
    "Scale",
    "Shear",
    "Shift",
]

Size = tuple[int, int]
Generator = np.random.Generator


class Augment(Configurable, ABC):
    """A random change of samples."""


class Stage(Protocol):
    """What is done to a batch in one go."""

    def draw(self, rng: Generator, n: int, size: Size) -> list[HostArray]:
        """Return what it draws for n images of a size: arrays with a row for each."""

    def apply(self, x: Array, *drawn: Array) -> Array:
        """Return a batch changed as its rows of these say."""


class Moving(Augment):
    """A change of place: from where in the image each pixel is taken."""

    @abstractmethod
    def moves(self, rng: Generator, n: int) -> tuple[Any, Any]:
        """Return matrices (n, 2, 2) and offsets (n, 2), or such as broadcast to these.

        A pixel is taken from ``matrix (place - centre) + offset + centre``; rows come first.
        """


class Shift(Moving):
    """Moved by whole pixels, up or down and left or right.

    Parameters
    ----------
    pixels : int
        How far at most.
    """

    pixels = Hyperparameter(whole_number)

    def __init__(self, pixels: int = 2) -> None:
        self.pixels = pixels

    def moves(self, rng: Generator, n: int) -> tuple[Any, Any]:
        """Draw the offsets."""
        return np.eye(2), rng.integers(-self.pixels, self.pixels + 1, (n, 2)).astype(float)


class Rotate(Moving):
    """Turned around the centre.

    Parameters
    ----------
    degrees : float
        How far at most, either way.
    """

    degrees = Hyperparameter(not_negative)

    def __init__(self, degrees: float = 10.0) -> None:
        self.degrees = degrees

    def moves(self, rng: Generator, n: int) -> tuple[Any, Any]:
        """Draw the angles."""
        angle = np.radians(rng.uniform(-self.degrees, self.degrees, n))
        cos, sin = np.cos(angle), np.sin(angle)
        return np.moveaxis(np.array([[cos, -sin], [sin, cos]]), -1, 0), np.zeros(2)


class Scale(Moving):
    """Made smaller or larger.

    Parameters
    ----------
    low, high : float
        The range of factors, 0 < low <= high; each ratio in it is equally likely.
    """

    low = Hyperparameter(positive)
    high = Hyperparameter(positive)

    def __init__(self, low: float = 0.9, high: float = 1.1) -> None:
        self.low = low
        self.high = number("high", high, lambda x: x >= low, f"a number of at least low, {low}")

    def moves(self, rng: Generator, n: int) -> tuple[Any, Any]:
        """Draw the factors."""
        factor = np.exp(rng.uniform(math.log(self.low), math.log(self.high), n))
        return np.eye(2) / factor[:, None, None], np.zeros(2)


class Shear(Moving):
    """Slanted to the left or the right.

    Parameters
    ----------
    degrees : float
        How far verticals lean at most, below 90.
    """

    degrees = Hyperparameter(number, lambda x: 0 <= x < 90, "0 <= degrees < 90")

    def __init__(self, degrees: float = 10.0) -> None:
        self.degrees = degrees

    def moves(self, rng: Generator, n: int) -> tuple[Any, Any]:
        """Draw the slopes."""
        matrices = np.tile(np.eye(2), (n, 1, 1))
        matrices[:, 1, 0] = np.tan(np.radians(rng.uniform(-self.degrees, self.degrees, n)))
        return matrices, np.zeros(2)


class Flip(Moving):
    """Mirrored.

    Parameters
    ----------
    axis : "horizontal" or "vertical"
        Left and right are exchanged, or above and below.
    rate : float
        The share of samples that are, below 1.
    """

    rate = Hyperparameter(fraction)

    def __init__(self, axis: str = "horizontal", rate: float = 0.5) -> None:
        self.axis = one_of("axis", axis, ("horizontal", "vertical"))
        self.rate = rate

    def moves(self, rng: Generator, n: int) -> tuple[Any, Any]:
        """Draw which are."""
        matrices = np.tile(np.eye(2), (n, 1, 1))
        at = 1 if self.axis == "horizontal" else 0
        matrices[:, at, at] = np.where(rng.random(n) < self.rate, -1.0, 1.0)
        return matrices, np.zeros(2)


class Elastic(Augment):
    """Bent: pixels move by a smooth field of displacements.

    Parameters
    ----------
    strength : float
        The standard deviation of displacements at the nodes of the field, in pixels.
    spacing : float
        Pixels between two nodes, at least 1: the less, the finer the waves.

    Notes
    -----
    After Simard et al., "Best practices for convolutional neural networks applied to visual
    document analysis", 2003, where the field is noise smoothed by a Gaussian.
    """

    strength = Hyperparameter(not_negative)
    spacing = Hyperparameter(number, lambda x: x >= 1, "a number of at least 1")

    def __init__(self, strength: float = 1.0, spacing: float = 7.0) -> None:
        self.strength = strength
        self.spacing = spacing

    def nodes(self, rng: Generator, n: int, size: Size) -> HostArray:
        """Draw displacements of rows and columns on a grid over the image: (n, 2, k, k)."""
        k = max(2, round((max(size) - 1) / self.spacing) + 1)
        drawn: HostArray = rng.standard_normal((n, 2, k, k), np.float32) * self.strength
        return drawn


class CutOut(Augment):
    """With a square of one value somewhere, perhaps in part outside.

    Parameters
    ----------
    pixels : int
        The square's side.
    fill : int
        The value.

    Notes
    -----
    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout",
    2017.
    """

    pixels = Hyperparameter(whole_number, 1)
    fill = Hyperparameter(whole_number, 0, 255)

    def __init__(self, pixels: int = 8, fill: int = 0) -> None:
        self.pixels = pixels
        self.fill = fill

    def draw(self, rng: Generator, n: int, size: Size) -> list[HostArray]:
        """Draw the squares."""
        centre = rng.integers(0, size, (n, 2), np.int32)
        first = centre - self.pixels // 2
        ends = np.stack([first, first + self.pixels], axis=2)
        return [ends.reshape(n, 4)]

    def apply(self, x: Array, *drawn: Array) -> Array:
        """Fill them in."""
        return ops.image.cut_out(x, *drawn, fill=self.fill)


class Noise(Augment):
    """With nearly normal noise on each number.

    Parameters
    ----------
    std : float
        Its standard deviation, in units of the samples: of pixels 0 to 255.
    """

    std = Hyperparameter(not_negative)

    def __init__(self, std: float = 10.0) -> None:
        self.std = std

    def draw(self, rng: Generator, n: int, size: Size) -> list[HostArray]:
        """Draw what the noise is a function of."""
        return [rng.integers(0, 2**32, n)]

    def apply(self, x: Array, *drawn: Array) -> Array:
        """Add it."""
        return ops.image.add_noise(x, *drawn, std=self.std)


class MixUp(Augment):
    """Mixed with another sample, and so are the targets.

    Parameters
    ----------
    alpha : float
        The shares follow the beta distribution (alpha, alpha): the less, the more of one sample.

    Notes
    -----
    Zhang et al., "mixup: beyond empirical risk minimization", 2018.
    """

    alpha = Hyperparameter(positive)

    def __init__(self, alpha: float = 0.2) -> None:
        self.alpha = alpha

    def draw(self, rng: Generator, n: int, size: Size) -> list[HostArray]:
        """Draw each sample's partner, and its own share of 256."""
        shares = np.rint(256 * rng.beta(self.alpha, self.alpha, n)).astype(np.int32)
        return [rng.integers(0, n, n), shares]


class Warp:
    """Changes of place that are made in one go.

    Parameters
    ----------
    augments : sequence of Moving and at most one Elastic
        The second moves what the first has moved; a field bends what comes of all of them.
    """

    def __init__(self, augments: Sequence[Augment]) -> None:
        self.augments = augments

    def draw(self, rng: Generator, n: int, size: Size) -> list[HostArray]:
        """Draw one matrix for each image, and the nodes of a field if one is bent."""
        matrix, offset, nodes = np.tile(np.eye(2), (n, 1, 1)), np.zeros((n, 2)), []
        for one in self.augments:
            if isinstance(one, Moving):
                inner, shift = one.moves(rng, n)
                offset = offset + np.einsum("nij,nj->ni", matrix, np.broadcast_to(shift, (n, 2)))
                matrix = matrix @ inner
            elif isinstance(one, Elastic):
                nodes.append(_fixed(one.nodes(rng, n, size)))
        centre = (np.array(size) - 1) / 2
        last = offset + centre - matrix @ centre
        return [_fixed(np.concatenate([matrix, last[:, :, None]], axis=2).reshape(n, 6)), *nodes]

    def apply(self, x: Array, *drawn: Array) -> Array:
        """Resample the images."""
        matrices, nodes = drawn if len(drawn) == 2 else (drawn[0], None)
        return ops.image.warp(x, matrices, nodes, fill=0)


def _fixed(places: HostArray) -> HostArray:
    """Return coordinates as whole numbers, with 16 bits after the point."""
    fixed: HostArray = np.rint(np.clip(places, -(2.0**14), 2.0**14) * ops.image.ONE).astype(
        np.int32
    )
    return fixed


class Augmentation:
    """What is done to the samples of a data set in training.

    Parameters
    ----------
    augments : sequence of Augment
        One after the other.  MixUp, if it is among them, comes last.
    seed : int

    Raises
    ------
    TypeError
        One is none.
    ValueError
        MixUp does not come last.
    """

    def __init__(self, augments: Sequence[Augment], seed: int = 0) -> None:
        for one in augments:
            if not isinstance(one, Augment):
                raise TypeError(
                    f"augmented: expected augments such as Shift(2) of xpnet.data, got {came(one)}"
                )
        mixing = [isinstance(one, MixUp) for one in augments]
        if any(mixing[:-1]):
            raise ValueError("augmented: expected MixUp once, as the last one")
        self.augments = tuple(augments)
        self.seed = whole_number("seed", seed)
        self.mix_up = self.augments[-1] if any(mixing) else None
        self.stages = _stages(self.augments[: len(mixing) - sum(mixing)])
        self._stream = Stream(self.seed, "augment")

    def described(self) -> list[Any]:
        """Return what decides the draws, as JSON can hold it."""
        return [self.seed, *([type(one).__name__, one.config()] for one in self.augments)]

    def draw(self, epoch: int, n: int, size: Size) -> list[list[HostArray]]:
        """Return the draws of an epoch for each stage: arrays with a row for each sample."""
        drawing: list[Any] = [*self.stages, *([self.mix_up] if self.mix_up else [])]
        return [
            stage.draw(self._stream.child(i).generator(epoch), n, size)
            for i, stage in enumerate(drawing)
        ]

    def __repr__(self) -> str:
        return ", ".join(map(repr, self.augments))


def _stages(augments: Sequence[Augment]) -> list[Stage]:
    """Return what is done in one go each: places change together, up to a second field."""
    stages: list[Any] = []
    for moving, some in groupby(augments, lambda one: isinstance(one, (Moving, Elastic))):
        if not moving:
            stages += some
            continue
        together: list[Augment] = []
        for one in some:
            if isinstance(one, Elastic) and any(isinstance(other, Elastic) for other in together):
                stages.append(Warp(together))
                together = []
            together.append(one)
        stages.append(Warp(together))
    return stages
