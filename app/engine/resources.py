"""Resources: what the engines of one server share."""

from __future__ import annotations

from app.engine.prefix_cache import CacheMemory
from app.engine.slots import Slots


class Resources:
    """The slots, the queue and the memory of the prefix caches of one server.

    Args:
        slots: number of generations that run at the same time.
        max_queue: number of generations that may wait for a slot.
        cache_bytes: maximum size of all prefix caches together. 0 disables them.
    """

    def __init__(self, slots: int, max_queue: int, cache_bytes: int) -> None:
        self.slots = Slots(slots, max_queue)
        self.cache_memory = CacheMemory(cache_bytes)
