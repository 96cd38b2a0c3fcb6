"""How batches are cut, and in what order sums over several ranks are taken."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from tests.parallel.threaded import on_ranks
from tests.training.test_sharded import trainer
from xpnet.cli.ranks import own_device
from xpnet.parallel import Processes, Single, connect, launched
from xpnet.parallel.processes import Sums, Tree, cut

SHARDS = 8


def numbers(count: int, size: int = 1000) -> list[np.ndarray]:
    """Draw arrays whose sum depends on the order in which they are added."""
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal(size) * 10.0 ** rng.integers(-4, 4, size)).astype(np.float32)
        for _ in range(count)
    ]


def balanced(arrays: list[np.ndarray]) -> np.ndarray:
    """Add halves, each added in the same way: the definition."""
    if len(arrays) == 1:
        return arrays[0]
    middle = len(arrays) // 2
    return balanced(arrays[:middle]) + balanced(arrays[middle:])


@pytest.mark.parametrize("count", [1, 2, 4, 8, 16])
def test_a_tree_adds_neighbours_first(count):
    arrays, tree = numbers(count), Tree()
    for a in arrays:
        tree.add(a.copy())
    np.testing.assert_array_equal(tree.total(), balanced(arrays))
    if count >= 4:
        assert (balanced(arrays) != sum(arrays[1:], start=arrays[0])).any()


def test_a_tree_holds_an_array_for_each_level():
    tree = Tree()
    for k, a in enumerate(numbers(63), 1):
        tree.add(a)
        assert len(tree._sums) == k.bit_count()


@pytest.mark.parametrize("order", [None, "backwards"])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 5, 8])
def test_the_sum_over_ranks_does_not_depend_on_how_many_there_are(ranks, order):
    arrays = numbers(SHARDS)
    queue = None if order is None else [*range(ranks)][::-1]

    def work(processes: Processes) -> tuple[np.ndarray, str | None]:
        sums = Sums(processes, SHARDS, arrays[0])
        own = processes.runs(SHARDS)[processes.rank]
        return sums(arrays[k].copy() for k in own), sums.gathered

    for total, gathered in on_ranks(ranks, work, queue):
        np.testing.assert_array_equal(total, balanced(arrays))
        uneven = ranks in (3, 5)
        assert bool(gathered) == (uneven or (order is not None and ranks > 2))
        assert not uneven or gathered == f"{ranks} ranks are no power of two"


def test_inexactly_the_engine_adds_in_its_own_order():
    arrays = numbers(SHARDS)

    def work(processes: Processes) -> np.ndarray:
        sums = Sums(processes, SHARDS, arrays[0])
        assert sums.gathered is None
        return sums(arrays[k].copy() for k in processes.runs(SHARDS)[processes.rank])

    total, *others = on_ranks(4, work, [3, 1, 2, 0], exact=False)
    assert all((other == total).all() for other in others)
    np.testing.assert_allclose(total, sum(a.astype(np.float64) for a in arrays), rtol=1e-3, atol=1)
    assert (total != balanced(arrays)).any()
    assert len(on_ranks(3, work, exact=False)) == 3


@pytest.mark.parametrize("n", [0, 1, 5, 8, 100, 103])
@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_each_row_of_a_batch_is_one_ranks(n, ranks):
    def work(processes: Processes) -> tuple[int, int]:
        return processes.rows(SHARDS, n)

    rows = [k for first, end in on_ranks(ranks, work) for k in range(first, end)]
    assert rows == list(range(n))
    sizes = np.diff(cut(n, SHARDS))
    filled = sizes[sizes > 0]
    assert not n or filled.max() - filled.min() <= 1
    assert n < 2 or filled.min() >= 2
    assert len(filled) == min(SHARDS, max(n // 2, n > 0))


def test_shards_are_a_power_of_two_and_at_least_the_ranks():
    for shards in (0, 3, 6):
        with pytest.raises(ValueError, match="shards: expected"):
            Single(shards=shards)
    with pytest.raises(ValueError, match=r"at least one for each of 4 ranks, got 2: begin with"):
        on_ranks(4, lambda processes: None, shards=2)
    assert on_ranks(3, lambda processes: processes.default_shards()) == [4, 4, 4]
    assert Single().default_shards() == 1
    assert Single(shards=8).default_shards() == 8


def test_ranks_that_differ_are_told_on_each():
    told = []

    def work(processes: Processes) -> None:
        about = {"epochs": 3, "train": "a" if processes.rank < 2 else "b"}
        try:
            processes.check_alike(about, "start them alike")
        except ValueError as error:
            told.append(str(error))

    on_ranks(3, work)
    assert told == ["rank 2 differs from rank 0: train expected 'a', got 'b': start them alike"] * 3


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({}, None),
        ({"PMI_SIZE": "2", "PMI_RANK": "0"}, 0),
        ({"OMPI_COMM_WORLD_RANK": "3", "PMIX_RANK": "3"}, 3),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, 2),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, None),
        ({"SLURM_PROCID": "0"}, None),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "1", "PMI_RANK": "1"}, 1),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, None),
    ],
)
def test_a_launcher_is_known_by_what_it_leaves_in_the_environment(environment, rank):
    assert launched(environment) == rank


def test_a_gpu_without_a_number_is_one_for_each_process_of_a_machine():
    def work(processes: Processes) -> str:
        processes.local_rank = processes.rank % 2
        return own_device("gpu", processes)

    assert on_ranks(4, work) == ["gpu:0", "gpu:1"] * 2
    assert own_device("gpu", None) == own_device("gpu", Single()) == "gpu"
    assert on_ranks(2, lambda processes: own_device("cpu", processes)) == ["cpu"] * 2


def test_an_engine_that_is_not_known_is_told():
    with pytest.raises(ValueError, match="processes: expected 'auto', 'mpi', 'nccl' or 'single'"):
        connect("mpl")


def test_copies_of_a_trainer_stay_where_they_are_and_pickles_find_their_processes():
    made = trainer(Single(shards=4, exact=False))
    assert copy.deepcopy(made).processes is made.processes
    found = pickle.loads(pickle.dumps(made)).processes
    assert isinstance(found, Single)
    assert (found.shards, found.exact) == (4, False)
