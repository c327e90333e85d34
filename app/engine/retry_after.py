"""Retry-After: estimate when a full engine has room again.

The header of other responses comes from `middleware/rate_limit.py` (429), `app/errors.py`
(shutdown) and `server/refusal.py` (too many connections).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence


def retry_after(
    position: int, running: Sequence[int], queued: Sequence[int], seconds_per_step: float
) -> float:
    """Return the estimated seconds (at least 1) until `position` more generations have ended.

    Each generation that ends makes room for one request. Of several requests refused in a row, the
    n-th waits until n generations have ended, so that the clients do not all return at the same
    moment.

    Args:
        position: number of generations that must end, at least 1.
        running: steps left of each generation that has a slot.
        queued: steps left of each waiting generation, in the order in which they get a slot.
        seconds_per_step: measured duration of a step.
    """
    ends = list(running)
    heapq.heapify(ends)
    steps = 0
    for ended in range(position):
        if not ends:
            break
        steps = heapq.heappop(ends)
        if ended < len(queued):
            heapq.heappush(ends, steps + queued[ended])
    return max(1.0, math.ceil(steps * seconds_per_step))
