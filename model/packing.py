"""Packing: arrange the weights of an LSTM for one-character steps, as both backends need them.

Shape letters: V vocabulary, H hidden, W = H padded, G = 4H gate rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def input_table(weights: Mapping[str, Tensor]) -> Tensor:
    """Return the input (V, G) that each character gives layer 0's gates, including both biases."""
    table_VG = weights["lstm.weight_ih_l0"].T
    if "embedding.weight" in weights:
        table_VG = weights["embedding.weight"] @ table_VG
    return table_VG + weights["lstm.bias_ih_l0"] + weights["lstm.bias_hh_l0"]


def stacked_weight(weights: Mapping[str, Tensor], layer: int) -> tuple[Tensor, Tensor]:
    """Return the weight (G, 2H) and the bias (G,) of a layer above the first.

    The input is the hidden state of the layer below, followed by the layer's own.
    """
    weight = torch.cat([weights[f"lstm.weight_{kind}_l{layer}"] for kind in ("ih", "hh")], dim=1)
    return weight, weights[f"lstm.bias_ih_l{layer}"] + weights[f"lstm.bias_hh_l{layer}"]


def padded_weights(weights: Mapping[str, Tensor], multiple: int) -> dict[str, Tensor]:
    """Return the weights of the same network with H padded to a multiple, W.

    All weights of the additional units are zero. From a state of zeros, their hidden and cell
    values stay exactly zero, so the other units compute the same function as before.
    """
    size = weights["output.weight"].size(1)
    padding = -size % multiple
    padded = dict(weights)
    for name in weights:
        if _reads_hidden(name):
            padded[name] = F.pad(padded[name], [0, padding])
        if name.startswith("lstm."):
            gates = padded[name].view(4, size, -1)
            padded[name] = F.pad(gates, [0, 0, 0, padding]).view(-1, *padded[name].shape[1:])
    return padded


def _reads_hidden(name: str) -> bool:
    """Return whether the columns of a weight are hidden units."""
    of_lstm = name.startswith("lstm.weight_") and name != "lstm.weight_ih_l0"
    return of_lstm or name == "output.weight"
