"""Packing: arrange the weights of an LSTM for one-character steps, as both backends need them.

Shape letters: V vocabulary, H hidden, G = 4H gate rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def input_table(weights: Mapping[str, Tensor]) -> Tensor:
    """Return (V, G): what each character adds to the gates of layer 0, both biases included."""
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
