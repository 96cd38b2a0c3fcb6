"""A model of what a step costs on several ranks, and the parameters that fit what was measured.

A step of ``shards`` on ``ranks``, each with a core of its own, takes

    rest + shards / ranks * shard + log2(ranks) * latency + bytes / bandwidth

seconds: what every rank does whatever its share (the update above all), the passes of its shards,
and the sum over all ranks of as many bytes as there are parameters.  The bytes count once: an
all-reduce of long messages sends each about twice, however many ranks there are, and the bandwidth
that is fitted holds that.  Ranks that share cores take turns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Cost", "fitted_reduce", "fitted_shards"]


@dataclass(frozen=True)
class Cost:
    """The parameters of the model.

    Attributes
    ----------
    shard, rest : float
        Seconds of a shard, and of what each rank does once a step.
    latency : float
        Seconds of a doubling of the ranks that sum.
    bandwidth : float
        Bytes summed a second.
    bytes : int
        What is summed once a step.
    """

    shard: float
    rest: float
    latency: float
    bandwidth: float
    bytes: int

    def step(self, ranks: int, shards: int, cores: int | None = None) -> float:
        """Return the seconds of a step; on so many cores in all, if they are given."""
        turns = 1.0 if cores is None else max(1.0, ranks / cores)
        own = self.rest + -(-shards // ranks) * self.shard
        return turns * own + self.all_reduce(ranks, self.bytes)

    def all_reduce(self, ranks: int, size: int) -> float:
        """Return the seconds of a sum of some bytes over ranks."""
        return 0.0 if ranks == 1 else math.log2(ranks) * self.latency + size / self.bandwidth


def fitted_shards(seconds: Mapping[int, float]) -> tuple[float, float]:
    """Return the seconds of a shard and of the rest of a step.

    Parameters
    ----------
    seconds : mapping
        Of a step of each number of shards, all of one size, on one core.
    """
    rest, shard = _straight(seconds)
    return shard, rest


def fitted_reduce(seconds: Mapping[int, float]) -> tuple[float, float]:
    """Return the latency in seconds, and the bandwidth in bytes a second.

    Parameters
    ----------
    seconds : mapping
        Of an all-reduce of each number of bytes on two ranks.
    """
    latency, each = _straight(seconds)
    return latency, 1 / each


def _straight(points: Mapping[int, float]) -> tuple[float, float]:
    """Return the constant and the slope of a line, by least squares of relative errors.

    A constant below 0, which no time is, is taken as 0.
    """
    x, y = np.array(list(points), float), np.array(list(points.values()))
    (constant, slope), *_ = np.linalg.lstsq(np.stack([1 / y, x / y], 1), np.ones(len(y)))
    if constant < 0:
        constant, slope = 0.0, np.sum(x / y) / np.sum((x / y) ** 2)
    return float(constant), float(slope)
