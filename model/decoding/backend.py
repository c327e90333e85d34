"""Backend: the interface between a decoder and the code that computes its steps.

Shape letters: k steps, S streams, D numbers of a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from model.choice.read_cells import CellNumbers, CellValues
from model.choice.sampling_params import SamplingParams, Uniforms
from model.choice.scores import ScoreRows
from model.native.memory import Memory

Precision = Literal["fp32", "int8"]
StepIds = npt.NDArray[np.int64]
PatternStates = npt.NDArray[np.int32]


@dataclass(frozen=True)
class DecoderState:
    """The recurrent state of one stream. Its size does not depend on how much was read.

    Only the backend that made a state can use it: layouts and types differ between backends.
    """

    hidden: Any  # a numpy array or a tensor
    cell: Any
    memory: Memory | None = None  # of a stream that has one; the backend does not use it

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        memory = 0 if self.memory is None else self.memory.nbytes
        return int(self.hidden.nbytes + self.cell.nbytes) + memory


@dataclass(frozen=True)
class StepInput:
    """The input of k steps for S streams in adjacent slots."""

    first: int  # slot of the first stream
    last_ids_S: StepIds  # the character that each stream reads first
    forced_ids_kS: StepIds  # the character to take instead of a drawn one; -1 draws one
    uniforms_kS: Uniforms  # the random numbers to draw with, in [0, 1)
    prompt_steps_S: StepIds  # number of steps inside the prompt, whose logits are not needed
    alternatives: Sequence[int | None]  # per stream: alternatives to score, None for no scores
    cells: Sequence[CellNumbers] = ()  # per stream: cells to read; empty if no stream reads any
    memories: Sequence[Memory | None] = ()  # per stream, changed in place; empty if none has one
    # The state of each stream's pattern; None if no stream has one, or all begin.
    pattern_states_S: PatternStates | None = None

    def progress(self) -> PatternProgress:
        """Return the progress before the steps, in new arrays, as if no text would end."""
        states_S = self.pattern_states_S
        steps, streams = self.forced_ids_kS.shape
        return PatternProgress(
            np.zeros(streams, np.int32) if states_S is None else states_S.copy(),
            np.full(streams, steps, np.int32),
        )


class PatternProgress(NamedTuple):
    """How far S streams are in their patterns after some steps."""

    states_S: PatternStates  # the new states; `model.patterns.pattern.ENDED` if the text has ended
    lengths_S: PatternStates  # number of steps up to the end of the text; k if it has not ended


class StepOutput(NamedTuple):
    """The result of k steps for S streams."""

    ids: StepIds  # (k, S)
    scores: ScoreRows | None  # (k, S, D), see `choice.scores`; None if no stream asks for scores
    cells: Sequence[CellValues] = ()  # per stream, (k, cells); empty if no stream reads any
    progress: PatternProgress | None = None  # None if no stream has a constraint

    def length(self, row: int) -> int:
        """Return the number of steps whose results belong to the text of a stream."""
        return len(self.ids) if self.progress is None else int(self.progress.lengths_S[row])


class Backend(Protocol):
    """Holds the recurrent state of every slot and computes steps. Not thread-safe."""

    kernel: str  # name of the kernel, for logs and metrics

    @property
    def threads(self) -> int:
        """Number of threads that compute."""

    def limit_threads(self, most: int) -> None:
        """Compute the coming steps with at most this many threads. 0 counts as 1."""

    def use_thread(self) -> None:
        """Prepare the calling thread to call `step`. Other threads can compute, but slower."""

    def put(self, slot: int, state: DecoderState | None) -> None:
        """Set the state of a slot. None sets zeros."""

    def state(self, slot: int) -> DecoderState:
        """Return a copy of a slot's state."""

    def move(self, source: int, target: int) -> None:
        """Copy the state of one slot to another."""

    def sample_with(self, params: Sequence[SamplingParams], first: int = 0) -> None:
        """Set the sampling parameters of the slots from `first` on, held cells included.

        The coming steps are for these slots.
        """

    def step(self, inputs: StepInput) -> StepOutput:
        """Advance the streams of `inputs` and update their states."""
