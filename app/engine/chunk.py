"""Chunk: consecutive characters of a generation, on their way from the decoder to the socket."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from model.scores import ScoreRows


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """The ids of consecutive characters, and a score for each if the job asks for scores.

    The scores are one array because Python's garbage collector searches every list and tuple: with
    objects for 100,000 characters, a search stops all other requests for a third of a second.
    """

    ids: list[int] = field(default_factory=list)
    scores: ScoreRows | None = None  # (number of ids, D), see `model.scores`

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: Chunk) -> Chunk:
        return Chunk.joined([self, other])

    @classmethod
    def joined(cls, chunks: Iterable[Chunk]) -> Chunk:
        """Return consecutive chunks as one."""
        ids: list[int] = []
        scores: list[ScoreRows] = []
        for chunk in chunks:
            ids += chunk.ids
            if chunk.scores is not None:
                scores.append(chunk.scores)
        return cls(ids, np.concatenate(scores) if scores else None)

    def split(self, count: int) -> tuple[Chunk, Chunk]:
        """Return the first `count` characters and the rest."""
        if self.scores is None:
            return Chunk(self.ids[:count]), Chunk(self.ids[count:])
        first = Chunk(self.ids[:count], self.scores[:count])
        return first, Chunk(self.ids[count:], self.scores[count:])
