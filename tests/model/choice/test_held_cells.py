"""Held and read cells: every backend computes the LSTM, with some cell states set in each step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoints.network_config import NetworkConfig, Weights
from model.choice.held_cell import MAX_HELD_CELLS, HeldCell
from model.choice.read_cells import CellNumbers
from model.choice.sampling_params import SamplingParams
from model.decoding.backend import Backend, StepInput
from model.decoding.decoder import Decoder
from model.decoding.decoder_stream import DecoderStream
from model.errors import SamplingError
from model.native.backend import NativeBackend
from model.pytorch.backend import TorchBackend
from model.pytorch.network import CharLSTM
from tests.conftest import make_checkpoint
from tests.kernels import KERNELS, needs_kernel

Floats = npt.NDArray[np.float64]


def random_holds(random: np.random.Generator, config: NetworkConfig) -> tuple[HeldCell, ...]:
    """Up to 8 different cells of a network with random values."""
    cells = config.layers * config.hidden_size
    chosen = random.choice(cells, min(int(random.integers(0, MAX_HELD_CELLS + 1)), cells), False)
    layers, numbers = np.divmod(chosen, config.hidden_size)
    values = random.uniform(-8, 8, len(chosen))
    return tuple(map(HeldCell, layers.tolist(), numbers.tolist(), values.tolist()))


def random_cells(random: np.random.Generator, cells: int) -> CellNumbers:
    """Up to 12 cells of a network, or none. A cell may occur more than once."""
    return random.integers(0, cells, random.integers(0, 13)).astype(np.int32)


def sigmoid(x: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-x))
    return result


def reference(
    config: NetworkConfig, weights: Weights, ids: list[int], holds: list[tuple[HeldCell, ...]]
) -> tuple[Floats, Floats]:
    """The equations of the LSTM in float64, step by step, with the cells that each step holds.

    Returns:
        the cell states after each step, (steps, layers, hidden size), and the last logits.
    """
    cells_kLC: list[Floats] = []
    cell, hidden = np.zeros((2, config.layers, config.hidden_size))
    for character, held in zip(ids, holds, strict=True):
        below = np.eye(config.vocabulary_size)[character]
        for layer in range(config.layers):
            gates = weights[f"lstm.weight_ih_l{layer}"] @ below
            gates = gates + weights[f"lstm.weight_hh_l{layer}"] @ hidden[layer]
            gates += weights[f"lstm.bias_ih_l{layer}"] + weights[f"lstm.bias_hh_l{layer}"]
            input_gate, forget_gate, cell_gate, output_gate = np.split(gates, 4)
            cell[layer] *= sigmoid(forget_gate)
            cell[layer] += sigmoid(input_gate) * np.tanh(cell_gate)
            for one in held:
                if one.layer == layer:
                    cell[layer, one.cell] = one.value
            hidden[layer] = sigmoid(output_gate) * np.tanh(cell[layer])
            below = hidden[layer]
        cells_kLC.append(cell.copy())
    return np.array(cells_kLC), weights["output.weight"] @ below + weights["output.bias"]


@settings(max_examples=40)
@given(
    layers=st.integers(1, 4),
    hidden=st.integers(1, 300),
    streams=st.integers(1, 7),
    seed=st.integers(0, 1000),
)
def test_backends_compute_and_read_the_lstm_with_held_cells(
    layers: int, hidden: int, streams: int, seed: int
) -> None:
    """In fp32 to rounding, in int8 within the error that quantization makes without holds."""
    held = bool(seed % 3)  # otherwise the backends get no arrays of holds
    torch.manual_seed(seed)
    random, steps = np.random.default_rng(seed), 6
    config = NetworkConfig(20, hidden, layers)
    weights = CharLSTM(config).weights()
    ids = random.integers(0, 20, (steps + 1, streams))
    prompts = random.integers(0, steps, streams)
    sampling = [
        SamplingParams(hold=random_holds(random, config) if held else ()) for _ in range(streams)
    ]
    cells = [random_cells(random, layers * hidden) for _ in range(streams)]
    alternatives = [20 if random.integers(2) else None for _ in range(streams)]
    backends: list[tuple[Backend, float]] = [(TorchBackend(config, weights, streams, "fp32"), 1e-4)]
    if KERNELS:
        backends.append((NativeBackend(config, weights, streams, KERNELS[0]), 0.05))
    inputs = StepInput(
        0, ids[0], ids[1:], np.zeros((steps, streams), np.float32), prompts, alternatives, cells
    )
    for backend, tolerance in backends:
        backend.sample_with(sampling)
        result = backend.step(inputs)
        assert len(result.cells) == (streams if any(map(len, cells)) else 0)
        for row, params in enumerate(sampling):
            holds = [params.hold if step >= prompts[row] else () for step in range(steps)]
            cells_kLC, logits = reference(config, weights, ids[:-1, row].tolist(), holds)
            actual = np.array(backend.state(row).cell.tolist()).reshape(layers, -1)[:, :hidden]
            np.testing.assert_allclose(np.tanh(actual), np.tanh(cells_kLC[-1]), atol=tolerance)
            if result.cells:
                expected = np.tanh(cells_kLC).reshape(steps, -1)[:, cells[row]]
                np.testing.assert_allclose(result.cells[row], expected, atol=tolerance)
            for hold in params.hold:
                assert actual[hold.layer, hold.cell] == np.float32(hold.value)
            if alternatives[row] is not None:
                assert result.scores is not None
                logprob = (logits - np.log(np.exp(logits).sum()))[ids[-1, row]]
                assert result.scores[-1, row, 0] == pytest.approx(logprob, abs=tolerance)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("int8", marks=needs_kernel)])
def test_a_hold_begins_with_the_step_that_draws_the_first_character(precision: str) -> None:
    decoder = Decoder(make_checkpoint(), 1, precision=precision)  # type: ignore[arg-type]
    prime = np.array([1, 2, 3], np.int32)
    held = SamplingParams(hold=(HeldCell(1, 3, 2.0),))
    stream, free = DecoderStream(prime, 5, held, 1), DecoderStream(prime, 5, SamplingParams(), 1)
    decoder.join(stream)
    decoder.advance(2)
    decoder.leave(stream)
    decoder.join(free)
    decoder.advance(2)
    decoder.leave(free)
    assert stream.state is not None
    assert free.state is not None
    assert stream.state.cell.tolist() == free.state.cell.tolist()
    decoder.join(stream)
    decoder.advance(1)
    decoder.leave(stream)
    assert np.array(stream.state.cell.tolist()).reshape(2, -1)[1, 3] == 2.0


@pytest.mark.parametrize(("layer", "cell"), [(2, 0), (0, 32)])
def test_a_decoder_refuses_cells_that_its_network_does_not_have(layer: int, cell: int) -> None:
    held = SamplingParams(hold=(HeldCell(layer, cell, 0.0),))
    with pytest.raises(ValueError, match=f"no layer {layer} with a cell {cell}"):
        Decoder(make_checkpoint(), 1).join(DecoderStream(np.zeros(1, np.int32), 5, held, 1))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((-1, 0, 1.0), "at least 0, got -1 and 0"),
        ((0, -1, 1.0), "at least 0, got 0 and -1"),
        ((0, 0, 8.1), "-8..8, got 8.1"),
        ((0, 0, float("nan")), "-8..8, got nan"),
    ],
)
def test_a_number_out_of_range_is_named(numbers: tuple[int, int, float], message: str) -> None:
    with pytest.raises(SamplingError, match=message):
        HeldCell(*numbers)


def test_a_stream_holds_at_most_eight_different_cells() -> None:
    cells = tuple(HeldCell(1, number, 1.0) for number in range(9))
    with pytest.raises(SamplingError, match="at most 8 cells, got 9"):
        SamplingParams(hold=cells)
    with pytest.raises(SamplingError, match="layer 1, cell 2 twice"):
        SamplingParams(hold=(*cells[:3], HeldCell(1, 2, -1.0)))
