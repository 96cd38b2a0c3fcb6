"""Layers that look at a batch as a whole see all of its shards, on any number of ranks."""

from __future__ import annotations

import _thread
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import xpnet
from tests.conftest import Backend
from tests.parallel.threaded import on_ranks
from tests.training.test_sharded import Outcome, mixed, outcome, plain, same, trainer, weighted
from xpnet.arrays import to_numpy
from xpnet.data import Dataset
from xpnet.forks import working
from xpnet.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Rescale,
    Residual,
    Sequential,
)
from xpnet.ops.norm import Gather
from xpnet.parallel import Processes, Single
from xpnet.training import Callback, Trainer
from xpnet.training.lockstep import in_lockstep, shards_not_recordable

SHARDS = 8
SIZES = [85, 83, 99]
"""Samples of which the last batch of 40 has two shards with samples, one, and all of them."""


def digits(n: int = SIZES[0]) -> Dataset:
    return xpnet.data.load("digits")[0].take(n)


def dense(dtype: str = "float32", sync: bool = True, rate: float = 0.3) -> Sequential:
    middle = [BatchNorm(sync=sync), ReLU(), Dropout(rate), Linear(9), BatchNorm(sync=sync)]
    layers = [Rescale(1 / 255), Flatten(), Linear(20), *middle, Linear(10)]
    return Sequential(layers, input_shape=(1, 28, 28), seed=1, dtype=dtype)


def nested(dtype: str = "float32", sync: bool = True) -> Sequential:
    """Return a network of which a block has layers that synchronise on both of its ways."""
    body = [Conv2d(3, 3, pad=1), Sequential([BatchNorm(sync=sync), ReLU()]), Conv2d(3, 3, pad=1)]
    shortcut = Sequential([Conv2d(3, 1), BatchNorm(sync=sync)])
    layers = [Rescale(1 / 255), MaxPool2d(4), Residual(body, shortcut), ReLU(), Linear(10)]
    return Sequential(layers, input_shape=(1, 28, 28), seed=1, dtype=dtype)


def run(
    processes: Processes | None, view: Any = plain, data: Dataset | None = None, **options: Any
) -> Outcome:
    made = trainer(processes, **{"make": dense, **options})
    made.fit(view(data or digits()), 2, batch_size=40, validation=digits().take(30))
    return outcome(made)


@pytest.mark.parametrize("view", [plain, mixed, weighted])
@pytest.mark.parametrize("make", [dense, nested])
def test_any_number_of_ranks_comes_to_the_same_bits(make, view):
    alone = run(Single(shards=SHARDS), view, make=make)
    for ranks in (2, 3, 4, 8):
        found = on_ranks(ranks, lambda p: run(p, view, make=make), shards=SHARDS)
        assert same(found) == alone, ranks


@pytest.mark.parametrize("n", SIZES)
def test_a_short_last_batch_is_one_batch_too(n):
    alone = run(Single(shards=SHARDS), data=digits(n))
    for ranks in (3, 4, 8):
        found = on_ranks(ranks, lambda p: run(p, data=digits(n)), shards=SHARDS)
        assert same(found) == alone, ranks


def test_on_every_library(xp: Backend):
    alone = run(Single(shards=4), device=xp.device)
    for ranks in (2, 4):
        found = on_ranks(ranks, lambda p: run(p, device=xp.device), shards=4)
        assert same(found) == alone, ranks


def test_products_of_narrow_copies_too():
    """Replicas take those that the network itself renews."""

    def narrow() -> Sequential:
        return dense().to("cpu", precision="bf16")

    alone = run(Single(shards=SHARDS), make=narrow)
    assert alone != run(Single(shards=SHARDS))
    for ranks in (3, 8):
        assert same(on_ranks(ranks, lambda p: run(p, make=narrow), shards=SHARDS)) == alone, ranks


def arrays(processes: Processes | None, make: Callable[..., Sequential], **options: Any) -> Any:
    """Return all that a few epochs of plain steps leave in a network."""
    net = make("float64", **options)
    rule = xpnet.Momentum(0.05)
    made = Trainer(net, xpnet.SoftmaxCrossEntropy(), rule, processes=processes, seed=0)
    for n in SIZES:
        made.fit(digits(n), 2, batch_size=40)
    return {**net.params, **net.state}


@pytest.mark.parametrize("make", [dense, nested])
def test_the_run_is_that_of_whole_batches(make):
    still = {"rate": 0.0} if make is dense else {}
    whole = arrays(None, make, sync=False, **still)
    for name, array in arrays(Single(shards=SHARDS), make, **still).items():
        if not name.endswith("counter"):  # a mask a shard
            np.testing.assert_allclose(array, whole[name], rtol=1e-12, atol=1e-12, err_msg=name)
    shards = arrays(Single(shards=SHARDS), make, sync=False, **still)
    path = next(name for name in whole if name.endswith("mean"))
    assert abs(shards[path] / whole[path] - 1).max() > 1e-6  # which would be seen here


@pytest.mark.parametrize("processes", [None, Single(shards=1)], ids=str)
def test_without_other_shards_the_bits_are_those_without_sync(processes):
    found = [run(processes, make=lambda sync=sync: dense(sync=sync)) for sync in (True, False)]
    assert found[0] == found[1]


def test_a_batch_of_a_single_shard_has_the_bits_without_sync():
    few = digits(3)
    found = [
        run(Single(shards=SHARDS), data=few, make=lambda sync=sync: dense(sync=sync))
        for sync in (True, False)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_a_run_goes_on_with_another_number_of_ranks(tmp_path, ranks):
    path = tmp_path / "run.safetensors"

    class CtrlC(Callback):
        def step_ends(self, trainer: Trainer) -> None:
            if trainer.optimizer.steps == 4:
                raise KeyboardInterrupt

    def begun(processes: Processes) -> None:
        made = trainer(processes, make=dense, callbacks=(CtrlC(),))
        with pytest.raises(KeyboardInterrupt):
            made.fit(digits(), 2, batch_size=40)
        made.save(path)

    def finished(processes: Processes) -> Outcome:
        made = trainer(processes, make=dense)
        made.restore(path)
        made.fit(digits(), 2, batch_size=40, resume=True)
        return outcome(made)

    def whole(processes: Processes) -> Outcome:
        made = trainer(processes, make=dense)
        made.fit(digits(), 2, batch_size=40)
        return outcome(made)

    on_ranks(4, begun, shards=SHARDS)
    assert same(on_ranks(ranks, finished)) == whole(Single(shards=SHARDS))


def test_a_run_does_not_go_on_with_layers_that_look_at_another_batch(tmp_path):
    path = tmp_path / "run.safetensors"
    made = trainer(Single(shards=4), make=dense)
    made.fit(digits(), 1, batch_size=40)
    made.save(path)
    other = trainer(Single(shards=4), make=lambda: dense(sync=False))
    with pytest.raises(ValueError, match=r"network\.layers\.3\.sync False, got True"):
        other.restore(path)


@pytest.mark.parametrize("ranks", [2, SHARDS])
def test_a_layer_makes_two_exchanges_a_step_for_which_no_fork_waits(ranks):
    def work(processes: Any) -> int:
        gathered, gather = [], processes.all_gather

        def counted(*given: Any) -> Any:
            assert threading.get_ident() not in working._inside
            gathered.append(given)
            return gather(*given)

        processes.all_gather = counted
        trainer(processes, make=dense).fit(digits(80), 1, batch_size=40)
        return len(gathered)

    layers, steps = 2, 2
    assert on_ranks(ranks, work, shards=SHARDS) == [2 * layers * steps] * ranks


class Changes(Callback):
    """What is changed while a fit runs holds for all shards."""

    def step_ends(self, trainer: Trainer) -> None:
        net: Any = trainer.net
        match trainer.optimizer.steps:
            case 1:
                net[5].rate, net[3].momentum = 0.6, 0.5
            case 2:
                net.freeze("3")
            case 3:
                net.freeze("7")
            case 4:
                net.unfreeze("3")
            case 5:
                net[7].sync = False


def test_what_a_callback_changes_holds_for_every_shard():
    def work(processes: Processes) -> Outcome:
        made = trainer(processes, make=dense, callbacks=(Changes(),))
        made.fit(digits(), 2, batch_size=40)
        return outcome(made)

    alone, *others = (on_ranks(n, work, shards=SHARDS) for n in (8, 1, 3))
    assert same(alone + others[0] + others[1]) != run(Single(shards=SHARDS))


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_hook_sees_each_sample_once(ranks):
    def work(processes: Processes) -> list[int]:
        made, seen = trainer(processes, make=dense), []
        with made.net.hook("3", lambda path, x, y: seen.append(x.shape[0])):
            made.fit(digits(45), 1, batch_size=40)
        return seen

    seen = [n for one in on_ranks(ranks, work, shards=4) for n in one]
    assert sorted(seen) == [2, 3, 10, 10, 10, 10]


class Fails(Layer):
    """An error on the way back."""

    failing = True

    def forward(self, x: Any, *, train: bool = False) -> Any:
        return x

    def backward(self, dy: Any, *, need_dx: bool = True) -> Any:
        if self.failing:
            raise ArithmeticError("this layer fails")
        return dy


@pytest.mark.parametrize("ranks", [1, 2])
def test_an_error_in_a_pass_ends_all_and_leaves_no_thread(ranks):
    def make() -> Sequential:
        layers = [Flatten(), Linear(4), BatchNorm(sync=True), Fails(), Linear(10)]
        return Sequential(layers, input_shape=(1, 28, 28))

    def work(processes: Processes) -> None:
        trainer(processes, make=make).fit(digits(), 1, batch_size=40)

    with pytest.raises(ArithmeticError, match="this layer fails"):
        on_ranks(ranks, work, shards=4)
    assert not [one for one in threading.enumerate() if one.name.startswith("xpnet-shard")]


def test_a_fit_leaves_no_thread():
    run(Single(shards=4))
    assert not [one for one in threading.enumerate() if one.name.startswith("xpnet-shard")]


class Held(Fails):
    """What cannot be copied."""

    failing = False

    def setup(self, input_shape: Any, rng: Any) -> Any:
        self.lock = threading.Lock()
        return input_shape


def test_a_network_that_cannot_be_copied_is_told_where_it_would_have_to_be():
    def work(processes: Processes, n: int = 40) -> float:
        layers = [Flatten(), Held(), BatchNorm(sync=True), Linear(10)]
        net = Sequential(layers, input_shape=(1, 28, 28))
        made = Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.SGD(0.1), processes=processes)
        return float(made.fit(digits(n), 1, batch_size=40)[-1]["train_loss"])

    sentence = (
        r"sync=True: expected a network that copy\.deepcopy takes, got cannot pickle "
        r"'_thread\.lock' object: change that, or start a rank for each shard and let batches be"
    )
    with pytest.raises(TypeError, match=sentence):
        work(Single(shards=4))
    assert len(set(on_ranks(4, work, shards=4))) == 1
    with pytest.raises(TypeError, match=sentence):
        on_ranks(4, lambda processes: work(processes, 45), shards=4)


def test_ranks_that_differ_in_it_are_told():
    def work(processes: Processes) -> None:
        trainer(processes, make=lambda: dense(sync=processes.rank == 0)).fit(digits(), 1)

    sentence = r"rank 1 differs from rank 0: layers with sync=True expected \['3', '7'\], got \[\]"
    with pytest.raises(ValueError, match=sentence):
        on_ranks(2, work)


# The passes themselves


def total(parts: Any) -> Any:
    return sum(parts)


def test_passes_take_turns_and_meet_at_each_exchange():
    turns, callers = [], []

    def work(number: int) -> Callable[[Gather], Any]:
        def passing(gather: Gather) -> Any:
            turns.append((number, 0))
            first = gather(np.array([1.0 * number]))
            turns.append((number, 1))
            second = gather(first * number)
            turns.append((number, 2))
            return number, second

        return passing

    def exchange(parts: Any) -> Any:
        callers.append(threading.get_ident())
        return total(parts)

    with ThreadPoolExecutor(3) as pool:
        found = in_lockstep(pool, [work(k) for k in (1, 2, 3)], exchange)
    assert found == [(1, 36.0), (2, 36.0), (3, 36.0)]
    assert turns == [(number, turn) for turn in range(3) for number in (1, 2, 3)]
    assert callers == [threading.get_ident()] * 2


def test_a_single_pass_needs_no_thread():
    def work(gather: Gather) -> Any:
        return threading.get_ident(), gather(np.ones(1))

    with ThreadPoolExecutor(1) as pool:
        ((ident, _),) = in_lockstep(pool, [work], total)
    assert ident == threading.get_ident()


def test_a_fork_waits_for_no_pass_that_waits():
    def work(gather: Gather) -> Any:
        with working:
            return gather(np.ones(1))

    def exchange(parts: Any) -> Any:
        assert not working._inside
        return total(parts)

    with ThreadPoolExecutor(2) as pool:
        assert in_lockstep(pool, [work, work], exchange) == [2, 2]


def test_passes_compute_with_the_threads_of_their_caller():
    def work(gather: Gather) -> Any:
        gather(np.ones(1))
        return xpnet.threadpool.counts().own

    with ThreadPoolExecutor(2) as pool, xpnet.threads(3):
        assert in_lockstep(pool, [work, work], total) == [3, 3]


@pytest.mark.parametrize("where", ["first", "last", "exchange"])
def test_an_error_ends_all_passes(where):
    ended = []

    def work(fails: bool) -> Callable[[Gather], Any]:
        def passing(gather: Gather) -> Any:
            try:
                gather(np.ones(1))
                if fails:
                    raise ArithmeticError(where)
                return gather(np.ones(1))
            except Exception:  # of which the end of a pass is none
                ended.append("error")
                raise
            finally:
                ended.append("end")

        return passing

    def exchange(parts: Any) -> Any:
        if where == "exchange":
            raise ArithmeticError(where)
        return total(parts)

    works = [work(where == "first"), work(False), work(where == "last")]
    with ThreadPoolExecutor(3) as pool, pytest.raises(ArithmeticError, match=where):
        in_lockstep(pool, works, exchange)
    assert sorted(ended) == ["end"] * 3 + ["error"] * (where != "exchange")


def test_an_interrupt_ends_all_passes():
    ended = []

    def work(gather: Gather) -> Any:
        try:
            given = gather(np.ones(1))
            _thread.interrupt_main()  # as Ctrl-C does, pressed a second time
            time.sleep(0.05)
            return gather(given)
        finally:
            ended.append(threading.current_thread().name)

    with ThreadPoolExecutor(3) as pool, pytest.raises(KeyboardInterrupt):
        in_lockstep(pool, [work] * 3, total)
    assert len(set(ended)) == 3


def test_passes_that_do_not_come_to_the_same_exchanges_are_told():
    def once(gather: Gather) -> Any:
        return gather(np.ones(1))

    def twice(gather: Gather) -> Any:
        return gather(gather(np.ones(1)))

    def wider(gather: Gather) -> Any:
        return gather(np.ones(2))

    for other in (twice, wider):
        sentence = "expected the shards of a batch to come to the same layers"
        with ThreadPoolExecutor(2) as pool, pytest.raises(RuntimeError, match=sentence):
            in_lockstep(pool, [once, other], total)


def test_a_replica_has_the_parameters_themselves_and_all_else_of_its_own(xp: Backend):
    net = dense("float64").to(xp.device)
    copied = net.replica()
    x = xp.device.asarray(np.random.default_rng(0).integers(0, 256, (6, 1, 28, 28), "uint8"))
    ys = [one.forward(x, train=True) for one in (net, copied)]
    np.testing.assert_array_equal(*map(to_numpy, ys))
    net.params["2.W"] = to_numpy(net.params["2.W"]) * 2
    for name in net.params:
        np.testing.assert_array_equal(to_numpy(copied.params[name]), to_numpy(net.params[name]))
    copied.backward(ys[0] * 0 + 1)
    assert float(abs(to_numpy(copied.grads.flat)).max()) > 0
    assert float(abs(to_numpy(net.grads.flat)).max()) == 0
    net.backward(ys[0] * 0 + 1)  # it has kept what it needs
    copied.state["3.mean"] = to_numpy(copied.state["3.mean"]) + 1
    assert (to_numpy(copied.state["3.mean"]) != to_numpy(net.state["3.mean"])).all()


@pytest.mark.parametrize(
    ("sync", "on_device", "shards", "batch_size", "reason"),
    [
        (False, True, 4, 8, None),
        (True, True, 1, 8, None),
        (False, False, 4, 8, "sums over processes are taken by single, on the host: .*'nccl'"),
        (False, True, 4, 7, "batches of 7 leave some of 4 shards empty"),
        (True, True, 4, 8, "shards advance together, for sync=True in BatchNorm"),
    ],
)
def test_why_shards_are_not_recorded_is_told(sync, on_device, shards, batch_size, reason):
    net = Sequential([Linear(3), BatchNorm(sync=sync)], input_shape=(2,))
    processes = Single(shards=shards)
    processes.on_device = on_device
    found = shards_not_recordable(net, processes, shards, batch_size)
    assert found == reason if reason is None else re.search(reason, found)
