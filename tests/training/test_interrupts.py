"""Signals wait until what is in progress is whole; a second one does not."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from xpnet.training.interrupts import held_back


class Handled(Exception):  # noqa: N818 - no error
    """What the handler of a test raises."""


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def number(request) -> Iterator[int]:
    """A signal that has a handler of Python's."""

    def handler(*_: object) -> None:
        raise Handled

    before = signal.signal(request.param, handler)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_waits_until_it_is_delivered(number):
    with held_back() as interrupts:
        signal.raise_signal(number)
        assert interrupts.pending == number
        with pytest.raises(Handled):
            interrupts.deliver()
        interrupts.deliver()  # once


def test_what_was_not_delivered_is_at_the_end(number):
    with pytest.raises(Handled), held_back():
        signal.raise_signal(number)


def test_a_second_signal_does_not_wait(number):
    with held_back() as interrupts:
        signal.raise_signal(number)
        with pytest.raises(Handled):
            signal.raise_signal(number)
        with pytest.raises(Handled):
            interrupts.deliver()


def test_the_handler_is_given_back(number):
    before = signal.getsignal(number)
    with held_back():
        assert signal.getsignal(number) is not before
    assert signal.getsignal(number) is before


def test_a_signal_that_python_does_not_handle_is_left_alone():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with held_back():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_one_within_another_leaves_it_to_that(number):
    with held_back() as outer:
        with held_back() as inner:
            signal.raise_signal(number)
            assert (outer.pending, inner.pending) == (number, None)
        with pytest.raises(Handled):
            outer.deliver()


def test_a_thread_that_gets_no_signals_holds_none_back():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with held_back():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
