"""Dropout: zeroes a random share of values, and scales the rest so that the mean stays."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_LEVELS = 256  # one random byte decides each value


def dropout(values: Tensor, share: float) -> Tensor:
    """The values with about that share of them zero (Srivastava et al. 2014).

    On a CPU the share is rounded to a 256th, and a random byte drawn for each value: torch's own
    dropout draws a whole number for each there, which took a sixth of a training step.
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
