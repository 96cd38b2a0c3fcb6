"""The progress bar, wherever it may be shown: terminals, notebooks, logs, nowhere."""

from __future__ import annotations

import copy
import errno
import functools
import io
import pickle
import re
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
import tqdm

from xpnet.data import Dataset
from xpnet.layers import Linear, Sequential
from xpnet.losses import SoftmaxCrossEntropy
from xpnet.optimizers import SGD
from xpnet.training import Callback, ProgressBar, Trainer, progress

pytestmark = pytest.mark.usefixtures("eager_bars")

EPOCH_LINE = r"epoch (\d): 3/3 steps, loss \d\.\d{4}, [\d,]+ images/s"


@pytest.fixture
def eager_bars(monkeypatch) -> None:
    """Let bars show every step, however quick."""
    monkeypatch.setattr("tqdm.tqdm", functools.partial(tqdm.tqdm, mininterval=0))


def run(*callbacks: Callback, epochs: int = 3) -> Trainer:
    net = Sequential([Linear(2)], input_shape=(3,))
    trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(), callbacks=callbacks)
    x = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    trainer.fit(Dataset(x, np.arange(12) % 2, classes=2), epochs, 5)
    return trainer


def shown_on(monkeypatch: Any, stream: Any, bar: ProgressBar | None = None) -> Trainer:
    """Return the trainer of a run while stderr is a stream."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        return run(bar or ProgressBar(every=1))


class Failing(Callback):
    def __init__(self, step: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.step, self.error = step, error

    def step_ends(self, trainer):
        if trainer.optimizer.steps == self.step:
            raise self.error


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestTerminal:
    def test_it_shows_epoch_loss_and_speed_and_goes_away(self, monkeypatch):
        terminal = Terminal()
        shown_on(monkeypatch, terminal)
        shown = terminal.getvalue()
        assert re.search(r"epoch 1.*0/3", shown)
        assert re.search(r"epoch 3.*2/3.*loss=\d\.\d{4}", shown)
        assert re.search(r"epoch 3.*2/3.*images_per_s=[\d,]+", shown)
        assert re.split("[\r\n]", shown.rstrip("\r\n"))[-1].strip() == ""

    def test_it_looks_at_the_loss_now_and_then_alone(self, monkeypatch):
        looks = []
        monkeypatch.setattr(sys, "stderr", Terminal())
        loss = Trainer.running_loss
        monkeypatch.setattr(Trainer, "running_loss", lambda self: looks.append(0) or loss(self))
        run(ProgressBar(every=2), epochs=2)
        assert len(looks) == 2 * (1 + 1)  # at the second of three steps, and the trainer's own

    @pytest.mark.parametrize("step", [2, 3])
    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
    def test_whatever_ends_a_fit_takes_the_bar_away(self, monkeypatch, step, error):
        terminal, bar = Terminal(), ProgressBar()
        monkeypatch.setattr(sys, "stderr", terminal)
        with pytest.raises(error):
            run(bar, Failing(step, error))
        assert bar._bar is None
        assert re.split("[\r\n]", terminal.getvalue().rstrip("\r\n"))[-1].strip() == ""

    def test_copies_made_in_an_epoch_have_no_bar_and_train_on(self, monkeypatch):
        made = []

        class Copying(Callback):
            def step_ends(self, trainer):
                made.append(copy.deepcopy(bar))
                made.append(pickle.loads(pickle.dumps(bar)))

        bar = ProgressBar()
        monkeypatch.setattr(sys, "stderr", Terminal())
        run(bar, Copying(), epochs=1)
        assert [twin._bar for twin in made] == [None] * 6
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        run(made[-1])
        assert "epoch 3" in terminal.getvalue()


class Broken(Terminal):
    """A terminal that has gone."""

    def write(self, text):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    def flush(self):
        self.write("")


def closed() -> io.StringIO:
    stream = Terminal()
    stream.close()
    return stream


NOWHERE = {"none": lambda: None, "closed": closed, "gone": Broken}


class TestNowhere:
    @pytest.mark.parametrize("where", NOWHERE)
    @pytest.mark.parametrize("log", [False, True])
    def test_a_fit_goes_on_where_nothing_can_be_written(self, monkeypatch, where, log):
        trainer = shown_on(monkeypatch, NOWHERE[where](), ProgressBar(every=1, log=log))
        assert len(trainer.history) == 3

    def test_a_fit_goes_on_where_the_stream_is_closed_in_its_midst(self, monkeypatch):
        terminal = Terminal()

        class Closing(Callback):
            def step_ends(self, trainer):
                terminal.close()

        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", terminal)
            assert len(run(ProgressBar(every=1), Closing()).history) == 3

    def test_a_process_without_stderr_trains(self):
        source = f"""
            import sys
            sys.stderr = None
            sys.path[:0] = {sys.path!r}
            from tests.training.test_progress import run
            from xpnet.training import ProgressBar
            print(len(run(ProgressBar(every=1), ProgressBar(log=True)).history))
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True
        )
        assert (done.stdout, done.stderr, done.returncode) == ("3\n", "", 0)


class TestLog:
    def test_it_is_silent_unless_lines_are_asked_for(self, capfd):
        run(ProgressBar(every=1))
        assert capfd.readouterr() == ("", "")

    def test_each_epoch_is_one_plain_line(self, monkeypatch):
        log = io.StringIO()
        trainer = shown_on(monkeypatch, log, ProgressBar(log=True))
        lines = log.getvalue().splitlines()
        assert [re.fullmatch(EPOCH_LINE, line)[1] for line in lines] == ["1", "2", "3"]
        losses = [float(line.split("loss ")[1].split(",")[0]) for line in lines]
        assert losses == pytest.approx(trainer.history["train_loss"], abs=1e-4)
        assert "\r" not in log.getvalue()

    def test_a_long_epoch_has_a_line_now_and_then(self, monkeypatch):
        times = iter([0.0, 61.0, 62.0, 63.0, 64.0, 124.0, 125.0])
        monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
        log = io.StringIO()
        monkeypatch.setattr(sys, "stderr", log)
        run(ProgressBar(log=True), epochs=2)
        steps = [line.split(",")[0] for line in log.getvalue().splitlines()]
        assert steps == [
            "epoch 1: 1/3 steps", "epoch 1: 3/3 steps", "epoch 2: 2/3 steps", "epoch 2: 3/3 steps",
        ]  # fmt: skip

    def test_a_terminal_has_the_bar_all_the_same(self, monkeypatch):
        terminal = Terminal()
        shown_on(monkeypatch, terminal, ProgressBar(log=True))
        assert "|" in terminal.getvalue()
        assert "steps, loss" not in terminal.getvalue()

    def test_whether_is_true_or_false(self):
        with pytest.raises(ValueError, match="log: expected True or False, got 60"):
            ProgressBar(log=60)


class TestNotebook:
    """In real kernels: what a cell shows once it has run, and what it is made of."""

    def outputs(self, *, fails: bool = False) -> list[dict[str, Any]]:
        nbclient = pytest.importorskip("nbclient")
        nbformat = pytest.importorskip("nbformat")
        pytest.importorskip("ipykernel")
        source = f"""
            import sys
            sys.path[:0] = {sys.path!r}
            sys.modules["ipywidgets"] = None  # as if it were not installed
            from tests.training.test_progress import Failing, run
            from xpnet.training import ProgressBar
            trainer = run(ProgressBar(every=1), Failing({5 if fails else -1}, MemoryError))
        """
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(textwrap.dedent(source))],
            metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
        )
        nbclient.NotebookClient(notebook, timeout=120, allow_errors=fails).execute()
        outputs: list[dict[str, Any]] = notebook.cells[0].outputs
        return outputs

    def test_one_bar_stands_below_the_cell_as_it_was_last(self):
        (shown,) = self.outputs()
        assert shown["output_type"] == "display_data"
        text = shown["data"]["text/plain"]
        assert re.fullmatch(r"epoch 3: 100%\|█+\| 3/3 \[.*loss=\d\.\d{4}.*\]", text)

    def test_what_failed_stays_where_it_was(self):
        shown, error = self.outputs(fails=True)
        assert "epoch 2:  67%" in shown["data"]["text/plain"]
        assert error["ename"] == "MemoryError"
