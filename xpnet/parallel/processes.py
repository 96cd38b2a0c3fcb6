"""What an engine does for a run on several processes, and the order in which sums are taken.

A batch is cut into a fixed number of shards, whatever the number of ranks.  The sums of shards are
added as a balanced binary tree, neighbours first: since each rank has a run of neighbours, and a
sum of two numbers is the same in either order, what comes out does not depend on which rank
computed what.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Self

from xpnet.arrays import Array, namespace, to_numpy
from xpnet.checks import flag, whole_number
from xpnet.devices import device_of
from xpnet.random import Stream

__all__ = ["DiffersError", "Processes", "Single", "Sums", "Tree", "cut"]


def bounds(n: int, parts: int) -> list[int]:
    """Return where the parts of n begin, and n: sizes differ by at most one."""
    return [n * k // parts for k in range(parts + 1)]


def cut(n: int, shards: int) -> list[int]:
    """Return where the shards of a batch of n begin, and n.

    Of a short batch the last shards are empty, so that the others have two samples at least, of
    which statistics can be taken.
    """
    filled = min(shards, max(1, n // 2))
    return bounds(n, filled) + [n] * (shards - filled)


class DiffersError(ValueError):
    """Ranks differ in what has to be equal: raised on every one of them."""

    everywhere = True


class Processes(ABC):
    """The processes of a run, and an engine between them.

    Parameters
    ----------
    shards : int, optional
        Parts that each batch is cut into: a power of two, at least the number of ranks.  By
        default those that a checkpoint was begun with, else the ranks, rounded up to a power of
        two.
    exact : bool
        Whether sums are taken in the order of the tree, so that a run has the same bits on any
        number of ranks; otherwise in the engine's own.

    Attributes
    ----------
    name : str
        The engine's.
    rank, size : int
        The number of this process, from 0, and how many there are.
    local_rank : int
        Its number among those of the same machine, and so that of the GPU it may take.
    on_device : bool
        Whether sums are asked of the device that the arrays lie on, as all else of a step.
    """

    name: str
    on_device: bool = False
    local_rank: int = 0

    def __init__(self, rank: int, size: int, *, shards: int | None, exact: bool) -> None:
        self.rank, self.size = rank, size
        self.exact = flag("exact", exact)
        self.shards = shards
        if shards is not None:
            self.check_shards(whole_number("shards", shards, 1))

    def check_shards(self, shards: int) -> None:
        """Raise unless a number of shards can be spread over the ranks."""
        if shards & (shards - 1):
            raise ValueError(f"shards: expected a power of two, such as 8, got {shards}")
        if shards < self.size:
            raise ValueError(
                f"shards: expected at least one for each of {self.size} ranks, got {shards}: begin "
                f"with more shards, or go on with at most {shards} ranks"
            )

    def default_shards(self) -> int:
        """Return the number of shards of a run that begins."""
        return self.shards or 1 << (self.size - 1).bit_length()

    def runs(self, shards: int) -> list[range]:
        """Return which shards each rank has: neighbours, and at least one."""
        return [range(*ends) for ends in pairwise(bounds(shards, self.size))]

    def rows(self, shards: int, n: int) -> tuple[int, int]:
        """Return which rows of a batch of n this rank has, from and to."""
        ends, own = cut(n, shards), self.runs(shards)[self.rank]
        return ends[own.start], ends[own.stop]

    @abstractmethod
    def all_reduce(self, a: Array) -> None:
        """Add the arrays of all ranks, in place, in any order."""

    @abstractmethod
    def all_gather(self, pieces: Array, counts: Sequence[int]) -> Array:
        """Return the rows of all ranks, in the order of ranks, each of which has some."""

    @abstractmethod
    def exchange(self, value: Any) -> list[Any]:
        """Return what each rank gives, in the order of ranks: small values that can be pickled."""

    @abstractmethod
    def abort(self, status: int = 1) -> None:
        """End all ranks now; of one rank alone nothing is to be ended."""

    def check_alike(self, about: dict[str, Any], cure: str) -> None:
        """Make sure, on every rank, that all were given the same.

        Parameters
        ----------
        about : dict
            What is to be equal everywhere, by name.
        cure : str
            What to do where it is not.

        Raises
        ------
        DiffersError
            A rank has something else.
        """
        first, *others = self.exchange(about)
        for rank, other in enumerate(others, 1):
            for name, expected in first.items():
                if other[name] != expected:
                    raise DiffersError(
                        f"rank {rank} differs from rank 0: {name} expected {expected!r}, got "
                        f"{other[name]!r}: {cure}"
                    )

    def __deepcopy__(self, memo: object) -> Self:
        return self  # they are where the program runs, and no part of a trainer

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), shards=self.shards, exact=self.exact), ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rank {self.rank} of {self.size})"


class Single(Processes):
    """One process alone: a run cut into shards as on several, for the same bits."""

    name = "single"
    on_device = True

    def __init__(self, *, shards: int | None = None, exact: bool = True) -> None:
        super().__init__(0, 1, shards=shards, exact=exact)

    def all_reduce(self, a: Array) -> None:
        """Leave it: it is the sum."""

    def all_gather(self, pieces: Array, counts: Sequence[int]) -> Array:
        """Return the rows: they are all."""
        return pieces

    def exchange(self, value: Any) -> list[Any]:
        """Return the value: it is the only one."""
        return [value]

    def abort(self, status: int = 1) -> None:
        """Leave it to the error that is on its way."""


class Tree:
    """A sum of arrays, added as a balanced binary tree while they come.

    It holds one array for each level of the tree: log2 of the number of arrays.
    """

    def __init__(self) -> None:
        self._sums: list[tuple[int, Array]] = []

    def add(self, a: Array) -> None:
        """Add the next array, which becomes the tree's own."""
        count = 1
        while self._sums and self._sums[-1][0] == count:
            before = self._sums.pop()[1]
            before += a
            a, count = before, 2 * count
        self._sums.append((count, a))

    def total(self) -> Array:
        """Return the sum; of other than a power of two of arrays, the rest is added as it comes."""
        *others, (_, total) = self._sums
        for _, a in reversed(others):
            total = a + total
        return total


def _summed(rows: Array) -> Array:
    tree, xp = Tree(), namespace(rows)
    for k in range(rows.shape[0]):
        tree.add(xp.asarray(rows[k, ...], copy=True))
    return tree.total()


class Sums:
    """Sums over the shards of all ranks.

    Parameters
    ----------
    processes : Processes
    shards : int
    like : array, 1-d
        Of the size, dtype and device of what is to be summed.

    Attributes
    ----------
    gathered : str or None
        Why the sums of shards, or of ranks, are gathered and added here; None if the engine adds
        them.
    """

    def __init__(self, processes: Processes, shards: int, like: Array) -> None:
        self.processes = processes
        runs = processes.runs(shards)
        lengths = {len(run) for run in runs}
        self.whole = len(lengths) == 1  # so each run is a branch of the tree
        self.counts = [1] * len(runs) if self.whole else [len(run) for run in runs]
        self.gathered: str | None = None
        if processes.size == 1 or not processes.exact:
            return
        if not self.whole:
            self.gathered = f"{processes.size} ranks are no power of two"
        elif not self._adds_as_a_tree(like):
            self.gathered = f"{processes.name} adds in another order than a balanced tree"

    def _adds_as_a_tree(self, like: Array) -> bool:
        """Return whether the engine's sums have a tree's bits, of random numbers of this size."""
        place, ranks = device_of(like), range(self.processes.size)
        drawn = [place.asarray(Stream(r, "sums").normal(tuple(like.shape))) for r in ranks]
        rows = namespace(like).stack([namespace(like).astype(a, like.dtype) for a in drawn])
        mine = namespace(like).asarray(rows[self.processes.rank, ...], copy=True)
        self.processes.all_reduce(mine)
        same = bool((to_numpy(mine) == to_numpy(_summed(rows))).all())
        return all(self.processes.exchange(same))

    def __call__(self, own: Iterable[Array]) -> Array:
        """Return the sum over all shards of all ranks, on each of them.

        Parameters
        ----------
        own : iterable of array, 1-d
            Of this rank's shards in their order; they become the sum's own.
        """
        if self.whole or not self.processes.exact:
            tree = Tree()
            for a in own:
                tree.add(a)
            pieces = [tree.total()]
        else:
            pieces = list(own)
        if self.gathered is None:
            self.processes.all_reduce(pieces[0])
            return pieces[0]
        return _summed(self.processes.all_gather(namespace(pieces[0]).stack(pieces), self.counts))
