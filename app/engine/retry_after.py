"""Retry-After: when a client that was refused may try again.

A full queue estimates it, see `retry_after`. The other refusals have a constant here, except the
rate limit (429), which knows when the next request is due (`middleware/rate_limit.py`).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

DRAIN_RETRY_SECONDS = 5  # after this time another replica, or the next version, should respond
CONNECTION_RETRY_SECONDS = 1  # after too many connections
OVERLOAD_RETRY_SECONDS = 2  # in which large requests usually end


def retry_after(position: int, running: Sequence[float], queued: Sequence[float]) -> float:
    """Return the estimated seconds (at least 1) until `position` more generations have ended.

    Each generation that ends makes room for one request. Of several requests refused in a row, the
    n-th waits until n generations have ended, so that the clients do not all return at the same
    moment.

    Args:
        position: number of generations that must end, at least 1.
        running: seconds that each generation with a slot still needs.
        queued: seconds that each waiting generation needs, in the order in which they get a slot.
    """
    ends = list(running)
    heapq.heapify(ends)
    seconds = 0.0
    for ended in range(position):
        if not ends:
            break
        seconds = heapq.heappop(ends)
        if ended < len(queued):
            heapq.heappush(ends, seconds + queued[ended])
    return max(1.0, math.ceil(seconds))
