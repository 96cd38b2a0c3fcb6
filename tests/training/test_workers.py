"""Searches in the workers of executors: the bits of one search here, and what travels."""

from __future__ import annotations

import importlib.util
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

import xpnet
from tests.training.searches import digest, labels, searched, told, whole
from xpnet import threadpool
from xpnet.data import Dataset
from xpnet.training import Callback, LogUniform, Trial, random_search, workers

ROOT = Path(__file__).parents[2]
KIND = "classification, halving"

# a worker is not told to leave the faster bodies out
as_here = pytest.mark.faster_bodies


@pytest.fixture(scope="module")
def spawned() -> Iterator[Executor]:
    """Processes that know nothing of this one."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        yield pool


# The same bits everywhere


@as_here
def test_processes_find_what_one_search_here_finds(spawned: Executor) -> None:
    assert whole(executor=spawned) == whole()
    assert spawned.submit(abs, -1).result() == 1  # it was not shut down


def test_threads_of_this_process_find_what_one_search_finds() -> None:
    with ThreadPoolExecutor(2) as pool:
        assert whole(executor=pool) == whole()


LOKY = "from {} import get_reusable_executor; pool = get_reusable_executor(2)"
DASK = (
    "from distributed import Client, LocalCluster; "
    "pool = Client(LocalCluster(**{}, dashboard_address=None)).get_executor()"
)
EXECUTORS = {
    "loky": LOKY.format("loky"),
    "joblib": LOKY.format("joblib.externals.loky"),
    "distributed": DASK.format({"n_workers": 2, "threads_per_worker": 1}),
    "distributed, threads": DASK.format({"n_workers": 1, "threads_per_worker": 2}),
    "distributed, here": DASK.format({"processes": False}),
    "mpi4py": "from mpi4py.futures import MPIPoolExecutor; pool = MPIPoolExecutor()",
}
SCRIPT = """
from tests.training.searches import whole

if __name__ == "__main__":
    {}
    with pool:
        print(whole(executor=pool))
"""


@pytest.mark.slow
@as_here
@pytest.mark.parametrize("name", EXECUTORS)
def test_other_libraries_executors_find_what_one_search_here_finds(
    name: str, tmp_path: Path
) -> None:
    module, program = name.split(",")[0], [sys.executable]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    if module == "mpi4py":
        places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        mpiexec = shutil.which("mpiexec", path=places)
        if mpiexec is None:
            pytest.skip("mpi4py is installed, but no mpiexec")
        program = [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures"]
    script = tmp_path / "search.py"
    script.write_text(SCRIPT.format(EXECUTORS[name]))
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    found = subprocess.check_output([*program, script], text=True, env=environment)
    assert found.split() == [whole()]


BLAS = ThreadpoolController().select(user_api="blas")


def threads_of_a_trial(trainer: xpnet.Trainer, held: Dataset) -> float:
    """Return xpnet's threads, and BLAS's between fits and within them, as digits."""
    outside = max(library.num_threads for library in BLAS.lib_controllers)
    with trainer.net.threads() as n:
        within = max(library.num_threads for library in BLAS.lib_controllers)
    return n * 100 + outside * 10 + within


def make_trainer(lr: float) -> xpnet.Trainer:
    net = xpnet.models.mlp((8,), 2, input_shape=(4,), rescale=None)
    return xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.Adam(lr=lr))


SPACE = {"lr": LogUniform(1e-3, 0.3)}


@pytest.mark.skipif(not BLAS.lib_controllers, reason="NumPy's BLAS is not known here")
@pytest.mark.parametrize(("own", "blas", "digits"), [(0, 3, 333), (2, 1, 212), (4, 2, 423)])
def test_each_trial_computes_with_the_threads_that_there_are_here(
    own: int, blas: int, digits: int, spawned: Executor
) -> None:
    """They decide the last bits of matrix products."""
    counts = threadpool.Counts(own, blas, 3)
    with ThreadPoolExecutor(1) as pool, threadpool_limits(3, "blas"), threadpool.counted(counts):
        for executor in (None, spawned, pool):
            (trial,) = random_search(
                make_trainer, labels(), SPACE, 1, 1,
                metric=threads_of_a_trial, maximize=True, executor=executor,
            )  # fmt: skip
            assert trial.score == digits


# Workers, played in this process


class Prompt(Future[Any]):
    """Is not waited for for ever."""

    def result(self, timeout: float | None = 10) -> Any:
        return super().result(timeout)


class Played(Executor):
    """Workers of which the test decides when they begin: all that is sent to them is here."""

    def __init__(self) -> None:
        self.sent: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []
        self.sizes: list[tuple[int, int]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = Prompt()
        if not isinstance(fn, workers._Call):  # it asks which process this is
            future.set_result(None)
        else:
            self.sent.append((future, fn, args))
            self.begin()
        return future

    def begin(self) -> None:
        """Make all calls at once."""
        self.make(len(self.sent))

    def make(self, count: int) -> None:
        """Make the last calls first, as far as they were not cancelled."""
        for _ in range(count):
            future, fn, args = self.sent.pop()
            if future.set_running_or_notify_cancel():
                data = pickle.dumps((fn, args))
                fn, args = pickle.loads(data)
                future.set_result(fn(*args))
                self.sizes.append((len(data), len(future.result())))


class Backwards(Played):
    """The last trial of a comparison ends first, and each time that one is reported another."""

    def __init__(self, counts: list[int]) -> None:
        super().__init__()
        self.counts = counts
        self.seen: list[int] = []

    def begin(self) -> None:
        if len(self.sent) == self.counts[0]:
            self.counts.pop(0)
            self.make(1)

    def report(self, trial: Trial) -> None:
        self.seen.append(trial.number)
        self.make(min(1, len(self.sent)))


@pytest.mark.parametrize("folder", [True, False])
def test_the_order_in_which_trials_end_changes_nothing(folder: bool, tmp_path: Path) -> None:
    pool, given = Backwards([5, 3, 2, 1]), {"folder": tmp_path} if folder else {}
    trials = searched(KIND, executor=pool, report=pool.report, **given)
    assert pool.seen[:5] == [4, 3, 2, 1, 0]
    assert digest(trials) == digest(searched(KIND))


class Lazy:
    """An executor that is no Executor, and futures that are no Futures."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        return Promise(fn, args) if isinstance(fn, workers._Call) else Promise(tuple, ())


class Promise:
    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.call, self.cancelled = (fn, args), False

    def result(self) -> Any:
        fn, args = self.call
        return fn(*args)

    def cancel(self) -> None:
        self.cancelled = True


def test_whatever_submits_will_do() -> None:
    kind = "regression, halving, folds"
    assert digest(searched(kind, executor=Lazy())) == digest(searched(kind))


class Meeting(Callback):
    """How many trials are trained at the same time."""

    lock, inside, most = threading.Lock(), 0, 0

    def fit_begins(self, trainer: xpnet.Trainer, epochs: int, epoch_steps: int) -> None:
        with Meeting.lock:
            Meeting.inside += 1
            Meeting.most = max(Meeting.most, Meeting.inside)

    def fit_ends(self, trainer: xpnet.Trainer) -> None:
        with Meeting.lock:
            Meeting.inside -= 1


def with_meeting(lr: float) -> xpnet.Trainer:
    trainer = make_trainer(lr)
    trainer.callbacks = [Meeting()]
    return trainer


class Threads(Played):
    """Workers with threads."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        super().__init__()
        self.pool = pool

    def begin(self) -> None:
        future, fn, args = self.sent.pop()
        self.pool.submit(lambda: future.set_result(fn(*args)))


@as_here
def test_the_threads_of_a_worker_take_turns() -> None:
    with ThreadPoolExecutor(4) as pool:
        found = random_search(with_meeting, labels(), SPACE, 6, 5, 1, executor=Threads(pool))
    assert Meeting.most == 1
    assert digest(found) == digest(random_search(make_trainer, labels(), SPACE, 6, 5, 1))


# What travels


def sizes(make: Callable[..., xpnet.Trainer], **given: Any) -> tuple[list[int], list[int]]:
    """Return the bytes that went to workers and came back, for each call, in the order made."""
    played = Played()
    random_search(make, many(), SPACE, 4, 4, executor=played, **given)
    sent, back = zip(*played.sizes, strict=True)
    return list(sent), list(back)


def many() -> Dataset:
    return Dataset(np.ones((1000, 4)), np.arange(1000) % 2, classes=2)


def wide(lr: float) -> xpnet.Trainer:
    """Return a trainer of some 20 000 parameters."""
    net = xpnet.models.mlp((4000,), 2, input_shape=(4,), rescale=None)
    return xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.Adam(lr=lr))


def test_data_goes_out_once_for_each_trial_and_does_not_come_back() -> None:
    data, network = len(pickle.dumps(many())), len(pickle.dumps(make_trainer(0.1).net))
    sent, back = sizes(make_trainer)
    assert max(sent) < data + 10_000
    assert max(back) < network + 10_000 < data


def test_a_network_comes_back_without_its_optimizer() -> None:
    parameters = wide(0.1).net.params.flat.nbytes
    _, back = sizes(wide)
    assert all(parameters < size < 2.5 * parameters for size in back)  # the gradients, too


@pytest.mark.parametrize("given", [{"folder": True}, {"folder": True, "halving": 2}, {"folds": 2}])
def test_only_numbers_come_back_where_networks_stay(given: dict[str, Any], tmp_path: Path) -> None:
    if "folder" in given:
        given |= {"folder": tmp_path}
    sent, back = sizes(wide, **given)
    assert max(back) < 10_000
    assert max(sent) < len(pickle.dumps(many())) + 10_000


def test_trainers_travel_to_go_on() -> None:
    parameters = wide(0.1).net.params.flat.nbytes
    sent, back = sizes(wide, halving=2)
    assert [size > 3 * parameters for size in back] == [True] * 4 + [True] * 2 + [False]
    assert [size > 3 * parameters for size in sent] == [False] * 4 + [True] * 2 + [True]


# What cannot travel


def without_cloudpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "cloudpickle" else find(name)
    )


def test_without_cloudpickle_what_is_defined_at_the_top_of_a_module_travels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_cloudpickle(monkeypatch)
    found, here = (
        random_search(make_trainer, labels(), SPACE, 3, 2, executor=one) for one in (Played(), None)
    )
    assert digest(found) == digest(here)


def test_what_cannot_be_pickled_is_said_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_lock(lr: float, lock: Any = threading.Lock()) -> xpnet.Trainer:  # noqa: B008
        return make_trainer(lr)

    def search(make: Callable[..., xpnet.Trainer]) -> None:
        given = {"folder": tmp_path / "search", "executor": Played()}
        random_search(make, labels(), SPACE, 1, 1, **given)  # type: ignore[arg-type]

    start = r"^executor: expected make_trainer, space, metric and data that can be pickled, .* got "
    with pytest.raises(TypeError, match=start + ".*lock.*: make it within the function that uses"):
        search(with_lock)
    without_cloudpickle(monkeypatch)
    with pytest.raises(
        TypeError,
        match=start
        + r".*lambda.*: define it at the top of a module, or install cloudpickle \(loky",
    ):
        search(lambda lr: make_trainer(lr))
    assert not list(tmp_path.iterdir())


class Locked(Callback):
    """What cannot be pickled, in a trainer."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def locked(lr: float) -> xpnet.Trainer:
    trainer = make_trainer(lr)
    trainer.callbacks = [Locked()]
    return trainer


def test_trainers_that_cannot_be_pickled_stay_in_a_folder(tmp_path: Path) -> None:
    def search(**given: Any) -> list[Trial]:
        return random_search(locked, labels(), SPACE, 4, 4, halving=2, **given)

    with pytest.raises(
        TypeError, match=r"^executor: expected networks and trainers .*lock.*: give folder=, in wh"
    ):
        search(executor=Played())
    assert digest(search(executor=Played(), folder=tmp_path)) == digest(search())


class Strangers(Played):
    """Workers that lack a module."""

    def make(self, count: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, __name__, None)
            super().make(count)


def test_a_module_that_workers_lack_is_said() -> None:
    with pytest.raises(
        TypeError,
        match=r"^executor: expected .* that workers can import, got what they cannot .*: install",
    ):
        random_search(make_trainer, labels(), SPACE, 1, 1, executor=Strangers())


@pytest.mark.parametrize("given", [3, ProcessPoolExecutor])
def test_what_is_no_executor_is_said(given: Any) -> None:
    with pytest.raises(TypeError, match=r"^executor: expected one such as .*Pool.*\(4\), got "):
        random_search(make_trainer, labels(), SPACE, 1, 1, executor=given)


# Errors and interruptions


class UnlikelyError(Exception):
    """Cannot be made again from its message."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def failing(lr: float) -> xpnet.Trainer:
    raise KeyError(lr)


def failing_unlike(lr: float) -> xpnet.Trainer:
    raise UnlikelyError("no ", "way")


class FirstAlone(Played):
    """The first trial ends, and no other begins."""

    def begin(self) -> None:
        if len(self.sent) == 1:
            self.make(1)
            self.sent.append((Future(), self.submit, ()))  # in the place of the first


def test_an_error_is_that_of_a_search_here_and_the_others_are_cancelled() -> None:
    def search(executor: Any) -> BaseException:
        with pytest.raises(KeyError) as caught:
            random_search(failing, labels(), SPACE, 4, 1, executor=executor)
        return caught.value

    pool = FirstAlone()
    error = search(pool)
    assert error.args == search(None).args
    (note,) = error.__notes__
    assert note.startswith("In a worker:\nTraceback")
    assert "raise KeyError(lr)" in note
    assert [future.cancelled() for future, *_ in pool.sent[1:]] == [True] * 3


def test_an_error_that_cannot_travel_is_told() -> None:
    with pytest.raises(RuntimeError, match=r"^UnlikelyError: no way$"):
        random_search(failing_unlike, labels(), SPACE, 1, 1, executor=Played())


def test_an_interruption_cancels_what_waits(tmp_path: Path) -> None:
    def report(trial: Trial) -> None:
        raise KeyboardInterrupt

    pool = FirstAlone()
    with pytest.raises(KeyboardInterrupt):
        searched(KIND, folder=tmp_path, executor=pool, report=report)
    assert [future.cancelled() for future, *_ in pool.sent[1:]] == [True] * 4
    seen: list[int] = []
    again = searched(KIND, folder=tmp_path, report=lambda trial: seen.append(trial.number))
    assert seen[:4] == [1, 2, 3, 4]
    assert digest(again) == digest(searched(KIND))


KILLED = """
import os, signal, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tests.training.searches import searched

seen = []

def report(trial):
    seen.append(trial)
    print(trial.number, trial.epochs, flush=True)
    if len(seen) == 6:  # one of those that went on
        os.kill(os.getpid(), signal.SIGKILL)

with ProcessPoolExecutor(2, get_context("fork")) as pool:
    searched(sys.argv[1], folder=Path(sys.argv[2]), report=report, executor=pool)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@as_here
def test_a_search_whose_process_is_killed_goes_on_beside_its_workers(tmp_path: Path) -> None:
    """They outlive it, and may still be at the trials that they had begun."""
    told_of, folder = tmp_path / "out", tmp_path / "search"
    command = [sys.executable, "-c", KILLED, KIND, str(folder)]
    with told_of.open("w") as out:
        process = subprocess.Popen(command, stdout=out, start_new_session=True)
    try:
        assert process.wait(60) == -signal.SIGKILL
        before = [tuple(map(int, line.split())) for line in told_of.read_text().splitlines()]
        seen: list[tuple[int, int]] = []
        again = searched(
            KIND, folder=folder, report=lambda trial: seen.append((trial.number, trial.epochs))
        )
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    assert len(before) == 6
    assert not set(before) & set(seen)
    assert digest(again) == digest(searched(KIND))


def test_what_is_finished_is_not_sent_again(tmp_path: Path) -> None:
    here = searched(KIND, folder=tmp_path)
    played = Played()
    there = searched(KIND, folder=tmp_path, executor=played)
    assert played.sizes == []
    assert told(there) == told(here)
    assert digest(there) == digest(here)
