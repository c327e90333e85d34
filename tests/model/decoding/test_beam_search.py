"""Beam search finds what an exhaustive search finds, with the model's own probabilities."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.choice.sampling_params import SamplingParams
from model.decoding.beam_search import BeamSearch, BeamSearchParams, Suggestion
from model.decoding.decoder import Decoder, DecoderStream
from model.patterns.pattern import any_of
from tests.model.streams import VOCABULARY, WAYS, Way, checkpoint, make_decoder

LETTERS = (3, 4, 5)  # the only ids that a word may have
WORDS = any_of(np.isin(np.arange(VOCABULARY), LETTERS))


def suggestions(
    decoder: Decoder, prime: list[int], params: BeamSearchParams, memory: bool = False
) -> BeamSearch:
    state = decoder.empty_state(memory)
    if prime[:-1]:
        _, (state,) = decoder.read([state], np.array(prime[:-1], np.int64)[:, None])
    search = BeamSearch(params, state, prime[-1])
    while search.beams:
        last_ids = np.array([[beam.last_id for beam in search.beams]], np.int64)
        flags = [beam.is_only_child for beam in search.beams]
        search.advance(*decoder.read([beam.state for beam in search.beams], last_ids, flags))
    return search


def logprob_of(decoder: Decoder, prime: list[int], ids: tuple[int, ...], memory: bool) -> float:
    """The logprob of a word and its end, as a stream that reads them has it."""
    total = 0.0
    whole = [*prime, *ids]
    stream = DecoderStream(
        np.array([*whole, 0], np.int32),
        0,
        SamplingParams(memory=memory),
        0,
        VOCABULARY,
        len(prime),
    )
    decoder.join(stream)
    scores = decoder.advance(len(whole)).scores
    decoder.leave(stream)
    assert scores is not None
    rows = scores[len(prime) - 1 :, 0]
    total = rows[: len(ids), 0].sum()
    last_ids, last = rows[-1, 4 : 4 + VOCABULARY], rows[-1, 4 + VOCABULARY : 4 + 2 * VOCABULARY]
    return float(total + np.logaddexp.reduce(last[~np.isin(last_ids, LETTERS)]))


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=15, deadline=None)
@given(
    prime=st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=9),
    count=st.integers(1, 6),
    memory=st.booleans(),
)
def test_it_finds_the_words_of_an_exhaustive_search(
    way: Way, prime: list[int], count: int, memory: bool
) -> None:
    decoder = make_decoder(checkpoint, 1, way)
    params = BeamSearchParams(count, WORDS, max_length=3)
    search = suggestions(decoder, prime, params, memory)
    words = [ids for length in range(4) for ids in itertools.product(LETTERS, repeat=length)]
    all_words = [Suggestion(logprob_of(decoder, prime, ids, memory), ids) for ids in words]
    best = sorted(all_words, reverse=True)[:count]
    found = search.suggestions
    assert [one.logprob for one in found] == sorted((o.logprob for o in found), reverse=True)
    assert sum(math.exp(one.logprob) for one in found) <= 1 + 1e-9
    assert len({one.ids for one in found}) == len(found)
    for one in found:
        assert one.logprob == pytest.approx(
            logprob_of(decoder, prime, one.ids, memory), abs=1e-5
        )
    if search.complete:
        assert [one.ids for one in found] == [one.ids for one in best]
