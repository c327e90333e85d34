"""TextScoring: score many texts in the rows of a decoder, one after the other in each row.

Shape letters: N characters of all texts, T texts, k steps, S streams, C candidates, D numbers of a
score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.choice.sampling_params import SamplingParams, Uniforms
from model.choice.scores import UNITS, Numbers, ScoreRows, in_units, with_alternatives
from model.decoding.backend import DecoderState, StepIds
from model.decoding.decoder_stream import DecoderStream
from model.text.vocabulary import Ids

Counts = npt.NDArray[np.int64]

_CALL_STEPS = 2  # time between two calls of a decoder, as a number of steps
_FEWEST_BESIDE_OTHERS = 8  # steps of a call with other streams: short texts must not slow them down
_PARAMS = SamplingParams()  # scores do not depend on it


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts as one array of ids, (N,), and the number of characters of each, (T,)."""

    ids_N: Ids
    lengths_T: Counts

    def __len__(self) -> int:
        return len(self.lengths_T)


@dataclass(frozen=True, eq=False)
class TextScores:
    """The scores of texts."""

    lengths_T: Counts  # number of characters of each text
    nats_T: Numbers  # negative sum of the logprobs of each text
    rows_ND: ScoreRows | None  # of all characters, see `choice.scores`; None: only sums were wanted


class TextStream(DecoderStream):
    """The stream of one text. After the text, it reads on without a meaning.

    Args:
        prime: the last id of the prompt, and the ids of the text.
        state: the state before `prime`.
        index: number of the text.
        alternatives: number of top alternatives to score per character.
    """

    def __init__(
        self, prime: Ids, state: DecoderState | None, index: int, alternatives: int
    ) -> None:
        super().__init__(prime, 0, _PARAMS, 0, alternatives, 1)
        self.state, self.index = state, index

    def fill(self, forced_ids_k: StepIds, uniforms_k: Uniforms) -> None:
        ids = self.prime[self.read + 1 : self.read + 1 + len(forced_ids_k)]
        forced_ids_k[: len(ids)] = ids
        forced_ids_k[len(ids) :] = 0


class TextScoring:
    """The scores of texts that are given, each of them after the same prompt.

    Take a `TextStream` for each row of the decoder, and after each call of the decoder pass the
    results to `collect`. A row whose text has ended takes the next one. A sum does not depend on
    how the texts are spread over rows and calls, see `model.choice.scores.in_units`.

    Args:
        texts: the texts, none of them empty.
        prompt: ids to read before each text, at least one.
        alternatives: number of top alternatives to score per character.
        detail: whether to keep the score of each character.

    Attributes:
        characters_left: number of characters that are not scored yet.
    """

    def __init__(
        self, texts: Texts, prompt: Ids, alternatives: int = 0, detail: bool = False
    ) -> None:
        self.prompt = prompt
        self._alternatives, self._detail = alternatives, detail
        self._lengths_T = texts.lengths_T
        ends_T = np.cumsum(texts.lengths_T)
        self._starts: list[int] = (ends_T - texts.lengths_T).tolist()
        # Each text after the last id of the prompt.
        self._ids = np.insert(texts.ids_N, self._starts, prompt[-1])
        self._sums_T: Numbers = np.zeros(len(texts))
        self._rows_ND: ScoreRows | None = None
        self.characters_left = len(texts.ids_N)
        # The next text is at the end. The longest come first, so that the last rows end together.
        self._next: list[int] = np.argsort(texts.lengths_T, kind="stable").tolist()
        self._returned: list[TextStream] = []
        self._state: DecoderState | None = None

    @property
    def has_next(self) -> bool:
        """Whether `next` has a text to return."""
        return bool(self._returned or self._next)

    @property
    def scores(self) -> TextScores:
        """The scores of all texts. Complete when `characters_left` is 0."""
        return TextScores(self._lengths_T, self._sums_T / -UNITS + 0.0, self._rows_ND)

    def begin(self, state: DecoderState | None) -> None:
        """Set the state after all ids of the prompt but the last one. None is a state of zeros."""
        self._state = state

    def next(self) -> TextStream | None:
        """Return the stream of the next text, or None if no text is left to begin."""
        if self._returned:
            return self._returned.pop()
        if not self._next:
            return None
        index = self._next.pop()
        first = self._starts[index] + index
        prime = self._ids[first : first + 1 + int(self._lengths_T[index])]
        return TextStream(prime, self._state, index, self._alternatives)

    def give_back(self, stream: TextStream) -> None:
        """Take back a stream that lost its row. It continues where it was."""
        if stream.steps_left > 0:
            self._returned.append(stream)

    def collect(self, streams: Sequence[TextStream], scores_kSD: ScoreRows) -> int:
        """Add the results of a call of the decoder, and return the number of characters scored.

        Args:
            streams: streams that the call has advanced.
            scores_kSD: their scores.
        """
        steps = len(scores_kSD)
        left_S = np.array([stream.steps_left for stream in streams]) + steps
        counts_S = np.minimum(left_S, steps)
        units_kS = in_units(scores_kSD[:, :, 0])
        inside_kS = np.arange(steps)[:, None] < counts_S
        self._sums_T[[stream.index for stream in streams]] += np.where(inside_kS, units_kS, 0).sum(
            axis=0
        )
        if self._detail:
            for column, stream in enumerate(streams):
                count = int(counts_S[column])
                self._keep(stream, stream.read - steps, scores_kSD[:count, column])
        scored = int(counts_S.sum())
        self.characters_left -= scored
        return scored

    def _keep(self, stream: TextStream, read: int, scores_kD: ScoreRows) -> None:
        """Store the scores of a text's characters from number `read`."""
        rows_kD = with_alternatives(scores_kD, self._alternatives)
        if self._rows_ND is None:
            self._rows_ND = np.empty((int(self._lengths_T.sum()), rows_kD.shape[1]))
        first = self._starts[stream.index] + read
        self._rows_ND[first : first + len(rows_kD)] = rows_kD


def best_steps(left: Sequence[int], others: int, most: int) -> int:
    """Return the number of steps for a call of the decoder that wastes the least time.

    A row whose text ends early computes nothing useful until the last step, and each call costs
    time.

    Args:
        left: steps until the end of the text in each row, at least one row.
        others: number of rows that no text ends in.
        most: the largest number of steps to return.
    """
    fewest = min(most, _FEWEST_BESIDE_OTHERS) if others else 1
    left_S = np.array(left)
    steps_C = np.unique(np.clip(left_S, fewest, most))
    useful_C = np.minimum(left_S[:, None], steps_C).sum(axis=0) + others * steps_C
    return int(steps_C[np.argmax(useful_C / (steps_C + _CALL_STEPS))])
