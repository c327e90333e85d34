"""Quantization and packing: arrange the weights of an LSTM for one-character steps.

Shape letters: V vocabulary, E embedding, H hidden, W = H padded, G = 4H gate rows, N outputs,
K inputs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model.checkpoints.network_config import Array, Weights

_MAX_CODE = 63  # 7 bits: a pair of products with 8-bit inputs then fits into 16 bits


def input_table(weights: Weights) -> Array:
    """Return the input (V, G) that each character gives layer 0's gates, including both biases.

    The product with an embedding is computed in float64 and then rounded, so that the table does
    not depend on the order in which a library adds.
    """
    table_VG = weights["lstm.weight_ih_l0"].T
    if "embedding.weight" in weights:
        embedding_VE = weights["embedding.weight"].astype(np.float64)
        table_VG = (embedding_VE @ table_VG.astype(np.float64)).astype(np.float32)
    return table_VG + weights["lstm.bias_ih_l0"] + weights["lstm.bias_hh_l0"]


def stacked_weight(weights: Weights, layer: int) -> tuple[Array, Array]:
    """Return the weight (G, 2H) and the bias (G,) of a layer above the first.

    The input is the hidden state of the layer below, followed by the layer's own.
    """
    parts = [weights[f"lstm.weight_{kind}_l{layer}"] for kind in ("ih", "hh")]
    biases = [weights[f"lstm.bias_{kind}_l{layer}"] for kind in ("ih", "hh")]
    return np.concatenate(parts, axis=1), biases[0] + biases[1]


def padded_weights(weights: Weights, multiple: int) -> dict[str, Array]:
    """Return the weights of the same network with H padded to a multiple, W.

    All weights of the additional units are zero. From a state of zeros, their hidden and cell
    values stay exactly zero, so the other units compute the same function as before.
    """
    size = weights["output.weight"].shape[1]
    padding = -size % multiple
    padded = dict(weights)
    for name in weights:
        of_lstm = name.startswith("lstm.weight_") and name != "lstm.weight_ih_l0"
        if of_lstm or name == "output.weight":  # its columns are hidden units
            padded[name] = np.pad(padded[name], [(0, 0), (0, padding)])
        if name.startswith("lstm."):
            gates = padded[name].reshape(4, size, -1)
            gates = np.pad(gates, [(0, 0), (0, padding), (0, 0)])
            padded[name] = gates.reshape(-1, *padded[name].shape[1:])
    return padded


def quantize_rows(weight_NK: Array) -> tuple[npt.NDArray[np.int8], Array]:
    """Return codes, int8 (N, K) in -63..63, and the scale of each row, float32 (N,).

    `codes * scale` approximates the weight. The quantization is symmetric: the largest absolute
    value of a row becomes 63 or -63.
    """
    largest_N = np.abs(weight_NK).max(axis=1)
    scale_N = np.maximum(largest_N, np.float32(1e-12)) / np.float32(_MAX_CODE)
    return np.rint(weight_NK / scale_N[:, None]).astype(np.int8), scale_N
