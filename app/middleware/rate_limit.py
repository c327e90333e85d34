"""RateLimit: limits the rate at which each client may send requests."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

_MAX_CLIENTS = 10_000  # beyond this, the least recently seen client is forgotten


class RateLimit:
    """A token bucket per client, with room for the requests of one minute.

    Args:
        per_minute: requests per minute. 0 means no limit.
        clock: function that returns seconds since a fixed moment.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_second = max(per_minute, 1.0), per_minute / 60
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # tokens, time

    def take(self, client: Hashable) -> float:
        """Take a token and return 0, or return the seconds until the client has a token."""
        if not self._per_second:
            return 0.0
        now = self._clock()
        tokens, when = self._buckets.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - when) * self._per_second)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._per_second
        self._buckets[client] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return wait
