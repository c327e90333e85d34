"""Linear layers whose weights are packed once, for inputs with few rows.

`F.linear` and `nn.LSTM` read or repack plain weights in every call. Packing them once makes
one-character steps cheap on a CPU. The result of a row must not depend on the other rows, because
a stream's text must not depend on the other streams.

Shape letters: S rows, N outputs, K inputs.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.decoding.backend import Precision
from model.decoding.quantization import quantize_rows
from model.errors import DeviceError

logger = logging.getLogger("charstream")


class PlainLinear(nn.Module):
    """x @ W.T + b in fp32, computed with `F.linear`. It works on every device."""

    def __init__(self, weight_NK: Tensor, bias_N: Tensor) -> None:
        super().__init__()
        self.weight_NK, self.bias_N = weight_NK, bias_N

    def forward(self, x_SK: Tensor) -> Tensor:
        return F.linear(x_SK, self.weight_NK, self.bias_N)


class PackedLinear(nn.Module):
    """x @ W.T + b in fp32 on a CPU, with the weights in oneDNN's own layout.

    The weights are packed for 64 rows. oneDNN then uses the same kernel for any number of rows.
    """

    def __init__(self, weight_NK: Tensor, bias_N: Tensor) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight_NK.contiguous(), 64)
        self.bias_N = bias_N

    def forward(self, x_SK: Tensor) -> Tensor:
        # The last three arguments request no operation after the product. TorchScript needs the
        # list's type, because it cannot infer one from an empty list.
        none: list[int | float | complex | None] = []
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            x_SK, self.packed, self.bias_N, "none", none, ""
        )
        return result


class Int8Linear(nn.Module):
    """x @ W.T + b in int8 on a CPU, for inputs in [-1, 1]. The sums are exact, in int32.

    Inputs are u8 codes, 128 + round(127 x). An LSTM's hidden values are o * tanh(c), so they lie in
    (-1, 1) and this scale needs no calibration. Weights have one scale per row and 7 bits, so that
    the sum of two products fits into 16 bits on processors without VNNI.
    """

    def __init__(self, weight_NK: Tensor, bias_N: Tensor) -> None:
        super().__init__()
        codes_NK, scale_N = map(torch.from_numpy, quantize_rows(weight_NK.numpy()))
        with warnings.catch_warnings():
            # torch deprecates quantized tensors, but this operator accepts nothing else. If torch
            # removes them, `int8_is_available` returns False.
            warnings.simplefilter("ignore")
            quantized = torch._make_per_channel_quantized_tensor(
                codes_NK, scale_N.double(), torch.zeros(len(codes_NK), dtype=torch.long), 0
            )
        self.packed = torch.ops.quantized.linear_prepack(quantized, bias_N)

    def forward(self, x_SK: Tensor) -> Tensor:
        result: Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            x_SK, 1 / 127, 128, self.packed
        )
        return result


class PaddedLinear(nn.Module):
    """A layer that always computes the same number of rows, whatever the number of inputs.

    Use it with libraries whose kernels, and therefore rounding, depend on the number of rows.
    """

    def __init__(self, layer: nn.Module, rows: int) -> None:
        super().__init__()
        self.layer, self.rows = layer, rows

    def forward(self, x_SK: Tensor) -> Tensor:
        count = x_SK.size(0)
        padded: Tensor = self.layer(F.pad(x_SK, [0, 0, 0, self.rows - count]))
        return padded[:count]


def prepare(weight_NK: Tensor, bias_N: Tensor, precision: Precision, rows: int = 1) -> nn.Module:
    """Return a linear layer for inputs (S, K) and outputs (S, N), on the weight's device.

    Args:
        weight_NK: float32, on the device to compute on.
        bias_N: float32, on the same device.
        precision: precision of the product.
        rows: maximum number of input rows. The result of a row does not depend on the others.

    Raises:
        DeviceError: if the precision is int8 and the device is not the CPU.
    """
    on_cpu = weight_NK.device.type == "cpu"
    if precision == "int8":
        if not on_cpu:
            raise DeviceError(
                f"precision 'int8' needs the CPU, not {weight_NK.device.type}; use 'fp32'"
            )
        return Int8Linear(weight_NK, bias_N)
    layer = _fp32_layer(weight_NK, bias_N)
    if rows_are_independent(layer, random_rows(rows, weight_NK.size(1), weight_NK.device)):
        return layer
    logger.info(
        "on this machine, fp32 products depend on the number of rows: always computing %d rows",
        rows,
    )
    return PaddedLinear(layer, rows)


def _fp32_layer(weight_NK: Tensor, bias_N: Tensor) -> nn.Module:
    """Return the fastest layer for a device. oneDNN's operators are private names of torch."""
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if weight_NK.device.type == "cpu" and available:
        try:
            layer = PackedLinear(weight_NK, bias_N)
            layer(weight_NK[:1])
            return layer
        except (AttributeError, RuntimeError) as error:
            logger.warning("this version of torch cannot pack fp32 weights: %s", error)
    return PlainLinear(weight_NK, bias_N)


@torch.inference_mode()
def rows_are_independent(compute: Callable[[Tensor], Tensor], inputs_SK: Tensor) -> bool:
    """Return whether each row of a result has the same bits alone and among the other rows.

    Compares the first and the last rows for every number of rows up to 16, where libraries change
    their kernels most, and for every eighth number from there.

    Args:
        compute: function that returns one row per input row.
        inputs_SK: the rows to compute with. Their number is the maximum that is tested.
    """
    rows = len(inputs_SK)
    whole_SN = compute(inputs_SK)
    counts = [*range(1, min(rows, 16)), *range(16, rows, 8)]
    return all(
        torch.equal(compute(inputs_SK[:count]), whole_SN[:count])
        and torch.equal(compute(inputs_SK[rows - count :]), whole_SN[rows - count :])
        for count in counts
    )


def random_rows(rows: int, size: int, device: torch.device) -> Tensor:
    """Return numbers in [-1, 1) of shape (rows, size), the same at every call."""
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(rows, size, generator=generator) * 2 - 1).to(device)


def int8_is_available(device: torch.device) -> bool:
    """Return whether `prepare` can make int8 layers for a device."""
    try:
        layer = prepare(torch.ones(2, 4, device=device), torch.zeros(2, device=device), "int8")
        expected = torch.full((1, 2), 4.0)
        return bool(torch.allclose(layer(torch.ones(1, 4)), expected, atol=0.1))
    except (DeviceError, RuntimeError, AttributeError):
        # The device is not a CPU; the operator is not implemented in this build or for this
        # processor (a RuntimeError); or this version of torch has removed it. `choose_precision`
        # reports it: an error if the user asked for int8, a log line if the precision is "auto".
        return False
