"""The threads of this process, as the system lists them."""

from __future__ import annotations

import time
from pathlib import Path

_TASKS = Path("/proc/self/task")


def count_threads() -> int:
    """The number of threads, or 0 if the system does not list them."""
    return len(list(_TASKS.iterdir())) if _TASKS.exists() else 0


def await_threads(count: int) -> int:
    """The number of threads when it has become `count`, or else after two seconds.

    A thread that has been joined may still be listed for a moment.
    """
    ended = time.monotonic() + 2
    while count_threads() != count and time.monotonic() < ended:
        time.sleep(0.001)
    return count_threads()
