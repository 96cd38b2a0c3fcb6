"""Forks beside threads that work: no child hangs, and each computes the same bits."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import xpnet
from xpnet import forks
from xpnet.data import Dataset
from xpnet.layers import Flatten, Linear, Rescale, Sequential, Tanh
from xpnet.training import Callback

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of forking beside threads
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),  # of other libraries present
]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

LIMIT = 60
"""Seconds after which a child counts as hanging."""


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 1, 28, 28), "uint8")


def networks() -> list[Sequential]:
    """Return one of convolutions in threads of xpnet's own, and one of products in BLAS's."""
    dense = [Rescale(1 / 255), Flatten(), Linear(600), Tanh(), Linear(600)]
    return [
        xpnet.models.simple_convnet(filters=8, seed=1),
        Sequential(dense, input_shape=(1, 28, 28)),
    ]


def train(net: Sequential, epochs: int = 1) -> None:
    data = Dataset(pixels(), np.arange(64) % 10)
    xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.Adam()).fit(data, epochs, 16)


def exit_code(child: int) -> int | None:
    """Return how a child ended; None for one that does not."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None


def fork_beside_threads(times: int, first: bool) -> None:
    """Fork while others predict and train; ``first``: while they import and compile."""
    nets, x, done = networks(), pixels(), threading.Event()
    expected = None if first else [net.predict(x) for net in nets]

    def predict() -> None:
        while not done.is_set():
            for net in nets:
                net.predict(x)

    def fit() -> None:
        while not done.is_set():
            train(networks()[0])

    threads = [threading.Thread(target=work, daemon=True) for work in (predict, predict, fit)]
    for thread in threads:
        thread.start()
    for number in range(times):
        time.sleep(0.003 * (number % 7))  # at one place of a step or another
        child = os.fork()
        if child == 0:
            scores = [net.predict(x) for net in nets]
            train(networks()[0])
            same = expected is None or all(map(np.array_equal, scores, expected))
            os._exit(0 if same else 1)
        ended = exit_code(child)
        assert ended == 0, "hangs" if ended is None else f"ended with {ended}"
    done.set()
    for thread in threads:
        thread.join()


def in_a_new_process(times: int, first: bool) -> None:
    """Run it where BLAS has two threads, whatever it has here."""
    program = f"from tests.test_forks import *; fork_beside_threads({times}, {first})"
    two = {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], check=True, env=os.environ | two
    )


@needs_fork
def test_children_forked_beside_working_threads_compute_the_same():
    in_a_new_process(6, first=False)


@needs_fork
@pytest.mark.slow
def test_many_children_forked_beside_working_threads_compute_the_same():
    in_a_new_process(60, first=False)


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("_", range(12))
def test_children_forked_beside_threads_that_import_and_compile_do_not_hang(_):
    in_a_new_process(2, first=True)


@needs_fork
def test_a_fit_starts_no_process_of_its_own():
    """One is started under a lock, and a child forked meanwhile finds that taken for ever."""
    program = (
        "from tests.test_forks import *; nets = networks(); nets[1].predict(pixels()); "
        "subprocess.Popen = None; train(nets[1])"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)


@needs_fork
def test_a_callback_may_fork():
    class Fork(Callback):
        def step_ends(self, trainer: xpnet.Trainer) -> None:
            child = os.fork()
            if child == 0:
                trainer.net.predict(pixels())
                train(networks()[0])
                os._exit(0)
            assert exit_code(child) == 0

    data, (net, _) = Dataset(pixels(), np.arange(64) % 10), networks()
    trainer = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.SGD(), callbacks=[Fork()])
    trainer.fit(data, 1, 32)


def test_a_fork_waits_for_a_step_and_not_for_a_fit():
    seen = []

    class Look(Callback):
        def step_ends(self, trainer: xpnet.Trainer) -> None:
            seen.append(dict(forks.working._inside))

    net, optimizer = networks()[0], xpnet.SGD()
    trainer = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), optimizer, callbacks=[Look()])
    trainer.fit(Dataset(pixels(), np.arange(64) % 10), 1, 32)
    assert seen == [{}, {}]
    with net.hook("0", lambda *_: seen.append(list(forks.working._inside))):
        net.predict(pixels())
    assert seen[2] == [threading.get_ident()]


@needs_fork
def test_a_hook_may_fork_in_the_middle_of_a_pass():
    net, ended = networks()[1], []

    def fork(*_: object) -> None:
        child = os.fork()
        if child == 0:
            os._exit(0 if networks()[1].predict(pixels()).shape == (64, 600) else 1)
        ended.append(exit_code(child))

    with net.hook("2", fork):
        net.predict(pixels())
    assert ended == [0]


SLOW_TO_START = {"spawn", "forkserver"}


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(method, marks=[pytest.mark.slow] if method in SLOW_TO_START else [])
        for method in multiprocessing.get_all_start_methods()
    ],
)
def test_the_processes_of_a_pool_predict_the_same(method):
    net = networks()[0]
    expected = net.predict(pixels())
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = [pool.apply_async(net.predict, (pixels(),)) for _ in range(3)]
        for result in results:
            np.testing.assert_array_equal(result.get(LIMIT), expected)


@pytest.mark.slow
def test_the_processes_of_joblib_predict_the_same():
    joblib = pytest.importorskip("joblib")
    net = networks()[0]
    many = joblib.Parallel(n_jobs=2)(joblib.delayed(net.predict)(pixels()) for _ in range(3))
    for scores in many:
        np.testing.assert_array_equal(scores, net.predict(pixels()))


class TestWorking:
    """Of a context of its own, whose close and open are a fork's."""

    @pytest.fixture
    def working(self):
        return forks._Working()

    @pytest.fixture
    def other(self, working):
        """Another thread, within the context until it is told to leave."""
        inside, leave = threading.Event(), threading.Event()

        def work() -> None:
            with working:
                inside.set()
                leave.wait(10)
                with working:  # is not kept out by whoever waits for it
                    pass

        thread = threading.Thread(target=work)
        thread.start()
        inside.wait(10)
        yield leave
        leave.set()
        thread.join(10)
        assert not thread.is_alive()

    def test_a_fork_waits_for_other_threads(self, working, other):
        fork = threading.Thread(target=working.close)
        fork.start()
        fork.join(0.05)
        assert fork.is_alive()
        other.set()
        fork.join(10)
        assert not fork.is_alive()

    def test_nobody_begins_while_a_fork_is_on_its_way(self, working):
        working.close()
        late = threading.Thread(target=lambda: working.__enter__())
        late.start()
        late.join(0.05)
        assert late.is_alive()
        working.open()
        late.join(10)
        assert not late.is_alive()

    def test_a_fork_waits_neither_for_itself_nor_for_another_fork(self, working):
        def work() -> None:
            with working:
                both.wait()
                working.close()
                working.open()

        both = threading.Barrier(2, timeout=10)
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()

    def test_a_fork_does_not_wait_for_a_thread_that_waits_for_another(self, working):
        def work() -> None:
            with working, working:
                with working.left():
                    both.wait()
                    both.wait()
                back.append(working._inside[threading.get_ident()])
                with working.left():
                    assert not working._inside
            assert not working._inside

        both, back = threading.Barrier(2, timeout=10), []
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work)
            both.wait()
            began = time.monotonic()
            working.close()
            assert time.monotonic() - began < 10
            both.wait()
            time.sleep(0.05)
            assert not back  # it does not come back in while the fork is on its way
            working.open()
            future.result(10)
        assert back == [2]
        with working.left():  # nor is there anything to leave for others
            pass
        assert not working._inside

    def test_a_fork_waits_no_longer_than_its_patience(self, working, other, monkeypatch):
        monkeypatch.setattr(forks, "PATIENCE", 0.01)
        working.close()
        working.open()

    def test_a_child_has_left_what_other_threads_were_in(self, working):
        with working:
            working.close()
            working._inside[-1] = 1  # a thread of the parent's alone
            working.open_in_child()
            assert list(working._inside) == [threading.get_ident()]
        assert not working._inside
