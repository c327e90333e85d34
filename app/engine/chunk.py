"""Chunk: consecutive characters of a generation, on their way from the decoder to the socket."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from model.choice.read_cells import CellValues
from model.choice.scores import ScoreRows


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """The ids of consecutive characters, with scores and values of cells if the job asks for them.

    All of them are arrays because Python's garbage collector searches every list and tuple: with
    objects for 100,000 characters, a search stops all other requests for a third of a second. They
    also take less memory: an id takes four bytes.
    """

    ids: array[int] = field(default_factory=lambda: array("i"))
    scores: ScoreRows | None = None  # (number of ids, D), see `model.choice.scores`
    cells: CellValues | None = None  # (number of ids, number of cells)

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: Chunk) -> Chunk:
        return Chunk.joined([self, other])

    @classmethod
    def joined(cls, chunks: Iterable[Chunk]) -> Chunk:
        """Return consecutive chunks as one."""
        ids = array("i")
        scores: list[ScoreRows] = []
        cells: list[CellValues] = []
        for chunk in chunks:
            ids += chunk.ids
            if chunk.scores is not None:
                scores.append(chunk.scores)
            if chunk.cells is not None:
                cells.append(chunk.cells)
        return cls(
            ids,
            np.concatenate(scores) if scores else None,
            np.concatenate(cells) if cells else None,
        )

    def split(self, count: int) -> tuple[Chunk, Chunk]:
        """Return the first `count` characters and the rest."""
        return self._part(slice(count)), self._part(slice(count, None))

    def _part(self, part: slice) -> Chunk:
        return Chunk(
            self.ids[part],
            None if self.scores is None else self.scores[part],
            None if self.cells is None else self.cells[part],
        )


NO_CHARACTERS = Chunk()
