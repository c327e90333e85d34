"""Decoders: every backend computes what the network does, with any streams in its batch."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.choice.sampling_params import SamplingParams
from model.decoding.backend import Precision
from model.decoding.decoder import Decoder
from model.decoding.decoder_stream import DecoderStream
from model.errors import DeviceError
from model.pytorch.network import CharLSTM
from model.text.vocabulary import Vocabulary
from tests.conftest import make_checkpoint
from tests.model.streams import (
    PRECISIONS,
    VOCABULARY,
    WAYS,
    Text,
    Way,
    checkpoint,
    logprobs,
    make_decoder,
    network_logprobs,
    run_alone,
    run_at_random,
    texts,
)


@pytest.mark.parametrize("way", WAYS)
def test_it_predicts_what_the_network_predicts(way: Way, tiny: Checkpoint) -> None:
    ids = np.arange(VOCABULARY, dtype=np.int32)
    expected = network_logprobs(tiny, ids)
    found = logprobs(make_decoder(tiny, 1, way), ids)
    tolerance = 1e-5 if way[0] == "fp32" else 0.05
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=40, deadline=None)
@given(
    batch=st.lists(texts(read_cells=True), min_size=1, max_size=12),
    slots=st.integers(1, 8),
    seed=st.integers(0, 2**32),
)
def test_texts_and_cells_do_not_depend_on_neighbours(
    way: Way, batch: list[Text], slots: int, seed: int
) -> None:
    """Bit for bit. Some of the streams are scored."""
    random = Random(seed)
    decoder = make_decoder(checkpoint, slots, way)
    expected = [run_alone(decoder, text) for text in batch]
    streams = [text.stream(random.choice([None, None, 2])) for text in batch]
    assert run_at_random(decoder, streams, random) == expected


@pytest.mark.parametrize("way", WAYS)
def test_a_text_is_the_same_alone_and_among_63_others_at_full_size(way: Way) -> None:
    model = make_checkpoint(seed=5, hidden_size=512)
    decoder = make_decoder(model, 64, way)
    prime = np.array([1, 2, 3], dtype=np.int32)
    batch = [
        Text(prime[: 1 + seed % 3], 40, SamplingParams(top_k=None), seed) for seed in range(64)
    ]
    expected = [run_alone(decoder, text) for text in batch[:8]]
    for text in batch:
        decoder.join(text.stream())
    ids = decoder.advance(40).ids
    for row in range(8):
        skip = len(batch[row].prime) - 1
        assert ids[skip:, row].tolist() == expected[row].ids[: 40 - skip]


def test_the_same_seed_gives_the_same_text_and_another_seed_another() -> None:
    decoder = Decoder(checkpoint, slots=2)
    prime = np.array([4, 5], dtype=np.int32)
    texts = [decoder.generate(prime, 60, SamplingParams(), seed).tolist() for seed in (1, 1, 2)]
    assert len(texts[0]) == 60
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_without_torchscript_the_texts_are_the_same(
    precision: Precision, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(module: object) -> None:
        raise RuntimeError("not supported on this Python\nand more")

    batch = [
        Text(np.array([1, 2], dtype=np.int32), 30, SamplingParams(), seed) for seed in range(3)
    ]
    compiled = make_decoder(checkpoint, 1, (precision, "torch", 1))
    monkeypatch.setattr(torch.jit, "script", refuse)
    plain = make_decoder(checkpoint, 1, (precision, "torch", 1))
    assert caplog.messages == [
        "TorchScript is not available, so steps are slower: not supported on this Python"
    ]
    for text in batch:
        assert run_alone(plain, text) == run_alone(compiled, text)


@pytest.mark.parametrize("way", WAYS)
def test_the_unknown_character_is_read_and_never_written(way: Way) -> None:
    """Even if it is by far the most likely one."""
    vocabulary = Vocabulary.from_text("ab" * 5 + "xyz", min_count=2)
    config = NetworkConfig(len(vocabulary), hidden_size=8)
    weights = CharLSTM(config).weights()
    assert vocabulary.unknown_id is not None
    weights["output.bias"][vocabulary.unknown_id] = 50.0
    decoder = make_decoder(Checkpoint(config, vocabulary, weights), 1, way)
    prime = vocabulary.encode("a\ufffdb")
    for params in (SamplingParams(), SamplingParams(temperature=0), SamplingParams(100.0, None)):
        assert set(vocabulary.decode(decoder.generate(prime, 200, params, seed=1))) <= {"a", "b"}


def test_a_full_decoder_takes_no_more() -> None:
    decoder = Decoder(checkpoint, slots=1)
    prime = np.array([1], dtype=np.int32)
    decoder.join(DecoderStream(prime, 1, SamplingParams(), 0))
    with pytest.raises(ValueError, match="1 slots"):
        decoder.join(DecoderStream(prime, 1, SamplingParams(), 0))


def test_a_prime_with_ids_outside_the_vocabulary_is_refused() -> None:
    decoder = Decoder(checkpoint, slots=1)
    for ids in ([-1], [0, VOCABULARY]):
        with pytest.raises(ValueError, match=f"0..{VOCABULARY - 1}"):
            decoder.join(DecoderStream(np.array(ids, np.int32), 1, SamplingParams(), 0))


def test_an_unknown_kernel_is_refused_by_name() -> None:
    with pytest.raises(DeviceError, match="'abacus' is not available"):
        Decoder(checkpoint, slots=1, precision="int8", kernel="abacus")


def test_a_stream_needs_a_first_character() -> None:
    with pytest.raises(ValueError, match="at least one id"):
        DecoderStream(np.array([], dtype=np.int32), 1, SamplingParams(), 0)
