"""The graph computes what the same steps compute without it, bit for bit."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.choice.sampling_params import SamplingParams
from model.decoding.backend import StepInput, StepOutput
from model.decoding.decoder import Decoder
from model.pytorch.backend import TorchBackend
from tests.conftest import make_checkpoint
from tests.devices.graphed import graphed_backend, graphed_decoder
from tests.model.streams import Text, advance, checkpoint, reference, run_alone, texts

_STEPS, _STREAMS, _SLOTS = 50, 6, 16


def step(backend: TorchBackend, vocabulary: int) -> StepOutput:
    """Take 50 steps from a state of zeros: every stream has a prompt of another length."""
    random = np.random.default_rng(1)
    forced_ids_kS = np.full((_STEPS, _STREAMS), -1, dtype=np.int64)
    for stream in range(_STREAMS):
        forced_ids_kS[: 3 * stream, stream] = random.integers(0, vocabulary, 3 * stream)
        backend.put(stream, None)
    backend.sample_with([SamplingParams(top_p=0.95), SamplingParams(top_k=None)] * 3)
    return backend.step(
        StepInput(
            first=0,
            last_ids_S=random.integers(0, vocabulary, _STREAMS),
            forced_ids_kS=forced_ids_kS,
            uniforms_kS=random.random((_STEPS, _STREAMS), dtype=np.float32),
            prompt_steps_S=np.zeros(_STREAMS, dtype=np.int64),
            alternatives=[None] * _STREAMS,
        )
    )


def test_a_graph_and_eager_steps_give_the_same_ids_and_states(device: torch.device) -> None:
    model = make_checkpoint(seed=5, hidden_size=512)
    graphed, eager = (graphed_backend(model, _SLOTS, device) for _ in range(2))
    eager.graph = None
    outputs = [step(backend, model.config.vocabulary_size) for backend in (graphed, eager)]
    assert outputs[0].ids.tolist() == outputs[1].ids.tolist()
    for stream in range(_STREAMS):
        states = graphed.state(stream), eager.state(stream)
        assert torch.equal(states[0].hidden, states[1].hidden)
        assert torch.equal(states[0].cell, states[1].cell)


def test_the_product_captures_a_graph_on_a_gpu(device: torch.device) -> None:
    kernel = Decoder(checkpoint, 4, str(device)).kernel
    assert kernel == ("torch, CUDA graph" if device.type == "cuda" else "torch")


@settings(max_examples=10, deadline=None)
@given(batch=st.lists(texts(memory=False), min_size=2, max_size=5))
def test_a_state_from_the_graph_continues_without_it_and_back(
    device: torch.device, batch: list[Text]
) -> None:
    decoder = graphed_decoder(checkpoint, 5, device)
    expected = [run_alone(decoder, text) for text in batch]
    for text, alone in zip(batch, expected, strict=True):
        decoder.join(stream := text.stream())
        generated: list[int] = []
        while stream.steps_left:
            stream.alternatives = None if stream.alternatives else 1  # a scored step is eager
            (written,) = advance(decoder, min(3, stream.steps_left))
            generated += written.ids
        decoder.leave(stream)
        assert generated == alone.ids


def test_the_graph_writes_what_the_network_computes(device: torch.device) -> None:
    decoder = graphed_decoder(checkpoint, 4, device)
    text = Text(checkpoint.vocabulary.encode("ab"), 20, SamplingParams(), 5)
    assert run_alone(decoder, text).ids == reference(checkpoint, text)
