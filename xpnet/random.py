"""Every random draw is a pure function of (seed, name, step).

Nothing here holds hidden state.  A :class:`Stream` is a seed and a path; it hashes to the key
of a Philox-4x64-10 counter generator (Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", 2011), and the step enters the counter.  So the same seed draws the same weights,
batches and masks on every array library, and a run resumes from its seed and step alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from xpnet.checks import check_fields, whole_number

__all__ = ["Stream"]


@dataclass(frozen=True)
class Stream:
    """A named source of random numbers.

    Parameters
    ----------
    seed : int
        The seed of the whole run.
    path : str
        What is drawn, for instance ``"4.W"`` or ``"batches"``.
    """

    seed: int
    path: str = ""

    def __post_init__(self) -> None:
        check_fields(self, seed=whole_number)

    def child(self, name: str | int) -> Stream:
        """Return the stream of a part: the path grows by one component."""
        return replace(self, path=f"{self.path}.{name}" if self.path else str(name))

    @property  # not cached: to Python 3.11 that is a lock, which a fork may find taken
    def key(self) -> int:
        """The 128-bit Philox key: blake2b of seed and path, little-endian."""
        digest = blake2b(f"{self.seed}:{self.path}".encode(), digest_size=16).digest()
        return int.from_bytes(digest, "little")

    def generator(self, step: int = 0) -> np.random.Generator:
        """Return a fresh NumPy generator for one step: equal arguments, equal draws.

        The step is the second word of the 256-bit counter; the first counts the blocks of four
        words within the step.
        """
        return np.random.Generator(np.random.Philox(key=self.key, counter=step << 64))

    def normal(self, shape: tuple[int, ...], std: float = 1.0) -> np.ndarray[Any, np.dtype[Any]]:
        """Draw float64 normal numbers of mean 0 on the host."""
        return self.generator().normal(0.0, std, shape)

    def uniform(
        self, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0
    ) -> np.ndarray[Any, np.dtype[Any]]:
        """Draw float64 numbers from [low, high) on the host."""
        return self.generator().uniform(low, high, shape)

    def permutation(self, n: int, step: int = 0) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the numbers 0 to n - 1 in random order, int64, on the host."""
        return self.generator(step).permutation(n).astype(np.int64, copy=False)
