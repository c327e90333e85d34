"""A stream's text does not depend on the other streams, whether or not the step is a graph."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.choice.sampling_params import SamplingParams
from model.pytorch.sampling import SamplingRows, next_ids, sampling_probabilities
from tests.conftest import make_checkpoint
from tests.devices.graphed import graphed_decoder
from tests.model.streams import Text, checkpoint, run_alone, run_at_random, texts


@settings(max_examples=20, deadline=None)
@given(batch=st.lists(texts(memory=False), min_size=1, max_size=9), seed=st.integers(0, 2**32))
def test_a_text_is_the_same_alone_and_among_others(
    device: torch.device, batch: list[Text], seed: int
) -> None:
    """Some of the others are scored. Then the whole batch steps without the graph."""
    random = Random(seed)
    decoder = graphed_decoder(checkpoint, 5, device)
    expected = [run_alone(decoder, text) for text in batch]
    streams = [text.stream(random.choice([None, 2])) for text in batch]
    assert run_at_random(decoder, streams, random) == expected


def test_at_full_size_with_scores_of_others_the_texts_are_the_same(
    device: torch.device, caplog: pytest.LogCaptureFixture
) -> None:
    decoder = graphed_decoder(make_checkpoint(seed=5, hidden_size=512), 64, device)
    assert "depend on the other streams" not in caplog.text
    prime = np.array([1, 2, 3], dtype=np.int32)
    batch = [
        Text(prime[: 1 + seed % 3], 60, SamplingParams(top_k=None), seed) for seed in range(64)
    ]
    expected = [run_alone(decoder, text) for text in batch[:8]]
    for scored in (False, True):
        streams = [text.stream(3 if scored and text.seed % 2 else None) for text in batch]
        for stream in streams:
            decoder.join(stream)
        ids = np.concatenate([decoder.advance(20).ids for _ in range(3)])
        for stream in streams:
            decoder.leave(stream)
        for row, text in enumerate(batch[:8]):
            skip = len(text.prime) - 1
            assert ids[skip:, row].tolist() == expected[row].ids[: 60 - skip]


@pytest.mark.parametrize("vocabulary", [83, 2003])
def test_sampling_gives_a_row_the_same_bits_alone_and_among_others(
    device: torch.device, vocabulary: int
) -> None:
    generator = torch.Generator().manual_seed(vocabulary)
    logits_SV = (torch.randn(300, vocabulary, generator=generator) * 3).to(device)
    uniforms_S = torch.rand(300, generator=generator).to(device)
    kinds = [SamplingParams(top_k=None), SamplingParams(top_p=0.9), SamplingParams(min_p=0.02)]
    rows = SamplingRows.of([kinds[row % 3] for row in range(300)], vocabulary, device)
    ids_S = next_ids(logits_SV, uniforms_S, rows)
    probabilities_SV = sampling_probabilities(logits_SV, rows)
    for first, last in ((0, 1), (299, 300), (7, 9), (150, 214), (43, 300)):
        part, some = slice(first, last), rows.of_streams(slice(first, last))
        assert torch.equal(next_ids(logits_SV[part], uniforms_S[part], some), ids_S[part])
        alone_SV = sampling_probabilities(logits_SV[part], some)
        assert torch.equal(alone_SV, probabilities_SV[part])
