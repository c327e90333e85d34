"""Interrupt: Ctrl-C and SIGTERM as a request to stop at the next good moment."""

from __future__ import annotations

import signal
from types import FrameType


class Interrupt:
    """Notes the first signal in `requested`; a second one interrupts at once, as usual."""

    _signals = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> Interrupt:
        self._before = [signal.signal(number, self._note) for number in self._signals]
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in zip(self._signals, self._before, strict=True):
            signal.signal(number, handler)
