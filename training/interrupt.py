"""Interrupt: turns Ctrl-C, SIGTERM and SIGHUP into a request to stop soon."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType

INTERRUPTED = 130  # exit status after Ctrl-C: 128 + SIGINT

_ENDING = (signal.SIGINT, signal.SIGTERM)


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
