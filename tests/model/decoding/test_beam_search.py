"""Beam search finds what an exhaustive search finds, and the decoder reads for it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.choice.sampling_params import SamplingParams
from model.choice.scores import Numbers, ScoreRows, all_logprobs
from model.decoding.backend import DecoderState
from model.decoding.beam_search import BeamSearch, BeamSearchParams, Suggestion
from model.decoding.decoder import Decoder
from model.decoding.decoder_stream import DecoderStream
from model.patterns.pattern import Pattern, any_of, any_text, compile_pattern
from model.text.vocabulary import Ids, Vocabulary
from tests.model.streams import VOCABULARY, WAYS, Way, checkpoint, make_decoder

LETTERS = "abc "
PATTERNS = {
    r"[abc]*": any_of(np.array([True, True, True, False])),
    r"[ab]+( c)?": compile_pattern(r"[ab]+( c)?", Vocabulary(list(LETTERS))),
    r"(a|bc){1,2}": compile_pattern(r"(a|bc){1,2}", Vocabulary(list(LETTERS))),
}
MAX_LENGTH = 4
STATE = DecoderState(np.zeros(1, np.float32), np.zeros(1, np.float32))


class Model:
    """A random distribution after each text."""

    def __init__(self, seed: int, spread: float) -> None:
        self.seed, self.spread = seed, spread

    def logprobs(self, text: tuple[int, ...]) -> Numbers:
        rng = np.random.default_rng([self.seed, len(text), *text])
        logits_V = rng.normal(scale=self.spread, size=len(LETTERS))
        logprobs_V: Numbers = logits_V - np.logaddexp.reduce(logits_V)
        return logprobs_V


def searched(model: Model, params: BeamSearchParams) -> BeamSearch:
    search = BeamSearch(params, STATE, 0)
    while search.beams:
        rows_SV = np.array([model.logprobs(beam.ids) for beam in search.beams])
        search.advance(rows_SV, [STATE] * len(search.beams))
    return search


def exhaustive(model: Model, params: BeamSearchParams) -> list[Suggestion]:
    """All texts that match the pattern, the most probable first."""
    found = [
        Suggestion(logprob_of(model, params.pattern, ids), ids)
        for length in range(0 if params.may_be_empty else 1, MAX_LENGTH + 1)
        for ids in itertools.product(range(len(LETTERS)), repeat=length)
    ]
    return sorted((one for one in found if one.logprob > -math.inf), reverse=True)


def logprob_of(model: Model, pattern: Pattern, ids: tuple[int, ...]) -> float:
    state, total = 0, 0.0
    for at, character in enumerate(ids):
        total += float(model.logprobs(ids[:at])[character])
        state = int(pattern.next_NC[state, pattern.class_of_V[character]])
        if state < 0:
            return total if state == -2 and at == len(ids) - 1 else -math.inf
    if not pattern.may_end_N[state]:
        return -math.inf
    ends_V = pattern.next_NC[state, pattern.class_of_V] == -1
    return total + float(np.logaddexp.reduce(model.logprobs(ids)[ends_V], initial=-math.inf))


@given(
    model=st.builds(Model, st.integers(0, 1 << 20), st.sampled_from([0.1, 1.0, 3.0])),
    expression=st.sampled_from(list(PATTERNS)),
    count=st.integers(1, 20),
    may_be_empty=st.booleans(),
)
def test_it_finds_the_texts_of_an_exhaustive_search(
    model: Model, expression: str, count: int, may_be_empty: bool
) -> None:
    params = BeamSearchParams(count, PATTERNS[expression], MAX_LENGTH, may_be_empty)
    found, search = exhaustive(model, params), searched(model, params)
    suggestions = search.suggestions
    for one in suggestions:
        assert one.logprob == pytest.approx(logprob_of(model, params.pattern, one.ids), abs=1e-9)
    assert sum(math.exp(one.logprob) for one in suggestions) <= 1 + 1e-9
    assert len({one.ids for one in suggestions}) == len(suggestions)
    if search.complete:
        assert [one.ids for one in suggestions] == [one.ids for one in found[:count]]


def test_a_search_that_finds_nothing_ends() -> None:
    params, model = BeamSearchParams(20, any_text(len(LETTERS)), 100), Model(1, 1.0)
    search, read = BeamSearch(params, STATE, 0), 0
    while search.beams:
        read += len(search.beams)
        rows_SV = np.array([model.logprobs(beam.ids[-2:]) for beam in search.beams])
        search.advance(rows_SV, [STATE] * len(search.beams))
    assert 0 < read <= params.reads + 1
    assert not search.suggestions
    assert not search.complete


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_reading_gives_the_numbers_of_a_stream(way: Way, memory: bool) -> None:
    """Bit for bit, beside streams, and however many are read together."""
    decoder, rng = make_decoder(checkpoint, 3, way), np.random.default_rng(1)
    texts_TS = rng.integers(0, VOCABULARY, (9, 5))
    expected_TSV = np.array([scores(decoder, text, memory) for text in texts_TS.T]).swapaxes(0, 1)
    beside = DecoderStream(np.array([1, 2], np.int32), 30, SamplingParams(top_k=3), 7)
    decoder.join(beside)
    ids = decoder.advance(4).ids[:, 0].tolist()
    states = [decoder.empty_state(memory) for _ in texts_TS.T]
    first, states = decoder.read(states, texts_TS[:6])
    np.testing.assert_array_equal(first, expected_TSV[5])
    ids += decoder.advance(5).ids[:, 0].tolist()
    for _ in range(2):  # the states that were given are as they were
        after = states
        for step in range(6, 9):
            found, after = decoder.read(after, texts_TS[step : step + 1], [step > 6] * 5)
            np.testing.assert_array_equal(found, expected_TSV[step])
    alone, _ = decoder.read(states[3:4], texts_TS[6:7, 3:4])
    np.testing.assert_array_equal(alone, expected_TSV[6, 3:4])
    ids += decoder.advance(5).ids[:, 0].tolist()
    decoder.leave(beside)
    beside.restart()
    decoder.join(beside)
    assert decoder.advance(14).ids[:, 0].tolist() == ids, "the streams do not notice"


def scores(decoder: Decoder, text: Ids, memory: bool) -> Numbers:
    """The logprobs after each character of a text, (T, V), as a stream has them."""
    prime = np.append(text, 0).astype(np.int32)
    stream = DecoderStream(prime, 0, SamplingParams(memory=memory), 0, VOCABULARY, 1)
    decoder.join(stream)
    rows: ScoreRows | None = decoder.advance(len(text)).scores
    decoder.leave(stream)
    assert rows is not None
    return all_logprobs(rows[:, 0])
