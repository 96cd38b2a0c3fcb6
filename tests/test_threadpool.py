"""Threads: how work is cut, and what becomes of BLAS's own."""

from __future__ import annotations

import itertools
import os
import threading
from contextlib import nullcontext

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

import xpnet
from xpnet import threadpool
from xpnet.layers import Conv2d, Flatten, Linear, ReLU, Sequential
from xpnet.training import Callback

BLAS = ThreadpoolController().select(user_api="blas")
MUCH = 1e15

needs_blas = pytest.mark.skipif(not BLAS.lib_controllers, reason="NumPy's BLAS is not known here")


def blas_threads() -> int:
    return max(library.num_threads for library in BLAS.lib_controllers)


@pytest.fixture
def three_blas_threads():
    with threadpool_limits(3, "blas"):
        yield


class TestSplit:
    @pytest.mark.parametrize(("size", "parts"), [(10, 3), (2, 5), (7, 1), (1, 1), (0, 4)])
    def test_shares_cover_the_range_in_order(self, size, parts):
        shares = threadpool.split(lambda start, stop: list(range(start, stop)), size, parts)
        assert list(itertools.chain(*shares)) == list(range(size))
        assert len(shares) == max(1, min(size, parts))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1

    def test_shares_run_at_the_same_time(self):
        meeting = threading.Barrier(3, timeout=10)
        assert sorted(threadpool.split(lambda *_: meeting.wait(), 3, 3)) == [0, 1, 2]

    def test_an_error_is_raised_once_every_share_has_ended(self):
        ended = threading.Event()

        def task(start, stop):
            if start == 0:
                raise ValueError("no")
            ended.set()

        with pytest.raises(ValueError, match="no"):
            threadpool.split(task, 2, 2)
        assert ended.is_set()

    def test_an_error_of_another_thread_is_raised_too(self):
        with pytest.raises(ZeroDivisionError):
            threadpool.split(lambda start, stop: 1 // (start - 1), 2, 2)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking beside threads
    @pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # of other libraries present
    def test_a_forked_child_has_threads_of_its_own(self):
        threadpool.split(lambda *_: None, 2, 2)
        child = os.fork()
        if child == 0:
            os._exit(0 if threadpool.split(lambda start, stop: start, 2, 2) == [0, 1] else 1)
        assert os.waitpid(child, 0)[1] == 0


class TestThreads:
    def test_work_stays_on_the_caller_s_thread_outside_of_it(self):
        assert threadpool.worth(MUCH) == 1

    def test_large_work_is_worth_all_threads_and_small_work_one(self):
        with xpnet.threads(3) as n:
            assert n == 3
            assert threadpool.worth(MUCH) == 3
            assert threadpool.worth(2.5 * threadpool.LEAST_WORK) == 2
            assert threadpool.worth(1.0) == 1
        assert threadpool.worth(MUCH) == 1

    @needs_blas
    def test_blas_is_limited_for_as_long_as_it_is_open(self, three_blas_threads):
        with xpnet.threads(2):
            assert blas_threads() == 2
            with xpnet.threads(4, blas=1):
                assert blas_threads() == 1
            assert blas_threads() == 2
        assert blas_threads() == 3

    @needs_blas
    def test_blas_is_never_given_more_threads_than_it_had(self, three_blas_threads):
        with xpnet.threads(8):
            assert blas_threads() == 3

    @needs_blas
    def test_as_many_threads_as_blas_has_by_default(self, three_blas_threads):
        with xpnet.threads(blas=1) as n:
            assert n == 3
            with xpnet.threads() as inner:  # not the one thread that BLAS has by now
                assert inner == 3

    @needs_blas
    def test_a_limit_that_holds_is_not_set_again(self, three_blas_threads, monkeypatch):
        with xpnet.threads(2):
            with monkeypatch.context() as patch:
                patch.setattr(threadpool._blas._controller, "limit", None)  # a call would raise
                with xpnet.threads(2), xpnet.threads(2, blas=2):
                    assert blas_threads() == 2
            assert blas_threads() == 2
        assert blas_threads() == 3

    @needs_blas
    def test_an_error_lifts_the_limit(self, three_blas_threads):
        with pytest.raises(KeyError), xpnet.threads(1):
            raise KeyError
        assert blas_threads() == 3

    @needs_blas
    def test_another_thread_s_context_leaves_blas_as_it_is(self, three_blas_threads):
        opened, close, seen = threading.Event(), threading.Event(), []

        def other():
            with xpnet.threads(blas=1) as n:
                seen.extend((n, threadpool.worth(MUCH)))
                opened.set()
                close.wait(10)

        thread = threading.Thread(target=other)
        with xpnet.threads(2):
            thread.start()
            opened.wait(10)
            assert blas_threads() == 2
        assert blas_threads() == 3
        close.set()
        thread.join()
        assert blas_threads() == 3
        assert seen == [3, 3]

    @needs_blas
    def test_a_thread_may_limit_blas_when_another_no_longer_does(self):
        seen, had = [], blas_threads()

        def limited():
            with xpnet.threads(2), xpnet.threads(1):
                seen.append(blas_threads())
            seen.append(blas_threads())

        def in_a_thread(function, *args):
            thread = threading.Thread(target=function, args=args)
            thread.start()
            thread.join()

        in_a_thread(lambda: BLAS.limit(limits=3))  # this thread shall hold none
        limited()
        in_a_thread(limited)
        in_a_thread(lambda: BLAS.limit(limits=had))
        assert seen == [1, 3, 1, 3]

    @needs_blas
    @pytest.mark.parametrize("there", [1, 3, 4])
    @pytest.mark.parametrize(
        ("given", "fits"), [((0, 3, 3), (3, 3)), ((2, 1, 3), (2, 2)), ((5, 3, 3), (5, 3))]
    )
    def test_another_process_s_threads_are_taken_whatever_there_are(self, given, fits, there):
        """Before, around and within the context that a fit opens, and after."""
        with threadpool_limits(3, "blas"):
            with xpnet.threads(given[0], blas=given[1]) if given[0] else nullcontext():
                counts = threadpool.counts()
            assert counts == given
        with threadpool_limits(there, "blas"), xpnet.threads(1):
            with threadpool.counted(counts):
                assert blas_threads() == counts.products
                with xpnet.threads() as n:
                    assert (n, blas_threads()) == fits
                assert blas_threads() == counts.products
            assert (threadpool.worth(MUCH), blas_threads()) == (1, 1)

    def test_another_thread_s_work_is_not_cut(self):
        seen = []
        with xpnet.threads(2):
            thread = threading.Thread(target=lambda: seen.append(threadpool.worth(MUCH)))
            thread.start()
            thread.join()
        assert seen == [1]

    @pytest.mark.parametrize("bad", [{"n": 0}, {"n": 1.5}, {"blas": -1}])
    def test_what_is_no_number_of_threads_is_refused(self, bad):
        with pytest.raises(ValueError, match=r"expected .* >= 1, got"), xpnet.threads(**bad):
            pass


@needs_blas
@pytest.mark.parametrize("convolves", [True, False])
class TestNetworks:
    def make(self, convolves):
        first = [Conv2d(2, 3), ReLU()] if convolves else []
        return Sequential([*first, Flatten(), Linear(2)], input_shape=(1, 6, 6))

    def test_fit_evaluate_and_predict_set_the_threads_that_suit(
        self, convolves, three_blas_threads
    ):
        net, seen = self.make(convolves), []

        def look(*_):
            seen.append((threadpool.worth(MUCH), blas_threads()))

        class Look(Callback):
            def step_ends(self, trainer):
                look()

        data = xpnet.data.Dataset(np.ones((4, 1, 6, 6), "float32"), np.zeros(4, "int64"))
        trainer = xpnet.Trainer(
            net, xpnet.SoftmaxCrossEntropy(), xpnet.SGD(0.1), callbacks=[Look()]
        )
        trainer.fit(data, 1)
        with net.hook(str(len(net.layers) - 1), look):
            trainer.evaluate(data)
            net.predict(data.x)
        assert seen == [(3, 1 if convolves else 3)] * 3
        assert blas_threads() == 3

    def test_a_loop_by_hand_leaves_blas_and_the_cores_alone(self, convolves, three_blas_threads):
        net, seen = self.make(convolves), []
        with net.hook("0", lambda *_: seen.append((threadpool.worth(MUCH), blas_threads()))):
            net.forward(np.ones((2, 1, 6, 6), "float32"))
        assert seen == [(1, 3)]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_step_is_the_same_whatever_the_number_of_threads(n):
    """To rounding, that is: sums over samples are cut elsewhere."""

    def grads():
        net = xpnet.models.simple_convnet(filters=8, seed=1)
        x = np.random.default_rng(0).integers(0, 256, (64, 1, 28, 28), "uint8")
        loss = xpnet.SoftmaxCrossEntropy()
        loss.forward(net.forward(x, train=True), np.arange(64) % 10)
        net.backward(loss.backward())
        return {key: a.copy() for key, a in net.grads.items()}

    alone = grads()
    with xpnet.threads(n, blas=1):
        for key, gradient in grads().items():
            np.testing.assert_allclose(gradient, alone[key], rtol=1e-4, atol=1e-6)
