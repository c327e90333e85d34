"""Retry-After: estimate when a full engine has room again.

Other responses have other sources: `middleware/rate_limit.py` for 429, and constants in
`app/errors.py` for a shutdown and in `server/refusal.py` for too many connections.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence


def retry_after(
    position: int, running: Sequence[int], queued: Sequence[int], seconds_per_step: float
) -> float:
    """Return the seconds until `position` generations have ended, at least 1.

    Each end makes room for one more request. The n-th request refused in a row waits for the
    n-th end, so that refused clients do not all return at the same moment.

    Args:
        position: number of ends to wait for, at least 1.
        running: steps left of each generation in a slot.
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
