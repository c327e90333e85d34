"""Decoder: advance many streams of text together, one character at a time.

A stream's prime is not a special phase: its characters are forced in the same batched step
that samples for every other stream.

Shape letters: k steps, S streams, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.weight_limit import MAX_SUM
from model.choice.read_cells import NO_CELLS
from model.choice.sampling_params import SamplingParams
from model.choice.scores import Numbers, ScoreRows, all_logprobs
from model.decoding.backend import DecoderState, Precision, StepIds, StepInput, StepOutput
from model.decoding.beam_search import MAX_BEAMS
from model.decoding.decoder_stream import DecoderStream
from model.decoding.selection import make_backend
from model.errors import DeviceError
from model.native.library import aligned_copy
from model.native.memory import NO_MEMORY, memory_bytes, new_memory
from model.text.vocabulary import Ids

_STEPS_PER_CALL = 64  # in `generate`
_NEVER = -1e5 * MAX_SUM  # a logit below all others, so that the character is never drawn


class Decoder:
    """Holds up to `slots` streams and advances all of them together. Not thread-safe.

    A stream's characters depend on its own prime, parameters and seed only, never on the other
    streams. The vocabulary's UNKNOWN character is read but never generated.

    Args:
        checkpoint: the model.
        slots: maximum number of streams.
        device: device to compute on: "cpu", "cuda" or a numbered GPU such as "cuda:1".
        precision: "fp32", or "int8" on a CPU: 8-bit weights and hidden values, the rest float32.
        threads: number of threads that compute on a CPU. None chooses: at most
            `selection.default_threads`, of which `thread_count` measures the fastest for native
            kernels.
        kernel: one of `selection.kernels_for(precision, device)`, by default the fastest.

    Attributes:
        kernel: name of the kernel that computes the steps.
        memory_bytes: size of a stream's memory; 0 if streams cannot have one.

    Raises:
        DeviceError: if the precision or the kernel is not available on the device.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        slots: int,
        device: str = "cpu",
        precision: Precision = "fp32",
        threads: int | None = 1,
        kernel: str | None = None,
    ) -> None:
        self.device, self.slots, self.precision = device, slots, precision
        self._config = checkpoint.config
        self.vocabulary_size = checkpoint.config.vocabulary_size
        weights = dict(checkpoint.weights)
        if (unknown := checkpoint.vocabulary.unknown_id) is not None:
            bias_V = weights["output.bias"].copy()
            bias_V[unknown] = _NEVER
            weights["output.bias"] = bias_V
        rows = slots + MAX_BEAMS  # the rows after the slots are for `read`
        self._backend = make_backend(
            checkpoint.config, weights, rows, device, precision, threads, kernel
        )
        self.kernel = self._backend.kernel
        self.memory_bytes = memory_bytes(self.vocabulary_size) if device == "cpu" else 0
        self.streams: list[DecoderStream] = []
        self._changed = False  # whether streams joined or left since the last step

    @property
    def threads(self) -> int:
        """Number of threads that compute."""
        return self._backend.threads

    def limit_threads(self, most: int) -> None:
        """Compute with at most `most` of the threads, and with at least one. Ids stay the same.

        Call it from the thread that calls `advance`.
        """
        self._backend.limit_threads(most)

    def use_thread(self) -> None:
        """Prepare the calling thread to call `advance`."""
        self._backend.use_thread()

    def join(self, stream: DecoderStream) -> None:
        """Add a stream as the last row.

        Raises:
            ValueError: if every slot is taken, the stream has ids that are not in the vocabulary,
                its pattern is for another vocabulary, or it holds or reads a cell that the network
                does not have.
            DeviceError: if it needs a memory, and `memory_bytes` is 0.
        """
        row = len(self.streams)
        if row == self.slots:
            raise ValueError(f"all {self.slots} slots are taken")
        self._check(stream)
        if stream.params.memory and stream.memory is None:
            stream.memory = new_memory(self.vocabulary_size)
        self._backend.put(row, stream.state)
        self.streams.append(stream)
        self._changed = True

    def leave(self, stream: DecoderStream) -> None:
        """Remove a stream and store its state in it, so that it can join again.

        The last row moves into the gap.
        """
        row = self.streams.index(stream)
        stream.state = replace(self._backend.state(row), memory=stream.memory)
        last = self.streams.pop()
        if last is not stream:
            self.streams[row] = last
            self._backend.move(len(self.streams), row)
        self._changed = True

    def replace(self, stream: DecoderStream, successor: DecoderStream) -> None:
        """Give a stream's row to another stream with the same sampling parameters and cells.

        This is faster than `leave` and `join`, because nothing is checked and no state is copied
        from the decoder.
        """
        row = self.streams.index(stream)
        self._backend.put(row, successor.state)
        self.streams[row] = successor

    def state(self, stream: DecoderStream) -> DecoderState:
        """Return a copy of a stream's state after the characters it has read."""
        state = self._backend.state(self.streams.index(stream))
        if stream.memory is None:
            return state
        return replace(state, memory=aligned_copy(stream.memory))

    def advance(self, steps: int, first: int = 0) -> StepOutput:
        """Advance the streams from row `first` to the last by `steps` characters.

        Column i of the result belongs to `self.streams[first + i]`. It has the ids of the prime
        that were not read yet, followed by the ids that the stream generated. If its pattern ended
        the text, `length` of the result tells how many belong to it. A stream whose steps all
        belong to its prompt has no values of cells.
        """
        streams = self.streams[first:]
        if self._changed:
            self._backend.sample_with([stream.params for stream in self.streams])
            self._changed = False
        result = self._backend.step(_step_input(streams, steps, first))
        for stream, last_id in zip(streams, result.ids[-1].tolist(), strict=True):
            stream.read += steps
            stream.last_id = last_id
        if result.progress is not None:
            for stream, state in zip(streams, result.progress.states_S.tolist(), strict=True):
                stream.pattern_state = state
        return result

    def empty_state(self, with_memory: bool) -> DecoderState:
        """Return the state of a stream that has read nothing."""
        self._backend.put(self.slots, None)
        memory = new_memory(self.vocabulary_size) if with_memory else None
        return replace(self._backend.state(self.slots), memory=memory)

    def read(
        self, states: Sequence[DecoderState], ids_kS: StepIds, may_change: Sequence[bool] = ()
    ) -> tuple[Numbers, list[DecoderState]]:
        """Read k characters after each of up to `MAX_BEAMS` states, beside the streams.

        Either all states have a memory, or none. The given states stay as they are, except the
        memories of those that `may_change`, which are not copied.

        Returns:
            the logprobs of the character that follows, (S, V), and the new states.
        """
        steps, count = ids_kS.shape
        self._backend.sample_with([SamplingParams()] * count, self.slots)
        self._changed = True
        for row, state in enumerate(states):
            self._backend.put(self.slots + row, state)
        flags = may_change or [False] * count
        memories = [
            state.memory if flag else aligned_copy(state.memory)
            for state, flag in zip(states, flags, strict=True)
            if state.memory is not None
        ]
        forced_ids_kS = np.vstack([ids_kS[1:], np.zeros((1, count), np.int64)])
        output = self._backend.step(
            StepInput(
                first=self.slots,
                last_ids_S=ids_kS[0],
                forced_ids_kS=forced_ids_kS,
                uniforms_kS=np.zeros((steps, count), np.float32),
                prompt_steps_S=np.full(count, steps - 1),
                alternatives=[self.vocabulary_size] * count,
                memories=memories,
            )
        )
        logprobs_SV = all_logprobs(cast("ScoreRows", output.scores)[-1])
        new_states = [self._backend.state(self.slots + row) for row in range(count)]
        if memories:
            new_states = [
                replace(state, memory=memory)
                for state, memory in zip(new_states, memories, strict=True)
            ]
        return logprobs_SV, new_states

    def generate(self, prime: Ids, length: int, params: SamplingParams, seed: int) -> Ids:
        """Return the ids of one text, int32. The decoder must be empty.

        There are `length` of them, or fewer if a pattern ends the text.
        """
        stream = DecoderStream(prime, length, params, seed)
        self.join(stream)
        generated = []
        while stream.steps_left and not stream.ended:
            prompt_steps = stream.prompt_steps_left
            result = self.advance(min(stream.steps_left, _STEPS_PER_CALL))
            generated.append(result.ids[prompt_steps : result.length(0), 0])
        self.leave(stream)
        return np.concatenate(generated).astype(np.int32)

    def _check(self, stream: DecoderStream) -> None:
        params, size = stream.params, self.vocabulary_size
        if stream.prime.min() < 0 or stream.prime.max() >= size:
            raise ValueError(f"a prime's ids must be in 0..{size - 1}")
        for held in params.hold:
            if held.layer >= self._config.layers or held.cell >= self._config.hidden_size:
                raise ValueError(f"the network has no layer {held.layer} with a cell {held.cell}")
        cells = self._config.layers * self._config.hidden_size
        if len(stream.cells) and not 0 <= stream.cells.min() <= stream.cells.max() < cells:
            raise ValueError(f"the numbers of cells to read must be in 0..{cells - 1}")
        if any(character >= size for character, _ in params.logit_bias):
            raise ValueError(f"the ids of a logit bias must be in 0..{size - 1}")
        if params.memory and not self.memory_bytes:
            raise DeviceError(NO_MEMORY)
        if params.pattern is not None and len(params.pattern.class_of_V) != size:
            raise ValueError(f"the pattern must be for a vocabulary of {size} characters")


def _step_input(streams: Sequence[DecoderStream], steps: int, first: int) -> StepInput:
    count = len(streams)
    forced_ids_kS = np.full((steps, count), -1, dtype=np.int64)
    uniforms_kS = np.zeros((steps, count), dtype=np.float32)
    for row, stream in enumerate(streams):
        stream.fill(forced_ids_kS[:, row], uniforms_kS[:, row])
    return StepInput(
        first=first,
        last_ids_S=np.array([stream.last_id for stream in streams], dtype=np.int64),
        forced_ids_kS=forced_ids_kS,
        uniforms_kS=uniforms_kS,
        prompt_steps_S=np.array([stream.prompt_steps_left for stream in streams], dtype=np.int64),
        alternatives=[stream.alternatives for stream in streams],
        cells=[NO_CELLS if s.prompt_steps_left >= steps else s.cells for s in streams],
        pattern_states_S=np.array([stream.pattern_state for stream in streams], dtype=np.int32)
        if any(stream.params.constrained for stream in streams)
        else None,
        memories=[s.memory for s in streams] if any(s.params.memory for s in streams) else (),
    )
