"""LSTM layer: one layer in training, in the precision that autocast asks for, and its dropout.

Shape letters: T steps, B batch size, H hidden, L layers, I input size of a layer.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from model.pytorch.native_lstm import native_lstm, native_lstm_runs

State = tuple[Tensor, Tensor]  # hidden and cell, each (L, B, H)
_LEVELS = 256  # one random byte decides each value


def lstm_layer(values_TBI: Tensor, state: State, weights: Sequence[Tensor]) -> tuple[Tensor, State]:
    """Return the hidden values (T, B, H) of a layer, and its state at the end.

    Where the native kernel computes the layer, no gradient flows into the state or out of the last
    cells, which training does not need.

    Args:
        values_TBI: the layer's input.
        state: hidden and cell values, (1, B, H) each.
        weights: input weights, recurrent weights and the two biases, in the order of `nn.LSTM`.
    """
    device = values_TBI.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    if device == "cpu":
        if dtype == torch.bfloat16 and native_lstm_runs(state[0].size(2)):
            hidden_TBH, cell_BH = native_lstm(values_TBI, state[0][0], state[1][0], weights)
            return hidden_TBH, (hidden_TBH[-1:], cell_BH[None])
        return _lstm(values_TBI, state, weights)
    # Autocast computes cuDNN's LSTM in float16, whatever type it is set to. float16 needs scaled
    # gradients, so the layer casts to autocast's type itself.
    with torch.autocast(device, enabled=False), warnings.catch_warnings():
        # cuDNN copies the weights into one block in every call, and warns about it. Weight dropout
        # makes new weights in every call, so there is nothing to do about it.
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single")
        return lstm_in(dtype or values_TBI.dtype, values_TBI, state, weights)


def lstm_in(
    dtype: torch.dtype, values_TBI: Tensor, state: State, weights: Sequence[Tensor]
) -> tuple[Tensor, State]:
    """Compute `lstm_layer` in a type, whatever the types of the arguments are."""
    hidden, cell = state
    cast = (hidden.to(dtype), cell.to(dtype))
    return _lstm(values_TBI.to(dtype), cast, [weight.to(dtype) for weight in weights])


def _lstm(values_TBI: Tensor, state: State, weights: Sequence[Tensor]) -> tuple[Tensor, State]:
    values_TBH, hidden, cell = torch.lstm(
        values_TBI, state, list(weights), True, 1, 0.0, True, False, False
    )
    return values_TBH, (hidden, cell)


def dropout(values: Tensor, share: float) -> Tensor:
    """Return the values with about `share` of them set to zero (Srivastava et al. 2014).

    On a CPU, `share` is rounded to a multiple of 1/256, and one random byte decides each value.
    `F.dropout` draws a whole integer for each value, which took a sixth of the time of an update.

    Args:
        values: a tensor of any shape and floating-point type.
        share: at least 0 and below 1.
    """
    if values.device.type != "cpu":
        return F.dropout(values, share)
    dropped_levels = min(round(share * _LEVELS), _LEVELS - 1)
    if dropped_levels == 0:
        return values
    kept = (_random_bytes(values.numel()) >= dropped_levels).view(values.shape)
    return values * kept.to(values.dtype).mul_(_LEVELS / (_LEVELS - dropped_levels))


def _random_bytes(count: int) -> Tensor:
    words = torch.empty(-(-count // 8), dtype=torch.int64)
    words.random_(-(2**63), None)  # all 64 bits
    return words.view(torch.uint8)[:count]
