"""Cell values: what the cells of a network hold while it reads texts.

Shape letters: T steps, B texts, V vocabulary, H hidden, L layers, G = 4H gate rows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from model.pytorch.lstm_layer import State
from model.pytorch.network import CharLSTM


@torch.no_grad()
def read_cells(network: CharLSTM, ids_TB: Tensor, state: State) -> tuple[Tensor, State]:
    """Read texts, and return the value of every cell after each character.

    `nn.LSTM` returns the hidden values only, so this computes its equations itself.

    Args:
        network: the network. Dropout does not apply.
        ids_TB: character ids, int64, on any device.
        state: hidden and cell values before the first character, (L, B, H) each.

    Returns:
        tanh of the cell state (T, B, L, H), and the state at the end.
    """
    ends: list[State] = []
    values: list[Tensor] = []
    layers = network.lstm.all_weights
    gates_TBG = _input_gates(network, ids_TB.to(network.output.weight.device))
    for layer, (_, weight_hh, bias_ih, bias_hh) in enumerate(layers):
        before = (state[0][layer], state[1][layer])
        hidden_TBH, values_TBH, end = _read_layer(gates_TBG + bias_ih + bias_hh, weight_hh, before)
        values.append(values_TBH)
        ends.append(end)
        if layer + 1 < len(layers):
            gates_TBG = F.linear(hidden_TBH, layers[layer + 1][0])
    hidden, cell = zip(*ends, strict=True)
    return torch.stack(values, dim=2), (torch.stack(hidden), torch.stack(cell))


def _input_gates(network: CharLSTM, ids_TB: Tensor) -> Tensor:
    """Return what the characters add to the gates of layer 0, (T, B, G)."""
    table_VG = network.lstm.all_weights[0][0].T
    if network.config.embedding_size is not None:
        table_VG = network.embedding.weight @ table_VG
    return F.embedding(ids_TB, table_VG)


def _read_layer(gates_TBG: Tensor, weight_GH: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
    """Return a layer's hidden values and tanh of its cell state, (T, B, H) each, and its end."""
    hidden_BH, cell_BH = state
    hidden, values = [], []
    for gates_BG in gates_TBG:
        gates = torch.addmm(gates_BG, hidden_BH, weight_GH.T)
        input_BH, forget_BH, candidate_BH, output_BH = gates.chunk(4, dim=1)
        cell_BH = forget_BH.sigmoid() * cell_BH + input_BH.sigmoid() * candidate_BH.tanh()
        values_BH = cell_BH.tanh()
        hidden_BH = output_BH.sigmoid() * values_BH
        hidden.append(hidden_BH)
        values.append(values_BH)
    return torch.stack(hidden), torch.stack(values), (hidden_BH, cell_BH)
