"""BeamSearch: the most probable continuations of a text up to a boundary, with their probabilities.

The search is best-first: it goes on with the most probable beginnings ("beams"), whatever their
lengths, and keeps a limited number of others. A pattern says which characters may follow. The text
ends where the pattern allows it: with the total probability of the characters that the pattern does
not allow there.

Shape letters: S beams, V vocabulary, C candidates.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.decoding.backend import DecoderState
from model.patterns.pattern import FINAL, NOWHERE, Pattern

Logprobs = npt.NDArray[np.float64]

MAX_BEAMS = 80  # that the searches of a decoder read together
_LEAST_WIDTH, _MOST_WIDTH, _WIDTH_PER_SUGGESTION = 40, 80, 8


@dataclass(frozen=True)
class BeamSearchParams:
    """What to search for."""

    count: int  # number of continuations
    pattern: Pattern  # what a continuation must match
    max_length: int  # of a continuation, in characters
    may_be_empty: bool = True  # whether the text may end at once, if the pattern allows it

    @property
    def width(self) -> int:
        """The most beams that are kept after each step, at least four for each continuation."""
        return min(_MOST_WIDTH, max(_LEAST_WIDTH, _WIDTH_PER_SUGGESTION * self.count))

    @property
    def step(self) -> int:
        """The most beams that one step goes on with."""
        return self.width // 4

    @property
    def reads(self) -> int:
        """The most beams that all steps together go on with."""
        return self.width * self.max_length


class Suggestion(NamedTuple):
    """A continuation. The logprob is that of its characters and of its end after them."""

    logprob: float
    ids: tuple[int, ...]


class Beam(NamedTuple):
    """The beginning of a continuation."""

    logprob: float
    ids: tuple[int, ...]
    pattern_state: int
    state: DecoderState  # before the last character was read
    last_id: int
    is_only_child: bool = False  # whether nothing else needs the state


class BeamSearch:
    """A search. Let a decoder read the last id of each beam, and pass the results to `advance`.

    Args:
        params: what to search for.
        state: the recurrent state after all characters of the text but the last one.
        last_id: the last character.

    Attributes:
        beams: the beginnings to go on with. The search has ended when there are none.
        complete: whether no other continuation can be more probable than those that were found.
    """

    def __init__(self, params: BeamSearchParams, state: DecoderState, last_id: int) -> None:
        self._params, self._reads_left = params, params.reads
        self._found: list[Suggestion] = []  # a heap of the best ones, the least probable first
        self._dropped = -np.inf  # logprob of the most probable beginning that was given up
        self._others: list[Beam] = []  # less probable than `beams`, the most probable first
        self.beams = [Beam(0.0, (), 0, state, last_id)]

    @property
    def complete(self) -> bool:
        return bool(self._dropped <= self._least)

    @property
    def suggestions(self) -> list[Suggestion]:
        """The continuations that were found, the most probable ones first."""
        return sorted(self._found, key=lambda found: (-found.logprob, found.ids))

    def advance(self, logprobs_SV: Logprobs, states: Sequence[DecoderState]) -> None:
        """Continue the search.

        Args:
            logprobs_SV: the logprobs of the character after each beam.
            states: the state after the last id of each beam.
        """
        pattern = self._params.pattern
        next_SV = pattern.next_NC[[beam.pattern_state for beam in self.beams]][
            :, pattern.class_of_V
        ]
        totals_SV = logprobs_SV + np.array([[beam.logprob] for beam in self.beams])
        self._find_ends(totals_SV, next_SV == NOWHERE)
        totals_SV[next_SV == NOWHERE] = -np.inf
        open_beams = self._others
        for total, row, character in self._best(totals_SV):
            parent, following = self.beams[row], int(next_SV[row, character])
            ids = (*parent.ids, character)
            if len(ids) > self._params.max_length:
                self._drop(total)
            elif following == FINAL:
                self._find(Suggestion(total, ids))
            else:
                open_beams.append(Beam(total, ids, following, states[row], character))
        self._choose(open_beams)

    def _choose(self, beams: list[Beam]) -> None:
        """Go on with the most probable beams that can still become one of the best."""
        width, step = self._params.width, min(self._params.step, self._reads_left)
        able = [beam for beam in beams if beam.logprob > self._least]
        able.sort(key=lambda beam: (-beam.logprob, beam.ids))
        if len(able) > width:
            self._drop(able[width].logprob)
        children = Counter(id(beam.state) for beam in able[:width])
        self.beams = [
            beam._replace(is_only_child=children[id(beam.state)] == 1) for beam in able[:step]
        ]
        self._others = able[step:width]
        self._reads_left -= len(self.beams)
        if not self.beams and self._others:
            self._drop(self._others[0].logprob)

    @property
    def _least(self) -> float:
        """The logprob that a continuation must exceed to be one of the best."""
        return self._found[0].logprob if len(self._found) == self._params.count else -np.inf

    def _find_ends(self, totals_SV: Logprobs, ends_SV: npt.NDArray[np.bool_]) -> None:
        ends_S = np.logaddexp.reduce(np.where(ends_SV, totals_SV, -np.inf), axis=1)
        for beam, logprob in zip(self.beams, ends_S.tolist(), strict=True):
            may_end = self._params.pattern.may_end_N[beam.pattern_state]
            if may_end and (beam.ids or self._params.may_be_empty):
                self._find(Suggestion(logprob, beam.ids))

    def _find(self, found: Suggestion) -> None:
        if len(self._found) < self._params.count:
            if found.logprob > -np.inf:
                heapq.heappush(self._found, found)
        elif found.logprob > self._least:
            heapq.heapreplace(self._found, found)

    def _best(self, totals_SV: Logprobs) -> list[tuple[float, int, int]]:
        """Return the most probable candidates with their beams and characters."""
        width = self._params.width
        flat_C = totals_SV.ravel()
        if len(flat_C) > width:
            order_C = np.argpartition(-flat_C, width)
            self._drop(float(flat_C[order_C[width]]))
            best = order_C[:width]
        else:
            best = np.arange(len(flat_C))
        best = best[np.argsort(-flat_C[best], kind="stable")]
        rows, characters = np.divmod(best, totals_SV.shape[1])
        candidates = zip(flat_C[best].tolist(), rows.tolist(), characters.tolist(), strict=True)
        return [candidate for candidate in candidates if candidate[0] > self._least]

    def _drop(self, logprob: float) -> None:
        self._dropped = max(self._dropped, logprob)
