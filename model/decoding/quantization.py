"""Quantization: float32 weights to int8 codes, with one scale per output row.

Shape letters: N outputs, K inputs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model.checkpoints.network_config import Array

Codes = npt.NDArray[np.int8]

_MAX_CODE = 63  # 7 bits: a pair of products with 8-bit inputs then fits into 16 bits


def quantize_rows(weight_NK: Array) -> tuple[Codes, Array]:
    """Return codes, int8 (N, K) in -63..63, and the scale of each row, float32 (N,).

    `codes * scale` approximates the weight. The quantization is symmetric: the largest absolute
    value of a row becomes 63 or -63.
    """
    largest_N = np.abs(weight_NK).max(axis=1)
    scale_N = np.maximum(largest_N, np.float32(1e-12)) / np.float32(_MAX_CODE)
    return np.rint(weight_NK / scale_N[:, None]).astype(np.int8), scale_N
