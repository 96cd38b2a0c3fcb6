"""Callbacks: what a run prints and writes."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Backend
from xpnet.arrayfiles import read_arrays
from xpnet.data import Dataset
from xpnet.files import versions
from xpnet.layers import Dropout, Linear, Sequential
from xpnet.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from xpnet.optimizers import SGD, Adam
from xpnet.training import (
    Callback,
    Checkpoint,
    History,
    HistoryFile,
    LearnsNothing,
    ProgressBar,
    Table,
    Trainer,
)


def data(n: int = 12) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset(rng.normal(size=(n, 3)).astype(np.float32), np.arange(n) % 2, classes=2)


def run(*callbacks: Callback, validation: bool = False, epochs: int = 3) -> Trainer:
    net = Sequential([Linear(2)], input_shape=(3,))
    trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(), callbacks=callbacks)
    trainer.fit(data(), epochs, 5, validation=data() if validation else None)
    return trainer


class Interrupt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def step_ends(self, trainer):
        if trainer.optimizer.steps == self.step:
            raise KeyboardInterrupt


class TestTable:
    def lines(self, capsys) -> list[list[str]]:
        out, err = capsys.readouterr()
        assert err == ""
        return [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]

    def test_a_row_is_printed_for_each_epoch_below_one_heading(self, capsys):
        trainer = run(Table())
        heading, *rows = self.lines(capsys)
        assert heading == ["epoch", "train loss", "train acc", "lr", "seconds", "samples/s"]
        assert [row[0] for row in rows] == ["1", "2", "3"]
        for row, kept in zip(rows, trainer.history, strict=True):
            assert row[1] == f"{kept['train_loss']:.4f}"
            assert row[2] == f"{kept['train_accuracy']:.4f}"
            assert row[3] == "1.00e-02"

    def test_validation_has_columns_where_there_is_some(self, capsys):
        trainer = run(Table(), validation=True, epochs=1)
        heading, row = self.lines(capsys)
        assert heading[3:5] == ["val loss", "val acc"]
        kept = trainer.history.rows[0]
        assert row[3:5] == [f"{kept['validation_loss']:.4f}", f"{kept['validation_accuracy']:.4f}"]

    def test_what_was_not_measured_has_no_column(self, capsys):
        net = Sequential([Linear(1)], input_shape=(3,))
        x = data().x
        trainer = Trainer(net, SquaredError(), SGD(), callbacks=[Table()])
        trainer.fit(Dataset(x, x[:, :1]), 1, 5)
        (row,) = trainer.history
        heading, cells = self.lines(capsys)
        assert heading == ["epoch", "train loss", "train mae", "lr", "seconds", "samples/s"]
        assert cells[2] == f"{row['train_mean_absolute_error']:.4f}"

    def test_answers_of_yes_and_no_have_columns_for_each_and_for_all(self, capsys):
        net = Sequential([Linear(2)], input_shape=(3,))
        x = data().x
        trainer = Trainer(net, SigmoidCrossEntropy(), SGD(), callbacks=[Table()])
        trainer.fit(Dataset(x, (x[:, :2] > 0) * 1.0), 1, 5)
        (row,) = trainer.history
        heading, cells = self.lines(capsys)
        assert heading[1:4] == ["train loss", "train acc", "train exact"]
        assert cells[2:4] == [f"{row['train_accuracy']:.4f}", f"{row['train_exact_match']:.4f}"]

    def test_other_columns_have_a_heading_of_their_own(self, capsys):
        trainer = run(Table(), epochs=1)
        trainer.fit(data(), 2, 5, validation=data())
        trainer.fit(data(), 1, 5, validation=data())
        lines = self.lines(capsys)
        assert [line[0] for line in lines] == ["epoch", "1", "epoch", "2", "3", "4"]
        assert [len(line) for line in lines] == [6, 6, 8, 8, 8, 8]

    @pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SigmoidCrossEntropy()], ids=repr)
    def test_columns_stand_below_their_headings(self, capsys, loss):
        net = Sequential([Linear(2)], input_shape=(3,))
        rows = Dataset(data().x, np.eye(2)[data().t], classes=2)
        Trainer(net, loss, SGD(), callbacks=[Table()]).fit(rows, 2, 5, validation=rows)
        assert len({len(line) for line in capsys.readouterr().out.splitlines()}) == 1

    def test_it_prints_where_it_is_told(self, capsys):
        stream = io.StringIO()
        run(Table(stream))
        assert len(stream.getvalue().splitlines()) == 4
        assert capsys.readouterr() == ("", "")


class TestHistoryFile:
    def test_it_holds_a_row_an_epoch_and_comes_back_equal(self, tmp_path):
        trainer = run(HistoryFile(tmp_path / "runs" / "history.jsonl"), validation=True)
        path = tmp_path / "runs" / "history.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert rows == trainer.history.rows
        assert History.load(path).rows == trainer.history.rows
        assert [p.name for p in path.parent.iterdir()] == ["history.jsonl"]

    def test_an_interrupted_run_has_left_its_whole_epochs(self, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            run(HistoryFile(tmp_path / "h"), Interrupt(8))
        assert History.load(tmp_path / "h")["epoch"] == [1, 2]

    def test_it_replaces_what_was_there(self, tmp_path):
        (tmp_path / "h").write_text("old\n" * 10)
        run(HistoryFile(tmp_path / "h"), epochs=1)
        assert len(History.load(tmp_path / "h")) == 1


class TestLearnsNothing:
    """A network whose loss is that of guessing, ln 2 for two classes alike often."""

    def fitted(self, lr: float, epochs: int, *callbacks: Callback) -> History:
        t = np.arange(40) % 2
        x = (np.random.default_rng(0).normal(size=(40, 3)) + 3 * t[:, None]).astype(np.float32)
        net = Sequential([Linear(2, init=1e-4)], input_shape=(3,))
        trainer = Trainer(net, SoftmaxCrossEntropy(), Adam(lr=lr), callbacks=callbacks)
        return trainer.fit(Dataset(x, t), epochs, 5)

    @pytest.mark.parametrize("lr", [1e-9, 1e6])
    def test_it_is_said(self, lr):
        with pytest.warns(RuntimeWarning, match=r"^the network has learned nothing: its training"):
            self.fitted(lr, 3, LearnsNothing())

    def test_nothing_is_said_of_a_network_that_learns(self):
        assert self.fitted(0.1, 3, LearnsNothing())["train_loss"][-1] < 0.4

    def test_guessing_costs_what_weighted_samples_cost(self):
        t = (np.arange(200) % 20 == 0).astype(int)
        x = np.random.default_rng(0).normal(size=(200, 1)) + t[:, None]
        net = Sequential([Linear(2)], input_shape=(1,))
        trainer = Trainer(net, SoftmaxCrossEntropy(), Adam(lr=0.1), callbacks=[LearnsNothing()])
        history = trainer.fit(Dataset(x, t).weighted("balanced"), 5, 20)
        assert 0.2 < history["train_loss"][-1] < 0.69  # more than guessing costs without weights

    def test_of_a_single_epoch_little_is_concluded(self):
        assert self.fitted(1e-9, 1, LearnsNothing())["train_loss"][-1] > 0.69
        with pytest.warns(RuntimeWarning, match="has learned nothing"):
            self.fitted(1e6, 1, LearnsNothing())

    def test_the_fit_may_be_ended_early(self):
        with pytest.warns(RuntimeWarning, match=r"not below 0\.6931, that of the best constant"):
            history = self.fitted(1e-9, 10, LearnsNothing(stop_after=3))
        assert len(history) == 3

    def test_a_fit_that_was_interrupted_is_ended_after_as_many_epochs(self, tmp_path):
        path = tmp_path / "c"

        class Stop(Callback):
            def epoch_ends(self, trainer, row):
                if row["epoch"] == 2:
                    raise KeyboardInterrupt

        def made(*callbacks: Callback) -> Trainer:
            net = Sequential([Linear(2)], input_shape=(3,))
            return Trainer(net, SoftmaxCrossEntropy(), SGD(lr=1e-9), callbacks=callbacks)

        with pytest.raises(KeyboardInterrupt):
            made(Checkpoint(path), Stop()).fit(data(), 10, 4)
        resumed = made(LearnsNothing(stop_after=3))
        resumed.restore(path)
        with pytest.warns(RuntimeWarning, match="the network has learned nothing"):
            assert len(resumed.fit(data(), 10, 4)) == 3

    @pytest.mark.parametrize("make", [LearnsNothing, lambda n: Checkpoint("c", every_seconds=n)])
    def test_zero_is_no_way_to_say_never(self, make):
        with pytest.raises(ValueError, match=r"expected .*, got 0$"):
            make(0)


class TestCheckpoint:
    @pytest.fixture
    def saved(self, monkeypatch) -> list[tuple[int, str]]:
        """The steps after which something is saved, and where."""
        seen: list[tuple[int, str]] = []

        def save(self: Trainer, path: Path, **options: Any) -> None:
            seen.append((self.optimizer.steps, str(path)))

        monkeypatch.setattr(Trainer, "save", save)
        return seen

    @pytest.mark.parametrize(
        ("every", "expected"), [(1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (3, [0, 3, 4])]
    )
    def test_it_is_written_first_and_last_and_every_so_many_epochs(self, saved, every, expected):
        run(Checkpoint("c", every), epochs=4)
        assert saved == [(epoch * 3, "c") for epoch in expected]

    def test_within_an_epoch_it_is_written_every_so_many_seconds(self, saved, monkeypatch):
        clock = iter(range(1000))
        monkeypatch.setattr("xpnet.training.callbacks.time.monotonic", lambda: next(clock))
        run(Checkpoint("c", every=9, every_seconds=4), epochs=2)
        steps = [step for step, _ in saved]
        assert steps == [0, 4, 6]

    def test_what_another_run_left_is_replaced_at_the_first_checkpoint_and_no_version(
        self, tmp_path
    ):
        path = tmp_path / "c.safetensors"
        run(Checkpoint(path), epochs=3)
        assert len(versions(path)) == 2
        kept = path.read_bytes()

        class Look(Callback):
            last = True

            def step_ends(self, trainer):
                if trainer.optimizer.steps == 1:
                    assert path.read_bytes() == kept

            def epoch_ends(self, trainer, row):
                if row["epoch"] == 1:
                    assert versions(path) == [path]

        run(Checkpoint(path), Look(), epochs=2)

    def test_the_best_epoch_stays(self, tmp_path):
        made = run(Checkpoint(tmp_path / "c.st", best="validation_loss"), validation=True, epochs=6)
        losses = made.history["validation_loss"]
        about = read_arrays(tmp_path / "c.best.st")[1]
        assert about["checkpoint"]["epoch"] == losses.index(min(losses)) + 1

    def test_an_epoch_that_measured_nothing_is_not_the_best(self):
        def rows(*losses):
            return [{"validation_loss": loss} for loss in losses]

        best = Checkpoint("c", best="validation_loss")._is_best
        assert best(*rows(0.5), rows(math.nan, None, 0.6))
        assert not best(*rows(math.nan), [])

    def test_a_run_killed_between_two_files_finds_the_best_epoch_again(self, saved):
        run(Checkpoint("c", best="validation_loss"), validation=True, epochs=1)
        assert saved == [(0, "c"), (3, "c.best"), (3, "c")]

    def test_what_it_wrote_for_another_trainer_is_no_version(self, tmp_path):
        checkpoint = Checkpoint(tmp_path / "c")
        for _ in range(2):
            run(checkpoint, epochs=1)
        assert versions(tmp_path / "c") == [tmp_path / "c"]

    def test_what_diverged_takes_no_place_of_what_had_not(self, tmp_path):
        class Break(Callback):
            def step_ends(self, trainer):
                if trainer.optimizer.steps == 4:
                    trainer.net.params.flat[...] = math.nan

        path = tmp_path / "c"
        with pytest.raises(ValueError, match="the loss became nan"):
            run(Break(), Checkpoint(path, every_seconds=1e-9), epochs=9)
        newest, before = (read_arrays(version)[0]["params/0.W"] for version in versions(path))
        assert np.isnan(newest).all()  # by the loss of the step it was not to be seen
        assert np.isfinite(before).all()

    def test_the_best_by_what_is_not_measured_is_refused_before_a_step(self, tmp_path):
        with pytest.raises(ValueError, match=r"^best: 'validation_loss' is not measured: give fit"):
            run(Checkpoint(tmp_path / "c", best="validation_loss"), epochs=1)

    def test_a_path_that_cannot_be_written_is_found_before_a_step(self, tmp_path):
        (tmp_path / "file").write_text("")
        made = []

        class Count(Callback):
            def step_ends(self, trainer):
                made.append(trainer)

        with pytest.raises(OSError, match="file"):
            run(Count(), Checkpoint(tmp_path / "file" / "c"))
        assert made == []

    @pytest.mark.parametrize("kind", [lambda n: Checkpoint("c", n), ProgressBar])
    @pytest.mark.parametrize("every", [0, -1, 1.5])
    def test_every_is_a_whole_number(self, kind, every):
        with pytest.raises(ValueError, match=f"every: expected a whole number >= 1, got {every}"):
            kind(every)


class TestHistory:
    ROWS = ({"epoch": 1, "train_loss": 0.1 + 0.2}, {"epoch": 2, "train_loss": None})

    def test_it_is_a_sequence_of_rows_with_columns(self):
        history = History(list(self.ROWS))
        assert len(history) == 2
        assert list(history) == list(self.ROWS)
        assert history["epoch"] == [1, 2]
        assert "2 epochs" in repr(history)
        assert len(History()) == 0
        assert repr(History()) == "History(0 epochs)"

    def test_rows_come_back_from_a_file_bit_for_bit(self, tmp_path):
        History(list(self.ROWS)).save(tmp_path / "h")
        assert History.load(tmp_path / "h").rows == list(self.ROWS)

    def test_a_number_is_a_row_and_a_name_a_column(self):
        history = History(list(self.ROWS))
        assert history[0] is history[-2] is history[np.int64(0)] is self.ROWS[0]
        assert history[-1] is self.ROWS[1]
        assert history["train_loss"] == [0.1 + 0.2, None]

    def test_a_slice_is_a_history_of_some_rows(self):
        history = History(list(self.ROWS))
        assert history[-1:].rows == [self.ROWS[1]]
        assert history[1:]["train_loss"] == [None]

    def test_a_column_that_some_rows_lack_was_not_measured_there(self):
        assert History([{"epoch": 1}, {"epoch": 2, "f1": 0.5}])["f1"] == [None, 0.5]

    @pytest.mark.parametrize(
        ("key", "sentence"),
        [
            ("val_loss", "history: expected .*, got 'val_loss': did you mean 'validation_loss'"),
            ("accuracy", "history: expected .*, got 'accuracy': did you mean 'train_accuracy'"),
            ("Train_Loss", "history: .*did you mean 'train_loss'"),
            ("zebra", "history: expected 'epoch', .* or 'samples_per_second', got 'zebra'$"),
            (3, "history: expected a whole number from -3 to 2, got 3"),
            (-4, "history: expected a whole number from -3 to 2, got -4"),
            (1.5, r"history: expected a whole number from -3 to 2, got 1\.5"),
            (None, "history: expected a whole number from -3 to 2, got None"),
        ],
    )
    def test_what_is_not_there_is_said(self, key, sentence):
        with pytest.raises(ValueError, match=f"^{sentence}"):
            run().history[key]

    def test_before_the_first_epoch_columns_are_empty_and_there_is_no_row(self):
        assert History()["train_loss"] == []
        with pytest.raises(
            ValueError, match=r"^history: no epoch has ended yet, so there is no row"
        ):
            History()[-1]

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
    def test_a_number_that_is_none_is_said_and_null_in_the_file(self, tmp_path, value):
        history = History([{"epoch": 1, "validation_loss": 0.5}])
        history.append({"epoch": 2, "validation_loss": value})
        said = r"^validation_loss of epoch 2 is (nan|-?inf), which JSON cannot hold"
        with pytest.warns(RuntimeWarning, match=said) as warned:
            history.save(tmp_path / "h")
        assert len(warned) == 1
        assert "NaN" not in (tmp_path / "h").read_text()
        assert "Infinity" not in (tmp_path / "h").read_text()
        assert History.load(tmp_path / "h")["validation_loss"] == [0.5, None]
        assert not math.isfinite(history[-1]["validation_loss"])  # in memory it is what it is

    def test_a_run_whose_validation_holds_nan_goes_on_and_says_so(self, tmp_path):
        held = data()
        held.x[3] = np.nan
        net = Sequential([Linear(2)], input_shape=(3,))
        callbacks = [HistoryFile(tmp_path / "h"), Checkpoint(tmp_path / "c"), Table(io.StringIO())]
        made = Trainer(net, SoftmaxCrossEntropy(), SGD(), callbacks=callbacks)
        with pytest.warns(RuntimeWarning) as warned:
            made.fit(data(), 2, 5, validation=held)
        assert {str(w.message).partition(",")[0] for w in warned} == {
            f"validation_loss of epoch {epoch} is nan" for epoch in (1, 2)
        }

        def refused(constant):
            raise AssertionError(f"{constant} is not JSON")

        for line in (tmp_path / "h").read_text().splitlines():
            assert json.loads(line, parse_constant=refused)["validation_loss"] is None
        header = (tmp_path / "c").read_bytes()[8:].partition(b"}}")[0]
        assert b"NaN" not in header

    def test_numbers_of_any_library_are_written_as_numbers(self, tmp_path, xp: Backend):
        row = {
            "epoch": np.int64(1), "lr": np.float32(0.25), "best": np.True_, "f1": xp.array(0.5),
            "recalls": xp.array([0.5, 1.0]), "of": {"cats": [np.float64(1), np.float16("nan")]},
            "note": "a word", "none": None,
        }  # fmt: skip
        with pytest.warns(RuntimeWarning, match=r"^of of epoch 1 is nan"):
            History([row]).save(tmp_path / "h")
        assert History.load(tmp_path / "h").rows == [
            {
                "epoch": 1, "lr": 0.25, "best": True, "f1": 0.5, "recalls": [0.5, 1.0],
                "of": {"cats": [1.0, None]}, "note": "a word", "none": None,
            }
        ]  # fmt: skip

    def test_what_a_callback_adds_to_a_row_is_kept(self, tmp_path):
        class Adds(Callback):
            def epoch_ends(self, trainer, row):
                row["f1"] = np.float32(0.5)

        trainer = run(Adds(), HistoryFile(tmp_path / "h"), Checkpoint(tmp_path / "c"), epochs=2)
        assert trainer.history["f1"] == History.load(tmp_path / "h")["f1"] == [0.5, 0.5]

    @pytest.mark.parametrize(
        "value",
        [object(), 1j, {1, 2}, np.longdouble(1), [b"word"]],
        ids=["object", "complex", "set", "long double", "bytes"],
    )
    def test_what_json_cannot_hold_is_refused_and_the_file_stays(self, tmp_path, value):
        History([{"epoch": 1}]).save(tmp_path / "h")
        with pytest.raises(TypeError, match=r"^f1 of epoch 1: expected numbers, text or lists"):
            History([{"epoch": 1, "f1": value}]).save(tmp_path / "h")
        assert History.load(tmp_path / "h").rows == [{"epoch": 1}]
        assert [p.name for p in tmp_path.iterdir()] == ["h"]

    def test_rates_of_numpy_reach_the_file(self, tmp_path):
        net = Sequential([Linear(2), Dropout(np.float32(0.25))], input_shape=(3,))
        made = Trainer(
            net, SoftmaxCrossEntropy(), SGD(lr=np.float32(0.5)),
            schedule=lambda step, total: np.float32(0.5), callbacks=[HistoryFile(tmp_path / "h")],
        )  # fmt: skip
        made.fit(data(), 1, 5)
        assert History.load(tmp_path / "h")["lr"] == [0.25]

    def test_it_keeps_a_list_of_its_own(self):
        given = list(self.ROWS)
        history = History(given)
        history.append({"epoch": 3})
        assert len(given) == 2
