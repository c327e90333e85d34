"""Retry-After: estimate when a full engine has room again.

The header of other responses comes from `middleware/rate_limit.py` (429), `app/errors.py`
(shutdown) and `server/refusal.py` (too many connections).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence


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
