"""Linear layers whose weights are prepared once, for inputs of few rows.

`F.linear` and `nn.LSTM` read or re-pack plain weights at every call; preparing them once is
what makes one-character steps cheap on a CPU. A row's result must not depend on how many other
rows there are: that is what makes a stream's text independent of its neighbours.

Shape letters: S rows, N outputs, K inputs.
"""

from __future__ import annotations

import logging
import warnings
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.errors import DeviceError
from model.quantization import quantize_rows

logger = logging.getLogger("charstream")

Precision = Literal["fp32", "int8"]


class PlainLinear(nn.Module):
    """x @ W.T + b as torch does it; for devices without a better way."""

    def __init__(self, weight_NK: Tensor, bias_N: Tensor) -> None:
        super().__init__()
        self.weight_NK, self.bias_N = weight_NK, bias_N

    def forward(self, x_SK: Tensor) -> Tensor:
        return F.linear(x_SK, self.weight_NK, self.bias_N)


class PackedLinear(nn.Module):
    """The same in fp32 on a CPU, with oneDNN's own layout of the weights.

    Packed for 64 rows, oneDNN takes one kernel for every number of rows.
    """

    def __init__(self, weight_NK: Tensor, bias_N: Tensor) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight_NK.contiguous(), 64)
        self.bias_N = bias_N

    def forward(self, x_SK: Tensor) -> Tensor:
        # The last three arguments ask for no operation after the product. Their types are those
        # of the operator's schema, which an empty list alone does not tell.
        none: list[int | float | complex | None] = []
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            x_SK, self.packed, self.bias_N, "none", none, ""
        )
        return result


class Int8Linear(nn.Module):
    """Inputs in [-1, 1] at a fixed step, weights at a step per row, sums exact in int32.

    An LSTM's hidden values are o * tanh(c), so they lie in (-1, 1) and need no calibration.
    Inputs are u8 codes, 128 + round(127 x). Weights have 7 bits, so that a pair of products
    never saturates 16 bits on processors without VNNI.
    """

    def __init__(self, weight_NK: Tensor, bias_N: Tensor) -> None:
        super().__init__()
        codes_NK, scale_N = quantize_rows(weight_NK)
        with warnings.catch_warnings():
            # Quantised tensors are deprecated as a programming model, but the operator has no
            # other way in. `int8_is_available` finds out when it goes.
            warnings.simplefilter("ignore")
            quantised = torch._make_per_channel_quantized_tensor(
                codes_NK, scale_N.double(), torch.zeros(len(codes_NK), dtype=torch.long), 0
            )
        self.packed = torch.ops.quantized.linear_prepack(quantised, bias_N)

    def forward(self, x_SK: Tensor) -> Tensor:
        result: Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            x_SK, 1 / 127, 128, self.packed
        )
        return result


class PaddedLinear(nn.Module):
    """A layer that always computes as many rows, so that how many are asked for changes nothing."""

    def __init__(self, layer: nn.Module, rows: int) -> None:
        super().__init__()
        self.layer, self.rows = layer, rows

    def forward(self, x_SK: Tensor) -> Tensor:
        count = x_SK.size(0)
        padded: Tensor = self.layer(F.pad(x_SK, [0, 0, 0, self.rows - count]))
        return padded[:count]


def prepare(weight_NK: Tensor, bias_N: Tensor, precision: Precision, rows: int = 1) -> nn.Module:
    """A linear layer for the weight's device and the precision asked for.

    Args:
        weight_NK: on the device to compute on.
        bias_N: likewise.
        precision: what to compute in.
        rows: most rows that it will be given; each one's result is the same among any others.

    Raises:
        DeviceError: if int8 was asked for off the CPU.
    """
    on_cpu = weight_NK.device.type == "cpu"
    if precision == "int8":
        if not on_cpu:
            raise DeviceError(f"int8 is for the CPU, not for {weight_NK.device.type}")
        return Int8Linear(weight_NK, bias_N)
    layer: nn.Module = PlainLinear(weight_NK, bias_N)
    if on_cpu and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        layer = PackedLinear(weight_NK, bias_N)
    if rows_are_independent(layer, weight_NK, rows):
        return layer
    logger.info("fp32 products depend on the number of rows here: always computing %d", rows)
    return PaddedLinear(layer, rows)


@torch.inference_mode()
def rows_are_independent(layer: nn.Module, weight_NK: Tensor, rows: int) -> bool:
    """Whether a row's result is the same, bit for bit, alone and among up to `rows` others.

    Tried out with random inputs and every number of rows up to 16, where libraries change
    their kernels most, and every eighth from there.
    """
    generator = torch.Generator().manual_seed(0)
    inputs_SK = torch.rand(rows, weight_NK.size(1), generator=generator) * 2 - 1
    inputs_SK = inputs_SK.to(weight_NK.device)
    whole_SN = layer(inputs_SK)
    counts = [*range(1, min(rows, 16)), *range(16, rows, 8)]
    return all(
        torch.equal(layer(inputs_SK[:count]), whole_SN[:count])
        and torch.equal(layer(inputs_SK[rows - count :]), whole_SN[rows - count :])
        for count in counts
    )


def int8_is_available(device: torch.device) -> bool:
    """Whether `prepare` can make int8 layers for a device."""
    try:
        layer = prepare(torch.ones(2, 4, device=device), torch.zeros(2, device=device), "int8")
        expected = torch.full((1, 2), 4.0)
        return bool(torch.allclose(layer(torch.ones(1, 4)), expected, atol=0.1))
    except (DeviceError, RuntimeError, AttributeError):
        # Another device; a build or a processor whose operator refuses (torch's "not implemented"
        # is a RuntimeError); a torch that has dropped it. Who asked for int8 by name is told so by
        # `choose_precision`; "auto" takes fp32, and the line logged at the start says which it is.
        return False
