"""Score: the log-probabilities of many texts, without a server."""

from __future__ import annotations

from model.checkpoints.checkpoint import Checkpoint
from model.choice.sampling_params import SamplingParams
from model.decoding.backend import DecoderState
from model.decoding.decoder import Decoder, DecoderStream
from model.decoding.selection import choose_precision
from model.decoding.text_scoring import Texts, TextScores, TextScoring, TextStream, best_steps
from model.text.vocabulary import Ids

_ROWS = 64  # texts that are read at the same time, as many as the service has slots by default
_MAX_STEPS = 128  # per call of the decoder


class Scorer:
    """Scores texts after the same prompt, with the numbers that the service returns.

    Args:
        checkpoint: the model.
        prime: text before each text; may be empty, see `Vocabulary.prompt`.
        device: device to compute on.

    Raises:
        UnknownCharacterError: if the prime has characters that are not in the vocabulary, and the
            vocabulary has no character for unknown ones.
    """

    def __init__(self, checkpoint: Checkpoint, prime: str = "", device: str = "cpu") -> None:
        vocabulary = checkpoint.vocabulary
        self._prompt = vocabulary.prompt(vocabulary.encode_read(prime))
        precision = choose_precision("auto", device)  # the service's default, for equal numbers
        self._decoder = Decoder(checkpoint, _ROWS, device, precision, threads=None)
        self._decoder.use_thread()
        self._state = _read(self._decoder, self._prompt)

    def score(self, texts: Texts) -> TextScores:
        """Return the scores of texts that are not empty, without those of single characters."""
        scoring = TextScoring(texts, self._prompt)
        scoring.begin(self._state)
        for _ in range(_ROWS):
            if (stream := scoring.next()) is not None:
                self._decoder.join(stream)
        while scoring.characters_left:
            self._advance(scoring)
        return scoring.scores

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
