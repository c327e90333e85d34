"""Resume: continue a stream after the characters that the client already has.

Nothing is stored. The event id holds the seed and the number of characters sent, so any replica
with the same model generates the same text again and sends the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.errors import InvalidFieldError
from model.choice.sampling_params import MAX_SEED

_EVENT_ID = re.compile(r"(0|[1-9a-f][0-9a-f]{0,15})-([1-9][0-9]{0,17})")


@dataclass(frozen=True)
class Position:
    """A position in a stream, as the id of an event encodes it."""

    seed: int
    characters: int  # number of characters sent so far

    @classmethod
    def parse(cls, last_event_id: str | None, seed: int | None = None) -> Position | None:
        """Return the position of a Last-Event-ID header; None if there is no header.

        Raises:
            InvalidFieldError: if no event can have this id, or the request names another seed.
        """
        if not last_event_id:
            return None
        match = _EVENT_ID.fullmatch(last_event_id)
        if match is None or int(match[1], 16) > MAX_SEED:
            message = "must be the id of an event: the seed in hex, '-', a number of characters"
            raise InvalidFieldError("Last-Event-ID", last_event_id, message)
        position = cls(int(match[1], 16), int(match[2]))
        if seed not in (None, position.seed):
            message = f"contradicts the Last-Event-ID, whose seed is {position.seed}"
            raise InvalidFieldError("seed", seed, message)
        return position
