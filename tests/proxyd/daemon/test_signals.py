"""Signals as bytes of a pipe."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from proxyd.daemon.signals import HANDLED, SignalPipe
from tests.kit.readiness import is_readable


@pytest.fixture
def pipe() -> Iterator[SignalPipe]:
    made = SignalPipe(HANDLED)
    yield made
    made.close()


def test_each_signal_comes_out_once_in_its_order(pipe: SignalPipe) -> None:
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP, signal.SIGRTMIN + 1):
        os.kill(os.getpid(), number)
    assert pipe.read() == [signal.SIGHUP, signal.SIGUSR1, signal.SIGRTMIN + 1]


def test_nothing_waits_when_nothing_came(pipe: SignalPipe) -> None:
    assert pipe.read() == []


def test_a_signal_that_was_blocked_before_comes_too_though_it_was_sent_before() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    signal.raise_signal(signal.SIGHUP)  # to this thread: another one would end of it
    pipe = SignalPipe()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        assert pipe.read() == [signal.SIGHUP, signal.SIGTERM]
    finally:
        pipe.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_closed_pipe_gives_the_signals_back() -> None:
    before = {number: signal.getsignal(number) for number in HANDLED}
    pipe = SignalPipe()
    assert {signal.getsignal(number) for number in HANDLED}.isdisjoint({signal.SIG_DFL, *before.values()})
    pipe.close()
    assert {number: signal.getsignal(number) for number in HANDLED} == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_wake_makes_it_readable_and_is_no_signal(pipe: SignalPipe) -> None:
    pipe.wake()
    assert is_readable(pipe)
    assert pipe.read() == []
    assert not is_readable(pipe)
