"""In fp32 a device computes what the network computes on the CPU, except for the last bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from model.choice.sampling_params import SamplingParams
from model.decoding.decoder import Decoder
from model.pytorch.network import CharLSTM
from tests.conftest import SHIPPED, make_checkpoint
from tests.model.streams import Text, logprobs, network_logprobs, reference, run_alone
from training.evaluation import estimate, evaluate, evaluate_full_text


@pytest.fixture(scope="module")
def shipped_model() -> Checkpoint:
    return load_checkpoint(SHIPPED)


def test_scores_are_those_of_the_network(device: torch.device, shipped_model: Checkpoint) -> None:
    prime = shipped_model.vocabulary.encode("Happy families are all alike; every unhappy family")
    expected = network_logprobs(shipped_model, prime)
    found = logprobs(Decoder(shipped_model, 3, str(device)), prime)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("embedding", [None, 8])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_texts_are_those_of_the_network(
    device: torch.device, layers: int, embedding: int | None
) -> None:
    sizes = {"layers": layers} | ({"embedding_size": embedding} if embedding else {})
    model = make_checkpoint(seed=3, **sizes)
    decoder = Decoder(model, 4, str(device))
    for seed in range(5):
        text = Text(np.arange(1, 2 + 3 * seed, dtype=np.int32), 30, SamplingParams(), seed)
        assert run_alone(decoder, text).ids == reference(model, text)


def test_evaluations_agree(device: torch.device, tiny: Checkpoint) -> None:
    ids = np.random.default_rng(0).integers(0, len(tiny.vocabulary), 3000, dtype=np.int32)
    network = CharLSTM.of(tiny)
    expected = evaluate(network, ids).nats_per_character
    full = evaluate_full_text(tiny, ids, device).nats_per_character
    assert full == pytest.approx(expected, abs=1e-4)
    estimated = estimate(CharLSTM.of(tiny).to(device), ids).nats_per_character
    assert estimated == pytest.approx(estimate(network, ids).nats_per_character, abs=1e-2)
