"""WorkLimit: bounds the work of compiling a pattern, which a client chooses."""

from __future__ import annotations

from collections.abc import Callable

from model.errors import PatternError

_MAX_WORK = 30_000  # operations, of about a microsecond each
_SLICE = 1_000  # operations between two pauses


def _no_pause() -> None:
    pass


class WorkLimit:
    """Counts operations. After each slice of about a millisecond, it calls `pause`.

    Operations are counted instead of time, so that a busy machine accepts the same patterns.

    Args:
        pause: function that lets other threads run.
    """

    def __init__(self, pause: Callable[[], None] = _no_pause) -> None:
        self._pause, self._done, self._since_pause = pause, 0, 0

    def add(self, operations: int) -> None:
        """Count operations. Raise PatternError if there are too many."""
        self._done += operations
        if self._done > _MAX_WORK:
            raise PatternError(
                f"is too large: it takes more than the {_MAX_WORK} operations that are allowed "
                "to compile it; simplify it"
            )
        self.spend(operations)

    def spend(self, operations: int) -> None:
        """Count operations until the next pause only. Something else limits their number."""
        self._since_pause += operations
        if self._since_pause > _SLICE:
            self._since_pause = 0
            self._pause()
