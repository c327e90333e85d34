"""Slow reader: a generation that is too far ahead of its reader is paused.

`OutputBuffer` decides when. The scheduler then takes the slot of the sequence away, and puts the
sequence back into the queue when its reader has caught up.
"""

from __future__ import annotations

from app.engine.chunk import NO_CHARACTERS, Chunk

LIMIT = 4096  # cost of the unread characters at which a generation pauses
RESUME_BELOW = LIMIT // 2  # cost of the unread characters at which a paused generation continues


def cost_of(alternatives: int | None) -> int:
    """Return the cost of a character, about in proportion to its size. It is 1 without scores."""
    return 1 if alternatives is None else 2 + alternatives


class OutputBuffer:
    """Characters that a reader has not taken yet, and the limit on their number.

    Two threads count without a lock, because each counter has one writer: the engine thread
    calls `produce`, the event loop calls `put` and `take`.

    Args:
        cost: cost of one character.
    """

    def __init__(self, cost: int = 1) -> None:
        self._cost = cost
        self._produced = 0  # written by the engine thread
        self._taken = 0  # written by the event loop
        self._chunk = NO_CHARACTERS  # belongs to the event loop

    def __len__(self) -> int:
        """Number of characters that can be taken now."""
        return len(self._chunk)

    @property
    def unread(self) -> int:
        """Number of characters that were produced and not taken, including those in transit."""
        return self._produced - self._taken

    @property
    def must_pause(self) -> bool:
        """Whether so many characters are unread that the generation must pause."""
        return self.unread * self._cost >= LIMIT

    @property
    def may_resume(self) -> bool:
        """Whether so few characters are unread that a paused generation can continue."""
        return self.unread * self._cost < RESUME_BELOW

    def produce(self, count: int) -> None:
        """Count characters that are on their way to the event loop."""
        self._produced += count

    def put(self, chunk: Chunk) -> None:
        """Store characters that arrived in the event loop."""
        self._chunk = self._chunk + chunk if self._chunk else chunk

    def take(self, most: int | None = None) -> Chunk:
        """Remove and return the characters that arrived, at most `most` of them."""
        chunk, self._chunk = self._chunk, NO_CHARACTERS
        if most is not None and len(chunk) > most:
            chunk, self._chunk = chunk.split(most)
        self._taken += len(chunk)
        return chunk
