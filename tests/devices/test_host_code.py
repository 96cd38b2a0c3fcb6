"""Compiled loops that are recorded as machine code, for one core or several."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import xpnet
from xpnet import forks, ops
from xpnet.devices import host_code, host_cores
from xpnet.devices.host_code import HostCode
from xpnet.forks import working
from xpnet.ops.dispatch import load_bodies

if not load_bodies("numba"):
    pytest.skip("needs numba (the fast extra), and XPNET_NUMBA not 0", allow_module_level=True)
pytestmark = pytest.mark.faster_bodies

CORES = [1, 2, 3]


@pytest.fixture(autouse=True)
def _loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let compiled loops compute products everywhere, as in recorded steps."""
    monkeypatch.setattr("xpnet.ops.numba.linear.blas_vector_bytes", lambda: 0)


def numbers(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def recorded(work: Any, cores: int = 1) -> tuple[Any, Any]:
    """Return the launch of what some work asks for, and what it returned."""
    found = []
    with xpnet.threads(cores):
        launch = HostCode().record(lambda: found.append(work()))
    return launch, found[0]


@pytest.mark.parametrize("cores", CORES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_launch_does_it_again_with_the_numbers_that_are_there_now(cores, dtype):
    x, W, b = numbers(60, 50, dtype=dtype), numbers(50, 40, dtype=dtype), numbers(40, dtype=dtype)
    dW, db = np.zeros_like(W), np.zeros_like(b)

    def work() -> tuple[Any, Any]:
        y, kept = ops.linear.linear_relu(x, W, b)
        return y, ops.linear.linear_relu_backward(y, kept, W, dW, db, need_dx=True)

    launch, (y, dx) = recorded(work, cores)
    for seed in (1, 2):
        x[...], W[...] = numbers(60, 50, dtype=dtype, seed=seed), W * 0.9
        launch()
        found = [a.copy() for a in (y, dx, dW, db)]
        expected_y, expected_dx = work()
        for one, other in zip(found, (expected_y, expected_dx, dW, db), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("cores", CORES)
def test_what_changes_in_place_goes_on_with_each_launch(cores):
    x, counter = numbers(200, 300), np.zeros((), np.int64)
    launch, (y, _) = recorded(
        lambda: ops.dropout.dropout(x, counter, key=7, rate=0.5, scale=2.0), cores
    )
    for drawn in (1, 2, 3):
        assert counter == drawn
        launch()
        expected, _ = ops.dropout.dropout(x, np.array(drawn, np.int64), key=7, rate=0.5, scale=2.0)
        np.testing.assert_array_equal(y, expected)


def test_the_memory_of_a_recording_stays():
    launch, y = recorded(lambda: ops.elementwise.relu(numbers(1000)))
    before = y.copy()
    others = [np.full(1000, np.nan, np.float32) for _ in range(100)]
    y[...] = 0
    launch()
    np.testing.assert_array_equal(y, before)
    assert all(np.isnan(other).all() for other in others)


@pytest.mark.parametrize("cores", CORES)
def test_launches_of_several_threads_take_turns(cores):
    def repeated(seed: int) -> bool:
        x, W = numbers(64, 64, seed=seed), numbers(64, 64, seed=seed + 1)
        launch, (y, _) = recorded(lambda: ops.linear.linear(x, W, None), cores)
        expected = y.copy()
        for _ in range(200):
            y[...] = 0
            launch()
            if not (y == expected).all():
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(repeated, range(4)))


def test_a_call_that_fails_is_named():
    from xpnet.ops.numba.jit import Loop

    @Loop
    def refuse_negative(a):
        if a[0] < 0:
            raise ValueError("negative")

    a = np.ones(3)
    launch, _ = recorded(lambda: refuse_negative(a))
    launch()
    a[0] = -1
    with pytest.raises(RuntimeError, match="a recorded call of refuse_negative failed"):
        launch()
    a[0] = 1
    launch()


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_call_that_fails_on_any_core_is_named(failing):
    from xpnet.ops.numba.jit import Loop
    from xpnet.threadpool import split

    @Loop
    def refuse_negative(a):
        if a[0] < 0:
            raise ValueError("negative")

    a = np.ones(3)
    launch, _ = recorded(lambda: split(lambda i, j: refuse_negative(a[i:j]), 3, 3), 3)
    for _ in range(20):
        launch()
        a[failing] = -1
        with pytest.raises(RuntimeError, match="a recorded call of refuse_negative failed"):
            launch()
        a[failing] = 1


def test_where_cores_cannot_be_kept_together_one_does_it_all(monkeypatch):
    monkeypatch.setattr("xpnet.devices.host_code.several", lambda: False)
    x = numbers(300, 300)
    launch, y = recorded(lambda: ops.linear.linear(x, x, None)[0], 3)
    expected, y[...] = y.copy(), 0
    assert {call.core for call in launch._calls} == {0}
    launch()
    np.testing.assert_array_equal(y, expected)


PROGRAM = """
import os, sys, threading
import numpy as np
import xpnet
from xpnet import models
from xpnet.data import Dataset

def trained(*callbacks):
    x = np.random.default_rng(0).integers(0, 256, (400, 1, 6, 6)).astype(np.uint8)
    net = models.mlp((60,), input_shape=(1, 6, 6), seed=1)
    loss, rule = xpnet.SoftmaxCrossEntropy(), xpnet.Adam()
    made = xpnet.Trainer(net, loss, rule, callbacks=callbacks, graph="on")
    with xpnet.threads(2):
        made.fit(Dataset(x, np.arange(400) % 10), 2)
    assert made.not_replayed is None
    return float(net.params.flat.sum())

first = trained()
{then}
"""

CHILD_GOES_ON = """
from xpnet.training import Callback

class Forks(Callback):
    child = None
    def step_ends(self, trainer):
        if trainer.optimizer.steps == 5:
            self.child = os.fork()

forks = Forks()
second = trained(forks)
if forks.child == 0:
    os._exit(0 if second == first else 1)
assert second == first and os.waitpid(forks.child, 0)[1] == 0
"""

FORKS = """
reads, writes = os.pipe()
if os.fork() == 0:
    os.write(writes, str(trained()).encode())
    os._exit(0)
os.wait()
assert float(os.read(reads, 100)) == first == trained()
"""

IN_A_THREAD = """
found = []
thread = threading.Thread(target=lambda: found.append(trained()))
thread.start()
second = trained()
thread.join()
assert found == [first] == [second]
"""


THEN = {"ends": "", "forks": FORKS, "forks in a fit": CHILD_GOES_ON, "has threads": IN_A_THREAD}


FORKS = "ignore:This process:DeprecationWarning"  # Python's, of a fork where there are threads


@pytest.mark.parametrize("then", THEN)
def test_a_process_that_has_recorded(then):
    if "forks" in then and not hasattr(os, "fork"):
        pytest.skip("there is no fork here")
    done = subprocess.run(
        [sys.executable, "-W", FORKS, "-c", PROGRAM.format(then=THEN[then])],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_forks_wait_while_machine_code_is_made(monkeypatch):
    inside, written = [], host_code._written

    def looked(*about: Any) -> str:
        inside.append(bool(working._inside))
        return written(*about)

    monkeypatch.setattr(host_code, "_written", looked)
    x = numbers(4, 5)
    recorded(lambda: ops.elementwise.relu(x))
    assert inside == [True]


def test_recordings_of_one_core_wait_for_no_other_and_keep_no_fork_waiting():
    x = numbers(4, 5)
    recorded(lambda: ops.elementwise.relu(x))
    held = list(forks._locks)
    launches = [recorded(lambda: ops.elementwise.relu(x))[0] for _ in range(3)]
    assert forks._locks == held
    with host_cores.cores(2)._turn:  # as in a launch of several
        for launch in launches:
            launch()
