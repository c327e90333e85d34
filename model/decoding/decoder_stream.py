"""DecoderStream: a text in a decoder, its random numbers and its position."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from model.choice.read_cells import NO_CELLS, CellNumbers
from model.choice.sampling_params import SamplingParams, Uniforms, uniforms
from model.decoding.backend import DecoderState, StepIds
from model.native.library import aligned_copy
from model.native.memory import Memory
from model.patterns.pattern import ENDED
from model.text.vocabulary import Ids


class DecoderStream:
    """One stream: its prime, its random numbers and its position.

    Args:
        prime: the ids to read first, at least one.
        length: number of characters to generate.
        params: sampling parameters.
        seed: seed of the random numbers.
        alternatives: number of top alternatives to score per character. None disables scores.
        prompt_length: number of ids of `prime` that belong to the prompt, by default all of them.
            The other ids are scored as if they had been generated.
        cells: cells whose values `Decoder.advance` returns, each time as they are after the
            character that the step reads.

    Attributes:
        read: number of characters that the network has read.
        last_id: the character to read next.
        state: the recurrent state after `read` characters, while the stream is not in a decoder.
            None is a state of zeros.
        pattern_state: the state of the pattern after the characters that were drawn.
        memory: the memory of the stream, if its parameters ask for one and it has begun.

    Raises:
        ValueError: if the prime is empty, or `prompt_length` is not in 1..len(prime).
    """

    def __init__(
        self,
        prime: Ids,
        length: int,
        params: SamplingParams,
        seed: int,
        alternatives: int | None = None,
        prompt_length: int | None = None,
        cells: CellNumbers = NO_CELLS,
    ) -> None:
        self.prompt_length = len(prime) if prompt_length is None else prompt_length
        if not 1 <= self.prompt_length <= len(prime):
            raise ValueError(
                f"a prompt must have at least one id and at most {len(prime)}, "
                f"got {self.prompt_length}"
            )
        self.prime, self.length, self.params = prime, length, params
        self.alternatives, self.cells = alternatives, cells
        self._seed = seed
        self.restart()

    @property
    def steps_left(self) -> int:
        """Number of steps until the text has its full length."""
        return len(self.prime) - 1 + self.length - self.read

    @property
    def ended(self) -> bool:
        """Whether the pattern has ended the text."""
        return self.pattern_state == ENDED

    @property
    def prompt_steps_left(self) -> int:
        """Number of coming steps whose results still belong to the prompt."""
        return max(0, self.prompt_length - 1 - self.read)

    def restart(self) -> None:
        """Return to the beginning. The stream must not be in a decoder."""
        self.read, self.last_id, self.pattern_state = 0, int(self.prime[0]), 0
        self.state: DecoderState | None = None
        self.memory: Memory | None = None
        # Made when it is needed: a stream that only reads does not spend the time.
        self._uniforms: np.random.Generator | None = None

    def skip(self, read: int, state: DecoderState) -> None:
        """Continue after the first `read` characters of the prime, from the state after them."""
        self.memory = None if state.memory is None else aligned_copy(state.memory)
        self.read, self.state = read, replace(state, memory=self.memory)
        self.last_id = int(self.prime[read])

    def fill(self, forced_ids_k: StepIds, uniforms_k: Uniforms) -> None:
        """Write the inputs of the next k steps: the ids to force, and the random numbers.

        `forced_ids_k` keeps its -1 at steps that draw a character.
        """
        forced = max(0, min(len(self.prime) - 1 - self.read, len(forced_ids_k)))
        forced_ids_k[:forced] = self.prime[self.read + 1 : self.read + 1 + forced]
        if forced < len(forced_ids_k):
            if self._uniforms is None:
                self._uniforms = uniforms(self._seed)
            drawn = len(forced_ids_k) - forced
            uniforms_k[forced:] = self._uniforms.random(drawn, dtype=np.float32)
