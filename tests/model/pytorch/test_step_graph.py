"""The step graph: the texts of the stepper, and what happens where none can be captured."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.decoding.decoder import Decoder
from model.pytorch import step_graph as step_graph_module
from model.pytorch.step_graph import MAX_STEPS, StepGraph, step_graph
from model.pytorch.stepper import Stepper
from tests.devices.graphed import graphed_decoder
from tests.model.streams import Text, checkpoint, run_alone, run_at_random, texts


@given(batch=st.lists(texts(), min_size=1, max_size=9), seed=st.integers(0, 2**32))
@settings(max_examples=8, deadline=None)
def test_the_graphs_step_writes_what_the_stepper_writes(batch: list[Text], seed: int) -> None:
    """Without capture, so that it runs on any device. The last text is longer than the graph."""
    batch = [*batch, batch[0]._replace(length=MAX_STEPS + 20)]
    plain = Decoder(checkpoint, slots=5)
    graphed = graphed_decoder(checkpoint, 5, torch.device("cpu"))
    expected = [run_alone(plain, text) for text in batch]
    assert [run_alone(graphed, text) for text in batch] == expected
    assert run_at_random(graphed, [text.stream() for text in batch], Random(seed)) == expected


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


class FakeCuda:
    """Stands in for torch.cuda where there is no GPU: what is captured runs at once."""

    def __init__(self, patch: pytest.MonkeyPatch, replay: Callable[[], None]) -> None:
        self.options: dict[str, object] = {}
        self.stream = SimpleNamespace(wait_stream=lambda other: None)
        patch.setattr(torch.cuda, "Stream", lambda: self.stream)
        patch.setattr(torch.cuda, "current_stream", lambda: self.stream)
        patch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
        patch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=replay))
        patch.setattr(torch.cuda, "graph", self.graph)

    @contextmanager
    def graph(self, graph: object, **options: object) -> Iterator[None]:
        self.options = options
        yield


def uncaptured() -> StepGraph:
    stepper = Stepper(checkpoint.config, checkpoint.weights, "fp32", 3)
    state = torch.zeros(3, 2 * stepper.width)
    return StepGraph(stepper, state, state.clone())


def test_a_capture_spares_other_threads_and_leaves_a_state_of_zeros(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = uncaptured()
    cuda = FakeCuda(monkeypatch, graph._step)
    graph._capture()
    assert cuda.options == {"stream": cuda.stream, "capture_error_mode": "thread_local"}
    assert graph._hidden_SX.count_nonzero() == graph._cell_SX.count_nonzero() == 0


def test_a_graph_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = uncaptured()
    FakeCuda(monkeypatch, lambda: None)
    with pytest.raises(RuntimeError, match="different results"):
        graph._capture()
