"""Team size: how many threads of the native kernel take the next steps.

The threads of a team wait for each other several times per step. While other processes use the
cores, a thread often waits until the scheduler lets the others run again, and a team is many times
slower than one thread. The kernel notices this and goes on with half of its threads
(`model/native/patience.h`). This module decides when all threads try again.
"""

from __future__ import annotations

import math

_MIN_PAUSE = 0.03  # seconds; the event loop of a server may be the only disturbance
_MAX_TRIAL = 0.1  # seconds after which a trial that ends counts as a new disturbance
_MAX_PAUSE = 1.0  # seconds, the most that an idle machine is left unused


class TeamSize:
    """The number of threads to compute with, from the calls before.

    After a number was too large, fewer threads compute for a pause. Then all threads try again. The
    first pause is 0.03 seconds. If the trial fails within 0.1 seconds, or within the time of the
    pause before it, the next pause is twice as long, up to a second. After a longer trial, pauses
    start at 0.03 seconds again.

    Args:
        most: number of threads of the team, at least 1.
    """

    def __init__(self, most: int) -> None:
        self._most = self._threads = most
        self._pause = 0.0
        self._ends = -math.inf  # when the pause ends

    def choose(self, now: float) -> int:
        """Return the number of threads for a call.

        Args:
            now: the time in seconds, of a clock that never goes back.
        """
        if self._threads < self._most and now >= self._ends:
            self._threads = self._most
        return self._threads

    def record(self, now: float, threads: int) -> None:
        """Note how a call ended.

        Args:
            now: the time when it ended.
            threads: number of threads that took its last step. It is less than `choose` returned if
                they waited too long for each other.
        """
        if threads < self._threads:
            lasted = now - self._ends
            again = lasted <= max(self._pause, _MAX_TRIAL)
            self._pause = min(2 * self._pause, _MAX_PAUSE) if again else _MIN_PAUSE
            self._threads, self._ends = threads, now + self._pause
