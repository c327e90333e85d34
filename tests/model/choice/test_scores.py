"""Scores: the network's own distribution, and the probabilities after the filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.choice.sampling_params import SamplingParams
from model.choice.scores import ScoreRows, scores_of, with_alternatives
from model.decoding.decoder import Decoder
from model.decoding.decoder_stream import DecoderStream
from model.pytorch.network import CharLSTM
from model.pytorch.sampling import score_rows
from tests.model.streams import VOCABULARY, checkpoint

network = CharLSTM.of(checkpoint)
CPU = torch.device("cpu")


@given(st.integers(0, 1000), st.integers(0, 10), st.integers(1, 8))
@settings(max_examples=20, deadline=None)
def test_scores_describe_the_networks_own_distribution(
    seed: int, alternatives: int, length: int
) -> None:
    prime = np.array([1, 2, 3], dtype=np.int32)
    params = SamplingParams(temperature=1.7, top_k=4)
    decoder = Decoder(checkpoint, slots=2)
    beside = DecoderStream(prime[:1], 1000, SamplingParams(), 5)  # without scores
    stream = DecoderStream(prime, length, params, seed, alternatives)
    decoder.join(beside)
    decoder.join(stream)
    steps = decoder.advance(2 + length)
    assert steps.scores is not None
    scores = list(scores_of(steps.scores[2:, 1]))
    text = [*prime.tolist(), *steps.ids[2:, 1].tolist()]
    with torch.no_grad():
        logprobs = network(torch.tensor(text[:-1]).unsqueeze(1))[0][2:, 0].log_softmax(-1)
    for score, row, chosen in zip(scores, logprobs, text[3:], strict=True):
        assert score.logprob == pytest.approx(row[chosen].item(), abs=1e-4)
        assert score.entropy == pytest.approx(-(row.exp() * row).sum().item(), abs=1e-4)
        assert len(score.top) == alternatives
        likely = row.sort(descending=True)
        assert [one.logprob for one in score.top] == pytest.approx(
            likely.values[:alternatives].tolist(), abs=1e-4
        )
        if score.rank <= alternatives:
            assert score.top[score.rank - 1][1:] == (score.logprob, score.probability)
        kept = (likely.values[:4] / 1.7).softmax(0)
        index = likely.indices[:4].tolist().index(chosen)
        assert score.probability == pytest.approx(kept[index].item(), abs=1e-3)
        drawn = [*kept.tolist(), *[0] * VOCABULARY][:alternatives]
        assert [one.probability for one in score.top] == pytest.approx(drawn, abs=1e-3)


def test_a_text_is_scored_as_it_was_generated() -> None:
    prime = np.array([4], dtype=np.int32)
    decoder = Decoder(checkpoint, slots=1)
    first = DecoderStream(prime, 40, SamplingParams(), 3, alternatives=2)
    decoder.join(first)
    generated = decoder.advance(40)
    decoder.leave(first)
    whole = np.concatenate([prime, generated.ids[:, 0]]).astype(np.int32)
    scored = DecoderStream(whole, 0, SamplingParams(), 0, alternatives=2, prompt_length=1)
    assert scored.steps_left == 40
    decoder.join(scored)
    steps = decoder.advance(40)
    assert np.array_equal(steps.ids, generated.ids)
    assert generated.scores is not None
    assert steps.scores is not None
    np.testing.assert_array_equal(steps.scores[..., :3], generated.scores[..., :3])


def test_an_impossible_character_has_a_number_that_json_can_carry() -> None:
    logits = torch.tensor([[0.0, float("-inf"), -1e30]])
    for chosen in (0, 1, 2):
        rows = score_rows(logits, torch.tensor([chosen]), torch.zeros(1, 3), 3)
        assert torch.isfinite(rows).all()


@given(
    arrays(np.float64, st.tuples(st.integers(0, 4), st.integers(2, 8).map(lambda n: 3 * n + 1))),
    st.integers(0, 10),
)
def test_fewer_alternatives_are_the_most_likely_ones(rows: ScoreRows, alternatives: int) -> None:
    rows[:, 1] = 1
    rows[:, 4:] = np.arange(rows.shape[1] - 4)
    for score, fewer in zip(
        scores_of(rows), scores_of(with_alternatives(rows, alternatives)), strict=True
    ):
        np.testing.assert_array_equal(fewer[:4], score[:4])
        assert fewer.top == score.top[:alternatives]
