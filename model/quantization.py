"""Quantization: float32 weights to int8 codes, with one scale per output row.

Shape letters: N outputs, K inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MOST_CODE = 63  # 7 bits: a pair of products with 8-bit inputs then fits into 16 bits


def quantize_rows(weight_NK: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes, int8 (N, K) in -63..63, and the scale of each row, float32 (N,).

    `codes * scale` approximates the weight. The quantization is symmetric: the largest absolute
    value of a row becomes 63 or -63.
    """
    scale_N = weight_NK.abs().amax(dim=1).clamp_min(1e-12) / _MOST_CODE
    return (weight_NK / scale_N[:, None]).round().to(torch.int8), scale_N
