"""Linear: x @ W.T + b with W prepared once, for inputs of few rows.

`F.linear` and `nn.LSTM` read or re-pack plain weights at every call; preparing them once is
what makes one-character steps cheap on a CPU. A row's result must not depend on how many other
rows there are: that is what makes a stream's text independent of its neighbours.

Shape letters: S rows, N outputs, K inputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from model.errors import DeviceError

Linear = Callable[[Tensor], Tensor]  # (S, K) -> (S, N), float32 both
Precision = Literal["fp32", "int8"]

_PACKED_ROWS = 64  # oneDNN's weight layout for this many rows has one kernel for every count
_INPUT_LEVELS = 127  # int8 steps for an input of 1
_INPUT_ZERO = 128  # the unsigned code of an input of 0
_WEIGHT_LEVELS = 63  # 7 bits, so that a pair of products never saturates 16 bits on AVX2


def prepare(weight_NK: Tensor, bias_N: Tensor, precision: Precision) -> Linear:
    """A linear layer for the weight's device and the precision asked for.

    Raises:
        DeviceError: if this build of torch has no int8 products for the device.
    """
    if precision == "int8":
        return _int8(weight_NK, bias_N)
    if weight_NK.device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return _packed_fp32(weight_NK, bias_N)
    return lambda x_SK: F.linear(x_SK, weight_NK, bias_N)


def int8_is_available(device: torch.device) -> bool:
    """Whether `prepare` can make int8 layers for a device."""
    try:
        layer = _int8(torch.ones(2, 4, device=device), torch.zeros(2, device=device))
        return bool(torch.allclose(layer(torch.ones(1, 4)), torch.full((1, 2), 4.0), atol=0.1))
    except (DeviceError, RuntimeError, NotImplementedError, AttributeError):
        return False


def _packed_fp32(weight_NK: Tensor, bias_N: Tensor) -> Linear:
    packed = torch.ops.mkldnn._reorder_linear_weight(weight_NK.contiguous(), _PACKED_ROWS)
    product = torch.ops.mkldnn._linear_pointwise
    return lambda x_SK: product(x_SK, packed, bias_N, "none", [], "")


def _int8(weight_NK: Tensor, bias_N: Tensor) -> Linear:
    """Inputs in [-1, 1] at a fixed step, weights at a step per row, sums exact in int32.

    An LSTM's hidden values are o * tanh(c), so they lie in (-1, 1) and need no calibration.
    """
    if weight_NK.device.type != "cpu":
        raise DeviceError(f"int8 is for the CPU, not for {weight_NK.device.type}")
    steps_N = weight_NK.abs().amax(dim=1).clamp_min(1e-12) / _WEIGHT_LEVELS
    codes_NK = (weight_NK / steps_N[:, None]).round().to(torch.int8)
    with warnings.catch_warnings():
        # Quantised tensors are deprecated as a programming model; the operator below has no
        # other way in. `int8_is_available` finds out when it goes.
        warnings.simplefilter("ignore")
        quantised = torch._make_per_channel_quantized_tensor(
            codes_NK, steps_N.double(), torch.zeros(len(codes_NK), dtype=torch.long), 0
        )
    packed = torch.ops.quantized.linear_prepack(quantised, bias_N)
    product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
    step = 1 / _INPUT_LEVELS
    return lambda x_SK: product(x_SK, step, _INPUT_ZERO, packed)
