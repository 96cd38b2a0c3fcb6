"""Data sets in mapped files: they train as those in memory do, and take no more of it."""

from __future__ import annotations

import gzip
import mmap
import os
import pickle
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

import xpnet
from xpnet import Adam, SoftmaxCrossEntropy, SquaredError, Trainer
from xpnet.arrays import to_numpy
from xpnet.data import Batches, Blocks, Dataset, StoredArray, idx, mapped
from xpnet.data.augment import Elastic, MixUp, Rotate, Shift
from xpnet.data.fingerprint import fingerprint
from xpnet.layers import Flatten, Linear, ReLU, Sequential
from xpnet.models import mlp
from xpnet.training import Callback, Checkpoint, Ensemble, metrics

N = 150
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (N, 1, 6, 6), np.uint8)
T = (X.mean(axis=(1, 2, 3)) // 10 % 4).astype(np.uint8)
CUTS = (0, 1, 40, 40, 77, N)  # one of a single sample, and one of none


def shards(folder: Path, name: str, array: np.ndarray, cuts: tuple[int, ...] = CUTS) -> list[Path]:
    """Write an array into files, every second an IDX file where IDX has such numbers."""
    paths = []
    for k, (start, stop) in enumerate(pairwise(cuts)):
        part = array[start:stop]
        held = part.dtype.name in ("uint8", "int16", "int32", "float32", "float64")
        paths.append(folder / (f"{name}-{k}.idx" if held and k % 2 else f"{name}-{k}.npy"))
        (idx.write if held and k % 2 else np.save)(paths[-1], part)
    return paths


def opened(folder: Path, x: np.ndarray = X, t: np.ndarray = T, **options: Any) -> Dataset:
    """Return samples and targets in files, which are divided at other places."""
    return xpnet.data.open(
        shards(folder, "x", x), shards(folder, "t", t, (0, 60, len(t))), **{"classes": 4, **options}
    )


@pytest.fixture
def stored(tmp_path: Path) -> Dataset:
    return opened(tmp_path)


@pytest.fixture
def held() -> Dataset:
    return Dataset(X, T, classes=4)


def assert_equal(stored: Dataset, held: Dataset) -> None:
    """Hold that a data set in files is another in memory, and still is in files."""
    assert isinstance(stored.x, StoredArray)
    assert isinstance(stored.t, StoredArray)
    for a, b in ((stored.x, held.x), (stored.t, held.t)):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b), strict=True)
    assert (stored.weights is None) == (held.weights is None)
    if held.weights is not None:
        np.testing.assert_array_equal(stored.weights, held.weights, strict=True)


class TestReading:
    @pytest.mark.parametrize(
        "dtype",
        ["uint8", "int8", "int16", ">i2", "int32", "int64", "float16", "float32", ">f4", "float64",
         "bool", "complex64"],
    )  # fmt: skip
    @pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 2, 3)])
    def test_rows_are_those_of_the_array(self, tmp_path, dtype, shape):
        """IDX files of some ranks have their numbers at odd places, and all in the other order."""
        array = (RNG.normal(size=(N, *shape)) * 50).astype(dtype)
        found = xpnet.data.open(shards(tmp_path, "x", array), None)
        held = Dataset(array, np.zeros(N)).x
        assert (found.shape, found.dtype) == (held.shape, held.dtype)
        for rows in (RNG.permutation(N), [149, 0, 40, 39, 40], [5]):
            np.testing.assert_array_equal(found[rows], held[rows], strict=True)
        assert found[3:90].dtype.isnative

    def test_a_path_is_one_file(self, tmp_path, monkeypatch):
        np.save(tmp_path / "x.npy", X)
        idx.write(tmp_path / "t.idx", T)
        monkeypatch.chdir(tmp_path)
        found = xpnet.data.open("x.npy", Path("t.idx"))
        monkeypatch.chdir("/")  # where the files were is known
        assert found.name == "x.npy"
        assert_equal(found, Dataset(X, T))

    def test_targets_may_be_in_memory(self, tmp_path, held):
        made = xpnet.data.open(shards(tmp_path, "x", X), T, classes=4)
        np.testing.assert_array_equal(made.t, held.t)
        frame = polars.DataFrame({"t": T})  # whose columns can gather, too
        np.testing.assert_array_equal(
            xpnet.data.open(tmp_path / "x-1.idx", frame["t"][:39]).t, T[:39]
        )
        words = np.array(["a", "b", "c", "d"])[T]
        assert xpnet.data.open(shards(tmp_path, "x", X), words, class_names=[*"abcd"]).classes == 4

    @pytest.mark.parametrize("shape", [(N, 1), (N,)])
    @pytest.mark.parametrize("dtype", ["uint8", "float32"])
    def test_labels_are_what_a_data_set_makes_of_them(self, tmp_path, shape, dtype):
        t = T.reshape(shape).astype(dtype)
        assert_equal(opened(tmp_path, t=t), Dataset(X, t, classes=4))

    def test_weights_a_class_are_numbers(self, tmp_path):
        rows = np.eye(4, dtype=np.uint8)[T]
        assert_equal(opened(tmp_path, t=rows), Dataset(X, rows, classes=4))

    def test_samples_alone_are_predicted_some_at_a_time(self, tmp_path):
        net = mlp((4,), 4, input_shape=(1, 6, 6))
        found = net.predict(xpnet.data.open(shards(tmp_path, "x", X), None), batch_size=40)
        np.testing.assert_array_equal(found, net.predict(X, batch_size=40), strict=True)

    @pytest.mark.parametrize("most", [0, mapped.PAGE, 2**40])
    @pytest.mark.parametrize("maps", [1, 3, 128])
    @pytest.mark.parametrize("advice", [True, False])
    def test_what_becomes_of_maps_meanwhile_changes_nothing(
        self, tmp_path, monkeypatch, most, maps, advice
    ):
        monkeypatch.setattr(mapped, "MOST_TOUCHED", most)
        monkeypatch.setattr(mapped, "MOST_MAPS", maps)
        if not advice:  # as on Windows
            monkeypatch.delattr(mmap, "MADV_DONTNEED", raising=False)
        found = opened(tmp_path)
        for _ in range(3):
            order = RNG.permutation(N)
            np.testing.assert_array_equal(found.x[order], X[order])

    def test_numbers_beyond_the_files_are_refused(self, tmp_path):
        x = xpnet.data.open(shards(tmp_path, "x", X), None)
        for number in (len(X), -len(X) - 1):
            with pytest.raises(IndexError, match="expected numbers of rows from 0 to "):
                x.take(np.array([3, number]), axis=0)

    def test_threads_read_at_the_same_time(self, tmp_path, monkeypatch):
        monkeypatch.setattr(mapped, "MOST_TOUCHED", 0)
        monkeypatch.setattr(mapped, "MOST_MAPS", 2)
        found, wrong = opened(tmp_path), []

        def read(seed: int) -> None:
            for _ in range(15):
                order = np.random.default_rng(seed).permutation(N)
                wrong.extend([] if np.array_equal(found.x[order], X[order]) else [seed])

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


class TestParts:
    @pytest.mark.parametrize(
        "part",
        [
            lambda data: data.take(70),
            lambda data: data.select([140, 3, 39, 40, 41, 3]),
            lambda data: data.take(70).select([69, 0]).take(1),
            lambda data: data.split(0.3, seed=1)[0],
            lambda data: data.split(0.3, stratify=True)[1],
            lambda data: data.split(0.3)[0].split(0.5)[1],
            lambda data: list(data.folds(3, stratify=True))[2][0],
            lambda data: data.weighted("balanced").split(0.5)[1],
            lambda data: data.astype("float64"),
            lambda data: data.to("cpu"),
            lambda data: pickle.loads(pickle.dumps(data.split(0.5)[0])),
        ],
    )
    def test_they_are_those_of_a_data_set_in_memory(self, stored, held, part):
        assert_equal(part(stored), part(held))

    def test_they_are_pickled_by_their_paths(self, tmp_path):
        large = np.zeros((100, 1, 100, 100), np.uint8)
        data = opened(tmp_path, large, np.zeros(100, np.uint8))
        data.x[:]  # maps of all files are there
        assert len(pickle.dumps(data)) < 10_000

    def test_they_have_one_fingerprint(self, stored, held, monkeypatch):
        assert fingerprint(stored) == fingerprint(held)
        monkeypatch.setattr("xpnet.data.fingerprint.MOST_BYTES", 36 * 60)
        assert fingerprint(stored.split(0.5)[0]) == fingerprint(held.split(0.5)[0])

    def test_they_are_checked_for_numbers_that_are_none(self, tmp_path):
        x = X.astype(np.float32)
        x[77, 0, 2, 3] = np.nan
        with pytest.raises(ValueError, match=r"got nan in x of sample 77, at \[0, 2, 3\]$"):
            opened(tmp_path, x).check()


def classifier() -> Sequential:
    return mlp((16,), 4, input_shape=(1, 6, 6), seed=1)


def regression() -> Sequential:
    """Return a network that takes numbers, and no bytes."""
    return Sequential([Flatten(), Linear(5), ReLU(), Linear(4)], input_shape=(1, 6, 6), seed=1)


def trained(
    train: Dataset,
    validation: Dataset | None = None,
    net: Callable[[], Sequential] = classifier,
    loss: Any = None,
    callbacks: Any = (),
    **options: Any,
) -> Trainer:
    trainer = Trainer(net(), loss or SoftmaxCrossEntropy(), Adam(), callbacks=callbacks, seed=2)
    trainer.fit(train, 3, 32, validation=validation, **options)
    return trainer


def position(trainer: Trainer) -> Any:
    """Return all numbers that a training came to, to the bit."""
    rows = [{k: v for k, v in row.items() if "second" not in k} for row in trainer.history]
    return rows, trainer.net.params.flat.tobytes()


WAYS: dict[str, Callable[[Dataset], Trainer]] = {
    "shuffled": lambda data: trained(data),
    "in order": lambda data: trained(data, shuffle=False),
    "in blocks": lambda data: trained(data, shuffle="blocks"),
    "in small blocks": lambda data: trained(data, shuffle=Blocks(8, 3)),
    "with validation": lambda data: trained(*data.split(0.3, stratify=True)),
    "short batches dropped": lambda data: trained(data, drop_last=True),
    "weighted": lambda data: trained(data.weighted("balanced")),
    "in float32": lambda data: trained(data.astype("float32")),
    "augmented": lambda data: trained(data.augmented(Rotate(20), Elastic(), Shift(1), seed=3)),
    "mixed": lambda data: trained(data.augmented(Shift(1), MixUp())),
    "labels as numbers": lambda data: trained(data, loss=SquaredError()),
}


class TestTraining:
    @pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
    def test_it_gives_the_bits_of_the_same_data_in_memory(self, stored, held, way):
        one, other = way(stored), way(held)
        assert position(one) == position(other)
        assert one.evaluate(stored) == other.evaluate(held)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_numbers_to_come_near_to_may_be_in_files_too(self, tmp_path, dtype):
        x, t = X.astype(dtype), RNG.normal(size=(N, 4))
        runs = [
            trained(data, data.take(40), regression, SquaredError())
            for data in (opened(tmp_path, x, t, classes=None), Dataset(x, t))
        ]
        assert position(runs[0]) == position(runs[1])

    def test_where_files_end_does_not_matter(self, tmp_path, stored):
        np.save(tmp_path / "whole.npy", X)
        whole = xpnet.data.open(tmp_path / "whole.npy", T, classes=4)
        for shuffle in (True, "blocks", Blocks(8, 3)):
            assert position(trained(whole, shuffle=shuffle)) == position(
                trained(stored, shuffle=shuffle)
            )

    def test_networks_answer_together_for_changed_copies(self, stored, held):
        nets = [trained(held).net, trained(held.augmented(Shift(1))).net]
        for copies in (None, 2):
            one, other = (
                Ensemble(nets, SoftmaxCrossEntropy(), copies=copies).evaluate(d.augmented(Shift(1)))
                for d in (stored, held)
            )
            assert one == other

    def test_metrics_take_targets_in_files(self, stored, held):
        scores = classifier().predict(held.x)
        for measure in (metrics.confusion_matrix, metrics.misclassified, metrics.calibration):
            np.testing.assert_equal(repr(measure(scores, stored.t)), repr(measure(scores, held.t)))

    def test_batches_are_gathered_by_a_thread_that_works_ahead(self, stored, monkeypatch):
        by = set()
        gather = mapped.MappedFiles.gather

        def noted(self: Any, indices: np.ndarray) -> np.ndarray:
            by.add(threading.current_thread().name.partition("_")[0])
            return gather(self, indices)

        batches = Batches(stored, 10)
        monkeypatch.setattr(mapped.MappedFiles, "gather", noted)
        assert len(list(batches.epoch(0))) == 15
        assert by == {"xpnet-batches"}

    def test_an_interrupted_fit_goes_on_from_the_middle_of_an_epoch(self, tmp_path, stored):
        class Interrupt(Callback):
            def step_ends(self, trainer: Trainer) -> None:
                if trainer.optimizer.steps == 7:
                    signal.raise_signal(signal.SIGINT)

        path, blocks = tmp_path / "run", Blocks(8, 3)
        with pytest.raises(KeyboardInterrupt):
            trained(stored, callbacks=[Checkpoint(path), Interrupt()], shuffle=blocks)
        resumed = Trainer(classifier(), SoftmaxCrossEntropy(), Adam(), seed=2)
        resumed.restore(path)
        assert resumed.optimizer.steps == 7
        refused = r"shuffle expected \{'size': 8, 'window': 3\}, got \{'size': 256, 'window': 32\}"
        with pytest.raises(ValueError, match=refused):
            resumed.fit(stored, 3, 32, shuffle="blocks")
        resumed.fit(stored, 3, 32, shuffle=blocks)
        assert position(resumed) == position(trained(stored, shuffle=blocks))

    def test_numbers_that_the_network_cannot_hold_are_refused_as_they_come(self, tmp_path):
        x = X.astype(np.int64)
        x[100] = 2**40
        message = r"^data: x: expected whole numbers of at most 16777216, up to which float32 holds"
        with pytest.raises(ValueError, match=message):
            trained(opened(tmp_path, x), net=regression)

    def test_labels_are_checked_in_all_files(self, tmp_path):
        t = T.copy()
        t[130] = 9
        with pytest.raises(
            ValueError, match=r"^data: expected labels of 0 to 3, got 9 at index 130"
        ):
            opened(tmp_path, t=t)
        with pytest.raises(
            ValueError, match=r"one of the network's 4 outputs, got 9 at index 130$"
        ):
            trained(opened(tmp_path, t=t, classes=None))


def damaged(folder: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """Return a file of some samples whose bytes were changed."""
    np.save(folder / "whole.npy", X)
    (folder / name).write_bytes(change((folder / "whole.npy").read_bytes()))
    return folder / name


def saved(folder: Path, array: Any) -> Path:
    np.save(folder / "bad.npy", array)
    return folder / "bad.npy"


def packed(folder: Path) -> Path:
    idx.write(folder / "bad.gz", T)
    return folder / "bad.gz"


HEAD = len(X.tobytes())
EXPECTED = "expected a .npy file, or an IDX file that is not packed, got"
REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "of another format": (
        lambda d: damaged(d, "bad.npy", lambda raw: b"PK\3\4" + raw),
        f"{EXPECTED} one that begins with 50 4b 03 04: np.save(path, x) writes .npy files",
    ),
    "empty": (
        lambda d: damaged(d, "bad.npy", lambda raw: b""),
        f"{EXPECTED} an empty one: np.save(path, x) writes .npy files",
    ),
    "packed": (
        packed,
        f"{EXPECTED} one packed with gzip, which cannot be mapped: unpack it by gunzip, or read it "
        f"into memory by xpnet.data.idx.read(path)",
    ),
    "cut off": (
        lambda d: damaged(d, "bad.npy", lambda raw: raw[:-1]),
        f"expected {HEAD + 128} bytes for a uint8 array of shape (150, 1, 6, 6), got "
        f"{HEAD + 127}: it was cut off, write it again",
    ),
    "cut off in its header": (
        lambda d: damaged(d, "bad.npy", lambda raw: raw[:50]),
        "no array of NumPy, or a damaged one (",
    ),
    "an IDX file cut off in its header": (
        lambda d: damaged(d, "bad.npy", lambda raw: bytes([0, 0, 8, 2, 0])),
        "the IDX header is truncated: expected 12 bytes for 2 dimensions, got 5",
    ),
    "with more behind": (
        lambda d: damaged(d, "bad.npy", lambda raw: raw + b"1"),
        f"expected {HEAD + 128} bytes for a uint8 array of shape (150, 1, 6, 6), got "
        f"{HEAD + 129}: there is something behind it, write it again",
    ),
    "of columns": (
        lambda d: saved(d, np.asfortranarray(np.ones((4, 3)))),
        "expected rows one after the other, got columns (Fortran order): write it again by "
        "np.save(path, np.ascontiguousarray(x))",
    ),
    "of objects": (
        lambda d: saved(d, np.array([1, None], object)),
        "expected numbers, got objects of Python: write it again by np.save(path, x.astype(float))",
    ),
    "of one number": (
        lambda d: saved(d, np.array(3.0)),
        "expected an array of samples, each of a number at least, got shape ()",
    ),
    "of nothing a sample": (
        lambda d: saved(d, np.ones((3, 0))),
        "expected an array of samples, each of a number at least, got shape (3, 0)",
    ),
    "of another shape than the first": (
        lambda d: [damaged(d, "good.npy", bytes), saved(d, np.ones((3, 6, 6), np.uint8))],
        "expected samples of shape (1, 6, 6) and dtype uint8, as in good.npy, got (6, 6) and uint8",
    ),
    "of another dtype than the first": (
        lambda d: [damaged(d, "good.npy", bytes), saved(d, np.ones((3, 1, 6, 6), np.int8))],
        "expected samples of shape (1, 6, 6) and dtype uint8, as in good.npy, got (1, 6, 6) and "
        "int8",
    ),
}  # fmt: skip


class TestMistakes:
    @pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
    def test_a_file_that_cannot_be_mapped_gets_its_sentence(self, tmp_path, make, message):
        given = make(tmp_path)
        with pytest.raises(ValueError, match=r"bad\.") as caught:
            xpnet.data.open(given, T)
        said = str(caught.value).replace(f"{tmp_path}{os.sep}", "")
        assert "\n" not in said
        assert re.match(rf"bad\.(npy|gz): {re.escape(message)}", said)
        assert message.endswith("(") or said.endswith(message)

    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            (X, TypeError, "x: expected the path of a .npy or IDX file, a list of paths, or rows "
             "that have __len__() and gather(indices), got ndarray of shape (150, 1, 6, 6): of "
             "arrays write Dataset(x, t)"),
            ([], ValueError, "data: x: expected the path of a file at least, got none"),
            (Path().glob("*"), TypeError, "data: x: expected a list of paths, in an order, got <"),
            ("nowhere.npy", FileNotFoundError, "[Errno 2] No such file or directory: 'nowhere"),
            (os.curdir, IsADirectoryError, "[Errno 21] Is a directory: '.'"),
            (os.devnull, ValueError, f"{os.devnull}: expected a regular file, got a device or a "
             "pipe: copy it to a file"),
        ],
    )  # fmt: skip
    def test_what_are_no_files_gets_its_sentence(self, given, error, message):
        with pytest.raises(error, match=f"^{re.escape(message)}"):
            xpnet.data.open(given, T)

    def test_as_many_targets_as_samples_are_expected(self, tmp_path):
        with pytest.raises(
            ValueError, match=r"^data: expected as many targets as samples, got 149 "
        ):
            opened(tmp_path, t=T[1:])

    def test_a_file_without_samples_is_none(self, tmp_path):
        with pytest.raises(
            ValueError, match=r"bad\.npy: x: expected at least one sample, got none$"
        ):
            xpnet.data.open(saved(tmp_path, X[:0]), T)

    def test_a_file_that_was_changed_is_refused_where_it_is_mapped(self, tmp_path):
        path = saved(tmp_path, X)
        data = pickle.dumps(xpnet.data.open(path, T))
        os.utime(path, (1, 1))
        with pytest.raises(
            ValueError, match=r"bad\.npy: changed since it was opened: open the data set anew$"
        ):
            pickle.loads(data).x[0]

    def test_gzip_is_told_by_its_first_bytes(self, tmp_path):
        (tmp_path / "x.npy").write_bytes(gzip.compress(b"\0\0"))
        with pytest.raises(ValueError, match="got one packed with gzip"):
            xpnet.data.open(tmp_path / "x.npy", T)


STATUS = Path("/proc/self/status")
needs_proc = pytest.mark.skipif(
    not STATUS.exists() or "RssAnon" not in STATUS.read_text(),
    reason="/proc/self/status says nothing of anonymous memory here",
)


def memory(kind: str) -> float:
    """Return the memory of this process of a kind, such as RssAnon, in MB."""
    found = re.search(rf"{kind}:\s+(\d+) kB", STATUS.read_text())
    assert found is not None
    return int(found[1]) / 1e3


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Give how much more memory than before was taken at the most, a thread looking on."""
    before = {kind: memory(kind) for kind in ("RssAnon", "RssFile")}
    most, ended = dict.fromkeys(before, 0.0), threading.Event()

    def watch() -> None:
        while not ended.is_set():
            for kind in before:
                most[kind] = max(most[kind], memory(kind) - before[kind])
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def written(folder: Path, files: int, n: int) -> tuple[list[Path], list[Path]]:
    """Write files of n random images each, and files of their labels."""
    for k in range(files):
        rng = np.random.default_rng(k)
        np.save(folder / f"x-{k:03}.npy", rng.integers(0, 256, (n, 1, 28, 28), np.uint8))
        np.save(folder / f"t-{k:03}.npy", rng.integers(0, 10, n, np.uint8))
    return sorted(folder.glob("x-*.npy")), sorted(folder.glob("t-*.npy"))


def all_that_a_run_does(data: Dataset) -> None:
    """Split, train in both orders, evaluate, predict, check and show."""
    net = Sequential([Flatten(), Linear(10)], input_shape=(1, 28, 28))  # of numbers, not of bytes
    trainer = Trainer(net, SoftmaxCrossEntropy(), Adam(1e-5))
    train, held_out = data.split(0.2, stratify=True)
    trainer.fit(train, 1, 100, validation=held_out)
    trainer.fit(data, 1, 100, shuffle="blocks")
    net.predict(data.x)
    data.check()
    repr(data), data._repr_html_()


def memory_of_runs(folder: Path, files: int, n: int) -> tuple[dict[str, float], ...]:
    """Return how much a run takes of a few samples, and of many."""
    x, t = written(folder, files, n)
    found = []
    for part in (1, 1, files):  # the first run compiles
        with watched() as most:
            all_that_a_run_does(xpnet.data.open(x[:part], t[:part], classes=10))
        found.append(most)
    return tuple(found[1:])


@needs_proc
class TestMemory:
    def test_a_run_takes_no_more_of_it_for_more_data(self, tmp_path):
        few, many = memory_of_runs(tmp_path, 16, 4000)  # 50 MB, 200 MB in the network's dtype
        assert many["RssAnon"] - few["RssAnon"] < 40

    def test_what_is_read_whole_shows(self, tmp_path):
        """What is measured above can be seen."""
        x, t = written(tmp_path, 16, 4000)
        with watched() as most:
            data = xpnet.data.open(x, t, classes=10)
            held = Dataset(np.asarray(data.x, np.float32), np.asarray(data.t))
            time.sleep(0.05)
        assert len(held) == 64_000
        assert most["RssAnon"] > 190

    @pytest.mark.slow
    def test_nor_for_a_great_deal_more(self, tmp_path):
        few, many = memory_of_runs(tmp_path, 32, 20_000)  # 500 MB, 2 GB in the network's dtype
        assert many["RssAnon"] - few["RssAnon"] < 100
        assert many["RssFile"] < (mapped.MOST_TOUCHED + 2**26) / 1e6
