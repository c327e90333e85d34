"""Resume: continue a stream after the characters that the client already has.

Nothing is stored. The event id holds the seed and the number of characters sent, so any replica
with the same model generates the same text again and sends the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.engine.chunk import Chunk
from app.engine.generation import Generation
from app.errors import InvalidFieldError
from model.choice.sampling_params import MAX_SEED

_EVENT_ID = re.compile(r"(0|[1-9a-f][0-9a-f]{0,15})-([1-9][0-9]{0,17})")


@dataclass(frozen=True)
class Position:
    """A position in a stream, as the id of an event encodes it."""

    seed: int
    characters: int  # number of characters sent so far

    @classmethod
    def parse(cls, last_event_id: str | None) -> Position | None:
        """Return the position of a Last-Event-ID header; None if there is no header.

        Raises:
            InvalidFieldError: if no event can have this id.
        """
        if not last_event_id:
            return None
        match = _EVENT_ID.fullmatch(last_event_id)
        if match is None or int(match[1], 16) > MAX_SEED:
            message = "must be the id of an event: the seed in hex, '-', a number of characters"
            raise InvalidFieldError("Last-Event-ID", last_event_id, message)
        return cls(int(match[1], 16), int(match[2]))

    def check_seed(self, seed: int | None) -> None:
        """Raise InvalidFieldError if a request names another seed."""
        if seed not in (None, self.seed):
            message = f"contradicts the Last-Event-ID, whose seed is {self.seed}"
            raise InvalidFieldError("seed", seed, message)


class ResumedGeneration:
    """A generation without the characters that the client already has.

    It has the same `ended`, `wait` and `take` as `Generation`. `wait` can be cancelled at any time
    without losing a character.

    Args:
        generation: a generation that has not been read.
        sent: number of characters that the client has.
    """

    def __init__(self, generation: Generation, sent: int = 0) -> None:
        self.generation = generation
        self.sent = sent
        self._skip = sent  # characters that are still to be left out
        self._chunk = Chunk()  # taken from the generation, not from this object

    @property
    def ended(self) -> bool:
        """Whether there are no more characters."""
        return not self._chunk and self.generation.ended

    async def wait(self) -> None:
        """Wait until `take` has something to return.

        Raises:
            EngineError: if the text could not be finished.
        """
        while not self._chunk:
            await self.generation.wait()
            if not self._skip:
                return
            chunk = self.generation.take()
            if not chunk:  # the text is shorter than what the client claims to have
                self._skip = 0
                return
            skipped, self._chunk = chunk.split(self._skip)
            self._skip -= len(skipped)

    def take(self, most: int | None = None) -> Chunk:
        """Return the next characters, at most `most` of them, or an empty chunk at the end.

        Raises:
            EngineError: if the text could not be finished.
        """
        if not self._chunk:
            return self.generation.take(most)
        count = len(self._chunk) if most is None else most
        chunk, self._chunk = self._chunk.split(count)
        return chunk
