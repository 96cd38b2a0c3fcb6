"""Callbacks that log: what other programs read of a run, whole or killed and resumed."""

from __future__ import annotations

import csv
import importlib.util
import inspect
import math
import pickle
import shutil
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Backend
from tests.training.fake_mlflow import FakeMLflow
from xpnet.arrays import to_numpy
from xpnet.data import Dataset
from xpnet.layers import Dropout, Linear, ReLU, Sequential
from xpnet.losses import SoftmaxCrossEntropy, SquaredError
from xpnet.optimizers import SGD, Adam
from xpnet.schedules import cosine
from xpnet.training import (
    Callback,
    Checkpoint,
    CSVLogger,
    History,
    MLflow,
    TensorBoard,
    Trainer,
)
from xpnet.training.metrics import COLUMNS

EPOCHS, STEPS = 4, 5
CLOCK = {"seconds", "samples_per_second"}


def data(seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    return Dataset(rng.normal(size=(20, 3)).astype(np.float32), np.arange(20) % 2, classes=2)


def made(*callbacks: Callback, xp: Backend | None = None) -> Trainer:
    net = Sequential([Linear(4), ReLU(), Dropout(0.2), Linear(2)], input_shape=(3,), seed=2)
    return Trainer(
        net.to(xp.device) if xp else net, SoftmaxCrossEntropy(), Adam(lr=0.01), schedule=cosine(),
        callbacks=callbacks, seed=3,
    )  # fmt: skip


def fit(trainer: Trainer, epochs: int = EPOCHS) -> Trainer:
    trainer.fit(data(), epochs, 4, validation=data(1))
    return trainer


class Kill(Callback):
    """After a step, keeps a copy of the folder: what there is on the disk if the run is killed."""

    def __init__(self, folder: Path, step: int) -> None:
        self.folder, self.step = folder, step

    def step_ends(self, trainer: Trainer) -> None:
        if trainer.optimizer.steps == self.step:
            shutil.copytree(self.folder, self.folder.with_name("killed"))


class Losses(Callback):
    """The loss of each batch."""

    def __init__(self) -> None:
        self.losses: dict[int, float] = {}

    def step_ends(self, trainer: Trainer) -> None:
        self.losses[trainer.optimizer.steps] = float(trainer.step_loss)


class Stop(Callback):
    """Raises after a step."""

    def __init__(self, error: type[BaseException], step: int = 1) -> None:
        self.error, self.step = error, step

    def step_ends(self, trainer: Trainer) -> None:
        if trainer.optimizer.steps == self.step:
            raise self.error


class Pickling(Callback):
    """Pickles the trainer after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.made = b""

    def epoch_ends(self, trainer: Trainer, row: dict[str, Any]) -> None:
        if row["epoch"] == self.epoch:
            self.made = pickle.dumps(trainer)


class CtrlC(Callback):
    """Ctrl-C after the first step."""

    def step_ends(self, trainer: Trainer) -> None:
        signal.raise_signal(signal.SIGINT)


# Steps after which a run is killed, and how often a checkpoint is written within an epoch: the run
# goes on from the end of an epoch, or from the step before.
KILLED = {
    "in the first epoch": (3, None),
    "as an epoch begins": (6, None),
    "late in an epoch": (9, None),
    "with checkpoints within epochs": (8, 1e-9),
}


@pytest.fixture(params=KILLED.values(), ids=KILLED.keys())
def killed(request, tmp_path) -> Callable[[Callable[[Path], Callback]], tuple[Path, Path]]:
    """Make a run that logs; return the folder of it whole, and of it killed and resumed."""
    step, every_seconds = request.param

    def run(logger: Callable[[Path], Callback]) -> tuple[Path, Path]:
        whole = tmp_path / "whole"

        def callbacks(folder: Path) -> list[Callback]:
            return [logger(folder), Checkpoint(folder / "c", every_seconds=every_seconds)]

        fit(made(*callbacks(whole), Kill(whole, step)))
        resumed = made(*callbacks(tmp_path / "killed"))
        resumed.restore(tmp_path / "killed" / "c")
        fit(resumed)
        return whole, tmp_path / "killed"

    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


class TestCSVLogger:
    def test_it_holds_the_history(self, tmp_path):
        trainer = fit(made(CSVLogger(tmp_path / "runs" / "h.csv")))
        rows = rows_of(tmp_path / "runs" / "h.csv")
        assert [tuple(row) for row in rows] == [COLUMNS] * EPOCHS
        for row, kept in zip(rows, trainer.history, strict=True):
            assert {k: float(v) if v else None for k, v in row.items()} == kept
        assert rows[0]["epoch"] == "1"
        assert rows[0]["train_mean_absolute_error"] == ""

    def test_it_is_whole_after_each_epoch(self, tmp_path):
        seen = []

        class Look(Callback):
            def epoch_ends(self, trainer, row):
                seen.append(rows_of(tmp_path / "h.csv"))

        fit(made(CSVLogger(tmp_path / "h.csv"), Look()))
        assert [len(rows) for rows in seen] == [1, 2, 3, 4]
        assert [p.name for p in tmp_path.iterdir()] == ["h.csv"]

    def test_a_run_killed_and_resumed_leaves_the_same_rows(self, killed):
        whole, resumed = (
            rows_of(at / "h.csv") for at in killed(lambda at: CSVLogger(at / "h.csv"))
        )
        assert [row["epoch"] for row in resumed] == ["1", "2", "3", "4"]
        for row, other in zip(whole, resumed, strict=True):
            assert {k: row[k] for k in row.keys() - CLOCK} == {
                k: other[k] for k in row.keys() - CLOCK
            }

    def test_a_place_that_cannot_be_written_is_found_before_a_step(self, tmp_path):
        (tmp_path / "file").write_text("")
        trainer = made(CSVLogger(tmp_path / "file" / "h.csv"))
        with pytest.raises(OSError, match="file"):
            fit(trainer)
        assert trainer.optimizer.steps == 0

    def test_what_another_run_left_stays_until_there_is_something_better(self, tmp_path):
        (tmp_path / "h.csv").write_text("old")
        with pytest.raises(ZeroDivisionError):
            fit(made(CSVLogger(tmp_path / "h.csv"), Stop(ZeroDivisionError)))
        assert (tmp_path / "h.csv").read_text() == "old"


class TestHistoryAsCSV:
    def text(self, tmp_path: Path, *rows: dict[str, Any]) -> dict[str, str]:
        History(list(rows)).to_csv(tmp_path / "h.csv")
        last = rows_of(tmp_path / "h.csv")[-1]
        return {name: text for name, text in last.items() if text}

    @pytest.mark.parametrize("value", [0.1 + 0.2, 5e-324, 1e300, -0.0, math.inf, -math.inf])
    def test_numbers_read_back_as_they_are(self, tmp_path, value):
        (text,) = self.text(tmp_path, {"lr": value}).values()
        assert struct.pack("d", float(text)) == struct.pack("d", value)

    def test_nan_is_no_missing_value(self, tmp_path):
        assert self.text(tmp_path, {"lr": math.nan, "train_loss": None}) == {"lr": "nan"}

    def test_a_history_without_rows_has_the_names(self, tmp_path):
        History().to_csv(tmp_path / "h.csv")
        assert (tmp_path / "h.csv").read_text() == ",".join(COLUMNS) + "\n"

    def test_columns_of_ones_own_follow_in_one_order_whenever_they_came(self, tmp_path):
        rows = [{"z": 1, "epoch": 1, **dict.fromkeys("ywvu", 0)}, {"epoch": 2, "f1": 0.5, "x": 2}]
        History(rows).to_csv(tmp_path / "h.csv")
        first, one, two = (tmp_path / "h.csv").read_text().splitlines()
        assert first.split(",") == [*COLUMNS, "f1", *"uvwxyz"]
        assert one.split(",")[-7:] == ["", "0", "0", "0", "", "0", "1"]
        assert two.split(",")[-7:] == ["0.5", "", "", "", "2", "", ""]

    def test_values_of_any_library_are_numbers_and_lists_are_json(self, tmp_path, xp: Backend):
        row = {"f1": xp.array(0.5), "of": xp.array([0.5, 1.0]), "n": np.int64(3), "note": 'a,"b"\n'}
        assert self.text(tmp_path, row) == {
            "f1": "0.5", "of": "[0.5, 1.0]", "n": "3", "note": 'a,"b"\n'
        }  # fmt: skip

    def test_what_is_no_value_is_refused_and_the_file_stays(self, tmp_path):
        self.text(tmp_path, {"epoch": 1})
        with pytest.raises(TypeError, match=r"^f1 of epoch 1: expected numbers, text or lists of"):
            self.text(tmp_path, {"epoch": 1, "f1": object()})
        assert len((tmp_path / "h.csv").read_text().splitlines()) == 2


# TensorBoard


def crc32c(message: bytes) -> int:
    """Return Castagnoli's checksum, bit by bit (RFC 3720, appendix B.4)."""
    state = 0xFFFFFFFF
    for byte in message:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def masked(message: bytes) -> int:
    """Return the checksum as TFRecord files have it: rotated, and with a constant added."""
    crc = crc32c(message)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def events(path: Path) -> list[Any]:
    """Return the events of a file, each of whose checksums holds."""
    proto = pytest.importorskip("tensorboardX.proto.event_pb2")
    found, rest = [], path.read_bytes()
    while rest:
        (length,) = struct.unpack("<Q", rest[:8])
        message = rest[12 : 12 + length]
        sums = struct.unpack("<I", rest[8:12]) + struct.unpack(
            "<I", rest[12 + length : 16 + length]
        )
        assert sums == (masked(rest[:8]), masked(message))
        found.append(proto.Event.FromString(message))
        rest = rest[16 + length :]
    return found


def points(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """Return what TensorBoard shows of a folder: (step, value) by tag.

    It reads the files in the order of their names, and forgets what is at or after the step of a
    session that begins.
    """
    shown: list[tuple[str, int, Any]] = []
    for path in sorted(folder.glob("*tfevents*")):
        first, *others = events(path)
        assert first.file_version == "brain.Event:2"
        for event in others:
            if event.session_log.status == event.session_log.START:
                shown = [point for point in shown if point[1] < event.step]
            for value in event.summary.value:
                kind = value.WhichOneof("value")
                shown.append((value.tag, event.step, getattr(value, kind)))
    found: dict[str, list[tuple[int, Any]]] = {}
    for tag, step, value in shown:
        found.setdefault(tag, []).append((step, value))
    return found


def test_the_checksum_is_castagnolis():
    """The first vector of RFC 3720, and the one that every table of checksums has."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"123456789") == 0xE3069283


class TestTensorBoard:
    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        pytest.importorskip("tensorboardX")

    def test_a_row_is_a_point_of_each_measure_over_the_steps(self, tmp_path):
        trainer = fit(made(TensorBoard(tmp_path / "tb")))
        found = points(tmp_path / "tb")
        assert found.keys() == {
            "epoch", "lr", "loss/train", "loss/validation", "accuracy/train",
            "accuracy/validation", "seconds", "samples_per_second",
        }  # fmt: skip
        for tag, column in [("loss/validation", "validation_loss"), ("lr", "lr")]:
            expected = [(row["steps"], np.float32(row[column])) for row in trainer.history]
            assert found[tag] == expected
        assert [step for step, _ in found["epoch"]] == [5, 10, 15, 20]

    def test_losses_of_batches_are_logged_every_so_many_steps(self, tmp_path, xp: Backend):
        losses = Losses()
        fit(made(TensorBoard(tmp_path, every=3), losses, xp=xp))
        expected = [(step, np.float32(losses.losses[step])) for step in range(3, 21, 3)]
        assert points(tmp_path)["loss/batch"] == expected

    def test_no_loss_of_a_step_is_read_unasked(self, tmp_path, monkeypatch):
        reads = []
        loss = Trainer.step_loss
        monkeypatch.setattr(
            Trainer, "step_loss", property(lambda t: reads.append(1) or loss.fget(t))
        )
        fit(made(TensorBoard(tmp_path / "a")))
        assert reads == []
        fit(made(TensorBoard(tmp_path / "b", every=6)))
        assert len(points(tmp_path / "b")["loss/batch"]) == 3
        assert not TensorBoard(tmp_path / "c", every=6).every_step  # a GPU may go on replaying

    def test_histograms_of_parameters_are_written_every_so_many_epochs(self, tmp_path):
        trainer = fit(made(TensorBoard(tmp_path, histograms=2)))
        found = points(tmp_path)
        names = [f"params/{name}" for name in trainer.net.params]
        assert [tag for tag in found if tag.startswith("params/")] == names
        assert [step for step, _ in found["params/0.W"]] == [10, 20]
        values, (_, last) = to_numpy(trainer.net.params["0.W"]), found["params/0.W"][-1]
        assert (last.min, last.max, last.num) == (values.min(), values.max(), values.size)
        assert last.sum == pytest.approx(values.sum())
        assert sum(last.bucket) == values.size

    def test_histograms_have_moduli_and_leave_out_what_is_no_number(self, tmp_path):
        class Break(Callback):
            def step_ends(self, trainer):
                trainer.net.params["0.b"][...] = [math.nan, math.inf, 3 + 4j]
                trainer.net.params["1.b"][...] = math.nan

        net = Sequential([Linear(3), Linear(1)], input_shape=(1,), dtype="complex128")
        x = np.arange(4.0)[:, None] * 1j
        callbacks = [Break(), TensorBoard(tmp_path, histograms=1)]
        trainer = Trainer(net, SquaredError(), SGD(), callbacks=callbacks)
        trainer.fit(Dataset(x, x), 1, 4)
        found = points(tmp_path)
        ((_, bias),) = found["params/0.b"]
        assert (bias.num, bias.min, bias.max) == (1, 5, 5)
        assert "params/1.b" not in found

    def test_a_run_killed_and_resumed_shows_the_same_points(self, killed):
        pair = killed(lambda at: TensorBoard(at / "tb", every=2, histograms=1))
        whole, resumed = (points(at / "tb") for at in pair)
        assert whole.keys() == resumed.keys()
        for tag in whole.keys() - CLOCK:
            assert whole[tag] == resumed[tag], tag
        assert [step for step, _ in resumed["seconds"]] == [5, 10, 15, 20]

    def test_one_that_begins_anew_takes_the_place_of_what_is_there(self, tmp_path):
        fit(made(TensorBoard(tmp_path)))
        fit(made(TensorBoard(tmp_path)), 1)
        assert [step for step, _ in points(tmp_path)["epoch"]] == [5]

    def test_a_second_fit_goes_on(self, tmp_path):
        fit(fit(made(TensorBoard(tmp_path)), 1), 2)
        assert points(tmp_path)["epoch"] == [(5, 1), (10, 2), (15, 3)]

    def test_what_was_logged_is_on_the_disk_before_training_goes_on(self, tmp_path):
        seen = []

        class Look(Callback):
            def step_ends(self, trainer):
                seen.append(points(tmp_path)["loss/batch"][-1][0])

        fit(made(TensorBoard(tmp_path, every=1), Look()), 1)
        assert seen == [1, 2, 3, 4, 5]

    def test_the_file_is_closed_however_the_fit_ends(self, tmp_path):
        board = TensorBoard(tmp_path)
        fit(made(board), 1)
        assert board._file is None
        with pytest.raises(ZeroDivisionError):
            fit(made(board, Stop(ZeroDivisionError)))
        assert board._file is None

    def test_it_is_pickled_in_mid_run_without_its_file(self, tmp_path):
        pickling = Pickling(epoch=2)
        fit(made(TensorBoard(tmp_path), pickling))
        before = points(tmp_path)
        fit(pickle.loads(pickling.made))
        assert points(tmp_path)["loss/train"] == before["loss/train"]

    def test_entries_that_are_no_numbers_are_left_out(self, tmp_path):
        class Adds(Callback):
            def epoch_ends(self, trainer, row):
                row |= {"f1": np.float32(0.5), "train_f1": 1, "note": "a", "of": [1.0]}

        fit(made(Adds(), TensorBoard(tmp_path)), 1)
        found = points(tmp_path)
        assert (found["f1"], found["f1/train"]) == ([(5, 0.5)], [(5, 1.0)])
        assert not {"note", "of", "steps"} & found.keys()

    def test_a_folder_that_cannot_be_is_found_before_a_step(self, tmp_path):
        (tmp_path / "file").write_text("")
        trainer = made(TensorBoard(tmp_path / "file"))
        with pytest.raises(OSError, match="file"):
            fit(trainer)
        assert trainer.optimizer.steps == 0

    def test_tensorboard_itself_shows_the_same_points(self, killed):
        accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        _, resumed = killed(lambda at: TensorBoard(at / "tb", every=2))
        read = accumulator.EventAccumulator(str(resumed / "tb"))
        read.Reload()
        found = points(resumed / "tb")
        assert set(read.Tags()["scalars"]) == found.keys()
        for tag, expected in found.items():
            assert [(event.step, event.value) for event in read.Scalars(tag)] == expected


@pytest.mark.gpu
def test_steps_are_replayed_while_losses_are_logged(tmp_path):
    pytest.importorskip("tensorboardX")
    x = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    train = Dataset(x, (x[:, 0] > 0).astype(int), classes=2)
    found = {}
    for graph in ("on", "off"):
        net = Sequential([Linear(4), ReLU(), Linear(2)], input_shape=(3,), seed=2).to("gpu")
        board, losses = TensorBoard(tmp_path / graph, every=20), Losses()
        callbacks = [board] if graph == "on" else [board, losses]
        trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(), callbacks=callbacks, graph=graph)
        trainer.fit(train, 2, 4)
        found[graph] = points(tmp_path / graph)
    assert found["on"]["loss/train"] == found["off"]["loss/train"]
    assert [step for step, _ in found["off"]["loss/batch"]] == [20, 40, 60, 80, 100, 120, 140]
    replayed = found["on"]["loss/batch"]
    assert [step // 20 for step, _ in replayed] == [1, 2, 3, 4, 5, 6, 7]
    assert all(value == np.float32(losses.losses[step]) for step, value in replayed)


# MLflow


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


IMPERFECT = pytest.mark.filterwarnings("ignore")  # of mlflow about itself
MODULES = ["fake", pytest.param("real", marks=IMPERFECT)]


@pytest.fixture(params=MODULES)
def mlflow(request, monkeypatch, store) -> Any:
    """The library, or what records the calls in its place."""
    if request.param == "fake":
        fake = FakeMLflow()
        monkeypatch.setitem(sys.modules, "mlflow", fake)
        return fake
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip("mlflow is not installed")
    real = pytest.importorskip("mlflow")
    monkeypatch.chdir(store)
    real.set_tracking_uri(f"sqlite:///{store / 'db'}")
    return real


def logged(mlflow: Any, run_id: str) -> dict[str, list[tuple[int, float]]]:
    """Return what a run has of each metric: (step, value), as they were logged."""
    history = mlflow.MlflowClient().get_metric_history
    return {
        name: [(metric.step, metric.value) for metric in history(run_id, name)]
        for name in mlflow.get_run(run_id).data.metrics
    }


class TestMLflow:
    def test_rows_are_metrics_of_their_steps(self, mlflow):
        logger = MLflow(run_name="a name")
        trainer = fit(made(logger))
        run, found = mlflow.get_run(logger.run_id), logged(mlflow, logger.run_id)
        assert mlflow.active_run() is None
        assert (run.info.status, run.info.run_name) == ("FINISHED", "a name")
        assert found["validation_loss"] == [
            (row["steps"], row["validation_loss"]) for row in trainer.history
        ]
        assert found["epoch"] == [(5, 1), (10, 2), (15, 3), (20, 4)]
        assert not {"steps", "train_mean_absolute_error", "batch_loss"} & found.keys()

    def test_what_the_run_is_made_of_is_its_parameters(self, mlflow):
        logger = MLflow()
        fit(made(logger))
        assert mlflow.get_run(logger.run_id).data.params == {
            "epochs": "4", "batch_size": "4", "accumulate": "1", "callbacks": "[]",
            "device": "cpu", "precision": "float32", "network": "Sequential", "parameters": "26",
            "optimizer": "Adam", "lr": "0.01",
            "beta1": "0.9", "beta2": "0.999", "eps": "1e-08", "weight_decay": "0.0",
            "loss": "SoftmaxCrossEntropy", "schedule": "cosine(last=0.0)", "seed": "3",
        }  # fmt: skip

    def test_losses_of_batches_are_logged_every_so_many_steps(self, mlflow):
        logger, losses = MLflow(every=3), Losses()
        fit(made(logger, losses))
        expected = [(step, losses.losses[step]) for step in range(3, 21, 3)]
        assert logged(mlflow, logger.run_id)["batch_loss"] == expected

    def test_an_active_run_is_used_and_left_active_with_its_parameters(self, mlflow):
        logger = MLflow()
        with mlflow.start_run() as active:
            mlflow.log_params({"optimizer": "my own words"})
            fit(made(logger))
            assert mlflow.active_run().info.run_id == active.info.run_id == logger.run_id
        assert mlflow.get_run(logger.run_id).data.params["optimizer"] == "my own words"
        assert len(logged(mlflow, logger.run_id)["epoch"]) == EPOCHS

    def test_a_second_fit_goes_on_in_the_run_and_another_trainer_begins_one(self, mlflow):
        logger = MLflow()
        trainer = fit(made(logger), 1)
        first = logger.run_id
        fit(trainer, 2)
        assert logger.run_id == first
        assert [step for step, _ in logged(mlflow, first)["epoch"]] == [5, 10, 15]
        assert mlflow.get_run(first).data.params["epochs"] == "1"
        fit(made(logger), 1)
        assert logger.run_id != first
        assert len(logged(mlflow, first)["epoch"]) == 3

    def test_a_fit_that_was_broken_off_says_how(self, mlflow):
        logger = MLflow()
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored
        with pytest.raises(KeyboardInterrupt):
            fit(made(logger, CtrlC()))
        signal.signal(signal.SIGINT, before)
        assert mlflow.get_run(logger.run_id).info.status == "KILLED"
        with pytest.raises(ZeroDivisionError):
            fit(made(logger, Stop(ZeroDivisionError)))
        assert mlflow.get_run(logger.run_id).info.status == "FAILED"
        assert mlflow.active_run() is None

    @pytest.mark.parametrize("step", [3, 5, 8, 11])
    def test_a_run_that_was_broken_off_goes_on_with_the_same_points(self, mlflow, tmp_path, step):
        whole, broken, resumed = (MLflow(every=2) for _ in range(3))
        fit(made(whole))
        with pytest.raises(ZeroDivisionError):
            fit(made(broken, Checkpoint(tmp_path / "c"), Stop(ZeroDivisionError, step)))
        trainer = made(resumed)
        trainer.restore(tmp_path / "c")
        fit(trainer)
        assert resumed.run_id == broken.run_id
        expected, found = (logged(mlflow, run) for run in (whole.run_id, resumed.run_id))
        assert found.keys() == expected.keys()
        for name in found.keys() - CLOCK:
            assert found[name] == expected[name], name
        assert [step for step, _ in found["seconds"]] == [5, 10, 15, 20]
        assert mlflow.get_run(resumed.run_id).info.status == "FINISHED"

    def test_a_run_of_its_own_gets_what_was_trained_before(self, mlflow):
        trainer = fit(made(), 2)
        logger = MLflow()
        trainer.callbacks.append(logger)
        with mlflow.start_run():
            fit(trainer, 1)
        assert [step for step, _ in logged(mlflow, logger.run_id)["epoch"]] == [5, 10, 15]

    def test_the_network_is_an_artifact(self, mlflow):
        logger = MLflow()
        summary = fit(made(logger), 1).net.summary()
        uri = f"{mlflow.get_run(logger.run_id).info.artifact_uri}/network.txt"
        assert mlflow.artifacts.load_text(uri) == summary

    def test_a_state_of_something_else_is_refused(self, mlflow):
        with pytest.raises(TypeError, match=r"^run_id: expected text, got 3$"):
            MLflow().load_state(made(), {"run_id": 3})

    def test_its_state_and_its_copies_hold_the_number_of_the_run(self, mlflow):
        logger = MLflow()
        assert logger.state() == {"run_id": None}
        fit(made(logger), 1)
        assert logger.state() == {"run_id": logger.run_id}
        assert pickle.loads(pickle.dumps(logger)).run_id == logger.run_id


def test_the_fake_takes_what_mlflow_takes():
    mlflow = pytest.importorskip("mlflow")
    for name in ("active_run", "start_run", "end_run", "log_params", "log_metrics", "log_text"):
        fake, real = (inspect.signature(getattr(m, name)) for m in (FakeMLflow(), mlflow))
        assert list(fake.parameters) == list(real.parameters), name
    ours, theirs = (
        inspect.signature(m.MlflowClient.get_metric_history) for m in (FakeMLflow(), mlflow)
    )
    assert list(ours.parameters) == list(theirs.parameters)


# Mistakes


@pytest.mark.parametrize(
    ("make", "library", "sentence"),
    [
        (lambda: TensorBoard("tb"), "tensorboardX",
         "event files are written with tensorboardX: run `pip install 'xpnet[tensorboard]'`"),
        (MLflow, "mlflow",
         "runs of MLflow are logged with mlflow: run `pip install 'xpnet[mlflow]'`"),
    ],
)  # fmt: skip
def test_without_the_library_there_is_one_sentence(monkeypatch, make, library, sentence):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError) as caught:
        make()
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: CSVLogger(3), "path: expected the path of a file, got 3"),
        (lambda: TensorBoard(3), "folder: expected the path of a file, got 3"),
        (lambda: TensorBoard("tb", 0), "every: expected a whole number >= 1, got 0"),
        (lambda: TensorBoard("tb", histograms=True),
         "histograms: expected a whole number >= 1, got True"),
        (lambda: MLflow(0.5), "every: expected a whole number >= 1, got 0.5"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_said(monkeypatch, make, sentence):
    monkeypatch.setitem(sys.modules, "tensorboardX", FakeMLflow())
    monkeypatch.setitem(sys.modules, "mlflow", FakeMLflow())
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert str(caught.value) == sentence
