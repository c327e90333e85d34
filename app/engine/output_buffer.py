"""OutputBuffer: characters that a reader has not taken yet, and the limit on their number.

The scheduler pauses and resumes generations, see `Scheduler.settle`.
"""

from __future__ import annotations

from app.engine.chunk import Chunk

LIMIT = 4096  # unread characters at which a generation pauses
RESUME_BELOW = LIMIT // 2  # unread characters at which a paused generation continues


class OutputBuffer:
    """Bounds how far a generation may run ahead of its reader.

    A slow reader fills only its own buffer. The scheduler pauses a generation whose buffer is
    full, and the reader resumes it.

    Two threads count without a lock, because each counter has one writer: the engine thread
    calls `produce`, the event loop calls `put` and `take`.
    """

    def __init__(self) -> None:
        self._produced = 0  # written by the engine thread
        self._taken = 0  # written by the event loop
        self._chunk = Chunk()  # belongs to the event loop

    def __len__(self) -> int:
        """Number of characters that can be taken now."""
        return len(self._chunk)

    @property
    def unread(self) -> int:
        """Number of characters that were produced and not taken, including those in transit."""
        return self._produced - self._taken

    @property
    def is_full(self) -> bool:
        """Whether so many characters are unread that the generation must pause."""
        return self.unread >= LIMIT

    @property
    def has_room(self) -> bool:
        """Whether so few characters are unread that a paused generation can continue."""
        return self.unread < RESUME_BELOW

    def produce(self, count: int) -> None:
        """Count characters that are on their way to the event loop."""
        self._produced += count

    def put(self, chunk: Chunk) -> None:
        """Store characters that arrived in the event loop."""
        self._chunk = self._chunk + chunk if self._chunk else chunk

    def take(self) -> Chunk:
        """Remove and return all characters that arrived."""
        chunk, self._chunk = self._chunk, Chunk()
        self._taken += len(chunk)
        return chunk
