"""Chunk: consecutive characters of a generation, on their way from the decoder to the socket."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from model.scores import Score


@dataclass(frozen=True, slots=True)
class Chunk:
    """The ids of consecutive characters, and a score for each if the job asks for scores."""

    ids: list[int] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)  # empty, or one for each id

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: Chunk) -> Chunk:
        return Chunk(self.ids + other.ids, self.scores + other.scores)

    @classmethod
    def joined(cls, chunks: Iterable[Chunk]) -> Chunk:
        """Return consecutive chunks as one."""
        whole = cls()
        for chunk in chunks:
            whole.ids.extend(chunk.ids)
            whole.scores.extend(chunk.scores)
        return whole

    def split(self, count: int) -> tuple[Chunk, Chunk]:
        """Return the first `count` characters and the rest."""
        first = Chunk(self.ids[:count], self.scores[:count])
        return first, Chunk(self.ids[count:], self.scores[count:])
