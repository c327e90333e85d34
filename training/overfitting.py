"""Overfitting: what a run says if its validation loss rose after its lowest value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_CLEAR_RISE = 0.01  # nats; less is within the noise of a validation


def best_of(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the record of the validation whose state is served. It is empty if there is none."""
    return min(records, key=lambda record: float(record["validation_loss"]), default={})


def describe_overfitting(records: Sequence[Mapping[str, Any]]) -> str | None:
    """Return a sentence for users if the run has memorized its text, or None."""
    if not records:
        return None
    best, last = best_of(records), records[-1]
    if last["validation_loss"] < best["validation_loss"] + _CLEAR_RISE:
        return None
    return (
        f"Lowest at epoch {best['epoch']:.1f} of {last['epoch']:.1f}. Then the loss rose to "
        f"{last['validation_loss']:.4f}: the model began to memorize the text. A longer run does "
        "not help. More text does, or a smaller network, or a higher --dropout."
    )
