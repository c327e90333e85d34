"""Batch: the streams in a decoder's slots, as an implementation holds and steps them.

Shape letters: k steps, S streams, D figures of a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from model.sampling import SamplingParams, Uniforms
from model.scores import ScoreRows

StepIds = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DecoderState:
    """What a network remembers of the characters it has read: one size, however many.

    For the implementation that it comes from alone: layouts and types differ.
    """

    hidden: Tensor
    cell: Tensor


class Steps(NamedTuple):
    """What some steps gave."""

    ids: StepIds  # (k, S)
    scores: ScoreRows | None  # (k, S, D), where a stream makes scores, see `model.scores`


@dataclass(frozen=True)
class Plan:
    """What some streams, in slots next to each other, are to do in the next steps."""

    first: int  # slot of the first stream
    last_ids_S: StepIds  # each stream's next character to read
    forced_kS: StepIds  # the character to take whatever the logits say; -1 to draw one
    uniforms_kS: Uniforms  # what to draw with
    hidden_S: StepIds  # steps whose result comes before the text, so that none is needed
    alternatives: Sequence[int | None]  # how many each stream's scores name; None: makes none


class Batch(Protocol):
    """Slots with a state each. Not safe for use from several threads at once."""

    kernel: str  # what computes, for those who operate it

    def put(self, slot: int, state: DecoderState | None) -> None:
        """Sets a slot's state; None is one of zeros."""

    def state(self, slot: int) -> DecoderState:
        """A copy of a slot's state."""

    def move(self, source: int, target: int) -> None:
        """Copies a slot's state to another."""

    def sample_with(self, params: Sequence[SamplingParams]) -> None:
        """Says how the streams in the first slots are sampled from now on."""

    def step(self, plan: Plan) -> Steps:
        """Steps the plan's streams on, and changes their states."""
