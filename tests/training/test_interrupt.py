"""Signals that ask a run to stop, and what it announces."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from training.interrupt import Interrupt, raise_interrupt


@pytest.fixture
def broken_stderr() -> Iterator[None]:
    """A pipe whose reader has ended: Ctrl-C ends `tee` as well."""
    reader, writer = os.pipe()
    os.close(reader)
    stderr = os.dup(2)
    os.dup2(writer, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(writer)


@pytest.mark.usefixtures("heeded_hangup")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_and_announced_at_once(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with Interrupt() as interrupt:
        assert not interrupt.requested
        signal.raise_signal(number)
        assert interrupt.requested
        assert "Stopping, and saving the state" in capfd.readouterr().err
        # So that a second one ends the process.
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(number) == before


@pytest.mark.usefixtures("heeded_hangup")
def test_a_closed_terminal_may_say_so_twice() -> None:
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        assert interrupt.requested
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_is_ignored_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(number)
            assert not interrupt.requested
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_group_of_processes_announces_once(capfd: pytest.CaptureFixture[str]) -> None:
    """torchrun passes a signal on, and sends SIGTERM as well."""
    with Interrupt(once=False, announce=False) as silent:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        assert silent.requested
        assert capfd.readouterr().err == ""
    with Interrupt(once=False) as interrupt:
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        assert interrupt.requested
        assert capfd.readouterr().err.count("Stopping") == 1


@pytest.mark.usefixtures("broken_stderr")
def test_a_signal_is_noted_if_nobody_reads_the_announcement() -> None:
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.requested


@pytest.mark.usefixtures("broken_stderr")
def test_a_signal_before_a_run_raises_if_nobody_reads_the_message() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        with pytest.raises(KeyboardInterrupt):
            raise_interrupt()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
