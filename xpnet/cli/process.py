"""A command as a process: one sentence for what goes wrong, signals, exit statuses."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from xpnet.devices import DeviceError

__all__ = [
    "EXIT",
    "Interrupted",
    "handling",
    "interrupt",
    "leaving",
    "print_json",
    "run",
    "say",
    "told",
]

EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143}
"""The exit status of a command that a signal ended."""

USERS = (ValueError, TypeError, OSError, ImportError, DeviceError)
"""What is raised where arguments, files or devices are not as they should be."""


class Interrupted(KeyboardInterrupt):
    """A signal came that ends the command.

    Parameters
    ----------
    number : int
        The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = signal.Signals(number)


def interrupt(number: int, frame: object) -> NoReturn:
    """Handle a signal: during a fit it comes between two steps."""
    raise Interrupted(number)


def leaving(prog: str) -> Callable[[int, object], None]:
    """Return what handles a signal where there is nothing to lose: it ends the process at once."""

    def leave(number: int, frame: object) -> None:
        os.write(2, f"\n{prog}: interrupted\n".encode())
        os._exit(EXIT[signal.Signals(number)])

    return leave


@contextlib.contextmanager
def handling(handler: Any) -> Iterator[None]:
    """Let a handler have the signals that end a command."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in EXIT}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _spoken_warnings(prog: str) -> Iterator[None]:
    """Print warnings as the command's own sentences."""

    def speak(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"{prog}: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("once", RuntimeWarning)
        warnings.showwarning = speak
        yield


def run(prog: str, work: Callable[[], None]) -> int:
    """Do a command's work; return its exit status, with a sentence for what went wrong.

    Notes that an error bears are sentences of their own.
    """
    try:
        with _spoken_warnings(prog):
            work()
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on, as in `xpnet data list | head -1`
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Interrupted as signalled:
        if isinstance(signalled.__context__, OSError):  # of the checkpoint written at the signal
            print(f"\n{prog}: error: {signalled.__context__}", file=sys.stderr)
        print("\n" + ": ".join([prog, "interrupted", *_notes(signalled)]), file=sys.stderr)
        return EXIT[signalled.number]
    except KeyboardInterrupt:
        print(f"\n{prog}: interrupted", file=sys.stderr)
        return EXIT[signal.SIGINT]
    except Exception as error:
        if os.environ.get("XPNET_TRACEBACK"):
            raise
        return told(prog, error)
    return 0


def told(prog: str, error: Exception) -> int:
    """Say what was wrong; return the exit status."""
    if isinstance(error, USERS):
        for sentence in (f"error: {error}", *_notes(error)):
            print(f"{prog}: {sentence}", file=sys.stderr)
        return 2
    what = " ".join(f"{type(error).__name__}: {error}".split())
    print(
        f"{prog}: error: xpnet itself has failed ({what}): with XPNET_TRACEBACK=1 in the "
        f"environment the same command shows where, for a report",
        file=sys.stderr,
    )
    return 1


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


def say(json_wanted: bool, *words: Any, end: str = "\n") -> None:
    """Print what is for people: on standard error where standard output is one JSON object."""
    print(*words, end=end, file=sys.stderr if json_wanted else sys.stdout)


def print_json(value: Any) -> None:
    """Print one JSON object; NaN, which JSON has not, is null."""
    print(json.dumps(_finite(value), indent=2))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and value - value != 0 else value
