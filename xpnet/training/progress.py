"""A bar that shows how far a fit is, wherever there is somebody to see it."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

from xpnet.checks import flag, whole_number
from xpnet.training.callbacks import Callback, Run

__all__ = ["ProgressBar"]

LINE_EVERY = 60.0
"""Seconds between two lines of a log within an epoch."""


class ProgressBar(Callback):
    """A bar for each epoch with loss and throughput, on a terminal or below a notebook's cell.

    A terminal's goes away when its epoch ends, a notebook's stays as it was last.  Where stderr is
    a file, a pipe or nothing at all, it is silent.  No fit ends because a bar cannot be shown.

    Parameters
    ----------
    every : int
        Steps between two looks at the loss, each of which waits for an accelerator.
    log : bool
        Whether stderr gets a plain line at the end of each epoch, and once a minute within it,
        where it is neither a terminal nor a notebook's.
    """

    rank_zero_only = True

    def __init__(self, every: int = 50, *, log: bool = False) -> None:
        self.every = whole_number("every", every, 1)
        self.log = flag("log", log)
        self.every_step = False
        self._bar: _Bar | _Lines | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_bar": None}  # a terminal's, which stays where it is

    def fit_begins(self, trainer: Run, epochs: int, steps: int) -> None:
        """Look where there is somebody to see it."""
        self.fit_ends(trainer)
        stream = _Stream(sys.stderr)
        if _is_notebook(sys.stderr):
            self._bar = _Bar(_Cell(), steps, self.every, leave=True)
        elif stream.isatty():
            self._bar = _Bar(stream, steps, self.every, leave=False)
        elif self.log:
            self._bar = _Lines(stream, steps)

    def step_ends(self, trainer: Run) -> None:
        """Move the bar on."""
        if self._bar is not None:
            self._bar.move(trainer)

    def epoch_ends(self, trainer: Run, row: dict[str, Any]) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def fit_ends(self, trainer: Run) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


_BROKEN = (AttributeError, OSError, ValueError)
"""What a stream raises that is None, cannot be written, or is closed."""


class _Stream:
    """A text stream, or None, to which writing never fails."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(*_BROKEN):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(*_BROKEN):
            self._stream.flush()

    def isatty(self) -> bool:
        with contextlib.suppress(*_BROKEN):
            return bool(self._stream.isatty())
        return False

    def __getattr__(self, name: str) -> Any:  # fileno and encoding, where there are
        return getattr(self._stream, name)


def _is_notebook(stream: Any) -> bool:
    """Return whether a stream is what a Jupyter kernel puts in the place of stderr."""
    return any(kind.__module__.partition(".")[0] == "ipykernel" for kind in type(stream).__mro__)


class _Cell:
    """The output of a notebook's cell, as a stream of which only the last line is seen.

    It is one display that is replaced: a stream would keep every line that a bar ever was.
    """

    encoding = "utf-8"

    def __init__(self) -> None:
        self._display: Any = None

    def write(self, text: str) -> int:
        line = text.rpartition("\r")[2].strip()
        if line:
            bundle = {"text/plain": line}
            if self._display is None:
                from IPython.display import display

                self._display = display(bundle, raw=True, display_id=True)
            else:
                self._display.update(bundle, raw=True)
        return len(text)

    def flush(self) -> None:
        """Do nothing: what is displayed is sent at once."""


class _Bar:
    """A bar of tqdm's an epoch."""

    def __init__(self, stream: _Stream | _Cell, steps: int, every: int, *, leave: bool) -> None:
        self._stream, self._steps, self._every, self._leave = stream, steps, every, leave
        self._tqdm: Any = None

    def move(self, trainer: Run) -> None:
        """Show the steps that are made, and now and then the loss."""
        if self._tqdm is None:
            from tqdm import tqdm

            self._tqdm = tqdm(
                total=self._steps,
                desc=f"epoch {trainer.epoch + 1}",
                unit="step",
                leave=self._leave,
                file=self._stream,
            )
        bar, before = self._tqdm, self._tqdm.n
        bar.update(trainer.epoch_steps - before)
        if bar.n // self._every > before // self._every:
            bar.set_postfix(
                loss=f"{trainer.running_loss():.4f}",
                images_per_s=f"{trainer.running_throughput():,.0f}",
                refresh=False,
            )

    def close(self) -> None:
        """Take the epoch's bar away, or leave it as it is."""
        if self._tqdm is not None:
            self._tqdm.close()
            self._tqdm = None


class _Lines:
    """A line of a log at the end of each epoch, and now and then within it."""

    def __init__(self, stream: _Stream, steps: int) -> None:
        self._stream, self._steps, self._last = stream, steps, time.monotonic()

    def move(self, trainer: Run) -> None:
        """Write a line if it is time."""
        done, now = trainer.epoch_steps, time.monotonic()
        if done < self._steps and now < self._last + LINE_EVERY:
            return
        self._last = now
        self._stream.write(
            f"epoch {trainer.epoch + 1}: {done}/{self._steps} steps, "
            f"loss {trainer.running_loss():.4f}, {trainer.running_throughput():,.0f} images/s\n"
        )
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: lines stay."""
