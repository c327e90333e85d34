"""The learning-rate schedule: a linear warm-up, then a cosine decay to 1% of the peak."""

from __future__ import annotations

import math

_FINAL_SHARE = 0.01  # of the peak


def learning_rate(step: int, total_steps: int, peak: float, warmup: int) -> float:
    """Return the learning rate of one update (Loshchilov and Hutter 2017, without restarts).

    Args:
        step: number of the update, 0..total_steps-1.
        total_steps: updates of the whole run.
        peak: the highest rate, reached at the end of the warm-up.
        warmup: updates of the warm-up, capped at a tenth of the run.
    """
    warmup = min(warmup, total_steps // 10)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / (total_steps - warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return peak * (_FINAL_SHARE + (1 - _FINAL_SHARE) * cosine)
