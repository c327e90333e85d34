"""Read cells: the values that a decoder returns are those of the LSTM, bit for bit in any batch."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.network_config import NetworkConfig
from model.choice.read_cells import NO_CELLS, CellNumbers, CellValues, ReadCellColumns
from model.choice.sampling_params import SamplingParams
from model.decoding.backend import Backend, StepInput
from model.decoding.decoder import Decoder, DecoderStream
from model.native.backend import NativeBackend
from model.pytorch.backend import TorchBackend
from model.pytorch.network import CharLSTM
from tests.kernels import KERNELS
from tests.model.choice.test_held_cells import reference
from tests.model.streams import VOCABULARY, WAYS, Way, checkpoint, make_decoder

CELLS = checkpoint.config.layers * checkpoint.config.hidden_size


def random_cells(random: np.random.Generator, cells: int) -> CellNumbers:
    """Up to 12 cells of a network, or none. A cell may occur more than once."""
    return random.integers(0, cells, random.integers(0, 13)).astype(np.int32)


@settings(max_examples=40)
@given(
    layers=st.integers(1, 4),
    hidden=st.integers(1, 150),
    streams=st.integers(1, 7),
    seed=st.integers(0, 1000),
)
def test_backends_return_the_cells_of_the_lstm(
    layers: int, hidden: int, streams: int, seed: int
) -> None:
    """In fp32 to rounding, in int8 within the error of quantization."""
    torch.manual_seed(seed)
    random, steps = np.random.default_rng(seed), 6
    config = NetworkConfig(20, hidden, layers)
    weights = CharLSTM(config).weights()
    ids = random.integers(0, 20, (steps + 1, streams))
    cells = [random_cells(random, layers * hidden) for _ in range(streams)]
    alternatives = [None if random.random() < 0.5 else 3 for _ in range(streams)]
    inputs = StepInput(
        first=0,
        last_ids_S=ids[0],
        forced_ids_kS=ids[1:],
        uniforms_kS=np.zeros((steps, streams), np.float32),
        prompt_steps_S=random.integers(0, steps, streams),
        alternatives=alternatives,
        cells=cells,
    )
    backends: list[tuple[Backend, float]] = [(TorchBackend(config, weights, streams, "fp32"), 1e-4)]
    if KERNELS:
        backends.append((NativeBackend(config, weights, streams, KERNELS[0]), 0.05))
    for backend, tolerance in backends:
        backend.sample_with([SamplingParams()] * streams)
        values = backend.step(inputs).cells
        assert len(values) == (streams if any(map(len, cells)) else 0)
        for row, values_kC in enumerate(values):
            expected = [
                np.tanh(reference(config, weights, ids[:read, row].tolist(), [()] * read)[0])
                for read in range(1, steps + 1)
            ]
            expected_kC = np.reshape(expected, (steps, -1))[:, cells[row]]
            np.testing.assert_allclose(values_kC, expected_kC, atol=tolerance)


class Reader:
    """A stream that reads a text, and the values of its cells so far."""

    def __init__(self, random: np.random.Generator) -> None:
        text = random.integers(0, VOCABULARY, random.integers(2, 40)).astype(np.int32)
        prompt_length = int(random.integers(1, len(text)))
        cells = random_cells(random, CELLS)
        alternatives = None if random.random() < 0.7 else 2
        self.stream = DecoderStream(
            text, 0, SamplingParams(), 0, alternatives, prompt_length, cells
        )
        self.values: list[CellValues] = []

    def all_values(self) -> CellValues:
        return np.concatenate([np.empty((0, len(self.stream.cells)), np.float32), *self.values])


def advance(decoder: Decoder, readers: list[Reader], steps: int, first: int = 0) -> None:
    skips = [stream.prompt_steps_left for stream in decoder.streams[first:]]
    values = decoder.advance(steps, first).cells
    by_stream = {reader.stream: reader for reader in readers}
    for row, stream in enumerate(decoder.streams[first:]):
        if len(stream.cells) and skips[row] < steps:
            by_stream[stream].values.append(values[row][skips[row] :])


def read_alone(model: Checkpoint, way: Way, seed: int) -> CellValues:
    reader, decoder = Reader(np.random.default_rng(seed)), make_decoder(model, 1, way)
    decoder.join(reader.stream)
    advance(decoder, [reader], reader.stream.steps_left)
    return reader.all_values()


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 12), slots=st.integers(1, 8))
def test_values_have_the_same_bits_alone_and_in_any_batch(
    way: Way, seed: int, count: int, slots: int
) -> None:
    random = Random(seed)
    readers = [Reader(np.random.default_rng(seed + n)) for n in range(count)]
    decoder, waiting = make_decoder(checkpoint, slots, way), [r.stream for r in readers]
    while waiting or decoder.streams:
        while waiting and len(decoder.streams) < slots:
            decoder.join(waiting.pop())
        first = random.choice([0, random.randrange(len(decoder.streams))])
        limit = min(stream.steps_left for stream in decoder.streams[first:])
        advance(decoder, readers, random.randint(1, limit), first)
        for stream in list(decoder.streams):
            if stream.steps_left == 0:
                decoder.leave(stream)
            elif random.random() < 0.1:
                decoder.leave(stream)
                waiting.insert(0, stream)
    for number, reader in enumerate(readers):
        alone = read_alone(checkpoint, way, seed + number)
        if len(reader.stream.cells):
            assert reader.all_values().tobytes() == alone.tobytes()


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_reads_cells_draws_the_same_text(way: Way) -> None:
    prime, cells = np.array([1, 2], np.int32), np.arange(CELLS, dtype=np.int32)
    texts = []
    for some in (NO_CELLS, cells):
        decoder = make_decoder(checkpoint, 1, way)
        decoder.join(DecoderStream(prime, 30, SamplingParams(), 4, cells=some))
        texts.append(decoder.advance(31).ids.tolist())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("number", [-1, CELLS])
def test_a_decoder_refuses_to_read_a_cell_that_its_network_does_not_have(number: int) -> None:
    cells = np.array([0, number], np.int32)
    with pytest.raises(ValueError, match=f"must be in 0..{CELLS - 1}"):
        Decoder(checkpoint, 1).join(
            DecoderStream(np.zeros(1, np.int32), 5, SamplingParams(), 1, cells=cells)
        )


@given(
    arrays(np.float32, (3, 70), elements=st.floats(-20, 20, width=32)),
    st.integers(0, 70),
    st.integers(0, 70),
)
def test_a_value_does_not_depend_on_its_place_in_an_array(
    states: CellValues, begin: int, end: int
) -> None:
    begin, end = sorted((begin, end))
    some = np.arange(begin, end, dtype=np.int32)
    columns = ReadCellColumns(np.array([0, 70], np.int32), np.arange(70, dtype=np.int32))
    part = ReadCellColumns(np.array([0, len(some)], np.int32), some)
    (whole,), (values,) = columns.values(states), part.values(states[:, begin:end].copy())
    assert whole[:, begin:end].tobytes() == values.tobytes()
