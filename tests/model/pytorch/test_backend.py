"""A stream computed by torch has the same bits alone and among others, wherever its row is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.network_config import NetworkConfig
from model.choice.sampling_params import SamplingParams
from model.decoding.backend import DecoderState, Precision, StepInput
from model.pytorch.backend import TorchBackend
from model.pytorch.linear import int8_is_available
from model.pytorch.network import CharLSTM

CPU = torch.device("cpu")
PRECISIONS: list[Precision] = ["fp32", "int8"] if int8_is_available(CPU) else ["fp32"]
VOCABULARY = 83


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_backend(hidden: int, layers: int, slots: int, precision: Precision) -> TorchBackend:
    torch.manual_seed(hidden)
    network = CharLSTM(NetworkConfig(VOCABULARY, hidden, layers))
    weights = {name: 2 * tensor for name, tensor in network.weights().items()}
    return TorchBackend(network.config, weights, slots, precision)


def step(
    backend: TorchBackend, ids_S: np.ndarray[tuple[int], np.dtype[np.int64]], first: int, steps: int
) -> list[tuple[list[int], DecoderState, list[float]]]:
    """Each stream's ids, state and scores after some steps from a state of zeros."""
    streams = len(ids_S)
    for slot in range(first, first + streams):
        backend.put(slot, None)
    params = SamplingParams(top_k=None)
    backend.sample_with([params] * (first + streams))
    uniforms = np.repeat(np.float32(ids_S[None] + 0.5) / VOCABULARY, steps, axis=0)
    forced = np.full((steps, streams), -1)
    inputs = StepInput(first, ids_S, forced, uniforms, np.zeros(streams, np.int64), [3] * streams)
    result = backend.step(inputs)
    assert result.scores is not None
    return [
        (
            result.ids[:, stream].tolist(),
            backend.state(first + stream),
            result.scores[:, stream].ravel().tolist(),
        )
        for stream in range(streams)
    ]


@pytest.mark.parametrize("precision", PRECISIONS)
@settings(max_examples=15, deadline=None)
@given(
    hidden=st.integers(1, 300) | st.sampled_from([32, 96, 160, 256, 480, 512]),
    layers=st.integers(1, 3),
    streams=st.integers(1, 64) | st.integers(50, 64),
    thread_count=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_a_stream_has_the_same_bits_alone_and_among_others(
    precision: Precision, hidden: int, layers: int, streams: int, thread_count: int, seed: int
) -> None:
    backend = make_backend(hidden, layers, streams, precision)
    with threads(thread_count):
        random = np.random.default_rng(seed)
        ids_S = random.integers(0, VOCABULARY, streams)
        together = step(backend, ids_S, 0, 4)
        for stream in {0, streams - 1, *random.integers(0, streams, 3).tolist()}:
            slot = int(random.integers(0, streams))
            ((ids, state, scores),) = step(backend, ids_S[stream : stream + 1], slot, 4)
            assert ids == together[stream][0]
            assert torch.equal(state.hidden, together[stream][1].hidden)
            assert torch.equal(state.cell, together[stream][1].cell)
            assert scores == together[stream][2]


def test_a_step_whose_rows_depend_on_each_other_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def depend_on_the_rows(values_SN: torch.Tensor) -> torch.Tensor:
        return values_SN * (1 + 1e-6) if len(values_SN) < 4 else values_SN

    step_once = TorchBackend._step_once
    make_backend(16, 2, 8, "fp32")
    assert "depend on the other streams" not in caplog.text
    monkeypatch.setattr(
        TorchBackend, "_step_once", lambda *arguments: depend_on_the_rows(step_once(*arguments))
    )
    make_backend(16, 2, 8, "fp32")
    assert "depend on the other streams" in caplog.text


@pytest.mark.parametrize("precision", PRECISIONS)
def test_padding_does_not_change_what_the_network_computes(precision: Precision) -> None:
    """The padded units stay zero, and the logits are those of `CharLSTM`."""
    torch.manual_seed(0)
    network = CharLSTM(NetworkConfig(VOCABULARY, 19, 3, embedding_size=7)).eval()
    backend = TorchBackend(network.config, network.weights(), 2, precision)
    ids = np.arange(40) % VOCABULARY
    uniforms = np.zeros((39, 1), np.float32)
    inputs = StepInput(0, ids[:1], ids[1:, None], uniforms, np.zeros(1, np.int64), [0])
    scores = backend.step(inputs).scores
    assert scores is not None
    with torch.no_grad():
        logprobs = network(torch.from_numpy(ids)[:-1, None])[0][:, 0].log_softmax(1)
    expected = logprobs.gather(1, torch.from_numpy(ids)[1:, None])[:, 0].double()
    tolerance = 1e-5 if precision == "fp32" else 0.05
    torch.testing.assert_close(
        torch.from_numpy(scores[:, 0, 0]), expected, atol=tolerance, rtol=tolerance
    )
    for values in (backend.state(0).hidden, backend.state(0).cell):
        assert values.view(3, -1)[:, 19:].count_nonzero() == 0


def test_a_limit_lets_fewer_of_torchs_threads_compute() -> None:
    config = NetworkConfig(20, 32, 1)
    with threads(1):  # restores the number at the end
        backend = TorchBackend(config, CharLSTM(config).weights(), 1, "fp32", threads=2)
        for limit, used in ((0, 1), (1, 1), (2, 2), (9, 2)):
            backend.limit_threads(limit)
            assert torch.get_num_threads() == used
