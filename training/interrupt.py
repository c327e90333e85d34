"""Interrupt: turns Ctrl-C and SIGTERM into a request to stop after the current update."""

from __future__ import annotations

import signal
from types import FrameType


class Interrupt:
    """Context that notes SIGINT and SIGTERM in `requested` instead of raising.

    Args:
        once: whether a second signal has its usual effect, which ends the process at once. False
            under `torchrun`, which sends several signals of its own.
    """

    _signals = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, once: bool = True) -> None:
        self.requested = False
        self._once = once

    def __enter__(self) -> Interrupt:
        self._before = [signal.signal(number, self._note) for number in self._signals]
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if self._once:
            self._restore()

    def _restore(self) -> None:
        for number, handler in zip(self._signals, self._before, strict=True):
            signal.signal(number, handler)
