"""UnreadMemory: the limit on the memory of what readers have not taken, over all generations."""

from __future__ import annotations

import asyncio
import time
import weakref
from typing import NamedTuple, Protocol

LIMIT_BYTES = 1 << 26
PATIENCE_SECONDS = 0.5  # a reader that has taken something since is never ended
_INTERVAL_SECONDS = 0.1  # between two checks
_OBJECT_BYTES = 1 << 14  # of a generation that is unread, apart from its arrays


class Reader(Protocol):
    """A generation with characters that somebody should take."""

    def give_up(self) -> None:
        """Drop the unread characters, and end with an error."""


class _Entry(NamedTuple):
    since: float  # time when the first character became unread, in seconds
    size: int  # bytes


class UnreadMemory:
    """Ends the generations that have been unread for longest if all of them take too much memory.

    The limit of each output buffer is not enough: a client that does not read can have many texts,
    on many connections. All methods belong to the event loop. Readers are not kept alive.

    The limit is checked later, when readers that keep up have taken what they got.

    Args:
        limit: maximum number of bytes of all generations together.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._limit = limit
        self._total = 0
        self._entries: dict[weakref.ref[Reader], _Entry] = {}  # the longest unread is first
        self._check: asyncio.TimerHandle | None = None

    def key(self, reader: Reader) -> weakref.ref[Reader]:
        """Return the key under which the memory of a reader is counted."""
        key = weakref.ref(reader, self.remove)
        hash(key)  # later, when the reader is gone, this would be too late
        return key

    def set(self, key: weakref.ref[Reader], size: int) -> None:
        """Count a reader with the bytes of its arrays."""
        before = self._entries.get(key)
        since = before.since if before else time.monotonic()
        entry = _Entry(since, size + _OBJECT_BYTES)
        self._total += entry.size - (before.size if before else 0)
        self._entries[key] = entry
        self._check_soon()

    def remove(self, key: weakref.ref[Reader]) -> None:
        """Count a reader no longer, because it has taken everything."""
        if entry := self._entries.pop(key, None):
            self._total -= entry.size

    def _check_soon(self) -> None:
        if self._total > self._limit and self._check is None:
            loop = asyncio.get_running_loop()
            self._check = loop.call_later(_INTERVAL_SECONDS, self._keep_limit)

    def _keep_limit(self) -> None:
        """End the readers that are over the limit, but not the only one."""
        self._check = None
        latest = time.monotonic() - PATIENCE_SECONDS
        while self._total > self._limit and len(self._entries) > 1:
            key, entry = next(iter(self._entries.items()))
            if entry.since > latest:
                break
            self.remove(key)
            if (reader := key()) is not None:
                reader.give_up()
        self._check_soon()
