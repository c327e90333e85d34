"""Batches: a text cut into parallel sequences that are read batch by batch.

Shape letters: T sequence length (characters per sequence and batch), B batch size (sequences).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.errors import CorpusError
from model.text.vocabulary import CorpusIds

_MAX_DEFAULT = 32  # batch size
_MIN_UPDATES = 100  # per epoch, for the default batch size


@dataclass(frozen=True)
class Batches:
    """A text split into B contiguous parts, each of which is read T characters at a time.

    In every sequence, batch i+1 continues where batch i ends, so the network's state can be
    carried from batch to batch. The target of a character is always the next character of the
    text. No sequence wraps around the end of the text.

    Raises:
        CorpusError: if the text has too few characters for one batch.
    """

    ids: CorpusIds
    batch_size: int  # B
    sequence_length: int  # T

    def __post_init__(self) -> None:
        if self.per_epoch < 1:
            raise CorpusError(
                f"the training text has {len(self.ids)} characters, but {self.batch_size} "
                f"sequences of {self.sequence_length} characters need {self._characters + 1}: "
                "lower --batch-size or --seq-len"
            )

    @property
    def per_epoch(self) -> int:
        """Number of batches in one pass over the text."""
        return (len(self.ids) - 1) // self._characters

    @property
    def spare(self) -> int:
        """Number of characters that one pass leaves out."""
        return len(self.ids) - 1 - self.per_epoch * self._characters

    def batch(self, index: int, offset: int) -> tuple[Tensor, Tensor]:
        """Return the inputs and targets of one batch, int64 (T, B) each.

        Args:
            index: 0..per_epoch-1.
            offset: position in the text at which the pass starts, 0..spare.
        """
        part = self.per_epoch * self.sequence_length
        starts_B = offset + np.arange(self.batch_size) * part + index * self.sequence_length
        positions_TB = np.arange(self.sequence_length + 1)[:, None] + starts_B[None, :]
        chunk = torch.from_numpy(self.ids[positions_TB].astype(np.int64))
        return chunk[:-1], chunk[1:]

    def of_step(self, step: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return the batch of an update of a run, counted from 0.

        Each epoch starts at another offset, which the seed decides, so that the sequences differ.
        """
        epoch, index = divmod(step, self.per_epoch)
        random = np.random.default_rng([seed, epoch])
        return self.batch(index, int(random.integers(0, self.spare + 1)))

    @property
    def _characters(self) -> int:
        return self.batch_size * self.sequence_length


def default_batch_size(characters: int, sequence_length: int, processes: int = 1) -> int:
    """Return a batch size that suits a text: 32, or less so that an epoch has 100 updates.

    The result is a multiple of the number of processes that share the batch.
    """
    size = max(1, min(_MAX_DEFAULT, characters // (_MIN_UPDATES * sequence_length)))
    return -(-size // processes) * processes
