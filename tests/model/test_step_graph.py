from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model import step_graph as step_graph_module
from model import torch_backend as torch_backend_module
from model.decoder import Decoder
from model.sampling import SamplingParams
from model.step_graph import StepGraph, step_graph
from model.stepper import Stepper
from tests.model.test_decoder import Text, checkpoint, reference, run_alone, texts

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")


def run_together(decoder: Decoder, batch: list[Text]) -> list[list[int]]:
    """The ids of each text. All streams advance together, 7 steps at a time."""
    streams = [text.stream() for text in batch]
    generated: list[list[int]] = [[] for _ in batch]
    for stream in streams:
        decoder.join(stream)
    while decoder.streams:
        steps = min(7, *(stream.steps_left for stream in decoder.streams))
        running, forced = list(decoder.streams), [s.prompt_steps_left for s in decoder.streams]
        ids_kS = decoder.advance(steps).ids
        for row, stream in enumerate(running):
            generated[streams.index(stream)] += ids_kS[forced[row] :, row].tolist()
            if stream.steps_left == 0:
                decoder.leave(stream)
    return generated


@given(st.lists(texts(), min_size=1, max_size=5))
@settings(max_examples=20, deadline=None)
def test_the_graphs_step_writes_what_the_stepper_writes(batch: list[Text]) -> None:
    """Without capture, so that it runs on any device."""
    plain = Decoder(checkpoint, slots=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_backend_module, "step_graph", StepGraph)
        graphed = Decoder(checkpoint, slots=5)
    assert graphed.kernel == "torch, CUDA graph"
    expected = [run_alone(plain, text) for text in batch]
    assert run_together(graphed, batch) == expected
    assert [run_alone(graphed, text) for text in batch] == expected


def test_calls_with_more_steps_than_the_graph_has_run_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = Text(checkpoint.vocabulary.encode("a"), 300, SamplingParams(), 5)
    expected = run_alone(Decoder(checkpoint, slots=2), text)
    monkeypatch.setattr(torch_backend_module, "step_graph", StepGraph)
    assert run_alone(Decoder(checkpoint, slots=2), text) == expected


def test_a_device_without_graphs_has_none() -> None:
    state = torch.zeros(2, 64)
    stepper = Stepper(checkpoint.config, checkpoint.weights, "fp32")
    assert step_graph(stepper, state, state.clone()) is None


def test_without_a_graph_the_stepper_is_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> StepGraph:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(step_graph_module, "StepGraph", refuse)
    stepper = Stepper(checkpoint.config, checkpoint.weights, "fp32")
    state = SimpleNamespace(device=torch.device("cuda"))  # the only attribute that is read
    with caplog.at_level(logging.WARNING, logger="charstream"):
        assert step_graph(stepper, cast("Tensor", state), cast("Tensor", state)) is None
    expected = "a CUDA graph is not available, so steps are slower: operation not permitted"
    assert expected in caplog.text


@pytest.mark.gpu
@needs_gpu
@given(st.lists(texts(), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_on_a_gpu_texts_do_not_depend_on_their_neighbours(batch: list[Text]) -> None:
    decoder = Decoder(checkpoint, slots=8, device=torch.device("cuda"))
    assert decoder.kernel == "torch, CUDA graph"
    alone = [run_alone(decoder, text) for text in batch]
    assert run_together(decoder, batch) == alone


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_the_graph_writes_what_the_network_computes() -> None:
    decoder = Decoder(checkpoint, slots=4, device=torch.device("cuda"))
    text = Text(checkpoint.vocabulary.encode("ab"), 20, SamplingParams(), 5)
    assert run_alone(decoder, text) == reference(checkpoint, text)
