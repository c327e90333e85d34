"""Interrupt: what Ctrl-C, SIGTERM and SIGHUP do to a command, before and during a run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType

INTERRUPTED = 130  # exit status after Ctrl-C: 128 + SIGINT
_AGAIN_SECONDS = 2.0  # long enough for a command to clean up
_ENDING = (signal.SIGINT, signal.SIGTERM)


def end_process(*_: object) -> None:
    """Say that the command is interrupted, and end the process at once, as a signal handler."""
    _say_interrupted()
    os._exit(INTERRUPTED)


def raise_interrupt(*_: object) -> None:
    """Say that the command is interrupted, and raise KeyboardInterrupt until the process ends.

    Once may not be enough: an exception can get lost in an import, or while Python disposes of an
    object.
    """
    _say_interrupted()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS, _AGAIN_SECONDS)
    raise KeyboardInterrupt


def ignore_interrupts() -> None:
    """Let no further Ctrl-C disturb the end of the process."""
    for name in ("SIGALRM", "SIGINT"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _say_interrupted() -> None:
    if os.environ.get("RANK", "0") == "0":  # only one of the processes that torchrun started
        with suppress(OSError):  # Ctrl-C also ends the reader of a pipe
            os.write(2, b"charstream: interrupted\n")  # works inside a signal handler too


class Interrupt:
    """Context manager that sets `requested` at a signal instead of ending the process.

    A signal that the process ignores, as `nohup` asks for, stays ignored. SIGHUP never ends the
    process here: the shell and the system both send it when a terminal is closed.

    Args:
        once: whether a second SIGINT or SIGTERM has its usual effect, which ends the process at
            once. Pass False under `torchrun`, which itself sends several signals.
        announce: whether to print on stderr, at the first signal, that the run is stopping.
    """

    def __init__(self, once: bool = True, announce: bool = True) -> None:
        self.requested = False
        self._once, self._announce = once, announce

    def __enter__(self) -> Interrupt:
        numbers = [number for number in _signals() if signal.getsignal(number) != signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore(self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        first, self.requested = not self.requested, True
        if self._announce and first:
            again = " (at once if you press Ctrl-C again)" if self._once else ""
            line = f"\nStopping, and saving the state{again} ...\n"
            with suppress(OSError):  # Ctrl-C also ends the reader of a pipe
                os.write(2, line.encode())  # print() may fail inside a signal handler
        if self._once:
            self._restore(_ENDING)

    def _restore(self, numbers: Iterable[signal.Signals]) -> None:
        for number in self._before.keys() & numbers:
            signal.signal(number, self._before[number])


def _signals() -> list[signal.Signals]:
    hangup = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []  # the terminal is gone
    return [*_ENDING, *hangup]
