"""UnreadMemory: the limit on the memory of what readers have not taken, over all generations."""

from __future__ import annotations

import weakref
from typing import Protocol

LIMIT_BYTES = 1 << 26
_OBJECT_BYTES = 1 << 14  # of a generation that is unread, apart from its arrays


class Reader(Protocol):
    """A generation with characters that somebody should take."""

    def give_up(self) -> None:
        """Drop the unread characters, and end with an error."""


class UnreadMemory:
    """Ends the generations that have been unread for longest if all of them take too much memory.

    The limit of each output buffer is not enough: a client that does not read can have many texts,
    on many connections. All methods belong to the event loop. Readers are not kept alive.

    Args:
        limit: maximum number of bytes of all generations together.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._limit = limit
        self._total = 0
        self._sizes: dict[weakref.ref[Reader], int] = {}  # the one unread for longest is first

    def key(self, reader: Reader) -> weakref.ref[Reader]:
        """Return the key under which the memory of a reader is counted."""
        key = weakref.ref(reader, self.remove)
        hash(key)  # later, when the reader is gone, this would be too late
        return key

    def set(self, key: weakref.ref[Reader], size: int) -> None:
        """Count a reader with the bytes of its arrays, and then keep the limit.

        A single reader is never ended.
        """
        size += _OBJECT_BYTES
        self._total += size - self._sizes.get(key, 0)
        self._sizes[key] = size
        while self._total > self._limit and len(self._sizes) > 1:
            longest = next(iter(self._sizes))
            self.remove(longest)
            if (reader := longest()) is not None:
                reader.give_up()

    def remove(self, key: weakref.ref[Reader]) -> None:
        """Count a reader no longer, because it has taken everything."""
        if size := self._sizes.pop(key, 0):
            self._total -= size
