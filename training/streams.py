"""Streams: a text cut into parallel stretches that are read side by side, in step.

Shape letters: T steps, B streams.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.errors import CorpusError
from model.vocabulary import CorpusIds


@dataclass(frozen=True)
class Streams:
    """B contiguous stretches of a text, handed out T characters at a time.

    Batch i+1 goes on where batch i ended, in every stream, so that a network's state can be
    carried across. The target of a character is the next one of the text, always: nothing
    wraps round.

    Raises:
        CorpusError: if the text has too few characters for one batch.
    """

    ids: CorpusIds
    count: int  # B
    steps: int  # T

    def __post_init__(self) -> None:
        if self.batches < 1:
            raise CorpusError(
                f"the training text has {len(self.ids)} characters, but {self.count} streams of "
                f"{self.steps} steps need {self.count * self.steps + 1}: "
                "lower --streams or --steps"
            )

    @property
    def batches(self) -> int:
        """Batches in one pass over the text."""
        return (len(self.ids) - 1) // (self.count * self.steps)

    @property
    def spare(self) -> int:
        """Characters of the text that one pass leaves out."""
        return len(self.ids) - 1 - self.batches * self.count * self.steps

    def batch(self, index: int, offset: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of one batch, int64 (T, B) each.

        Args:
            index: 0..batches-1.
            offset: where in the text the pass starts, 0..spare.
        """
        length = self.batches * self.steps
        starts_B = offset + np.arange(self.count) * length + index * self.steps
        positions_TB = np.arange(self.steps + 1)[:, None] + starts_B[None, :]
        chunk = torch.from_numpy(self.ids[positions_TB].astype(np.int64))
        return chunk[:-1], chunk[1:]


def default_count(characters: int, steps: int, processes: int = 1) -> int:
    """How many streams suit a text: 32, fewer where that leaves under 100 updates an epoch.

    A multiple of the processes that share them.
    """
    count = max(1, min(32, characters // (100 * steps)))
    return -(-count // processes) * processes
