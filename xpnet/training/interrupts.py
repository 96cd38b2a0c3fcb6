"""Signals that wait until a step is whole: Ctrl-C, and what a scheduler ends a job with."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["Interrupts", "held_back"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Signals that came, and the handlers that they are kept from.

    Attributes
    ----------
    pending : int or None
        The signal that came.
    """

    def __init__(self) -> None:
        self.pending: int | None = None
        self._handlers: dict[int, Any] = {}

    def hold(self) -> None:
        """Keep signals from the handlers of Python that they have; others stay as they are."""
        for number in SIGNALS:
            handler = signal.getsignal(number)
            nested = isinstance(getattr(handler, "__self__", None), Interrupts)
            if callable(handler) and not nested:
                self._handlers[number] = handler
                signal.signal(number, self._note)

    def release(self) -> None:
        """Give the handlers back, and what is still pending to its own."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self.deliver()

    def deliver(self, number: int | None = None) -> None:
        """Call the handler of a signal, by default the one that is pending; it may raise."""
        number, self.pending = number or self.pending, None
        if number is not None:
            self._handlers[number](number, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.pending is not None:  # asked a second time: at once
            self._handlers[number](number, frame)
        self.pending = number


@contextlib.contextmanager
def held_back() -> Iterator[Interrupts]:
    """Hold SIGINT and SIGTERM back within this context, where they reach this thread at all.

    A second one is not held back.

    Yields
    ------
    Interrupts
        Whose ``deliver`` is to be called wherever an interruption loses nothing.
    """
    interrupts = Interrupts()
    try:
        if threading.current_thread() is threading.main_thread():
            interrupts.hold()
        yield interrupts
    finally:
        interrupts.release()
