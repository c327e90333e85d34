"""Weight limit: bounds what a network computes, from its weights alone.

Hidden values lie in [-1, 1], so the sums of a row's absolute weights bound every input of a gate
and every logit, whatever the network reads. Within the limit, no product overflows float32 in any
backend or precision, and so no value becomes infinite or NaN.

Shape letters: E embedding, H hidden, G = 4H gate rows, N outputs, K inputs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from model.checkpoints.network_config import Array, NetworkConfig, Weights

# Of the inputs of gates and the logits; those of a trained model are below 1e5. The rest of the
# range of float32, up to 3e38, is for the factors of the kernels and for rounding in int8.
MAX_SUM = 1e31

_ROWS = 16  # that are added up at a time

_Sums = npt.NDArray[np.float64]


def greatest_sums(config: NetworkConfig, weights: Weights) -> Iterator[tuple[str, float]]:
    """Yield the name of each layer's outputs, and the largest absolute value that they may have.

    Args:
        config: sizes of the network.
        weights: finite weights, with the shapes of the config.
    """
    for layer in range(config.layers):
        inputs_G = _sums(weights[f"lstm.weight_ih_l{layer}"]) if layer else _input_sums(weights)
        sums_G = inputs_G + _sums(weights[f"lstm.weight_hh_l{layer}"])
        for kind in ("ih", "hh"):
            sums_G += _sums(weights[f"lstm.bias_{kind}_l{layer}"][:, None])
        yield f"the gates of LSTM layer {layer}", float(sums_G.max())
    logits_V = _sums(weights["output.weight"]) + _sums(weights["output.bias"][:, None])
    yield "the logits", float(logits_V.max())


def _input_sums(weights: Weights) -> _Sums:
    """Return the largest products of the first layer with the input of a character, (G,)."""
    weight_GK = weights["lstm.weight_ih_l0"]
    if "embedding.weight" in weights:
        embedding_VE = weights["embedding.weight"]
        return _sums(weight_GK, np.maximum(embedding_VE.max(0), -embedding_VE.min(0)))
    largest: _Sums = np.maximum(weight_GK.max(1), -weight_GK.min(1)).astype(np.float64)
    return largest


def _sums(weight_NK: Array, largest_K: Array | None = None) -> _Sums:
    """Return the largest products with inputs up to `largest_K`, by default in [-1, 1], (N,).

    Some rows at a time, since large arrays for a moment would make the process larger for good.
    """
    factors_K = np.ones(weight_NK.shape[1]) if largest_K is None else largest_K.astype(np.float64)
    parts = [
        np.abs(weight_NK[first : first + _ROWS]).astype(np.float64) @ factors_K
        for first in range(0, len(weight_NK), _ROWS)
    ]
    return np.concatenate(parts)
