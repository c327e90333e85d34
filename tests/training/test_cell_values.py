"""The values of cells while a network reads: those of PyTorch's LSTM."""

from __future__ import annotations

import pytest
import torch

from model.checkpoints.network_config import NetworkConfig
from model.pytorch.network import CharLSTM
from training.cell_values import read_cells


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("embedding_size", [None, 3])
def test_the_values_are_those_of_pytorchs_lstm(layers: int, embedding_size: int | None) -> None:
    """PyTorch's LSTM returns cell states at its end only, so it reads one character per call."""
    torch.manual_seed(layers)
    network = CharLSTM(NetworkConfig(9, 6, layers, embedding_size, dropout=0.5))
    ids_TB = torch.randint(9, (20, 3))
    values_TBLH, _ = read_cells(network, ids_TB, network.zero_state(3))
    state = network.eval().zero_state(3)
    for ids_B, values_BLH in zip(ids_TB, values_TBLH, strict=True):
        with torch.no_grad():
            state = network(ids_B[None], state)[1]
        assert torch.allclose(values_BLH, state[1].tanh().transpose(0, 1), atol=1e-5)


def test_reading_in_pieces_changes_nothing() -> None:
    network = CharLSTM(NetworkConfig(9, 6, 2))
    ids_TB = torch.randint(9, (20, 2))
    whole, end = read_cells(network.train(), ids_TB, network.zero_state(2))
    first, state = read_cells(network, ids_TB[:7], network.zero_state(2))
    second, state = read_cells(network, ids_TB[7:], state)
    assert torch.equal(whole, torch.cat([first, second]))
    assert all(torch.equal(a, b) for a, b in zip(end, state, strict=True))
    assert network.training
    assert not whole.requires_grad
