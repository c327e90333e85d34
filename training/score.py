"""Score: the log-probabilities of many texts, without a server."""

from __future__ import annotations

import numpy as np

from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.choice.scores import ScoreRows, nats_of
from model.decoding.backend import DecoderState
from model.decoding.decoder import Decoder
from model.decoding.decoder_stream import DecoderStream
from model.decoding.selection import choose_precision
from model.decoding.text_scoring import Texts, TextScores, TextScoring, TextStream, best_steps
from model.native.memory import Memory, new_memory
from model.text.vocabulary import Ids

_ROWS = 64  # texts that are read at the same time, as many as the service has slots by default
_MAX_STEPS = 128  # per call of the decoder


class Scorer:
    """Scores texts after the same prompt, with the numbers that the service returns.

    Args:
        checkpoint: the model.
        prime: text before each text; may be empty, see `Vocabulary.prompt`.
        device: device to compute on.
        with_memory: whether the texts are read one after the other into one memory, so that each
            text is predicted with what was read before.
        threads: number of threads on a CPU. None chooses it.

    Raises:
        DeviceError: if a memory is not available.
        UnknownCharacterError: if the prime has characters that are not in the vocabulary, and the
            vocabulary has no character for unknown ones.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        prime: str = "",
        device: str = "cpu",
        with_memory: bool = False,
        threads: int | None = None,
    ) -> None:
        vocabulary = checkpoint.vocabulary
        self._prompt = vocabulary.prompt(vocabulary.encode_read(prime))
        precision = choose_precision("auto", device)  # the service's default, for equal numbers
        self._decoder = Decoder(checkpoint, _ROWS, device, precision, threads)
        self._decoder.use_thread()
        self._state = _read(self._decoder, self._prompt)
        self._memory = new_memory(checkpoint.config.vocabulary_size) if with_memory else None

    def score(self, texts: Texts) -> TextScores:
        """Return the scores of texts that are not empty, without those of single characters."""
        if self._memory is not None:
            return self._score_in_order(texts, self._memory)
        scoring = TextScoring(texts, self._prompt)
        scoring.begin(self._state)
        for _ in range(_ROWS):
            if (stream := scoring.next()) is not None:
                self._decoder.join(stream)
        while scoring.characters_left:
            self._advance(scoring)
        return scoring.scores

    def _score_in_order(self, texts: Texts, memory: Memory) -> TextScores:
        """Score texts with a memory, which reads each text and then the end of the prompt."""
        end, params = self._prompt[-1:], SamplingParams(memory=True)
        nats = []
        for ids in np.split(texts.ids_N, np.cumsum(texts.lengths_T)[:-1]):
            stream = DecoderStream(np.concatenate([end, ids, end]), 0, params, 0, 0, 1)
            stream.state, stream.memory = self._state, memory
            self._decoder.join(stream)
            rows = _scores(self._decoder, stream)
            self._decoder.leave(stream)
            nats.append(nats_of(rows[:-1]))
        return TextScores(texts.lengths_T, np.array(nats), None)

    def _advance(self, scoring: TextScoring) -> None:
        streams = [stream for stream in self._decoder.streams if isinstance(stream, TextStream)]
        steps = best_steps([stream.steps_left for stream in streams], 0, _MAX_STEPS)
        if (scores := self._decoder.advance(steps).scores) is not None:
            scoring.collect(streams, scores)
        for stream in streams:
            if stream.steps_left > 0:
                continue
            if (successor := scoring.next()) is not None:
                self._decoder.replace(stream, successor)
            else:
                self._decoder.leave(stream)


def _read(decoder: Decoder, prompt: Ids) -> DecoderState | None:
    """Return the state after all ids of a prompt but the last one."""
    stream = DecoderStream(prompt, 0, SamplingParams(), 0)
    if stream.steps_left:
        decoder.join(stream)
        while stream.steps_left:
            decoder.advance(min(stream.steps_left, _MAX_STEPS))
        decoder.leave(stream)
    return stream.state


def _scores(decoder: Decoder, stream: DecoderStream) -> ScoreRows:
    """Return the scores of the characters of the only stream of a decoder."""
    rows = []
    while stream.steps_left:
        if (scores := decoder.advance(min(stream.steps_left, _MAX_STEPS)).scores) is not None:
            rows.append(scores[:, 0])
    return np.concatenate(rows)
